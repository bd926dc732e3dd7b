//! Passwords for keys and images: from an environment variable, a file, a descriptor or a prompt.
//! Never from the command line, which every user of the machine can read.

use std::fs::File;
use std::io::{IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use mip_base::{Code, Error, Result, escape};
use mip_core::signing::Password;
use zeroize::Zeroizing;

use crate::args::{ImagePasswordArgs, KeyArgs};
use crate::context::read_bounded;
use crate::signals;

/// Longest password from a file or descriptor, in bytes with its newline.
const LIMIT: u64 = 4096;

/// How often a wrong password may be typed.
const ATTEMPTS: u32 = 3;

/// What a password is for, and the source that the options name. None of it: it is asked for.
pub(crate) struct Source<'a> {
    env: Option<&'a String>,
    file: Option<&'a PathBuf>,
    fd: Option<u32>,
    /// Whether a file that others can read is accepted, and the option that says so.
    readable: (bool, &'static str),
    /// What to do where nobody can be asked.
    hint: &'static str,
}

impl<'a> Source<'a> {
    /// The password of a signing key.
    pub(crate) fn key(args: &'a KeyArgs) -> Self {
        Self {
            env: args.key_password_env.as_ref(),
            file: args.key_password_file.as_ref(),
            fd: args.key_password_fd,
            readable: (args.allow_readable_password_file, "--allow-readable-password-file"),
            hint: "give it with --key-password-file, --key-password-env or --key-password-fd",
        }
    }

    /// The password of a disk image.
    pub(crate) fn image(args: &'a ImagePasswordArgs) -> Self {
        Self {
            env: args.image_password_env.as_ref(),
            file: args.image_password_file.as_ref(),
            fd: args.image_password_fd,
            readable: (
                args.allow_readable_image_password_file,
                "--allow-readable-image-password-file",
            ),
            hint: "give it with --image-password-file, --image-password-env or --image-password-fd",
        }
    }

    /// The password that the options name; `None` when they name none.
    fn given(&self) -> Result<Option<Password>> {
        if let Some(name) = self.env {
            return from_env(name, std::env::var_os(name)).map(Some);
        }
        if let Some(path) = self.file {
            return from_file(path, self.readable).map(Some);
        }
        self.fd.map(from_fd).transpose()
    }

    /// Calls `work` with the password that the options name. When they name none, without one, and
    /// again with what is typed when one is needed.
    ///
    /// # Errors
    /// [`Code::PasswordMissing`] when the source does not exist, or nobody can be asked;
    /// [`Code::Password`] when what it holds cannot be a password or others can read it;
    /// [`Code::InputIo`]; [`Code::Cancelled`] on Ctrl-C; what `work` returns.
    pub(crate) fn with<T>(
        &self,
        what: &Path,
        work: &mut dyn FnMut(Option<&Password>) -> Result<T>,
    ) -> Result<T> {
        if let Some(password) = self.given()? {
            return work(Some(&password));
        }
        let mut result = work(None);
        let mut asked = 0_u32;
        while let Err(e) = &result {
            let again = match e.code() {
                Code::PasswordMissing => true,
                Code::Password => asked > 0 && asked < ATTEMPTS,
                _ => false,
            };
            if !again {
                break;
            }
            if asked > 0 {
                crate::output::to_stderr("That is not the password.");
            }
            let typed = ask(what, self.hint)?;
            asked = asked.saturating_add(1);
            result = work(Some(&typed));
        }
        result
    }
}

fn from_env(name: &str, value: Option<std::ffi::OsString>) -> Result<Password> {
    let shown = escape(name);
    let value = value.ok_or_else(|| {
        Error::new(Code::PasswordMissing, format!("the environment variable {shown} is not set"))
    })?;
    let text = value.into_string().map_err(|_| {
        Error::new(Code::Password, format!("the environment variable {shown} is not UTF-8"))
    })?;
    Ok(Password::new(text))
}

fn from_file(path: &Path, readable_by_others: (bool, &str)) -> Result<Password> {
    let shown = path.to_string_lossy();
    let io = |e| Error::from_io(Code::InputIo, "cannot read the password file", e).within(&shown);
    let mut file = File::open(path).map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    if meta.is_dir() {
        return Err(Error::new(Code::InputIo, "the password file is a folder").within(&shown));
    }
    #[cfg(unix)]
    if meta.is_file() && !readable_by_others.0 {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = meta.permissions().mode() & 0o7777;
        if mode & 0o044 != 0 {
            let what = format!("other users can read the password file (mode {mode:04o})");
            return Err(Error::new(Code::Password, what)
                .within(&shown)
                .hint(format!("chmod 600 it, or say {}", readable_by_others.1)));
        }
    }
    let _ = readable_by_others;
    read(&mut file).map_err(|e| e.within(&shown))
}

fn from_fd(fd: u32) -> Result<Password> {
    // Taking over a descriptor by its number needs unsafe code; opening its name does not.
    let path = format!("/dev/fd/{fd}");
    let place = |e: Error| e.within(format!("file descriptor {fd}"));
    let open = |e| Error::from_io(Code::PasswordMissing, "cannot be read", e);
    let mut file = File::open(path).map_err(|e| place(open(e)))?;
    read(&mut file).map_err(place)
}

fn read(from: &mut dyn Read) -> Result<Password> {
    let bytes = signals::interruptible(|| read_bounded(from, LIMIT))
        .map_err(|e| Error::from_io(Code::InputIo, "cannot read the password", e))?;
    let mut bytes = bytes.ok_or_else(|| {
        Error::new(Code::Password, format!("more than {LIMIT} bytes, which is no password"))
    })?;
    strip_newline(&mut bytes);
    // The allocation moves into the password, which wipes it.
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Password::new(text)),
        Err(e) => {
            drop(Zeroizing::new(e.into_bytes()));
            Err(Error::new(Code::Password, "the password is not UTF-8"))
        }
    }
}

/// Editors and `echo` end a file with one newline, which nobody means.
fn strip_newline(bytes: &mut Vec<u8>) {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
}

/// Asks on the terminal, without echo.
///
/// # Errors
/// [`Code::PasswordMissing`] at once where nobody can be asked; [`Code::Cancelled`] on Ctrl-C.
fn ask(what: &Path, hint: &str) -> Result<Password> {
    let shown = what.to_string_lossy();
    let missing = |why: &str| {
        Error::new(Code::PasswordMissing, format!("a password is needed, and {why}"))
            .within(&shown)
            .hint(hint)
    };
    if !std::io::stderr().is_terminal() {
        return Err(missing("there is no terminal to ask on"));
    }
    signals::terminal::remember();
    let prompt = format!("Password for {}: ", escape(&shown));
    let typed = signals::interruptible(|| rpassword::prompt_password(prompt));
    signals::terminal::restore();
    match typed {
        Ok(text) => Ok(Password::new(text)),
        Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {
            Err(Error::new(Code::Cancelled, "cancelled"))
        }
        // Ctrl-D.
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            crate::output::to_stderr("");
            Err(missing("none was typed"))
        }
        Err(_) => Err(missing("there is no terminal to ask on")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(text: &[u8]) -> Vec<u8> {
        let mut v = text.to_vec();
        strip_newline(&mut v);
        v
    }

    #[test]
    fn exactly_one_newline_is_stripped() {
        assert_eq!(stripped(b"secret\n"), b"secret");
        assert_eq!(stripped(b"secret\r\n"), b"secret");
        assert_eq!(stripped(b"secret\n\n"), b"secret\n");
        assert_eq!(stripped(b" secret "), b" secret ");
        assert_eq!(stripped(b"secret\r"), b"secret\r");
        assert_eq!(stripped(b"\n"), b"");
    }

    #[test]
    fn a_variable_that_is_not_set_is_a_missing_password() {
        assert_eq!(from_env("NO", None).unwrap_err().code(), Code::PasswordMissing);
        assert!(from_env("YES", Some("x".into())).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn a_password_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, b"secret\n").unwrap();
        for (mode, refused) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let code = from_file(&path, (false, "--x")).err().map(|e| e.code());
            assert_eq!(code, refused.then_some(Code::Password), "{mode:o}");
            assert!(from_file(&path, (true, "--x")).is_ok());
        }
    }

    #[test]
    fn what_cannot_be_a_password_is_refused() {
        let long = vec![b'a'; 4097];
        assert_eq!(read(&mut long.as_slice()).unwrap_err().code(), Code::Password);
        assert!(read(&mut &long[..4096]).is_ok());
        assert_eq!(read(&mut &b"\xff\n"[..]).unwrap_err().code(), Code::Password);
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(from_file(dir.path(), (true, "--x")).unwrap_err().code(), Code::InputIo);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_descriptor_is_read_by_its_number() {
        use std::io::Write as _;
        use std::os::fd::AsRawFd as _;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"secret\n").unwrap();
        assert!(from_fd(u32::try_from(file.as_raw_fd()).unwrap()).is_ok());
        assert_eq!(from_fd(999_999).unwrap_err().code(), Code::PasswordMissing);
    }
}
