//! Looking into things: `mip files`, `mip cat`, and the password of an encrypted image.

use std::path::PathBuf;

use clap::Args;

use super::StdinArgs;

/// What the paths of `files` and `cat` mean.
const PATHS: &str = "\
A path inside is written as everywhere: / between names, // from a file into what it holds.
FILE//PATH in one word is the same as FILE PATH. Places in what `mip inspect` prints are such paths:
in text without FILE, in `place` of --json with its name.";

/// Where help lists the options below.
const ENCRYPTED: &str = "Encrypted disk images";

/// Where the password of an encrypted disk image or volume is.
// The heading stands at each option: one for the struct would go on after it.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ImagePasswordArgs {
    /// Read the image's password from this environment variable
    #[arg(long, value_name = "NAME", group = "image_password", help_heading = ENCRYPTED)]
    pub(crate) image_password_env: Option<String>,
    /// Read the image's password from this file (at most 4 KiB, one trailing newline is ignored)
    #[arg(long, value_name = "PATH", group = "image_password", help_heading = ENCRYPTED)]
    pub(crate) image_password_file: Option<PathBuf>,
    /// Read the image's password from this open file descriptor. Without any of these options it
    /// is asked for on a terminal
    #[arg(long, value_name = "N", group = "image_password", help_heading = ENCRYPTED)]
    pub(crate) image_password_fd: Option<u32>,
    /// Accept an image password file that other users can read
    #[arg(long, requires = "image_password_file", help_heading = ENCRYPTED)]
    pub(crate) allow_readable_image_password_file: bool,
}

/// List what is in a package, an app, a disk image or an archive
#[derive(Debug, Args)]
#[command(after_long_help = format!("{PATHS}
A container inside is listed as the file that it is; with // behind its path, what is in it is.
Nothing is judged here: signatures are not checked. Names that would disturb a terminal are
escaped; --json has them as they are.

Examples:
  mip files Tool.dmg
  mip files Tool.dmg Tool.app/Contents/MacOS
  mip files Tool.dmg Tool.pkg//Payload//                       (the payload of a package in it)
  mip files Tool.pkg 'tool.pkg/Payload//'                      (what the payload holds)
  mip files Suite.zip 'Suite.dmg//Suite.pkg//Scripts//' --sha256
  mip files Tool.pkg --json | jq -r '.entries[] | select(.kind == \"file\") | .path'"))]
pub(crate) struct FilesArgs {
    /// A .pkg, .dmg, .app, .mip, zip or tar file, or a folder; - is stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Paths inside; a folder stands for all that is in it. Default: everything
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<String>,
    /// Also print the SHA-256 of every file, which reads all of them
    #[arg(long)]
    pub(crate) sha256: bool,
    #[command(flatten)]
    pub(crate) stdin: StdinArgs,
    #[command(flatten)]
    pub(crate) password: ImagePasswordArgs,
}

/// Print one file out of a package, an app, a disk image or an archive
#[derive(Debug, Args)]
#[command(after_long_help = format!("{PATHS}
What has a checksum is checked at the end: with an exit status other than 0, throw away what
was printed. With --json the file is part of the object: as `text` when it is UTF-8, else as
`base64`.

Examples:
  mip cat Tool.dmg Tool.app/Contents/Info.plist
  mip cat Tool.dmg//Tool.pkg//Distribution
  mip cat Tool.pkg tool.pkg/PackageInfo
  mip cat Tool.pkg 'tool.pkg/Scripts//postinstall'
  mip cat Tool.zip//Tool.pkg//Distribution"))]
pub(crate) struct CatArgs {
    /// A .pkg, .dmg, .app, .mip, zip or tar file, or a folder; - is stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Path of the file inside
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<String>,
    #[command(flatten)]
    pub(crate) stdin: StdinArgs,
    #[command(flatten)]
    pub(crate) password: ImagePasswordArgs,
}
