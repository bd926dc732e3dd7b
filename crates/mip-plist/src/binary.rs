//! Binary property lists (CoreFoundation, `CFBinaryPList.c`): objects, a table of their offsets,
//! and a trailer of 32 bytes.

use mip_base::bytes::{be_u64, slice};
use mip_base::{Code, Error, Result};

use super::{Budget, Value, unique};

const TRAILER: usize = 32;
const HEADER: u64 = 8;

fn bad(why: impl Into<String>) -> Error {
    Error::new(Code::Plist, why)
}

pub(super) fn read(data: &[u8], budget: &mut Budget<'_>) -> Result<Value> {
    if !data.starts_with(b"bplist0") {
        return Err(bad("a binary property list of an unknown version").at(6));
    }
    let trailer_at = data
        .len()
        .checked_sub(TRAILER)
        .filter(|t| u64::try_from(*t).is_ok_and(|t| t >= HEADER))
        .ok_or_else(|| bad("the binary property list is cut"))?;
    let trailer = data.get(trailer_at..).unwrap_or_default();
    let byte = |i: usize| trailer.get(i).copied().map_or(0, usize::from);
    let wide = |i: usize| be_u64(trailer, i).unwrap_or(0);
    let (offset_size, ref_size) = (byte(6), byte(7));
    let (count, top, table) = (wide(8), wide(16), wide(24));
    let trailer_at = u64::try_from(trailer_at).unwrap_or(0);
    let trailer_error = |why: String| bad(why).at(trailer_at);
    if !(1..=8).contains(&offset_size) || !(1..=8).contains(&ref_size) {
        return Err(trailer_error(format!(
            "offsets of {offset_size} bytes, references of {ref_size}"
        )));
    }
    let table_len = count.checked_mul(u64::try_from(offset_size).unwrap_or(8));
    let table_end = table_len.and_then(|l| table.checked_add(l));
    if table < HEADER || table_end.is_none_or(|end| end > trailer_at) {
        return Err(trailer_error(format!(
            "a table of {count} objects at byte {table} leaves the file"
        )));
    }
    if top >= count {
        return Err(trailer_error(format!("the top object is {top} of {count}")));
    }
    let mut reader = Reader { data, offset_size, ref_size, count, table, open: Vec::new(), budget };
    reader.value(top)
}

struct Reader<'r, 'j> {
    data: &'r [u8],
    offset_size: usize,
    ref_size: usize,
    count: u64,
    table: u64,
    /// The arrays and dictionaries being read: one of them again is a cycle.
    open: Vec<u64>,
    budget: &'r mut Budget<'j>,
}

impl<'r> Reader<'r, '_> {
    /// Recursion is bounded by the limit on depth, which `Budget::visit` checks first.
    fn value(&mut self, index: u64) -> Result<Value> {
        self.budget.visit(self.open.len())?;
        let at = self.offset(index)?;
        let error = |why: String| bad(why).at(u64::try_from(at).unwrap_or(0));
        let marker = self.data.get(at).copied().unwrap_or(0);
        let (kind, low) = (marker >> 4, marker & 0xF);
        let body = at.saturating_add(1);
        match (kind, low) {
            (0x0, 0x8) => Ok(Value::Boolean(false)),
            (0x0, 0x9) => Ok(Value::Boolean(true)),
            (0x1, 0..=4) => Ok(Value::Integer(self.integer(body, low)?)),
            (0x2, 2..=3) => {
                let real = self.real(body, low)?;
                if real.is_finite() {
                    Ok(Value::Real(real))
                } else {
                    Err(error("a real that is not finite".into()))
                }
            }
            (0x3, 0x3) => date(self.real(body, 3)?)
                .map(Value::Date)
                .ok_or_else(|| error("a date that is no date".into())),
            (0x4..=0x6, _) => self.text(kind, body, low),
            (0xA, _) => {
                let (len, body) = self.length(body, low)?;
                self.enter(index)?;
                let refs = self.refs(body, len)?;
                let mut items = Vec::new();
                for r in refs.chunks_exact(self.ref_size) {
                    items.push(self.value(uint(r))?);
                }
                self.open.pop();
                Ok(Value::Array(items))
            }
            (0xD, _) => {
                let (len, body) = self.length(body, low)?;
                self.enter(index)?;
                let both =
                    len.checked_mul(2).ok_or_else(|| error("a dictionary of no size".into()))?;
                let refs = self.refs(body, both)?;
                let (keys, values) = refs.split_at_checked(refs.len() / 2).unwrap_or_default();
                let mut entries = Vec::new();
                for (k, v) in
                    keys.chunks_exact(self.ref_size).zip(values.chunks_exact(self.ref_size))
                {
                    let Value::String(key) = self.value(uint(k))? else {
                        return Err(error("a key that is not a string".into()));
                    };
                    entries.push((key, self.value(uint(v))?));
                }
                self.open.pop();
                unique(entries)
            }
            _ => Err(error(format!("an object of unknown kind {marker:#04x}"))),
        }
    }

    fn enter(&mut self, index: u64) -> Result<()> {
        if self.open.contains(&index) {
            return Err(bad("a value that contains itself"));
        }
        self.open.push(index);
        Ok(())
    }

    /// Where object `index` starts.
    fn offset(&self, index: u64) -> Result<usize> {
        if index >= self.count {
            return Err(bad(format!("a reference to object {index} of {}", self.count)));
        }
        let width = u64::try_from(self.offset_size).unwrap_or(8);
        let at =
            index.checked_mul(width).and_then(|o| self.table.checked_add(o)).unwrap_or(u64::MAX);
        let bytes = usize::try_from(at).ok().and_then(|at| slice(self.data, at, self.offset_size));
        let offset = bytes.map_or(u64::MAX, uint);
        usize::try_from(offset)
            .ok()
            .filter(|_| (HEADER..self.table).contains(&offset))
            .ok_or_else(|| bad(format!("object {index} is not between header and table")))
    }

    /// `len` bytes of an object, which end before the table.
    fn bytes(&self, at: usize, len: u64) -> Result<&'r [u8]> {
        let end = u64::try_from(at).ok().and_then(|at| at.checked_add(len));
        usize::try_from(len)
            .ok()
            .filter(|_| end.is_some_and(|end| end <= self.table))
            .and_then(|len| slice(self.data, at, len))
            .ok_or_else(|| {
                bad(format!("an object of {len} bytes leaves the file"))
                    .at(u64::try_from(at).unwrap_or(0))
            })
    }

    fn refs(&self, at: usize, count: u64) -> Result<&'r [u8]> {
        let width = u64::try_from(self.ref_size).unwrap_or(8);
        self.bytes(at, count.saturating_mul(width))
    }

    /// The length of an object, and where its content starts: lengths from 15 on are an integer
    /// object of their own.
    fn length(&self, at: usize, low: u8) -> Result<(u64, usize)> {
        if low != 0xF {
            return Ok((low.into(), at));
        }
        let marker = self.bytes(at, 1)?.first().copied().unwrap_or(0);
        if marker >> 4 != 1 || marker & 0xF > 3 {
            return Err(bad("a length that is not an integer").at(u64::try_from(at).unwrap_or(0)));
        }
        let width = 1_usize << (marker & 0xF);
        let body = at.saturating_add(1);
        let len = uint(self.bytes(body, u64::try_from(width).unwrap_or(8))?);
        Ok((len, body.saturating_add(width)))
    }

    /// 1, 2 and 4 bytes are unsigned, 8 and 16 are signed.
    fn integer(&self, at: usize, low: u8) -> Result<i128> {
        let bytes = self.bytes(at, 1 << low)?;
        Ok(match low {
            3 => i128::from(uint(bytes).cast_signed()),
            4 => bytes.first_chunk().map_or(0, |b| i128::from_be_bytes(*b)),
            _ => i128::from(uint(bytes)),
        })
    }

    fn real(&self, at: usize, low: u8) -> Result<f64> {
        let bytes = self.bytes(at, 1 << low)?;
        Ok(match low {
            2 => bytes.first_chunk().map_or(0.0, |b| f64::from(f32::from_be_bytes(*b))),
            _ => bytes.first_chunk().map_or(0.0, |b| f64::from_be_bytes(*b)),
        })
    }

    fn text(&mut self, kind: u8, at: usize, low: u8) -> Result<Value> {
        let (len, body) = self.length(at, low)?;
        let error = |why: &str| bad(why).at(u64::try_from(at).unwrap_or(0));
        let width = if kind == 6 { 2 } else { 1 };
        let bytes = self.bytes(body, len.saturating_mul(width))?;
        self.budget.keep(bytes.len())?;
        Ok(match kind {
            4 => Value::Data(bytes.to_vec()),
            5 => match std::str::from_utf8(bytes) {
                Ok(s) if s.is_ascii() => Value::String(s.to_owned()),
                _ => return Err(error("an ASCII string that is not ASCII")),
            },
            _ => {
                let units = bytes
                    .chunks_exact(2)
                    .map(|c| c.iter().fold(0_u16, |n, b| (n << 8) | u16::from(*b)));
                let text: Result<String, _> = char::decode_utf16(units).collect();
                Value::String(text.map_err(|_| error("a string that is not UTF-16"))?)
            }
        })
    }
}

/// A big-endian number of up to 8 bytes.
fn uint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, b| (n << 8) | u64::from(*b))
}

/// Seconds since 2001-01-01 UTC as a date of the years 1 to 9999.
fn date(seconds: f64) -> Option<String> {
    // 2001-01-01 is day 11,323 of 1970; the range keeps the number exact.
    if !seconds.is_finite() || seconds.abs() > 300_000_000_000.0 {
        return None;
    }
    // A float has no checked way to an integer but its text.
    let whole: i64 = format!("{:.0}", seconds.floor()).parse().ok()?;
    let unix = whole.checked_add(978_307_200)?;
    let (days, secs) = (unix.div_euclid(86_400), unix.rem_euclid(86_400));
    // Days to a civil date, in eras of 400 years that start on 1 March (Hinnant).
    let z = days.checked_add(719_468)?;
    let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let yoe =
        (doe.checked_sub(doe / 1460)?.checked_add(doe / 36_524)?.checked_sub(doe / 146_096)?) / 365;
    let leap = (yoe / 4).checked_sub(yoe / 100)?;
    let doy = doe.checked_sub(yoe.checked_mul(365)?.checked_add(leap)?)?;
    let mp = doy.checked_mul(5)?.checked_add(2)? / 153;
    let day = doy.checked_sub((mp.checked_mul(153)?.checked_add(2)?) / 5)?.checked_add(1)?;
    let month = if mp < 10 { mp.checked_add(3)? } else { mp.checked_sub(9)? };
    let year = yoe.checked_add(era.checked_mul(400)?)?.checked_add(i64::from(month <= 2))?;
    if !(1..=9999).contains(&year) {
        return None;
    }
    let (h, m, s) = (secs / 3600, secs / 60 % 60, secs % 60);
    Some(format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z"))
}
