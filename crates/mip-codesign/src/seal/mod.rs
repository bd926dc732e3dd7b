//! Code signatures of bundles: the program, the files that the seal covers, the code inside.
//!
//! What macOS does is public: Apple's open `libsecurity_codesigning` (`bundlediskrep.cpp`,
//! `resources.cpp`, `StaticCode.cpp`). This follows what it does for `codesign --verify --deep
//! --strict`, as far as files tell.

mod compare;
mod files;
mod layout;
mod report;
mod resources;
mod rules;
mod walk;

use mip_base::{Code, Error, Result, escape};

pub use self::files::{BundleEntry, BundleFiles, UseFile};

use self::files::{Files, join};
use self::layout::{Kind, Layout};
use self::report::{Report, is_fatal};
use self::resources::Resources;
use self::walk::Seal;
use crate::ClaimState;
use crate::check::{Check, Special};
use crate::claims::{BundleSignature, CodeSignature, FindingKind, NestedCode, SealCheck};
use crate::program::check_program;
use crate::requirement;

/// Bundles in bundles that are looked into.
const MAX_DEPTH: u32 = 8;
/// Programs and bundles inside one bundle that are checked.
const MAX_CODE: usize = 5000;

/// Times that each path may be held against the rules of seals around it, on the average, and
/// what comes on top. In real bundles that is once or twice. Bundles in bundles that seal each
/// other file by file, each with its own rules, would take hours.
const LOOKS: u64 = 4;
const FREE_LOOKS: u64 = 10_000;

/// First bytes of Mach-O files: fat, and one slice of 32 or 64 bits.
const MAGICS: &[[u8; 4]] = &[
    [0xca, 0xfe, 0xba, 0xbe],
    [0xca, 0xfe, 0xba, 0xbf],
    [0xce, 0xfa, 0xed, 0xfe],
    [0xcf, 0xfa, 0xed, 0xfe],
    [0xfe, 0xed, 0xfa, 0xce],
    [0xfe, 0xed, 0xfa, 0xcf],
];

/// Checks the code signature of a bundle: its program, every file against the seal, the code
/// inside with its own signatures.
///
/// A bad signature is not an error: it is a [`BundleSignature`] that says so. What lies inside as
/// a mere file of the seal (a system extension, an app among the resources) is listed in
/// [`nested`](BundleSignature::nested) with what its own signature is worth; that does not count
/// for the whole, as macOS does not ask for it.
///
/// # Errors
/// [`Code::Cancelled`](mip_base::Code::Cancelled), limits, and an input that cannot be read.
pub fn check_bundle(files: &dyn BundleFiles, check: &Check<'_>) -> Result<BundleSignature> {
    let files = Files::new(files, check.job)?;
    let looks = files.count().saturating_mul(LOOKS).saturating_add(FREE_LOOKS);
    let mut run = Run { files: &files, check, report: Report::default(), code: 0, looks };
    let found = run.bundle("", 0, None)?;
    // Where nothing is signed, no link can break a signature.
    let unsigned = |state| state == ClaimState::Unsigned;
    if !unsigned(found.state) || !found.slices.iter().all(|s| unsigned(s.state)) {
        run.links()?;
    }
    run.unsealed_code()?;
    let mut report = run.report;
    report.nested.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(BundleSignature {
        state: found.state.min(report.state()),
        not_checked: report.not_checked(),
        slices: found.slices,
        seal: found.seal,
        nested: report.nested,
        findings: report.findings,
        more_findings: report.more_findings,
    })
}

/// What was found of one program or bundle.
#[derive(Debug, Default)]
struct Found {
    /// The worst of its own program, its seal and what is inside.
    state: ClaimState,
    slices: Vec<CodeSignature>,
    seal: SealCheck,
}

struct Run<'a> {
    files: &'a Files<'a>,
    check: &'a Check<'a>,
    report: Report,
    /// Programs and bundles that were looked at.
    code: usize,
    /// How many more times a path may be held against the rules of a seal.
    looks: u64,
}

impl Run<'_> {
    /// Whether one more piece of code may be looked at.
    fn allowed(&mut self, path: &str, depth: u32) -> bool {
        self.code = self.code.saturating_add(1);
        if depth > MAX_DEPTH {
            let why =
                format!("{}: bundles more than {MAX_DEPTH} deep are not looked at", escape(path));
            self.report.say(why);
            return false;
        }
        if self.code > MAX_CODE {
            self.report.say_once(format!(
                "more than {MAX_CODE} programs and bundles: the others were not looked at"
            ));
            return false;
        }
        true
    }

    /// Checks the bundle at `root` (`""`: the outermost). `requirement`: what a seal around it
    /// asks of it.
    fn bundle(&mut self, root: &str, depth: u32, requirement: Option<&str>) -> Result<Found> {
        if !self.allowed(root, depth) {
            return Ok(Found { state: ClaimState::NotChecked, ..Found::default() });
        }
        let layout = Layout::of(self.files, root, self.check.job);
        self.report.seen(&layout.base);
        let named = |path: &str| join(&layout.base, path);
        let sealed_at = named("_CodeSignature/CodeResources");
        let limit = self.check.job.limits().plist_bytes;
        let info = self.part(layout.info.as_deref(), limit)?;
        let resources = self.part(self.files.file(&sealed_at).as_deref(), limit)?;
        if self.files.no_more_lists() {
            let why = "the property lists are too large together: not all bundles were looked at";
            self.report.say_once(why.to_owned());
            return Ok(Found { state: ClaimState::NotChecked, ..Found::default() });
        }
        let Some(program) = &layout.program else {
            return Ok(self.without_program(root, &layout));
        };
        let special = Special { info_plist: info.as_deref(), code_resources: resources.as_deref() };
        let mut found = self.program(program, true, &special)?;
        if found.slices.iter().all(|s| s.state == ClaimState::Unsigned) {
            // A seal that nobody signed says nothing.
            return Ok(found);
        }
        self.specials(&found.slices, layout.info.as_deref(), &sealed_at);
        self.outside(root, &layout);
        self.beside_the_seal(&layout.base);
        match resources {
            None => {
                if found.slices.iter().any(|s| s.slots.sealed.contains(&3)) {
                    let detail = "the list of sealed files is not there".to_owned();
                    self.report.find(FindingKind::Missing, &sealed_at, detail);
                    found.state = ClaimState::Invalid;
                } else {
                    self.report.say(format!("{}: its files are not sealed", shown(root)));
                    found.state = found.state.min(ClaimState::Unsigned);
                }
            }
            Some(bytes) => match Resources::read(&bytes, self.check.job) {
                Ok(resources) => {
                    let (seal, inside) = Seal::new(&layout, &resources).check(self, depth)?;
                    found.state = found.state.min(seal.state).min(inside);
                    // Gatekeeper refuses it: anybody can change what it leaves out.
                    if !seal.weak_rules.is_empty() {
                        found.state = found.state.min(ClaimState::Untrusted);
                        let rules = seal.weak_rules.join(", ");
                        let why = "its seal leaves out files by rules of its own";
                        self.report.say(format!("{}: {why}: {rules}", shown(root)));
                    }
                    found.seal = seal;
                }
                Err(e) if is_fatal(&e) => return Err(e),
                Err(e) => {
                    self.report.say(format!("{}: {e}", escape(&sealed_at)));
                    found.seal.state = ClaimState::Unsupported;
                    found.state = found.state.min(ClaimState::Unsupported);
                }
            },
        }
        if layout.kind == Kind::Versioned {
            let others = self.other_versions(root, &layout.base, depth, requirement)?;
            found.state = found.state.min(others);
        }
        Ok(found)
    }

    /// The bytes of a part of the bundle; `None` where there is none. One that cannot be read is
    /// a finding.
    fn part(&mut self, path: Option<&str>, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(path) = path else { return Ok(None) };
        match self.files.list(path, limit) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if is_fatal(&e) => Err(e),
            Err(e) => {
                self.report.find(FindingKind::Unreadable, path, e.to_string());
                Ok(None)
            }
        }
    }

    /// Checks the program at `path`, a Mach-O file.
    /// `main`: it is the program of its bundle.
    fn program(&mut self, path: &str, main: bool, special: &Special<'_>) -> Result<Found> {
        let slices = self
            .files
            .from
            .open(path)
            .and_then(|source| check_program(&source, special, self.check));
        match slices {
            Ok(slices) => {
                for s in &slices {
                    if s.pages.state == ClaimState::NotChecked {
                        let of = s.architecture.as_deref().unwrap_or("?");
                        let text = format!(
                            "{} ({of}): {} bytes of code were not compared",
                            escape(path),
                            s.pages.bytes
                        );
                        if s.pages.bytes > 0 {
                            self.report.say(text);
                        }
                    }
                }
                let state = slices.iter().map(|s| s.state).min().unwrap_or_default();
                let broken: Vec<String> = slices
                    .iter()
                    .filter(|s| s.state == ClaimState::Invalid && !only_specials(s))
                    .map(|s| {
                        let of = s.architecture.as_deref().unwrap_or("?");
                        format!("{of}: {}", s.problems.join("; "))
                    })
                    .collect();
                if !broken.is_empty() {
                    self.report.find(FindingKind::Code, path, broken.join(" | "));
                }
                Ok(Found { state, slices, seal: SealCheck::default() })
            }
            Err(e) if is_fatal(&e) => Err(e),
            Err(e) if e.code() == Code::MachO => self.no_program(path, main, &e),
            Err(e) => {
                self.report.find(FindingKind::Unreadable, path, e.to_string());
                Ok(Found { state: ClaimState::NotChecked, ..Found::default() })
            }
        }
    }

    /// A file that is no Mach-O program: a damaged one, a script, or data where code should be.
    /// The signatures of the latter two are kept in extended attributes.
    fn no_program(&mut self, path: &str, main: bool, why: &Error) -> Result<Found> {
        let mut head = [0; 4];
        let source = self.files.from.open(path)?;
        let have = source.read_at(0, &mut head).unwrap_or(0);
        let script = head.starts_with(b"#!") || have == 0;
        // One wrong byte makes no data file of a program.
        let like = |magic: &[u8; 4]| magic.iter().zip(&head).filter(|(a, b)| a == b).count() >= 3;
        if MAGICS.iter().any(like) || main && !script {
            self.report.find(FindingKind::Code, path, why.to_string());
            return Ok(Found { state: ClaimState::Invalid, ..Found::default() });
        }
        self.report.say(format!(
            "{}: no Mach-O program; the signature of such a file is kept in extended attributes, which are not read",
            escape(path)
        ));
        Ok(Found { state: ClaimState::NotChecked, ..Found::default() })
    }

    /// A bundle that has no program: resources alone, which may be signed with files beside them.
    fn without_program(&mut self, root: &str, layout: &Layout) -> Found {
        let state = |state| Found { state, ..Found::default() };
        let has = |path: &str| self.files.is_file(&join(&layout.base, path));
        if has("_CodeSignature/CodeDirectory") {
            let why = "a bundle without a program, whose signature is in files of its own";
            self.report.say(format!("{}: {why}", shown(root)));
            return state(ClaimState::NotChecked);
        }
        if !has("_CodeSignature/CodeResources") {
            self.report.say(format!("{}: there is no program in it", shown(root)));
            return state(ClaimState::Unsigned);
        }
        // Its files are sealed, so there was a program.
        let (kind, path, detail) = match &layout.info {
            Some(info) => (FindingKind::Altered, info.clone(), "names no program that is there"),
            None => {
                let path = join(&layout.base, "Info.plist");
                (FindingKind::Missing, path, "is not there to name the program")
            }
        };
        self.report.find(kind, &path, detail.to_owned());
        state(ClaimState::Invalid)
    }

    /// Names the files beside the program that its signature does not match.
    fn specials(&mut self, slices: &[CodeSignature], info: Option<&str>, sealed_at: &str) {
        let any = |slot| slices.iter().any(|s| s.slots.altered.contains(&slot));
        if any(1) {
            match info {
                Some(path) => {
                    let detail = "is not the one that was signed".to_owned();
                    self.report.find(FindingKind::Altered, path, detail);
                }
                None => {
                    let at = sealed_at.strip_suffix("_CodeSignature/CodeResources");
                    let path = format!("{}Info.plist", at.unwrap_or_default());
                    self.report.find(FindingKind::Missing, &path, "was signed".to_owned());
                }
            }
        }
        if any(3) && self.files.is_file(sealed_at) {
            let detail = "is not the one that was signed".to_owned();
            self.report.find(FindingKind::Altered, sealed_at, detail);
        }
        // What is there and has no digest. A linker signs the program alone.
        for (slot, path) in [(1, info), (3, self.files.get(sealed_at).map(|_| sealed_at))] {
            let bare = |s: &CodeSignature| {
                s.state == ClaimState::Invalid
                    && only_specials(s)
                    && !s.slots.sealed.contains(&slot)
            };
            if let Some(path) = path
                && slices.iter().any(bare)
            {
                let detail = "is not covered by the signature of the program".to_owned();
                self.report.find(FindingKind::Added, path, detail);
            }
        }
    }

    /// What lies in the bundle's folder beside the folder that is sealed.
    fn outside(&mut self, root: &str, layout: &Layout) {
        match layout.kind {
            Kind::Flat => {}
            Kind::Contents => {
                // Names that macOS allows: how Finder shows the folder.
                let usual = [".LSOverride", ".DS_Store", "Icon\r", ".SoftwareDepot.tracking"];
                for name in self.files.names(root) {
                    let path = join(root, name);
                    let allowed = usual.contains(&name) && self.files.is_file(&path);
                    if name != "Contents" && !allowed {
                        let detail = "lies outside Contents, where nothing is sealed".to_owned();
                        self.report.find(FindingKind::Added, &path, detail);
                    }
                }
            }
            Kind::Versioned => self.framework_root(root, &layout.base),
        }
    }

    /// The folders and files that no seal covers: strict validation lets nothing else be there.
    fn beside_the_seal(&mut self, base: &str) {
        let folder = join(base, "_CodeSignature");
        // Parts of a signature that is in files.
        let known = ["CodeDirectory", "CodeEntitlements", "CodeResources", "CodeSignature"];
        for name in self.files.names(&folder) {
            let path = join(&folder, name);
            let fine = known.contains(&name) || name.starts_with("CodeRequirements");
            if !fine || self.files.is_folder(&path) {
                let detail = "lies beside the seal, where nothing is sealed".to_owned();
                self.report.find(FindingKind::Added, &path, detail);
            }
        }
        // A stapled ticket, or a link to the seal.
        let ticket = join(base, "CodeResources");
        if self.files.is_folder(&ticket) {
            let detail = "is a folder where a ticket is kept, and nothing is sealed".to_owned();
            self.report.find(FindingKind::Added, &ticket, detail);
        }
    }

    /// The root of a framework holds `Versions` and links into its current version.
    fn framework_root(&mut self, root: &str, base: &str) {
        let version = base.rsplit('/').next().unwrap_or(base);
        for name in self.files.names(root) {
            let path = join(root, name);
            let fine = match self.files.get(&path) {
                _ if name == "Versions" => self.files.is_folder(&path),
                Some(BundleEntry::Link(target)) => {
                    let target = target.strip_prefix("./").unwrap_or(target);
                    let ends =
                        [format!("Versions/Current/{name}"), format!("Versions/{version}/{name}")];
                    ends.iter().any(|e| e == target)
                }
                Some(BundleEntry::File { .. }) => matches!(name, ".DS_Store" | "module.map"),
                _ => false,
            };
            if !fine {
                let detail = "is no link to its like in Versions/Current".to_owned();
                self.report.find(FindingKind::Added, &path, detail);
            }
        }
        let versions = join(root, "Versions");
        for name in self.files.names(&versions) {
            let path = join(&versions, name);
            let link = matches!(self.files.get(&path), Some(BundleEntry::Link(_)));
            let fine = if name == "Current" { true } else { !link && self.files.is_folder(&path) };
            if !fine && name != ".DS_Store" {
                let detail = "is not a version of the framework".to_owned();
                self.report.find(FindingKind::Added, &path, detail);
            }
        }
    }

    /// The versions of a framework that are not the current one are code too, and must meet what
    /// is asked of the framework.
    fn other_versions(
        &mut self,
        root: &str,
        current: &str,
        depth: u32,
        requirement: Option<&str>,
    ) -> Result<ClaimState> {
        let versions = join(root, "Versions");
        let mut worst = ClaimState::Valid;
        for name in self.files.names(&versions) {
            let path = join(&versions, name);
            if name == "Current" || path == current || !self.files.is_folder(&path) {
                continue;
            }
            let found = self.bundle(&path, depth.saturating_add(1), None)?;
            let met = requirement.map_or(Some(true), |r| requirement::is_met(r, &found.slices));
            let state = match (found.state, met) {
                (ClaimState::Unsigned, _) => {
                    self.report.find(FindingKind::Code, &path, "is not signed".to_owned());
                    ClaimState::Invalid
                }
                (_, Some(false)) => {
                    let detail = "is a version of the framework that is not what was sealed";
                    self.report.find(FindingKind::Code, &path, detail.to_owned());
                    ClaimState::Invalid
                }
                (state, Some(true)) => state,
                (state, None) => state.min(ClaimState::NotChecked),
            };
            self.list(&path, &found, state);
            worst = worst.min(state);
        }
        Ok(worst)
    }

    /// Puts code inside into the list.
    fn list(&mut self, path: &str, found: &Found, state: ClaimState) {
        let first = |of: fn(&CodeSignature) -> Option<&String>| {
            found.slices.iter().find_map(|s| of(s).cloned())
        };
        self.report.code(NestedCode {
            path: escape(path),
            state,
            identifier: first(|s| s.identifier.as_ref()),
            team_id: first(|s| s.team_id.as_ref()),
        });
    }

    /// Links that lead out of the bundle: strict validation refuses them, and they are how an
    /// archive is made to write elsewhere.
    fn links(&mut self) -> Result<()> {
        let files = self.files;
        for (path, entry) in files.below("") {
            self.check.job.check()?;
            let BundleEntry::Link(target) = entry else { continue };
            let system = ["/System/", "/Library/"].iter().any(|s| target.starts_with(s));
            if !system && files::target_of(path, target).is_none() {
                let detail = format!("is a link that leads out of the bundle: {}", escape(target));
                self.report.find(FindingKind::Altered, path, detail);
            }
        }
        Ok(())
    }

    /// Bundles inside that the outer seals cover file by file, not as code: each has a signature
    /// of its own, which is listed.
    fn unsealed_code(&mut self) -> Result<()> {
        let files = self.files;
        for (path, _) in files.below("") {
            self.check.job.check()?;
            let Some(base) = path.strip_suffix("/_CodeSignature/CodeResources") else { continue };
            if self.report.was_seen(base) {
                continue;
            }
            let root = base.strip_suffix("/Contents").unwrap_or(base);
            if root == base && base == "Contents" {
                continue;
            }
            let outer = self.report.aside();
            let found = self.bundle(root, 1, None);
            self.report.resume(outer);
            let found = found?;
            self.list(root, &found, found.state);
        }
        Ok(())
    }
}

/// Whether files beside the program are all that its signature does not match.
fn only_specials(slice: &CodeSignature) -> bool {
    !slice.slots.more
}

/// How messages name a bundle.
fn shown(root: &str) -> String {
    if root.is_empty() { "the bundle".to_owned() } else { escape(root) }
}
