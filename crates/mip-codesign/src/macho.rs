//! Mach-O files: slices and the load commands that matter for signatures.
//!
//! Layout: `mach-o/loader.h`, `mach-o/fat.h` and `mach/machine.h` of Apple's open source.

use mip_base::bytes::{be_u32, be_u64, le_u32, le_u64, slice};
use mip_base::{Code, Error, Job, Result, Source, len64, read_full_at};

/// Most slices of one file. A Java class has the magic number of a fat file, and its version,
/// 45 or more, where a fat file has the count.
const MAX_SLICES: u32 = 42;
/// Most bytes of load commands.
const MAX_COMMANDS: u64 = 16 << 20;

/// A program or library: one slice, or one per processor of a fat ("universal") file.
///
/// ```
/// use std::sync::Arc;
/// use mip_base::Job;
/// use mip_codesign::MachO;
///
/// # fn main() -> mip_base::Result<()> {
/// // A 64-bit header for arm64 without load commands.
/// let words = [0xfeed_facf_u32, 0x0100_000c, 0, 2, 0, 0, 0, 0];
/// let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
/// let program = MachO::open(Arc::new(bytes), &Job::default())?;
/// assert_eq!(program.slices()[0].architecture, "arm64");
/// assert_eq!(program.slices()[0].signature, None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct MachO {
    slices: Vec<Slice>,
}

/// The program of one processor. Offsets count from the start of the whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Slice {
    /// The name that `lipo` uses: `arm64`, `x86_64`.
    pub architecture: String,
    /// `CPU_TYPE_…`.
    pub cpu_type: u32,
    /// `CPU_SUBTYPE_…`, with the capability bits.
    pub cpu_subtype: u32,
    /// `MH_EXECUTE` (2), `MH_DYLIB` (6), `MH_BUNDLE` (8), ….
    pub file_type: u32,
    /// Where the slice starts.
    pub offset: u64,
    /// Its bytes.
    pub size: u64,
    /// The code signature, absolute offset and bytes, as `LC_CODE_SIGNATURE` says. It may leave
    /// the slice when the file is cut.
    pub signature: Option<(u64, u64)>,
    /// The last segment, `__LINKEDIT`: absolute offset and bytes in the file.
    pub linkedit: Option<(u64, u64)>,
    /// The section `__TEXT,__info_plist`: the `Info.plist` of a program without a bundle.
    pub info_plist: Option<(u64, u64)>,
    /// The least version of the system, as `11.0` or `10.13.4`.
    pub min_os: Option<String>,
    /// What it is built for: `macos`, `ios`, `driverkit`, ….
    pub platform: Option<String>,
}

impl MachO {
    /// Reads headers and load commands.
    ///
    /// # Errors
    /// [`Code::MachO`] when it is not a Mach-O file, or one whose headers contradict the file;
    /// [`Code::LimitMemory`] for more than 16 MiB of load commands; [`Code::InputIo`],
    /// [`Code::Cancelled`].
    pub fn open(source: Source, job: &Job) -> Result<Self> {
        let size = source.size();
        let mut head = [0_u8; 8];
        read_full_at(&source, 0, &mut head, Code::MachO).map_err(|e| e.within("Mach-O header"))?;
        let record = match be_u32(&head, 0) {
            Some(0xCAFE_BABE) => 20_u64,
            Some(0xCAFE_BABF) => 32,
            _ => {
                let mut slice = Slice::at(0, size);
                slice.read(&source, job)?;
                return Ok(Self { slices: vec![slice] });
            }
        };
        let count = be_u32(&head, 4).unwrap_or(0);
        if !(1..=MAX_SLICES).contains(&count) {
            let why = format!("a fat header with {count} slices, not 1 to {MAX_SLICES}");
            return Err(Error::new(Code::MachO, why).at(4));
        }
        let table_len = record.saturating_mul(u64::from(count));
        let mut table = job.buffer("fat header", table_len, 64 << 10)?;
        read_full_at(&source, 8, &mut table, Code::MachO).map_err(|e| e.within("fat header"))?;
        let width = usize::try_from(record).unwrap_or(20);
        let mut slices = Vec::new();
        for (at, entry) in (8_u64..).step_by(width).zip(table.chunks_exact(width)) {
            job.check()?;
            let range = if record == 20 {
                be_u32(entry, 8).map(u64::from).zip(be_u32(entry, 12).map(u64::from))
            } else {
                be_u64(entry, 8).zip(be_u64(entry, 16))
            };
            let (offset, len) = range.unwrap_or_default();
            let header = table_len.saturating_add(8);
            if offset < header || offset.checked_add(len).is_none_or(|end| end > size) {
                let why = format!(
                    "a slice of {len} bytes at byte {offset} is not inside the file of {size} bytes after its header"
                );
                return Err(Error::new(Code::MachO, why).at(at));
            }
            let mut slice = Slice::at(offset, len);
            slice.read(&source, job)?;
            if Some(slice.cpu_type) != be_u32(entry, 0) {
                let why = "the fat header and the slice name different processors";
                return Err(Error::new(Code::MachO, why).at(at));
            }
            slices.push(slice);
        }
        let mut by_offset: Vec<_> = slices.iter().map(|s| (s.offset, s.size)).collect();
        by_offset.sort_unstable();
        for pair in by_offset.windows(2) {
            if let [(a, len), (b, _)] = pair
                && a.saturating_add(*len) > *b
            {
                let why = format!("the slices at bytes {a} and {b} overlap");
                return Err(Error::new(Code::MachO, why).at(8));
            }
        }
        Ok(Self { slices })
    }

    /// The slices in the order of the file's header.
    #[must_use]
    pub fn slices(&self) -> &[Slice] {
        &self.slices
    }
}

/// How the numbers of one slice are stored.
#[derive(Clone, Copy)]
struct Form {
    wide: bool,
    little: bool,
}

impl Form {
    fn u32(self, b: &[u8], at: usize) -> Option<u32> {
        if self.little { le_u32(b, at) } else { be_u32(b, at) }
    }

    /// A number that is 32 bits in 32-bit files, and 64 in others.
    fn word(self, b: &[u8], narrow: usize, wide: usize) -> Option<u64> {
        match (self.wide, self.little) {
            (false, _) => self.u32(b, narrow).map(u64::from),
            (true, true) => le_u64(b, wide),
            (true, false) => be_u64(b, wide),
        }
    }
}

impl Slice {
    fn at(offset: u64, size: u64) -> Self {
        Self {
            architecture: String::new(),
            cpu_type: 0,
            cpu_subtype: 0,
            file_type: 0,
            offset,
            size,
            signature: None,
            linkedit: None,
            info_plist: None,
            min_os: None,
            platform: None,
        }
    }

    fn read(&mut self, source: &Source, job: &Job) -> Result<()> {
        let wrong = |why: String| Error::new(Code::MachO, why).at(self.offset);
        let mut head = [0_u8; 32];
        let short = || wrong(format!("{} bytes are too short for a Mach-O header", self.size));
        let narrow = head.get_mut(..28).filter(|_| self.size >= 28).ok_or_else(short)?;
        read_full_at(source, self.offset, narrow, Code::MachO)?;
        let form = match be_u32(&head, 0) {
            Some(0xFEED_FACE) => Form { wide: false, little: false },
            Some(0xFEED_FACF) => Form { wide: true, little: false },
            Some(0xCEFA_EDFE) => Form { wide: false, little: true },
            Some(0xCFFA_EDFE) => Form { wide: true, little: true },
            _ => return Err(wrong("is not a Mach-O file".to_owned())),
        };
        let field = |at| form.u32(&head, at).unwrap_or(0);
        let (cpu, subtype, file_type) = (field(4), field(8), field(12));
        let (count, len) = (field(16), u64::from(field(20)));
        let header = if form.wide { 32_u64 } else { 28 };
        if u64::from(count).saturating_mul(8) > len {
            let why = format!("{count} load commands do not fit the {len} bytes they are given");
            return Err(wrong(why));
        }
        if header.checked_add(len).is_none_or(|end| end > self.size) {
            let why = format!("{len} bytes of load commands leave the {} bytes", self.size);
            return Err(wrong(why));
        }
        let mut commands = job.buffer("load commands", len, MAX_COMMANDS)?;
        let start = self.offset.saturating_add(header);
        read_full_at(source, start, &mut commands, Code::MachO)?;
        self.architecture = architecture(cpu, subtype);
        (self.cpu_type, self.cpu_subtype, self.file_type) = (cpu, subtype, file_type);
        let mut at = 0_usize;
        for n in 0..count {
            if n & 0xFFF == 0 {
                job.check()?;
            }
            let place = start.saturating_add(len64(at));
            let rest = commands.get(at..).unwrap_or_default();
            let body = form
                .u32(rest, 4)
                .and_then(|len| usize::try_from(len).ok())
                .filter(|len| *len >= 8)
                .and_then(|len| rest.get(..len))
                .ok_or_else(|| {
                    let why = format!("load command {n} of {count} has a wrong length");
                    Error::new(Code::MachO, why).at(place)
                })?;
            self.command(form, body, place)?;
            at = at.saturating_add(body.len());
        }
        Ok(())
    }

    /// One load command, `b`, that starts at `place` of the file.
    fn command(&mut self, form: Form, b: &[u8], place: u64) -> Result<()> {
        let short = || Error::new(Code::MachO, "a load command is cut").at(place);
        let field = |at| form.u32(b, at).ok_or_else(short);
        match field(0)? {
            0x1D => {
                let at = u64::from(field(8)?).saturating_add(self.offset);
                if self.signature.replace((at, field(12)?.into())).is_some() {
                    let why = "two load commands give a code signature";
                    return Err(Error::new(Code::MachO, why).at(place));
                }
            }
            0x01 | 0x19 => self.segment(form, b, place)?,
            // A program for macOS and Mac Catalyst has two: macOS is what counts here.
            0x32 if self.platform.as_deref() != Some("macos") => {
                self.platform = Some(platform(field(8)?));
                self.min_os = Some(version(field(12)?));
            }
            command @ (0x24 | 0x25 | 0x2F | 0x30) if self.platform.is_none() => {
                let name = match command {
                    0x24 => "macos",
                    0x25 => "ios",
                    0x2F => "tvos",
                    _ => "watchos",
                };
                self.platform = Some(name.to_owned());
                self.min_os = Some(version(field(8)?));
            }
            _ => {}
        }
        Ok(())
    }

    fn segment(&mut self, form: Form, b: &[u8], place: u64) -> Result<()> {
        let short = || Error::new(Code::MachO, "a segment's load command is cut").at(place);
        let name = |at| slice(b, at, 16).map(|n| n.split(|c| *c == 0).next().unwrap_or_default());
        let range = |from: Option<u64>, len: Option<u64>| {
            let (from, len) = from.zip(len).ok_or_else(short)?;
            Ok::<_, Error>((from.saturating_add(self.offset), len))
        };
        let (sections, head, width) = if form.wide { (64, 72, 80) } else { (48, 56, 68) };
        let count = form.u32(b, sections).ok_or_else(short)?;
        match name(8) {
            Some(b"__LINKEDIT") => {
                self.linkedit = Some(range(form.word(b, 32, 40), form.word(b, 36, 48))?);
            }
            Some(b"__TEXT") => {
                for at in (head..b.len()).step_by(width).take(usize::try_from(count).unwrap_or(0)) {
                    if name(at) != Some(b"__info_plist") {
                        continue;
                    }
                    let field = |n: usize| at.saturating_add(n);
                    let len = form.word(b, field(36), field(40));
                    let from = form.u32(b, field(if form.wide { 48 } else { 40 })).map(u64::from);
                    self.info_plist = Some(range(from, len)?);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// `X.Y.Z` packed as 16, 8 and 8 bits; a patch level of 0 is left out.
pub(crate) fn version(packed: u32) -> String {
    let [major_high, major_low, minor, patch] = packed.to_be_bytes();
    let major = u16::from_be_bytes([major_high, major_low]);
    if patch == 0 { format!("{major}.{minor}") } else { format!("{major}.{minor}.{patch}") }
}

fn platform(number: u32) -> String {
    let known = match number {
        1 => "macos",
        2 => "ios",
        3 => "tvos",
        4 => "watchos",
        5 => "bridgeos",
        6 => "mac-catalyst",
        7 => "ios-simulator",
        8 => "tvos-simulator",
        9 => "watchos-simulator",
        10 => "driverkit",
        11 => "visionos",
        12 => "visionos-simulator",
        _ => return format!("platform-{number}"),
    };
    known.to_owned()
}

/// The name that `lipo` uses for a `CPU_TYPE_…` and a `CPU_SUBTYPE_…`. The high byte of the subtype
/// holds capabilities.
#[must_use]
pub fn architecture(cpu: u32, subtype: u32) -> String {
    let known = match (cpu, subtype & 0x00FF_FFFF) {
        (0x0100_0007, 8) => "x86_64h",
        (0x0100_0007, _) => "x86_64",
        (0x0100_000C, 2) => "arm64e",
        (0x0100_000C, _) => "arm64",
        (0x0200_000C, _) => "arm64_32",
        (7, _) => "i386",
        (12, 6) => "armv6",
        (12, 9) => "armv7",
        (12, 11) => "armv7s",
        (12, 12) => "armv7k",
        (12, _) => "arm",
        (18, 10) => "ppc7400",
        (18, 100) => "ppc970",
        (18, _) => "ppc",
        (0x0100_0012, _) => "ppc64",
        _ => return format!("cpu-{cpu}"),
    };
    known.to_owned()
}
