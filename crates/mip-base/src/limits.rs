//! Resource limits: one struct, two profiles.

/// What a job may spend. Sizes are in bytes.
///
/// The defaults suit a command line; [`Limits::strict`] suits a server that is handed
/// uploads by strangers. A limit of 0 means "nothing", never "unlimited".
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest input file.
    pub input_bytes: u64,
    /// xar table of contents as stored (zlib).
    pub toc_compressed: u64,
    /// xar table of contents when inflated.
    pub toc_bytes: u64,
    /// Files and folders in a xar table of contents.
    pub toc_files: u64,
    /// Sum of all path bytes kept in memory for one container.
    pub path_bytes_kept: u64,
    /// Nesting of XML elements.
    pub xml_depth: u64,
    /// Attributes of one XML element.
    pub xml_attributes: u64,
    /// One XML text node or attribute value.
    pub xml_text: u64,
    /// Entries of a payload, an app or a zip or tar input.
    pub entries: u64,
    /// Bytes of one path.
    pub path_bytes: u64,
    /// Bytes of one path component.
    pub component_bytes: u64,
    /// Components of one path.
    pub path_depth: u64,
    /// Bytes of a symbolic link's target.
    pub link_bytes: u64,
    /// Containers inside containers.
    pub nesting: u64,
    /// Bytes that all decoders of one job may produce together.
    pub expanded_bytes: u64,
    /// Output bytes per input byte of one decoder, once [`ratio_from`](Self::ratio_from) bytes came out.
    pub ratio: u64,
    /// Decoded bytes below which [`ratio`](Self::ratio) is not looked at.
    pub ratio_from: u64,
    /// Memory of an xz or lzma decoder (its dictionary and tables).
    pub lzma_memory: u64,
    /// A property list as stored.
    pub plist_bytes: u64,
    /// Nesting of a property list.
    pub plist_depth: u64,
    /// Values visited while reading a property list (shared values count each time).
    pub plist_visits: u64,
    /// Any other file that is read whole: Distribution, PackageInfo, Bom, icons, scripts.
    pub small_file: u64,
    /// CMS blob.
    pub cms_bytes: u64,
    /// Certificates in a CMS blob.
    pub certificates: u64,
    /// PKCS#12 file.
    pub pkcs12_bytes: u64,
    /// Iterations of a password-based key derivation.
    pub kdf_iterations: u64,
    /// Index of a MIP archive.
    pub index_bytes: u64,
    /// Most compressed bytes of a package's payload that `inspect` reads for what the
    /// package's own tables leave out.
    pub payload_scan: u64,
    /// Most bytes that are read to compare them with the signatures on an input, unless all of
    /// them are asked for.
    pub signature_scan: u64,
    /// One chunk of a disk image when decoded.
    pub image_chunk: u64,
    /// Chunks in all block tables of a disk image.
    pub image_chunks: u64,
    /// Block tables of a disk image.
    pub image_tables: u64,
    /// Property list and resource fork of a disk image.
    pub image_resources: u64,
    /// Entries of a partition map that are looked at.
    pub partitions: u64,
    /// Volumes of an APFS container.
    pub apfs_volumes: u64,
    /// Iterations of the key derivation of an encrypted disk image or volume.
    pub image_kdf_iterations: u64,
    /// Memory for decoded chunks and blocks of one disk image.
    pub image_cache: u64,
}

impl Limits {
    /// The profile for a server that reads uploads.
    #[must_use]
    pub fn strict() -> Self {
        Self {
            input_bytes: 8 << 30,
            toc_compressed: 8 << 20,
            toc_bytes: 32 << 20,
            toc_files: 50_000,
            path_bytes_kept: 32 << 20,
            entries: 200_000,
            expanded_bytes: 16 << 30,
            ratio: 100,
            lzma_memory: 40 << 20,
            plist_bytes: 4 << 20,
            plist_depth: 64,
            plist_visits: 200_000,
            small_file: 16 << 20,
            kdf_iterations: 1_000_000,
            image_chunk: 16 << 20,
            image_chunks: 1_000_000,
            image_tables: 64,
            image_kdf_iterations: 2_000_000,
            ..Self::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            input_bytes: u64::MAX,
            toc_compressed: 16 << 20,
            toc_bytes: 64 << 20,
            toc_files: 100_000,
            path_bytes_kept: 64 << 20,
            xml_depth: 128,
            xml_attributes: 64,
            xml_text: 1 << 20,
            entries: 1_000_000,
            path_bytes: 1024,
            component_bytes: 255,
            path_depth: 64,
            link_bytes: 1024,
            nesting: 4,
            expanded_bytes: 64 << 30,
            ratio: 250,
            ratio_from: 64 << 20,
            lzma_memory: 72 << 20,
            plist_bytes: 16 << 20,
            plist_depth: 128,
            plist_visits: 1_000_000,
            small_file: 32 << 20,
            cms_bytes: 1 << 20,
            certificates: 32,
            pkcs12_bytes: 1 << 20,
            kdf_iterations: 5_000_000,
            index_bytes: 64 << 20,
            payload_scan: 64 << 20,
            signature_scan: 64 << 20,
            image_chunk: 32 << 20,
            image_chunks: 4_000_000,
            image_tables: 128,
            image_resources: 16 << 20,
            partitions: 128,
            apfs_volumes: 100,
            image_kdf_iterations: 10_000_000,
            image_cache: 16 << 20,
        }
    }
}
