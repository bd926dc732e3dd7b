//! The chunked containers of Apple's parallel compression (`pbzx` and its relatives), and
//! raw Apple Archives.

use std::io::Write as _;

use lzma_rust2::{XzOptions, XzWriter};

/// One chunk: what its header says, and its bytes.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// Decoded size, which readers of `pbzx` also take as flags.
    pub plain: u64,
    /// Stored size.
    pub stored: u64,
    /// The stored bytes.
    pub data: Vec<u8>,
}

impl Chunk {
    /// A chunk that is stored as it is.
    #[must_use]
    pub fn raw(data: &[u8]) -> Self {
        let n = data.len() as u64;
        Self { plain: n, stored: n, data: data.to_vec() }
    }

    /// `data` packed into `stored`.
    #[must_use]
    pub fn packed(data: &[u8], stored: Vec<u8>) -> Self {
        Self { plain: data.len() as u64, stored: stored.len() as u64, data: stored }
    }

    /// A chunk with one xz stream.
    #[must_use]
    pub fn xz(data: &[u8]) -> Self {
        Self::packed(data, xz(data))
    }
}

/// One `.xz` stream with a small dictionary.
#[must_use]
pub fn xz(data: &[u8]) -> Vec<u8> {
    let mut options = XzOptions::with_preset(1);
    options.lzma_options.dict_size = 1 << 16;
    let mut w = XzWriter::new(Vec::new(), options).unwrap();
    w.write_all(data).unwrap();
    w.finish().unwrap()
}

/// A container with the magic `pbz` + `letter`.
#[must_use]
pub fn container(letter: u8, block: u64, chunks: &[Chunk]) -> Vec<u8> {
    let mut out = vec![b'p', b'b', b'z', letter];
    out.extend(block.to_be_bytes());
    for c in chunks {
        out.extend(c.plain.to_be_bytes());
        out.extend(c.stored.to_be_bytes());
        out.extend(&c.data);
    }
    out
}

/// A `pbzx` stream of `data` in blocks of `block` bytes.
#[must_use]
pub fn pbzx(data: &[u8], block: usize) -> Vec<u8> {
    let chunks: Vec<Chunk> = data.chunks(block).map(Chunk::xz).collect();
    container(b'x', block as u64, &chunks)
}

/// One entry of an Apple Archive: fields in order, then the bytes of its blobs.
#[derive(Debug, Clone, Default)]
pub struct AaEntry {
    fields: Vec<u8>,
    blobs: Vec<u8>,
}

impl AaEntry {
    /// An entry of the type `kind` (`b'F'`, `b'D'`, `b'L'`, …) at `path`.
    #[must_use]
    pub fn new(kind: u8, path: &str) -> Self {
        Self::default().field(b"TYP1", &[kind]).text(b"PATP", path)
    }

    /// Any field: key and type, then the value.
    #[must_use]
    pub fn field(mut self, key: &[u8; 4], value: &[u8]) -> Self {
        self.fields.extend(key);
        self.fields.extend(value);
        self
    }

    /// A text field.
    #[must_use]
    pub fn text(self, key: &[u8; 4], text: &str) -> Self {
        let mut v = u16::try_from(text.len()).unwrap().to_le_bytes().to_vec();
        v.extend(text.as_bytes());
        self.field(key, &v)
    }

    /// A blob with a 32-bit size (`DATB`, `XATB`, …).
    #[must_use]
    pub fn blob(mut self, key: &[u8; 4], data: &[u8]) -> Self {
        self.blobs.extend(data);
        self.field(key, &u32::try_from(data.len()).unwrap().to_le_bytes())
    }

    /// Header and blobs.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let size = u16::try_from(self.fields.len() + 6).unwrap();
        let mut out = b"AA01".to_vec();
        out.extend(size.to_le_bytes());
        out.extend(&self.fields);
        out.extend(&self.blobs);
        out
    }
}
