//! The stable words of [`Provenance::rule`](crate::inspection::Provenance::rule).

/// The value stands as such in the file; there was nothing to choose.
pub const STATED: &str = "stated";
/// The caller gave it.
pub const GIVEN: &str = "given";
/// From the primary app's `Info.plist`.
pub const APP: &str = "primary-app";
/// From a bundle that PackageInfo or Distribution lists for the primary app.
pub const PACKAGE_BUNDLE: &str = "package-bundle";
/// From the first app that must be closed.
pub const MUST_CLOSE: &str = "must-close";
/// From the Distribution's `product` element.
pub const PRODUCT: &str = "product";
/// From the first choice that installs a package.
pub const FIRST_CHOICE: &str = "first-choice";
/// From the first package reference.
pub const FIRST_PKG_REF: &str = "first-pkg-ref";
/// From the first component package.
pub const FIRST_COMPONENT: &str = "first-component";
/// The Distribution's title.
pub const TITLE: &str = "title";
/// The title, looked up in the package's own strings.
pub const LOCALIZED_TITLE: &str = "localized-title";
/// A choice's title.
pub const CHOICE_TITLE: &str = "choice-title";
/// The file name without extension.
pub const FILE_NAME: &str = "file-name";
/// `CFBundleShortVersionString`, unless empty or not starting with a digit.
pub const SHORT_VERSION: &str = "short-version";
/// `CFBundleVersion`, because the short version is not usable.
pub const BUNDLE_VERSION: &str = "bundle-version";
/// The highest of all minimum versions given.
pub const HIGHEST: &str = "highest";
/// The lowest of all maximum versions given.
pub const LOWEST: &str = "lowest";
/// A sum over the component packages.
pub const SUM: &str = "sum";
/// All values given, merged.
pub const MERGED: &str = "merged";
