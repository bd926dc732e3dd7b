//! The stable words of [`Provenance::rule`](crate::inspection::Provenance::rule).

macro_rules! words {
    ($($name:ident = $text:literal, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $name: &str = $text;)*

        /// Every word with its meaning, for documentation and `--explain`.
        pub const ALL: &[(&str, &str)] = &[$(($text, $meaning)),*];
    };
}

words! {
    STATED = "stated", "It stands as such in the file; there was nothing to choose.";
    GIVEN = "given", "The caller gave it.";
    ONLY_APP = "only-app", "The only app that is not inside another bundle.";
    APPLICATIONS = "applications-folder", "The only app that lands in /Applications itself.";
    PAYLOAD_ROOT = "payload-root", "The only app at the root of a payload.";
    BELOW_APPLICATIONS = "below-applications", "The only app that lands in a folder of /Applications.";
    SAME_ID = "same-id", "Of several apps, the one whose identifier the package names (must-close, product, package).";
    SAME_APP = "same-app", "Of several copies of one app, the first.";
    APP = "primary-app", "From the primary app.";
    MUST_CLOSE = "must-close", "The only app that must be closed first.";
    PRODUCT = "product", "The product of the Distribution.";
    FIRST_CHOICE = "first-choice", "The first package of the first choice that has one.";
    FIRST_PKG_REF = "first-pkg-ref", "The first package reference.";
    FIRST_COMPONENT = "first-component", "The first component package.";
    TITLE = "title", "The title that the Installer shows.";
    LOCALIZED_TITLE = "localized-title", "The title, looked up in the package's own strings.";
    CHOICE_TITLE = "choice-title", "The only title among the choices that install something.";
    COMPONENT_NAME = "component-name", "The file name of the only component package.";
    FILE_NAME = "file-name", "The name of the input file, without extension.";
    SHORT_VERSION = "short-version", "The app's short version: it is not empty and starts with a digit.";
    BUNDLE_VERSION = "bundle-version", "The app's bundle version, because its short version is not usable.";
    UNUSABLE_VERSION = "unusable-version", "The app's short version, because there is no better one.";
    HIGHEST = "highest", "The highest of all lower bounds.";
    LOWEST = "lowest", "The lowest of all upper bounds.";
    ALTERNATIVES = "alternatives", "The widest bound of several allowed ranges.";
    SUM = "sum", "A sum over the component packages.";
    SEVEREST = "severest", "The severest of all that is asked for.";
    PLIST_ARCHITECTURES = "plist-architectures", "From LSArchitecturePriority, because the program itself was not read.";
    LISTED = "listed", "From the list of bundles of a package, because the app itself was not read.";
}

/// What a word means; empty for a word that is none of ours.
#[must_use]
pub fn meaning(rule: &str) -> &'static str {
    ALL.iter().find(|(word, _)| *word == rule).map_or("", |(_, meaning)| meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_say_something() {
        for (i, (word, meaning)) in ALL.iter().enumerate() {
            assert!(
                meaning.ends_with('.') && word.chars().all(|c| c == '-' || c.is_ascii_lowercase())
            );
            assert!(ALL.iter().skip(i + 1).all(|(other, _)| other != word), "{word}");
        }
        assert_eq!(
            (meaning("sum"), meaning("none of ours")),
            ("A sum over the component packages.", "")
        );
    }
}
