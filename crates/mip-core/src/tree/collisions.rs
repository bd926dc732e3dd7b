//! Names that are one on a volume that ignores case and normalization.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use caseless::Caseless;
use mip_base::{Code, Error, Job, Result, escape, len64};
use unicode_normalization::UnicodeNormalization;

use super::TreeEntry;

/// Two of `paths` (in the order of a listing) that are one on a default macOS volume are an
/// error, [`Code::PathCollision`]. Folders that no entry names count too.
pub(super) fn check<'e>(
    paths: impl Iterator<Item = (usize, &'e TreeEntry)>,
    entries: &[TreeEntry],
    job: &Job,
) -> Result<()> {
    let limit = job.limits().entries;
    // Keyed at random, so that nobody can prepare paths whose hashes are equal.
    let hasher = RandomState::new();
    // Hash, entry, end of the folder in its path: small, as there may be a million.
    let mut keys: Vec<(u64, u32, u32)> = Vec::new();
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let mut before = "";
    for (i, entry) in paths {
        let path = entry.path.as_str();
        for end in new_folders(before, path) {
            let folded = fold(path.get(..end).unwrap_or(path));
            keys.push((hasher.hash_one(folded), small(i), small(end)));
        }
        if len64(keys.len()) > limit {
            return Err(Error::limit(Code::LimitEntries, "entries", limit, len64(keys.len())));
        }
        before = path;
    }
    keys.sort_unstable();
    let large = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    let text = |k: &(u64, u32, u32)| {
        entries.get(large(k.1)).and_then(|e| e.path.as_str().get(..large(k.2))).unwrap_or("")
    };
    // The same pair is named each time, whatever the keys of the hash.
    let clash = keys
        .windows(2)
        .filter_map(|w| match w {
            [a, b] if a.0 == b.0 && fold(text(a)) == fold(text(b)) => Some((text(a), text(b))),
            _ => None,
        })
        .map(|(a, b)| if a < b { (a, b) } else { (b, a) })
        .min();
    match clash {
        None => Ok(()),
        Some((a, b)) => {
            let why = format!(
                "\"{}\" and \"{}\" are one name on a volume that ignores case",
                escape(a),
                escape(b)
            );
            Err(Error::new(Code::PathCollision, why))
        }
    }
}

/// Where the folders of `path` end that `before` (the path before it in the order) does not have,
/// and where `path` itself ends.
fn new_folders<'p>(before: &str, path: &'p str) -> impl Iterator<Item = usize> + use<'p> {
    let mut shared = 0;
    let mut end = 0;
    for (a, b) in before.split('/').zip(path.split('/')) {
        if a != b {
            break;
        }
        end = shared_end(end, b);
        shared = end;
    }
    path.bytes()
        .enumerate()
        .filter(|(_, b)| *b == b'/')
        .map(|(i, _)| i)
        .chain(Some(path.len()))
        .filter(move |&i| i > shared)
}

fn shared_end(end: usize, component: &str) -> usize {
    let separator = usize::from(end > 0);
    end.saturating_add(separator).saturating_add(component.len())
}

/// One form for all spellings of a path that a macOS volume takes for the same: compatibility
/// caseless match (Unicode 3.13, D146), without the code points that HFS+ ignores (TN1150).
fn fold(path: &str) -> String {
    if path.is_ascii() {
        return path.to_ascii_lowercase();
    }
    path.chars()
        .filter(|c| !is_ignorable(*c))
        .nfd()
        .default_case_fold()
        .nfkd()
        .default_case_fold()
        .nfkd()
        .collect()
}

/// Code points that HFS+ leaves out when it compares names (TN1150, its table of case folding).
fn is_ignorable(c: char) -> bool {
    matches!(c, '\u{200C}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{206A}'..='\u{206F}' | '\u{FEFF}')
}
