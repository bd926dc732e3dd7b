//! Asset catalogs (`Assets.car`): which of the images in one is the app's icon.
//!
//! A catalog is a Bom file. Its block `KEYFORMAT` lists the attributes (u32, after `tmfk`, u32,
//! u32 count) that a key of the tree `RENDITIONS` is made of (u16 each); the tree `FACETKEYS`
//! gives the attributes of a name (u16 hot spot, two times; u16 count; pairs of u16), and
//! `APPEARANCEKEYS` the number of an appearance. All these numbers are little-endian. There is
//! no public specification: facts from the descriptions by Timac ("Reverse engineering the .car
//! file format") and of several open-source readers, checked against files that Xcode made.

use std::collections::BTreeMap;
use std::sync::Arc;

use mip_base::bytes::{le_u16, le_u32};
use mip_base::{Job, escape, escape_bytes};
use mip_bom::{Bom, TreeEntry};

use super::Icon;
use super::rendition::Rendition;

/// Attributes that a key may have: there are fewer than thirty.
const MAX_ATTRIBUTES: usize = 64;
/// Most names, and most images, of one catalog that are looked at.
const MAX_NAMES: usize = 100_000;
/// Most images that are tried until one can be decoded.
const MAX_TRIES: usize = 8;

/// Attributes of keys.
const APPEARANCE: u32 = 7;
const GAMUT: u32 = 24;

/// The largest image of a name (`CFBundleIconName`) that is no larger than 1024 pixels; without a name of `AppIcon`.
///
/// # Errors
/// Why there is none, in words.
pub(super) fn best(data: Vec<u8>, name: Option<&str>, job: &Job) -> Result<Icon, String> {
    let text = |e: mip_base::Error| format!("an asset catalog that cannot be read: {e}");
    let bom = Bom::open(Arc::new(data), job).map_err(text)?;
    let named = |name| bom.named(name).map_err(text);
    let tree = |name| bom.tree(name, job).map(Option::unwrap_or_default).map_err(text);
    if !named("CARHEADER")?.is_some_and(|b| b.starts_with(b"RATC")) {
        return Err("is not an asset catalog".to_owned());
    }
    let format = key_format(named("KEYFORMAT")?.unwrap_or_default())?;
    let wanted = facet(&tree("FACETKEYS")?, name)?;
    let appearances = appearances(&tree("APPEARANCEKEYS")?);
    let renditions = tree("RENDITIONS")?;
    let mut found = Vec::new();
    let mut reason = None;
    for entry in renditions.iter().take(MAX_NAMES) {
        let key = |attribute: u32| {
            let at = format.iter().position(|a| *a == attribute)?;
            le_u16(entry.key, at.checked_mul(2)?)
        };
        // An attribute that keys do not have says nothing.
        let matches = |(a, value): (&u16, &u16)| key((*a).into()).is_none_or(|v| v == *value);
        if !wanted.iter().all(matches) {
            continue;
        }
        let appearance = key(APPEARANCE).unwrap_or(0);
        let darkness =
            if appearance == 0 { 0 } else { *appearances.get(&appearance).unwrap_or(&2) };
        match Rendition::open(entry.value) {
            Some(Ok(image)) => found.push((darkness, key(GAMUT).unwrap_or(0), image)),
            Some(Err(why)) => reason = Some(why),
            None => {}
        }
    }
    // The plain look before others, then by size, then colours that every screen has.
    found.sort_by_key(|(look, gamut, image)| (*look, std::cmp::Reverse(image.pixels), *gamut));
    let mut tried = 0_usize;
    for (_, _, image) in found {
        // What is packed in a way that is not read costs nothing.
        tried = tried.saturating_add(usize::from(image.is_known()));
        if tried > MAX_TRIES {
            break;
        }
        match image.icon(job) {
            Ok(icon) => return Ok(icon),
            Err(why) => reason = reason.or(Some(why)),
        }
    }
    Err(reason.unwrap_or_else(|| "an asset catalog without images of the icon".to_owned()))
}

fn key_format(block: &[u8]) -> Result<Vec<u32>, String> {
    let count = le_u32(block, 8).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let all = block.get(12..).unwrap_or_default().as_chunks::<4>().0;
    let list = all.get(..count).filter(|_| block.starts_with(b"tmfk") && count <= MAX_ATTRIBUTES);
    match list {
        Some(list) => Ok(list.iter().map(|a| u32::from_le_bytes(*a)).collect()),
        None => Err("an asset catalog whose format of keys is damaged".to_owned()),
    }
}

/// The attributes of a name.
fn facet(tree: &[TreeEntry<'_>], name: Option<&str>) -> Result<BTreeMap<u16, u16>, String> {
    let wanted = name.unwrap_or("AppIcon");
    let is = |e: &&TreeEntry<'_>| e.key.strip_suffix(&[0]).unwrap_or(e.key) == wanted.as_bytes();
    let Some(entry) = tree.iter().take(MAX_NAMES).find(is) else {
        let first = |e: &TreeEntry<'_>| escape_bytes(e.key.get(..64).unwrap_or(e.key));
        let some = tree.iter().take(3).map(first).collect::<Vec<_>>().join(", ");
        let wanted = escape(wanted);
        return Err(format!("an asset catalog without the name \"{wanted}\" (it has {some})"));
    };
    let count = le_u16(entry.value, 4).map_or(0, usize::from).min(MAX_ATTRIBUTES);
    let pairs = entry.value.get(6..).unwrap_or_default().as_chunks::<4>().0.iter().take(count);
    let pairs = pairs.filter_map(|p| Some((le_u16(p, 0)?, le_u16(p, 2)?)));
    Ok(pairs.collect())
}

/// For each appearance 1, or 2 for those that are not what an icon looks like in daylight.
fn appearances(tree: &[TreeEntry<'_>]) -> BTreeMap<u16, u8> {
    let other = |name: &[u8]| {
        let name = name.get(..256).unwrap_or(name).to_ascii_lowercase();
        [&b"dark"[..], b"tint", b"contrast", b"mono"]
            .iter()
            .any(|word| name.windows(word.len()).any(|w| w == *word))
    };
    tree.iter()
        .take(MAX_NAMES)
        .filter_map(|e| Some((le_u16(e.value, 0)?, 1_u8.saturating_add(other(e.key).into()))))
        .collect()
}
