//! `mip files`: what is in a package, an app, a disk image or an archive.

use mip_base::{Result, escape};
use mip_core::signing::Password;
use mip_core::{ContentEntry, Contents, Input, Job, LookOptions};

use crate::args::FilesArgs;
use crate::commands::{inside, shown};
use crate::context::{Context, Reply, about};
use crate::output::{self, json};
use crate::password::Source;

/// Bytes of lines that are printed at once.
const BATCH: usize = 64 << 10;

pub(crate) fn run(args: &FilesArgs, context: &Context) -> Result<Reply> {
    let (file, paths) = inside(&args.file, &args.paths)?;
    let job = context.job(&shown(&file, &args.stdin.stdin_name));
    let place = |e| about(&file, e);
    let input = context.input(&file, &args.stdin.stdin_name, &job).map_err(place)?;
    let look = |password: Option<&Password>| {
        let mut options = LookOptions::new();
        options.sha256 = args.sha256;
        options.image_password = password.cloned();
        options
    };
    let mut printed = 0;
    let mut work = |password: Option<&Password>| {
        if context.json {
            collect(&input, &paths, &look(password), &job)
        } else {
            print(&input, &paths, &look(password), &mut printed, &job)
        }
    };
    let contents = Source::image(&args.password).with(&file, &mut work).map_err(place)?;
    for note in &contents.notes {
        context.note(&format!("note: {}", escape(note)));
    }
    Ok(Reply::done(String::new(), json::value(&contents)?))
}

fn collect(input: &Input, paths: &[String], options: &LookOptions, job: &Job) -> Result<Contents> {
    let mut entries = Vec::new();
    let mut contents = mip_core::files(input, paths, options, job, &mut |e| {
        entries.push(e);
        Ok(())
    })?;
    contents.entries = entries;
    Ok(contents)
}

/// Prints the lines as they come: a payload of a million files is not kept. `printed` entries
/// were printed already, before a password was asked for.
fn print(
    input: &Input,
    paths: &[String],
    options: &LookOptions,
    printed: &mut u64,
    job: &Job,
) -> Result<Contents> {
    let mut lines = String::new();
    let mut seen = 0_u64;
    let contents = mip_core::files(input, paths, options, job, &mut |e| {
        seen = seen.saturating_add(1);
        if seen <= *printed {
            return Ok(());
        }
        *printed = seen;
        lines.push_str(&line(&e, options.sha256));
        if lines.len() >= BATCH {
            output::print(lines.as_bytes())?;
            lines.clear();
        }
        Ok(())
    });
    output::print(lines.as_bytes())?;
    contents
}

/// `-rwxr-xr-x  0/80  12345  path -> target`.
fn line(e: &ContentEntry, sha256: bool) -> String {
    let owner = match (e.uid, e.gid) {
        (Some(uid), Some(gid)) => format!("{uid}/{gid}"),
        _ => String::new(),
    };
    let digest = match (&e.sha256, sha256) {
        (Some(hex), _) => format!("{hex}  "),
        (None, true) => " ".repeat(66),
        (None, false) => String::new(),
    };
    let link = e.link.as_ref().map_or_else(String::new, |l| format!(" -> {}", escape(l)));
    format!(
        "{}  {owner:<9}{:>13}  {digest}{}{link}\n",
        mode(&e.kind, e.mode),
        e.bytes,
        escape(&e.path)
    )
}

/// The ten characters of `ls -l`; question marks where the container has no permission bits.
fn mode(kind: &str, mode: Option<u32>) -> String {
    let first = match kind {
        "file" => '-',
        "directory" => 'd',
        "symlink" => 'l',
        "hardlink" => 'h',
        "char-device" => 'c',
        "block-device" => 'b',
        "fifo" => 'p',
        "socket" => 's',
        _ => '?',
    };
    let Some(mode) = mode else { return format!("{first}?????????") };
    let mut out = String::from(first);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        out.push(if bits & 4 != 0 { 'r' } else { '-' });
        out.push(if bits & 2 != 0 { 'w' } else { '-' });
        out.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_as_ls_prints_them() {
        assert_eq!(mode("file", Some(0o644)), "-rw-r--r--");
        assert_eq!(mode("directory", Some(0o1777)), "drwxrwxrwt");
        assert_eq!(mode("file", Some(0o4755)), "-rwsr-xr-x");
        assert_eq!(mode("file", Some(0o6644)), "-rwSr-Sr--");
        assert_eq!(mode("symlink", None), "l?????????");
    }
}
