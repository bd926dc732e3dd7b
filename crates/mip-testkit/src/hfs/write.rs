//! Streams a planned volume in the order of its blocks.

use std::io::{self, Read, Write};

use super::Content;
use super::plan::Plan;

impl Plan {
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut at = 0;
        for s in &self.segments {
            zeros(out, s.at - at)?;
            match &s.content {
                Content::Bytes(b) => {
                    out.write_all(&b[s.from as usize..(s.from + s.len) as usize])?
                }
                Content::Stream { len, open } => {
                    // One byte more than announced would be noticed.
                    let copied = io::copy(&mut open()?.take(len + 1), out)?;
                    if copied != *len {
                        return Err(io::Error::other(format!("{copied} bytes instead of {len}")));
                    }
                }
            }
            at = s.at + s.len;
        }
        zeros(out, self.layout.size() - at)
    }
}

fn zeros(out: &mut dyn Write, n: u64) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(n), out).map(drop)
}
