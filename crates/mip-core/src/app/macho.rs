//! The architectures of a program, from the first bytes of it (`mach-o/loader.h`, `mach-o/fat.h`).

use mip_base::bytes::{be_u32, le_u32};
use mip_codesign::architecture;

/// Bytes that hold the header of any real program.
pub(crate) const HEAD: usize = 4096;

/// Most architectures of one file. A Java class has the magic number of a fat file, and its
/// version, 45 or more, where a fat file has the count.
const MOST: u32 = 42;

/// Whether `head` starts like a Mach-O file.
pub(crate) fn is_program(head: &[u8]) -> bool {
    !architectures(head).is_empty()
}

/// Bytes that [`runs`] looks at: a Mach-O header with a list of architectures.
pub(crate) const RUNS_HEAD: usize = 256;

/// Whether a file that starts like this is meant to be executed: what a source without
/// permission bits still tells.
pub(crate) fn runs(head: &[u8]) -> bool {
    head.starts_with(b"#!") || is_program(head)
}

/// The names of the architectures, in the order of the file; empty when it is not Mach-O.
pub(crate) fn architectures(head: &[u8]) -> Vec<String> {
    let Some(magic) = be_u32(head, 0) else { return Vec::new() };
    let thin = |cpu: Option<u32>, sub: Option<u32>| {
        cpu.zip(sub).map(|(cpu, sub)| architecture(cpu, sub)).into_iter().collect()
    };
    match magic {
        0xCEFA_EDFE | 0xCFFA_EDFE => thin(le_u32(head, 4), le_u32(head, 8)),
        0xFEED_FACE | 0xFEED_FACF => thin(be_u32(head, 4), be_u32(head, 8)),
        0xCAFE_BABE => fat(head, 20),
        0xCAFE_BABF => fat(head, 32),
        _ => Vec::new(),
    }
}

/// A fat header: a count, then records of `size` bytes that start with the processor.
fn fat(head: &[u8], size: usize) -> Vec<String> {
    let count = be_u32(head, 4).filter(|c| (1..=MOST).contains(c)).unwrap_or(0);
    let count = usize::try_from(count).unwrap_or(0);
    let mut names = Vec::new();
    for at in (8_usize..).step_by(size).take(count) {
        let Some((cpu, sub)) = be_u32(head, at).zip(be_u32(head, at.saturating_add(4))) else {
            return Vec::new();
        };
        let one = architecture(cpu, sub);
        if !names.contains(&one) {
            names.push(one);
        }
    }
    names
}
