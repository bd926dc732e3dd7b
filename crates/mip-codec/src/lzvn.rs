//! Raw LZVN streams, as compressed files of macOS volumes hold them.
//!
//! An own decoder, because such streams have no `bvxn` block around them, and may be followed
//! by other bytes or lack their end mark, which block readers refuse.
//!
//! One operation adds up to 3 literals and a match, only literals, or only a match. `L` literal
//! count, `M` match length, `D` distance, by the first byte:
//!
//! | first byte | form |
//! |---|---|
//! | `LLMMMDDD` | 11-bit `D` with the next byte; `DDD` = 6: the last `D` again; 7: 16-bit LE `D` follows |
//! | `101LLMMM` | two more bytes: `M` low 2 bits, 14-bit `D` (LE) |
//! | `1110LLLL` | literals only; 0: the next byte + 16 |
//! | `1111MMMM` | a match at the last `D`; 0: the next byte + 16 |
//! | `00000110` | the end (8 bytes); `00001110`, `00010110`: nothing |
//! | `0111….`, `1101….`, other `00…110` | not defined |
//!
//! `M` of the first two forms counts from 3. Source: public descriptions of LZVN; checked
//! against streams of the reference encoder.

use mip_base::{Code, Error, Result, len64};

use crate::block::Decoded;
use crate::pump::tail;
use crate::window::Window;

/// Bytes of the end mark.
const END: usize = 8;

fn damaged(what: impl Into<String>, at: usize) -> Error {
    Error::new(Code::Lzfse, what).at(len64(at))
}

/// One operation: bytes of it before the literals, literals, match, new distance if any.
struct Op {
    size: usize,
    literals: usize,
    len: usize,
    distance: Option<usize>,
}

/// The operation at the start of `b`; `None` when it is cut. Ends and gaps are not for here.
fn operation(b: &[u8]) -> Option<Op> {
    let op = *b.first()?;
    let short = usize::from(op & 15);
    let next = || b.get(1).map(|n| usize::from(*n));
    let word = || Some(usize::from(u16::from_le_bytes([*b.get(1)?, *b.get(2)?])));
    let op3 = usize::from(op);
    Some(match op >> 4 {
        0xe if short == 0 => {
            Op { size: 2, literals: next()?.saturating_add(16), len: 0, distance: None }
        }
        0xe => Op { size: 1, literals: short, len: 0, distance: None },
        0xf if short == 0 => {
            Op { size: 2, literals: 0, len: next()?.saturating_add(16), distance: None }
        }
        0xf => Op { size: 1, literals: 0, len: short, distance: None },
        0xa | 0xb => {
            let w = word()?;
            let len = ((op3 & 7) << 2 | w & 3).saturating_add(3);
            Op { size: 3, literals: op3 >> 3 & 3, len, distance: Some(w >> 2) }
        }
        _ => {
            let (literals, len) = (op3 >> 6, (op3 >> 3 & 7).saturating_add(3));
            let (size, distance) = match op3 & 7 {
                6 => (1, None),
                7 => (3, Some(word()?)),
                high => (2, Some(high << 8 | next()?)),
            };
            Op { size, literals, len, distance }
        }
    })
}

/// Decodes until the end mark, or until `out` is full and `input` ends.
pub(crate) fn decode(input: &[u8], out: &mut [u8]) -> Result<Decoded> {
    let mut w = Window::new(out);
    let (mut at, mut distance) = (0_usize, 0_usize);
    loop {
        let rest = tail(input, at);
        match rest.first() {
            None if w.full() => {
                return Ok(Decoded { used: at, produced: w.len(), more: w.overflowed() });
            }
            None => return Err(damaged("the LZVN data ends without its end mark", at)),
            Some(0x06) => {
                let used = at.saturating_add(rest.len().min(END));
                return Ok(Decoded { used, produced: w.len(), more: w.overflowed() });
            }
            Some(0x0e | 0x16) => {
                at = at.saturating_add(1);
                continue;
            }
            Some(op @ (0x1e | 0x26 | 0x2e | 0x36 | 0x3e | 0x70..=0x7f | 0xd0..=0xdf)) => {
                return Err(damaged(format!("the LZVN operation {op:#04x} is not defined"), at));
            }
            Some(_) if w.full() => {
                return Ok(Decoded { used: at, produced: w.len(), more: true });
            }
            Some(_) => {}
        }
        let cut = || damaged("the LZVN data ends inside an operation", at);
        let op = operation(rest).ok_or_else(cut)?;
        if op.literals > 0 && !w.literals(tail(rest, op.size), op.literals) {
            return Err(cut());
        }
        distance = op.distance.unwrap_or(distance);
        if op.len > 0 && !w.overflowed() && !w.copy(distance, op.len) {
            let have = w.len();
            let what = format!("LZVN copies from {distance} bytes back, there are {have}");
            return Err(damaged(what, at));
        }
        at = at.saturating_add(op.size).saturating_add(op.literals);
    }
}
