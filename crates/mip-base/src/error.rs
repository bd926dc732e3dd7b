//! One error model: a stable code, a kind that is the exit status, the place, a hint.

use std::fmt;
use std::io;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What class of failure an error is. One kind is one process exit status, one word in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// The call itself is wrong: options that contradict each other, a missing value.
    Usage,
    /// The input breaks a rule of its format.
    Malformed,
    /// The input is valid as far as is known, but of a kind that is not supported.
    Unsupported,
    /// A resource limit was reached.
    Limit,
    /// The input could not be read.
    InputIo,
    /// The output could not be written.
    OutputIo,
    /// A password is missing or wrong.
    Password,
    /// A signing key or certificate cannot be used.
    Key,
    /// A timestamp authority failed.
    Timestamp,
    /// The input changed while it was being read.
    InputChanged,
    /// The input is readable but refused by policy (unsafe path, special file, …).
    Policy,
    /// A MIP archive is not what was signed.
    Tampered,
    /// A MIP archive carries no signature.
    Unsigned,
    /// A MIP archive is intact, but its signer is not trusted.
    Untrusted,
    /// A defect of this program.
    Internal,
    /// The caller cancelled the job.
    Cancelled,
}

impl Kind {
    /// All kinds, in the order of their exit status.
    pub const ALL: &'static [Kind] = &[
        Kind::Usage,
        Kind::Malformed,
        Kind::Unsupported,
        Kind::Limit,
        Kind::InputIo,
        Kind::OutputIo,
        Kind::Password,
        Kind::Key,
        Kind::Timestamp,
        Kind::InputChanged,
        Kind::Policy,
        Kind::Tampered,
        Kind::Unsigned,
        Kind::Untrusted,
        Kind::Internal,
        Kind::Cancelled,
    ];

    /// The process exit status of this kind. Stable.
    #[must_use]
    pub const fn exit(self) -> u8 {
        match self {
            Kind::Usage => 2,
            Kind::Malformed => 3,
            Kind::Unsupported => 4,
            Kind::Limit => 5,
            Kind::InputIo => 6,
            Kind::OutputIo => 7,
            Kind::Password => 8,
            Kind::Key => 9,
            Kind::Timestamp => 10,
            Kind::InputChanged => 11,
            Kind::Policy => 12,
            Kind::Tampered => 20,
            Kind::Unsigned => 21,
            Kind::Untrusted => 22,
            Kind::Internal => 70,
            Kind::Cancelled => 130,
        }
    }

    /// The word for this kind in JSON. Stable.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Usage => "usage",
            Kind::Malformed => "malformed",
            Kind::Unsupported => "unsupported",
            Kind::Limit => "limit",
            Kind::InputIo => "input-io",
            Kind::OutputIo => "output-io",
            Kind::Password => "password",
            Kind::Key => "key",
            Kind::Timestamp => "timestamp",
            Kind::InputChanged => "input-changed",
            Kind::Policy => "policy",
            Kind::Tampered => "tampered",
            Kind::Unsigned => "unsigned",
            Kind::Untrusted => "untrusted",
            Kind::Internal => "internal",
            Kind::Cancelled => "cancelled",
        }
    }

    /// One sentence on when this kind is reported.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Kind::Usage => "the command line or the call is wrong",
            Kind::Malformed => "the input breaks a rule of its format",
            Kind::Unsupported => "the input is of a kind that is not supported",
            Kind::Limit => "a resource limit was reached",
            Kind::InputIo => "the input could not be read",
            Kind::OutputIo => "the output could not be written",
            Kind::Password => "a password is missing or wrong",
            Kind::Key => "a signing key or certificate cannot be used",
            Kind::Timestamp => "a timestamp authority failed",
            Kind::InputChanged => "the input changed while it was being read",
            Kind::Policy => "the input is refused by policy (unsafe path, special file, ambiguity)",
            Kind::Tampered => "verify: the archive is not what was signed",
            Kind::Unsigned => "verify: the archive carries no signature",
            Kind::Untrusted => "verify: the archive is intact, but its signer is not trusted",
            Kind::Internal => "a defect of this program; please report it",
            Kind::Cancelled => "cancelled (Ctrl-C)",
        }
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $kind:ident, $hint:literal;)*) => {
        /// A stable error code. The text form (`E_…`) never changes its meaning once released.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code { $($(#[doc = $doc])+ $name,)* }

        impl Code {
            /// The stable text form, `E_…`.
            #[must_use]
            pub const fn text(self) -> &'static str { match self { $(Code::$name => $text,)* } }
            /// The kind, and through it the exit status.
            #[must_use]
            pub const fn kind(self) -> Kind { match self { $(Code::$name => Kind::$kind,)* } }
            /// What the user can do next; empty where there is nothing general to say.
            #[must_use]
            pub const fn hint(self) -> &'static str { match self { $(Code::$name => $hint,)* } }
        }

        /// Every code with its meaning, in declaration order: the source of `docs/exit-codes.md`.
        pub const CODES: &[CodeInfo] = &[
            $(CodeInfo { code: Code::$name, meaning: concat!($($doc),+) },)*
        ];
    };
}

/// One row of the table of codes.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct CodeInfo {
    /// The code.
    pub code: Code,
    /// When it is reported (the doc comment of the code).
    pub meaning: &'static str,
}

codes! {
    // ---- the call
    /// Options are missing, contradict each other, or have a value that cannot be used.
    Usage = "E_USAGE", Usage, "see --help";
    /// The output path is the input, a folder, or another thing that cannot be replaced.
    OutputPath = "E_OUTPUT_PATH", Usage, "choose another path with --output";
    /// Several candidates, and nothing says which one is meant.
    Ambiguous = "E_AMBIGUOUS", Usage, "choose one with the flag that the message names";
    /// A value that must be known is not in the input and was not given.
    MissingValue = "E_MISSING_VALUE", Usage, "give the value with the flag that the message names";

    // ---- reading in general
    /// The input could not be opened or read.
    InputIo = "E_INPUT_IO", InputIo, "check that the file exists and can be read";
    /// The input changed while it was being read.
    InputChanged = "E_INPUT_CHANGED", InputChanged, "wait until the file is complete, then try again";
    /// The input is not any format that is known.
    UnknownFormat = "E_UNKNOWN_FORMAT", Unsupported, "mip reads flat and bundle-style .pkg, .app, disk images, and zip or tar files of those";
    /// The input is recognised, but not a thing that this version can convert.
    Unsupported = "E_UNSUPPORTED", Unsupported, "";
    /// The input is empty.
    Empty = "E_EMPTY", Malformed, "the file has no bytes: download or build it again";
    /// The input has nothing to install in it.
    NothingToInstall = "E_NOTHING_TO_INSTALL", Malformed, "check that this is the installer that you meant";
    /// The input ends before its own numbers say it should.
    Truncated = "E_TRUNCATED", Malformed, "the file is incomplete: download or build it again";

    // ---- limits
    /// A resource limit was reached.
    Limit = "E_LIMIT", Limit, "if the input is trusted, raise the limit that the message names";
    /// The xar table of contents is larger than the limit.
    LimitToc = "E_LIMIT_TOC", Limit, "if the input is trusted, raise --limit toc-bytes";
    /// XML exceeds a limit on depth, attributes or text.
    LimitXml = "E_LIMIT_XML", Limit, "if the input is trusted, raise the limit that the message names";
    /// Nesting is deeper than the limit.
    LimitDepth = "E_LIMIT_DEPTH", Limit, "if the input is trusted, raise the limit that the message names";
    /// Containers are nested deeper than the limit.
    LimitNesting = "E_LIMIT_NESTING", Limit, "unpack the outer container and convert what is inside";
    /// More entries than the limit.
    LimitEntries = "E_LIMIT_ENTRIES", Limit, "if the input is trusted, raise --limit entries";
    /// More bytes came out of a decoder than the limit allows.
    LimitExpanded = "E_LIMIT_EXPANDED", Limit, "if the input is trusted, raise --limit expanded-bytes";
    /// Decoding would need more memory than the limit allows, or memory ran out.
    LimitMemory = "E_LIMIT_MEMORY", Limit, "";

    // ---- compressed streams
    /// A gzip or zlib stream is damaged.
    Gzip = "E_GZIP", Malformed, "the file is damaged: download or build it again";
    /// A bzip2 stream is damaged.
    Bzip2 = "E_BZIP2", Malformed, "the file is damaged: download or build it again";
    /// An xz or lzma stream is damaged.
    Xz = "E_XZ", Malformed, "the file is damaged: download or build it again";
    /// An LZFSE or LZVN stream is damaged.
    Lzfse = "E_LZFSE", Malformed, "the file is damaged: download or build it again";
    /// A pbzx stream is damaged.
    Pbzx = "E_PBZX", Malformed, "the file is damaged: download or build it again";
    /// An Apple Archive is damaged.
    AppleArchive = "E_AA", Malformed, "the file is damaged: download or build it again";

    // ---- xar
    /// The file ends inside the xar header, table of contents or heap.
    XarTruncated = "E_XAR_TRUNCATED", Malformed, "the package is incomplete: download or build it again";
    /// The xar header breaks the format.
    XarHeader = "E_XAR_HEADER", Malformed, "check that this is a flat package (.pkg)";
    /// The table of contents does not lie inside the file.
    XarTocRange = "E_XAR_TOC_RANGE", Malformed, "the package is damaged: download or build it again";
    /// The table of contents does not inflate to the size that the header gives.
    XarTocSize = "E_XAR_TOC_SIZE", Malformed, "the package is damaged: download or build it again";
    /// The table of contents is not a valid zlib stream.
    XarTocZlib = "E_XAR_TOC_ZLIB", Malformed, "the package is damaged: download or build it again";
    /// The table of contents is not the XML that the format describes.
    XarToc = "E_XAR_TOC", Malformed, "the package is damaged: download or build it again";
    /// A number in the table of contents is not a number.
    XarNumber = "E_XAR_NUMBER", Malformed, "the package is damaged: download or build it again";
    /// A heap range leaves the heap.
    XarRange = "E_XAR_RANGE", Malformed, "the package is damaged or cut: download or build it again";
    /// Two heap ranges overlap.
    XarOverlap = "E_XAR_OVERLAP", Malformed, "the package is damaged: download or build it again";
    /// Bytes do not match the checksum in the table of contents.
    XarChecksum = "E_XAR_CHECKSUM", Malformed, "the package is damaged: download or build it again";
    /// A file has several names that differ.
    XarName = "E_XAR_NAME", Malformed, "the package is damaged: download or build it again";
    /// A hard link leads nowhere or in a circle.
    XarLink = "E_XAR_LINK", Malformed, "the package is damaged: download or build it again";
    /// An encoding, checksum or file type that the format does not name.
    XarUnsupported = "E_XAR_UNSUPPORTED", Unsupported, "";
    /// The file is a xar archive but not an installer package.
    NotAPackage = "E_NOT_A_PACKAGE", Malformed, "a flat package holds a Distribution or a PackageInfo file";

    // ---- disk images
    /// The trailer (`koly`) of a disk image breaks the format.
    DmgTrailer = "E_DMG_TRAILER", Malformed, "the image is damaged or cut: download or build it again";
    /// The property list or resource fork of a disk image breaks the format.
    DmgResources = "E_DMG_RESOURCES", Malformed, "the image is damaged: download or build it again";
    /// A block table (`mish`) of a disk image breaks the format.
    DmgMish = "E_DMG_MISH", Malformed, "the image is damaged: download or build it again";
    /// A chunk of a disk image does not hold as many bytes as its table says.
    DmgChunkSize = "E_DMG_CHUNK_SIZE", Malformed, "the image is damaged: download or build it again";
    /// A chunk of a disk image leaves the file, or cannot be decoded.
    DmgChunk = "E_DMG_CHUNK", Malformed, "the image is damaged or cut: download or build it again";
    /// Bytes of a disk image do not match their checksum.
    DmgChecksum = "E_DMG_CHECKSUM", Malformed, "the image is damaged: download or build it again";
    /// The header of an encrypted disk image breaks the format.
    DmgEncrypted = "E_DMG_ENCRYPTED", Malformed, "the image is damaged: download or build it again";
    /// A sparse disk image breaks the format.
    Sparse = "E_SPARSE", Malformed, "the image is damaged or incomplete: copy it again, with everything in its folder";
    /// A partition map breaks the format.
    PartitionMap = "E_PARTITION_MAP", Malformed, "the image is damaged: download or build it again";
    /// ADC data is damaged.
    Adc = "E_ADC", Malformed, "the file is damaged: download or build it again";

    // ---- file systems
    /// The volume header of an HFS+ volume breaks the format.
    HfsHeader = "E_HFS_HEADER", Malformed, "the image is damaged: download or build it again";
    /// A B-tree of an HFS+ volume breaks the format.
    HfsBtree = "E_HFS_BTREE", Malformed, "the image is damaged: download or build it again";
    /// A catalog or attribute record of an HFS+ volume breaks the format.
    HfsRecord = "E_HFS_RECORD", Malformed, "the image is damaged: download or build it again";
    /// The extents of a fork on an HFS+ volume cannot be.
    HfsExtent = "E_HFS_EXTENT", Malformed, "the image is damaged: download or build it again";
    /// A hard link on an HFS+ volume leads nowhere or in a circle.
    HfsLink = "E_HFS_LINK", Malformed, "the image is damaged: download or build it again";
    /// The container superblock of an APFS container breaks the format, or no checkpoint is valid.
    ApfsContainer = "E_APFS_CONTAINER", Malformed, "the image is damaged: download or build it again";
    /// An object of an APFS container does not match its checksum.
    ApfsChecksum = "E_APFS_CHECKSUM", Malformed, "the image is damaged: download or build it again";
    /// An object of an APFS container is not what refers to it says, or is missing.
    ApfsObject = "E_APFS_OBJECT", Malformed, "the image is damaged: download or build it again";
    /// A B-tree of an APFS container breaks the format.
    ApfsBtree = "E_APFS_BTREE", Malformed, "the image is damaged: download or build it again";
    /// A file system record of an APFS volume breaks the format.
    ApfsRecord = "E_APFS_RECORD", Malformed, "the image is damaged: download or build it again";
    /// The extents of a file on an APFS volume cannot be.
    ApfsExtent = "E_APFS_EXTENT", Malformed, "the image is damaged: download or build it again";
    /// The keybag of an encrypted APFS volume breaks the format.
    ApfsKeybag = "E_APFS_KEYBAG", Malformed, "the image is damaged: download or build it again";
    /// A FAT file system breaks the format.
    Fat = "E_FAT", Malformed, "the image is damaged: download or build it again";
    /// The compressed data of a file (decmpfs) breaks the format.
    Decmpfs = "E_DECMPFS", Malformed, "the image is damaged: download or build it again";
    /// No entry has the path that was asked for.
    NoEntry = "E_NO_ENTRY", Usage, "`mip files` lists what there is";

    // ---- XML, plist, Bom, scripts of a package
    /// XML is not well formed.
    Xml = "E_XML", Malformed, "the app or package is damaged: download or build it again";
    /// XML declares a document type or entities, which nothing here needs.
    XmlDtd = "E_XML_DTD", Malformed, "";
    /// A property list is damaged.
    Plist = "E_PLIST", Malformed, "the app or package is damaged: download or build it again";
    /// A property list gives the same key twice with different values.
    PlistDupKey = "E_PLIST_DUP_KEY", Malformed, "the app or package is damaged: download or build it again";
    /// A Bom file is damaged.
    Bom = "E_BOM", Malformed, "the app or package is damaged: download or build it again";
    /// An identifier, name or version cannot be used as such.
    MetaInvalid = "E_META_INVALID", Policy, "give a usable value with --id, --name or --set-version";

    // ---- cpio, tar, zip inputs
    /// A cpio archive breaks the format.
    Cpio = "E_CPIO", Malformed, "the payload is damaged: download or build the installer again";
    /// A cpio archive has no trailer: it is cut.
    CpioTruncated = "E_CPIO_TRUNCATED", Malformed, "the payload is cut: download or build the installer again";
    /// A cpio archive goes on after its trailer.
    CpioAfterTrailer = "E_CPIO_AFTER_TRAILER", Malformed, "";
    /// A tar input is damaged.
    Tar = "E_TAR", Malformed, "the file is damaged: download or build it again";
    /// A zip input is damaged.
    Zip = "E_ZIP", Malformed, "the file is damaged: download or build it again";

    // ---- policy on trees
    /// A name or link target would leave the folder that it belongs to.
    PathUnsafe = "E_PATH_UNSAFE", Policy, "";
    /// Two names are the same on a default macOS volume.
    PathCollision = "E_PATH_COLLISION", Policy, "rename one of the two";
    /// A device, socket or pipe among the files.
    SpecialFile = "E_SPECIAL_FILE", Policy, "remove it: only files, folders and symbolic links can be carried";

    // ---- policy on who signed the input, and on warnings
    /// The input is not signed, and a signature was asked for.
    SourceUnsigned = "E_SOURCE_UNSIGNED", Policy, "get the signed installer from its vendor";
    /// The signature on the input does not hold, or does not lead to a root of Apple's.
    SourceSignature = "E_SOURCE_SIGNATURE", Policy, "do not install it: get the installer again from its vendor";
    /// The input is signed by another team than the one that was asked for.
    SourceTeam = "E_SOURCE_TEAM", Policy, "check who made it";
    /// No stapled notarization ticket, and one was asked for.
    SourceNotarization = "E_SOURCE_NOTARIZATION", Policy, "a Mac can ask Apple; staple the ticket there with `xcrun stapler staple`";
    /// Apple's MDM channel does not take the input, and it was to.
    AppleMdm = "E_APPLE_MDM", Policy, "`mip inspect` shows point by point why not; convert it for the other channel with `mip convert`";
    /// A warning that was not to be accepted.
    Denied = "E_DENIED", Policy, "see what the warning advises";

    // ---- output
    /// The output could not be written.
    OutputIo = "E_OUTPUT_IO", OutputIo, "check free space and permissions of the output folder";
    /// The output exists already.
    Exists = "E_EXISTS", OutputIo, "use --force to replace it, or choose another path";

    // ---- keys
    /// A password is needed and none was given.
    PasswordMissing = "E_PASSWORD_MISSING", Password, "give it by environment variable, file, descriptor or prompt";
    /// The password is wrong.
    Password = "E_PASSWORD", Password, "";
    /// A key file cannot be read as a key.
    Key = "E_KEY", Key, "";
    /// The key or its algorithm is too weak to sign with.
    KeyWeak = "E_KEY_WEAK", Key, "use RSA of 2048 bits or more, or ECDSA P-256 or P-384";
    /// Key and certificate do not belong together.
    KeyMismatch = "E_KEY_MISMATCH", Key, "give the certificate that was issued for this key";
    /// The signing certificate cannot be used for signing (expired, wrong purpose, …).
    Certificate = "E_CERTIFICATE", Key, "";

    // ---- code signatures
    /// A program is not the Mach-O file that its header describes.
    MachO = "E_MACHO", Malformed, "the app is damaged: download or build it again";
    /// A code signature breaks its format.
    CodeSignature = "E_CODE_SIGNATURE", Malformed, "the app is damaged: download or build it again";

    // ---- MIP archives
    /// The file is not a MIP archive of the profile that is known.
    MipUnknown = "E_MIP_UNKNOWN", Tampered, "it may be another vendor's archive: `mip list` shows what can be read of it";
    /// The bytes of an archive are not the ones that its index describes.
    MipTampered = "E_MIP_TAMPERED", Tampered, "do not use it: get the archive again from where it was made";
    /// The archive could be read in more than one way.
    MipAmbiguous = "E_MIP_AMBIGUOUS", Tampered, "do not use it: get the archive again from where it was made";
    /// The signature does not hold.
    MipSignature = "E_MIP_SIGNATURE", Tampered, "do not use it: get the archive again from where it was made";
    /// A digest or signature algorithm that is too weak.
    WeakAlg = "E_WEAK_ALG", Tampered, "sign again with SHA-256 or better";
    /// The archive carries no signature.
    MipUnsigned = "E_MIP_UNSIGNED", Unsigned, "sign it with `mip sign`";
    /// The archive is intact and signed, and no trust anchor was given.
    NoAnchor = "E_NO_ANCHOR", Untrusted, "name the certificate authority that you trust with --anchor";
    /// The signer's certificate does not lead to a given trust anchor, or is not valid.
    SignerUntrusted = "E_SIGNER_UNTRUSTED", Untrusted, "check who signed and the dates; --anchor names an authority, --at another time";
    /// The archive is trusted but is not the product, version or signer that was expected.
    Unexpected = "E_UNEXPECTED", Untrusted, "";

    // ---- the rest
    /// The caller cancelled the job.
    Cancelled = "E_CANCELLED", Cancelled, "";
    /// A defect of this program.
    Internal = "E_INTERNAL", Internal, "please report it with the input, if you can share it";
}

/// An error: what went wrong, where in which file, and what to do next.
///
/// `Display` gives one line without line breaks; every name in it is escaped.
#[derive(thiserror::Error)]
#[error("{}", self.line())]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    message: String,
    /// Container steps from the outermost file inwards.
    path: Vec<String>,
    offset: Option<u64>,
    limit: Option<(u64, u64)>,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A new error. `message` says what is wrong, in a few words, without the place.
    ///
    /// Names from a file must be passed through [`escape`](crate::escape) by the caller.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            message: message.into(),
            path: Vec::new(),
            offset: None,
            limit: None,
            hint: None,
            source: None,
        }))
    }

    /// A limit named `name` was reached: `value` was asked for, `limit` is allowed.
    #[must_use]
    pub fn limit(code: Code, name: &str, limit: u64, value: u64) -> Self {
        let mut e = Self::new(code, format!("{name}: {value} is over the limit of {limit}"));
        e.0.limit = Some((limit, value));
        e
    }

    /// Turns an [`io::Error`] into an [`Error`]; one that already carries an [`Error`]
    /// (as the readers of this workspace do) comes out unchanged.
    #[must_use]
    pub fn from_io(code: Code, what: &str, e: io::Error) -> Self {
        match e.downcast::<Error>() {
            Ok(inner) => inner,
            Err(e) => {
                let mut out = Self::new(code, format!("{what}: {e}"));
                out.0.source = Some(Box::new(e));
                out
            }
        }
    }

    /// Adds the byte offset in the innermost file, unless one is set already.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.0.offset.get_or_insert(offset);
        self
    }

    /// Puts a container step in front of the place: call it on the way out, innermost first.
    #[must_use]
    pub fn within(mut self, step: impl AsRef<str>) -> Self {
        let step = step.as_ref();
        if !step.is_empty() {
            self.0.path.insert(0, crate::escape(step));
        }
        self
    }

    /// Replaces the code's general hint by a better one.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn caused_by(mut self, e: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Box::new(e));
        self
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The kind, and through it the exit status.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.code.kind()
    }

    /// What is wrong, without the place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The place as `outer//inner//…`, escaped; `None` when the error is not about a file.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        (!self.0.path.is_empty()).then(|| self.0.path.join(crate::CONTAINER_STEP))
    }

    /// The byte offset in the innermost file of [`path`](Self::path).
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// The limit and the value that went over it.
    #[must_use]
    pub fn limit_and_value(&self) -> Option<(u64, u64)> {
        self.0.limit
    }

    /// What the user can do next.
    #[must_use]
    pub fn next_step(&self) -> Option<&str> {
        let hint = self.0.hint.as_deref().unwrap_or(self.0.code.hint());
        (!hint.is_empty()).then_some(hint)
    }

    /// The cause, where one was kept.
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        self.0.source.as_deref()
    }

    fn line(&self) -> String {
        let mut out = String::new();
        if let Some(p) = self.path() {
            out.push_str(&p);
            out.push_str(": ");
        }
        out.push_str(&self.0.message);
        if let Some(at) = self.0.offset {
            out.push_str(&format!(" (at byte {at})"));
        }
        out
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.text(), self.line())
    }
}

/// Lets an [`Error`] travel through `Read` and come out whole again ([`Error::from_io`]).
impl From<Error> for io::Error {
    fn from(e: Error) -> Self {
        io::Error::other(e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn travels_through_io_unchanged() {
        let e = Error::new(Code::XarRange, "range leaves the heap").at(7).within("a.pkg");
        let back = Error::from_io(Code::InputIo, "reading", io::Error::from(e));
        assert_eq!(back.code(), Code::XarRange);
        assert_eq!(back.to_string(), "a.pkg: range leaves the heap (at byte 7)");
    }

    #[test]
    fn within_builds_the_container_path_from_inside_out() {
        let e = Error::new(Code::Cpio, "bad magic").within("Payload").within("a.pkg");
        assert_eq!(e.path().as_deref(), Some("a.pkg//Payload"));
    }

    #[test]
    fn codes_are_unique_and_well_formed() {
        let mut seen = std::collections::BTreeSet::new();
        for info in CODES {
            let t = info.code.text();
            assert!(t.starts_with("E_"), "{t}");
            assert!(t.bytes().all(|b| b == b'_' || b.is_ascii_uppercase() || b.is_ascii_digit()));
            assert!(seen.insert(t), "{t} twice");
            assert!(!info.meaning.trim().is_empty(), "{t}");
        }
    }
}
