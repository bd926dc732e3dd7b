//! `mip inspect --scripts`: the first lines of each script.

use mip_base::escape;
use mip_core::inspection::ComponentInfo;

use crate::output::text::bytes;

/// The scripts of one component of which lines were kept.
pub(super) fn text(c: &ComponentInfo) -> String {
    let mut out = String::new();
    for s in c.scripts.iter().filter(|s| !s.head.is_empty()) {
        let role = s.role.as_deref().unwrap_or("helper file");
        let with = s.interpreter.as_deref().unwrap_or("no interpreter line");
        let size = s.size.map_or_else(|| "size not known".to_owned(), bytes);
        let (name, role) = (escape(&s.name), escape(role));
        out.push_str(&format!("\nScript {name} ({role}, {}, {size})\n", escape(with)));
        for (n, line) in s.head.iter().enumerate() {
            let line = escape(&line.replace('\t', "    "));
            out.push_str(format!("  {:>3}  {line}", n.saturating_add(1)).trim_end());
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use mip_core::inspection::ScriptInfo;

    #[test]
    fn lines_are_numbered_and_cannot_move_the_cursor() {
        let mut s = ScriptInfo::default();
        s.name = "postinstall".to_owned();
        s.role = Some("postinstall".to_owned());
        s.interpreter = Some("/bin/sh".to_owned());
        s.size = Some(40);
        s.head = vec!["#!/bin/sh".to_owned(), "\techo \u{1b}[2J".to_owned()];
        let mut c = ComponentInfo::default();
        c.scripts = vec![s, ScriptInfo::default()];
        assert_eq!(
            text(&c),
            "\nScript postinstall (postinstall, /bin/sh, 40 bytes)\n    1  #!/bin/sh\n    2      echo \\u{1b}[2J\n"
        );
    }
}
