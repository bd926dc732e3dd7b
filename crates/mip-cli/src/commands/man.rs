//! `mip man`: manual pages from the same definition as the options.

use std::path::Path;

use mip_base::{Code, Error, Result, escape};
use serde_json::json;

use crate::args::ManArgs;
use crate::context::{Context, Reply};
use crate::output::json::SCHEMA_VERSION;

pub(crate) fn run(args: &ManArgs, context: &Context) -> Result<Reply> {
    let pages = pages()?;
    let Some(folder) = &args.out else {
        let page = pages.into_iter().next().map(|(_, page)| page).unwrap_or_default();
        return Ok(Reply::done(
            page.clone(),
            json!({ "schema_version": SCHEMA_VERSION, "page": page }),
        ));
    };
    let mut files = Vec::new();
    for (name, page) in &pages {
        let path = folder.join(name);
        write(&path, page).map_err(|e| {
            Error::from_io(Code::OutputIo, "cannot write the page", e)
                .within(path.to_string_lossy())
        })?;
        files.push(path.to_string_lossy().into_owned());
    }
    let mut text: String = files.iter().map(|f| format!("{}\n", escape(f))).collect();
    if context.quiet {
        text.clear();
    }
    Ok(Reply::done(text, json!({ "schema_version": SCHEMA_VERSION, "files": files })))
}

/// Under another name first: a page that is there is replaced by a whole one.
fn write(path: &Path, page: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".mip-partial-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut file = builder.tempfile_in(folder)?;
    std::io::Write::write_all(&mut file, page.as_bytes())?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// All manual pages as file name and roff text: `mip.1` first, then one per command.
///
/// # Errors
/// [`Code::Internal`] when a page cannot be rendered.
pub fn pages() -> Result<Vec<(String, String)>> {
    let mut root = crate::command();
    root.build();
    let mut pages = Vec::new();
    let mut waiting = vec![("mip".to_owned(), root)];
    while let Some((name, command)) = waiting.pop() {
        // Popped from the end: pushed in reverse, pages come in the order of the help text.
        for sub in command.get_subcommands().collect::<Vec<_>>().into_iter().rev() {
            waiting.push((format!("{name}-{}", sub.get_name()), sub.clone()));
        }
        let failed = |what| Error::new(Code::Internal, format!("manual page {name}: {what}"));
        let mut page = Vec::new();
        let command = command.display_name(name.clone());
        clap_mangen::Man::new(command)
            .title(name.clone())
            .render(&mut page)
            .map_err(|e| failed(e.to_string()))?;
        let page = String::from_utf8(page).map_err(|e| failed(e.to_string()))?;
        // Examples are there to be copied: their lines are neither filled nor hyphenated.
        let page = page.replace(".SH EXTRA\n", ".SH \"EXAMPLES AND NOTES\"\n.nf\n");
        let page = page.replace("\n.SH VERSION\n", "\n.fi\n.SH VERSION\n");
        pages.push((format!("{name}.1"), page));
    }
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_every_command() {
        let pages = pages().unwrap();
        let names: Vec<&str> = pages.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(names.first(), Some(&"mip.1"));
        for name in
            ["mip-inspect.1", "mip-convert.1", "mip-verify.1", "mip-identity-create.1", "mip-man.1"]
        {
            assert!(names.contains(&name), "{names:?}");
        }
        let (_, convert) = pages.iter().find(|(n, _)| n == "mip-convert.1").unwrap();
        assert!(convert.contains("allow\\-unreadable"));
        assert!(convert.contains("\n.SH \"EXAMPLES AND NOTES\"\n.nf\n"));
        assert!(convert.contains("\n.fi\n.SH VERSION\n"));
    }
}
