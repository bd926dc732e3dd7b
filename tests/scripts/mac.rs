//! A Mac to run scripts on: a folder as its disk, and `macos.py` in place of its commands.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// The commands of macOS that the scripts call.
const COMMANDS: [&str; 7] =
    ["PlistBuddy", "pkgutil", "mdfind", "launchctl", "osascript", "ps", "stat"];

/// Shells that a Mac has had as `sh`, and stand-ins: `bash` 3.2 and `zsh` in their modes for
/// `sh`, `dash`, and `busybox` as one more opinion.
const SHELLS: [&[&str]; 4] =
    [&["dash"], &["bash", "--posix"], &["zsh", "--emulate", "sh"], &["busybox", "sh"]];

/// The shells that are here.
pub(crate) fn shells() -> Vec<&'static [&'static str]> {
    let here: Vec<_> = SHELLS.into_iter().filter(|s| super::common::has(s[0])).collect();
    assert!(!here.is_empty(), "no shell at all");
    here
}

pub(crate) struct Mac {
    dir: tempfile::TempDir,
    state: Value,
}

/// Exit status and what was said.
pub(crate) type Said = (i32, String);

impl Mac {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let dir_path = dir.path().canonicalize().unwrap();
        let root = dir_path.join("disk");
        for folder in [
            "Applications/Utilities",
            "Library/LaunchDaemons",
            "Users/anna/Applications",
            "usr/local/bin",
        ] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        let tools = dir_path.join("tools");
        std::fs::create_dir(&tools).unwrap();
        let stub = super::common::root().join("tests/macos.py");
        for name in COMMANDS {
            let to = tools.join(name);
            std::fs::copy(&stub, &to).unwrap();
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let state = json!({"root": root, "spotlight": true, "receipts": {}, "programs": {}});
        let mac = Self { dir, state };
        mac.save();
        mac
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join("disk")
    }

    fn tools(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join("tools")
    }

    fn save(&self) {
        std::fs::write(self.tools().join("state.json"), self.state.to_string()).unwrap();
    }

    /// Sets what the commands know.
    pub(crate) fn set(&mut self, key: &str, value: Value) -> &mut Self {
        self.state[key] = value;
        self.save();
        self
    }

    pub(crate) fn file(&mut self, path: &str) -> &mut Self {
        let at = self.root().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, path).unwrap();
        self
    }

    /// An app bundle; `keys` besides its identifier.
    pub(crate) fn app(&mut self, path: &str, id: &str, keys: &[(&str, &str)]) -> &mut Self {
        let mut all = vec![("CFBundleIdentifier", id)];
        all.extend(keys);
        let info = format!("{path}/Contents/Info.plist");
        self.file(&info);
        self.file(&format!("{path}/Contents/MacOS/program"));
        let text = mip_testkit::app::plist(&all);
        std::fs::write(self.root().join(info.trim_start_matches('/')), text).unwrap();
        self
    }

    pub(crate) fn receipt(
        &mut self,
        id: &str,
        version: &str,
        location: &str,
        files: &[&str],
    ) -> &mut Self {
        let mut folders: Vec<&str> = Vec::new();
        for f in files {
            folders.extend(f.match_indices('/').map(|(at, _)| &f[..at]));
        }
        folders.sort_unstable();
        folders.dedup();
        self.state["receipts"][id] =
            json!({"version": version, "location": location, "files": files, "folders": folders});
        self.save();
        self
    }

    pub(crate) fn receipts(&self) -> Vec<String> {
        let state = std::fs::read_to_string(self.tools().join("state.json")).unwrap();
        let state: Value = serde_json::from_str(&state).unwrap();
        state["receipts"].as_object().unwrap().keys().cloned().collect()
    }

    /// A running program of an app, as `ps` shows it.
    pub(crate) fn program(&mut self, path: &str) -> Child {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let at = self.root().join(path.trim_start_matches('/'));
        self.state["programs"][child.id().to_string()] = json!(at);
        self.save();
        child
    }

    /// The calls of one command, without the paths of this disk.
    pub(crate) fn calls(&self, name: &str) -> Vec<String> {
        let log = std::fs::read_to_string(self.tools().join("calls")).unwrap_or_default();
        let root = self.root();
        let calls = log.lines().map(|l| serde_json::from_str::<Vec<String>>(l).unwrap());
        calls
            .filter(|c| c[0] == name)
            .map(|c| c[1..].join(" ").replace(root.to_str().unwrap(), ""))
            .collect()
    }

    pub(crate) fn contents(&self) -> std::collections::BTreeMap<String, String> {
        super::common::contents(&self.root())
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.root().join(path.trim_start_matches('/')).symlink_metadata().is_ok()
    }

    /// Runs a script on this Mac.
    pub(crate) fn run(&self, shell: &[&str], script: &str, args: &[&str]) -> Said {
        let file = self.dir.path().join("script.sh");
        std::fs::write(&file, script).unwrap();
        let mut c = Command::new(shell[0]);
        c.args(&shell[1..]).arg(&file).args(args);
        c.arg("--root").arg(self.root()).arg("--tools").arg(self.tools());
        said(&mut c, &self.root())
    }

    /// Runs a script in every shell; all must say the same.
    pub(crate) fn everywhere(&self, script: &str) -> Said {
        let all: Vec<Said> = shells().iter().map(|s| self.run(s, script, &[])).collect();
        assert!(all.iter().all(|s| *s == all[0]), "{:?} say {all:?}", shells());
        all[0].clone()
    }
}

/// Runs a command that must say nothing on stderr.
pub(crate) fn said(c: &mut Command, root: &Path) -> Said {
    let out = c.stdin(Stdio::null()).output().unwrap();
    let err = String::from_utf8_lossy(&out.stderr);
    assert!(err.is_empty(), "{c:?}: {err}");
    let text = String::from_utf8_lossy(&out.stdout).trim_end().replace(root.to_str().unwrap(), "");
    (out.status.code().unwrap(), text)
}
