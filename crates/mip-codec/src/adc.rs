//! ADC, Apple Data Compression: the oldest packing of disk image chunks.
//!
//! A byte with bit 7 set: its low 7 bits + 1 plain bytes follow. Bit 6 set: three bytes, length
//! low 6 bits + 4, distance the next 16 bits (BE) + 1. Else: two bytes, length bits 2 to 5 + 3,
//! distance the low 2 bits and the next byte (BE) + 1. There is no end mark and no check.
//!
//! Source: public descriptions of the format, and the ADC image of the shared fixtures.

use mip_base::{Code, Error, Result, len64};

use crate::block::Decoded;
use crate::pump::tail;
use crate::window::Window;

fn damaged(what: impl Into<String>, at: usize) -> Error {
    Error::new(Code::Adc, what).at(len64(at))
}

/// Decodes until `input` ends or `out` is full.
pub(crate) fn decode(input: &[u8], out: &mut [u8]) -> Result<Decoded> {
    let mut w = Window::new(out);
    let mut at = 0_usize;
    while let Some(&op) = input.get(at) {
        if w.full() {
            return Ok(Decoded { used: at, produced: w.len(), more: true });
        }
        let cut = || damaged("the ADC data ends inside a run", at);
        let operand = |n: usize| at.checked_add(n).and_then(|i| input.get(i)).copied();
        if op & 0x80 != 0 {
            let (from, n) = (at.saturating_add(1), usize::from(op & 0x7f).saturating_add(1));
            if !w.literals(tail(input, from), n) {
                return Err(cut());
            }
            at = from.saturating_add(n);
            continue;
        }
        let (size, len, distance) = if op & 0x40 != 0 {
            let d = u16::from_be_bytes([operand(1).ok_or_else(cut)?, operand(2).ok_or_else(cut)?]);
            (3, usize::from(op & 0x3f).saturating_add(4), d)
        } else {
            let d = u16::from_be_bytes([op & 3, operand(1).ok_or_else(cut)?]);
            (2, usize::from(op >> 2).saturating_add(3), d)
        };
        let distance = usize::from(distance).saturating_add(1);
        if !w.copy(distance, len) {
            let have = w.len();
            let what = format!("ADC copies from {distance} bytes back, there are {have}");
            return Err(damaged(what, at));
        }
        at = at.saturating_add(size);
    }
    Ok(Decoded { used: at, produced: w.len(), more: w.overflowed() })
}
