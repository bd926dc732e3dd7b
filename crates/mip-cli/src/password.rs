//! Passwords for keys: from an environment variable, a file, a descriptor or a prompt.
//! Never from the command line, which every user of the machine can read.

use std::fs::File;
use std::io::{IsTerminal as _, Read};
use std::path::Path;

use mip_base::{Code, Error, Result, escape};
use mip_core::signing::Password;
use zeroize::Zeroizing;

use crate::args::KeyArgs;
use crate::context::read_bounded;
use crate::signals;

/// Longest password from a file or descriptor, in bytes with its newline.
const LIMIT: u64 = 4096;

/// How often a wrong password may be typed.
pub(crate) const ATTEMPTS: u32 = 3;

/// The password from the source that the options name; `None` when they name none.
///
/// # Errors
/// [`Code::PasswordMissing`] when the source does not exist, [`Code::Password`] when what it
/// holds cannot be a password or others can read it, [`Code::InputIo`].
pub(crate) fn given(args: &KeyArgs) -> Result<Option<Password>> {
    if let Some(name) = &args.key_password_env {
        return from_env(name, std::env::var_os(name)).map(Some);
    }
    if let Some(path) = &args.key_password_file {
        return from_file(path, args.allow_readable_password_file).map(Some);
    }
    args.key_password_fd.map(from_fd).transpose()
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

fn from_file(path: &Path, readable_by_others: bool) -> Result<Password> {
    let shown = path.to_string_lossy();
    let io = |e| Error::from_io(Code::InputIo, "cannot read the password file", e).within(&shown);
    let mut file = File::open(path).map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    if meta.is_dir() {
        return Err(Error::new(Code::InputIo, "the password file is a folder").within(&shown));
    }
    #[cfg(unix)]
    if meta.is_file() && !readable_by_others {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = meta.permissions().mode() & 0o7777;
        if mode & 0o044 != 0 {
            let what = format!("other users can read the password file (mode {mode:04o})");
            return Err(Error::new(Code::Password, what)
                .within(&shown)
                .hint("chmod 600 it, or say --allow-readable-password-file"));
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
pub(crate) fn ask(key: &Path) -> Result<Password> {
    let nobody = || {
        let shown = escape(&key.to_string_lossy());
        Error::new(
            Code::PasswordMissing,
            format!("{shown} needs a password, and there is no terminal to ask on"),
        )
        .hint("give it with --key-password-file, --key-password-env or --key-password-fd")
    };
    if !std::io::stderr().is_terminal() {
        return Err(nobody());
    }
    signals::terminal::remember();
    let prompt = format!("Password for {}: ", escape(&key.to_string_lossy()));
    let typed = signals::interruptible(|| rpassword::prompt_password(prompt));
    signals::terminal::restore();
    match typed {
        Ok(text) => Ok(Password::new(text)),
        Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {
            Err(Error::new(Code::Cancelled, "cancelled"))
        }
        Err(_) => Err(nobody()),
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
            let code = from_file(&path, false).err().map(|e| e.code());
            assert_eq!(code, refused.then_some(Code::Password), "{mode:o}");
            assert!(from_file(&path, true).is_ok());
        }
    }

    #[test]
    fn what_cannot_be_a_password_is_refused() {
        let long = vec![b'a'; 4097];
        assert_eq!(read(&mut long.as_slice()).unwrap_err().code(), Code::Password);
        assert!(read(&mut &long[..4096]).is_ok());
        assert_eq!(read(&mut &b"\xff\n"[..]).unwrap_err().code(), Code::Password);
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(from_file(dir.path(), true).unwrap_err().code(), Code::InputIo);
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
