//! The names of an app in other languages.
//!
//! They are in `InfoPlist.strings` of the folder of each language (`de.lproj`), or for all
//! languages in one property list, `InfoPlist.loctable`: a dictionary of dictionaries.

use std::collections::BTreeMap;

use mip_base::{Code, Error, Job, Result, len64};

use crate::package::strings;
use crate::plist;

/// Most languages of one app that are kept.
pub(crate) const MAX_LANGUAGES: usize = 100;
/// Longest name and longest code of a language, in bytes.
const MAX_TEXT: usize = 256;

/// A file with names, by what its place says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NameFile {
    /// `InfoPlist.strings` of this language.
    Strings(String),
    /// `InfoPlist.loctable`.
    Table,
}

impl NameFile {
    /// What the file at `path` below an app's folder of resources is. `Base` is no language.
    pub(crate) fn of(path: &str) -> Option<Self> {
        if path == "InfoPlist.loctable" {
            return Some(Self::Table);
        }
        let language = path.strip_suffix(".lproj/InfoPlist.strings")?;
        let is_one = !language.contains('/') && (1..=MAX_TEXT).contains(&language.len());
        (is_one && language != "Base").then(|| Self::Strings(language.to_owned()))
    }

    /// Most bytes that such a file may have.
    pub(crate) fn limit(job: &Job) -> u64 {
        job.limits().small_file.min(job.limits().plist_bytes)
    }

    /// Adds the names in `data` to `names`: `CFBundleDisplayName`, else `CFBundleName`.
    ///
    /// # Errors
    /// [`Code::Plist`] and limits of property lists.
    pub(crate) fn read(
        &self,
        data: &[u8],
        names: &mut BTreeMap<String, String>,
        job: &Job,
    ) -> Result<()> {
        if len64(data.len()) > Self::limit(job) {
            return Err(Error::limit(
                Code::Limit,
                "plist-bytes",
                Self::limit(job),
                len64(data.len()),
            ));
        }
        let mut add = |language: &str, display: Option<&str>, name: Option<&str>| {
            let usable = |n: &&str| !n.trim().is_empty() && n.len() <= MAX_TEXT;
            let Some(name) = display.filter(usable).or(name.filter(usable)) else { return };
            if names.len() < MAX_LANGUAGES && language.len() <= MAX_TEXT {
                names.insert(language.to_owned(), name.to_owned());
            }
        };
        let keys = ["CFBundleDisplayName", "CFBundleName"];
        match self {
            Self::Strings(language) => {
                let table = strings::parse(data, job)?;
                let [display, name] = keys.map(|k| table.get(k).map(String::as_str));
                add(language, display, name);
            }
            Self::Table => {
                let table = plist::read(data, job)?;
                for (language, texts) in table.as_dict().into_iter().flatten() {
                    let [display, name] = keys.map(|k| texts.get(k).and_then(|v| v.as_str()));
                    add(language, display, name);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &NameFile, data: &[u8]) -> Result<Vec<(String, String)>> {
        let mut names = BTreeMap::new();
        file.read(data, &mut names, &Job::default())?;
        Ok(names.into_iter().collect())
    }

    #[test]
    fn the_place_says_the_language() {
        let strings = |l: &str| Some(NameFile::Strings(l.to_owned()));
        assert_eq!(NameFile::of("de.lproj/InfoPlist.strings"), strings("de"));
        assert_eq!(NameFile::of("zh_CN.lproj/InfoPlist.strings"), strings("zh_CN"));
        assert_eq!(NameFile::of("InfoPlist.loctable"), Some(NameFile::Table));
        for none in [
            "Base.lproj/InfoPlist.strings",
            ".lproj/InfoPlist.strings",
            "a/de.lproj/InfoPlist.strings",
            "de.lproj/Localizable.strings",
            "InfoPlist.strings",
            "de.lproj/InfoPlist.loctable",
        ] {
            assert_eq!(NameFile::of(none), None, "{none}");
        }
    }

    #[test]
    fn the_display_name_goes_first() {
        let de = NameFile::Strings("de".to_owned());
        let pair = |name: &str| vec![("de".to_owned(), name.to_owned())];
        assert_eq!(read(&de, b"CFBundleName = \"Kurz\";").unwrap(), pair("Kurz"));
        let both = b"\"CFBundleName\" = \"Kurz\"; \"CFBundleDisplayName\" = \"L\\U00e4nger\";";
        assert_eq!(read(&de, both).unwrap(), pair("L\u{e4}nger"));
        let blank = b"CFBundleName = \"Kurz\"; CFBundleDisplayName = \" \";";
        assert_eq!(read(&de, blank).unwrap(), pair("Kurz"));
        assert_eq!(read(&de, b"NSHumanReadableCopyright = \"x\";").unwrap(), []);
        let long = format!("CFBundleName = \"{}\";", "x".repeat(257));
        assert_eq!(read(&de, long.as_bytes()).unwrap(), []);
        assert_eq!(read(&de, b"{ broken").unwrap_err().code(), Code::Plist);
    }

    #[test]
    fn a_table_has_all_languages() {
        let entry = |l: &str, n: &str| {
            format!("<key>{l}</key><dict><key>CFBundleName</key><string>{n}</string></dict>")
        };
        let table = |body: &str| format!("<plist version=\"1.0\"><dict>{body}</dict></plist>");
        let body = format!(
            "{}{}<key>LocProvenance</key><dict/><key>x</key><string>y</string>",
            entry("de", "Eins"),
            entry("fr", "Deux")
        );
        let want = [("de", "Eins"), ("fr", "Deux")].map(|(l, n)| (l.to_owned(), n.to_owned()));
        assert_eq!(read(&NameFile::Table, table(&body).as_bytes()).unwrap(), want);
        assert_eq!(read(&NameFile::Table, table("").as_bytes()).unwrap(), []);
        let many: String = (0..200).map(|n| entry(&format!("l{n}"), "N")).collect();
        let kept = read(&NameFile::Table, table(&many).as_bytes()).unwrap();
        assert_eq!(kept.len(), MAX_LANGUAGES);
    }
}
