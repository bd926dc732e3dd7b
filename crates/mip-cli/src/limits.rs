//! The limits of the library by name: `--limit NAME=BYTES`, and the table of the help text.

use mip_base::Limits;

type LimitField = fn(&mut Limits) -> &mut u64;

macro_rules! limit_table {
    ($($field:ident)*) => {
        /// Every limit: its field name (the option's name has dashes) and how to reach it.
        const LIMITS: &[(&str, LimitField)] = &[$((stringify!($field), |l| &mut l.$field)),*];
    };
}

limit_table! {
    input_bytes toc_compressed toc_bytes toc_files path_bytes_kept xml_depth xml_attributes xml_text
    entries path_bytes component_bytes path_depth link_bytes nesting expanded_bytes ratio ratio_from
    lzma_memory plist_bytes plist_depth plist_visits small_file cms_bytes certificates pkcs12_bytes
    kdf_iterations index_bytes payload_scan signature_scan image_chunk image_chunks image_tables image_resources
    partitions apfs_volumes image_kdf_iterations image_cache
}

/// One limit and its new value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    field: LimitField,
    value: u64,
}

impl Change {
    pub(crate) fn apply(self, limits: &mut Limits) {
        *(self.field)(limits) = self.value;
    }
}

/// `toc-bytes=64M`; suffixes K, M, G and T are powers of 1024.
pub(crate) fn parse(text: &str) -> Result<Change, String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=BYTES")?;
    let field = name.replace('-', "_");
    let (_, field) = LIMITS
        .iter()
        .find(|(n, _)| *n == field)
        .ok_or_else(|| format!("no limit is named \"{name}\"; `mip --help` lists them"))?;
    Ok(Change { field: *field, value: bytes(value)? })
}

/// `1048576` or `64M`; suffixes K, M, G and T are powers of 1024.
pub(crate) fn bytes(value: &str) -> Result<u64, String> {
    let (digits, shift) = match value.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (value.get(..at), 10),
        Some((at, 'm' | 'M')) => (value.get(..at), 20),
        Some((at, 'g' | 'G')) => (value.get(..at), 30),
        Some((at, 't' | 'T')) => (value.get(..at), 40),
        _ => (Some(value), 0),
    };
    let number: Option<u64> = digits.and_then(|d| d.parse().ok());
    let bytes = number.and_then(|n| n.checked_mul(1_u64.checked_shl(shift)?));
    bytes.ok_or_else(|| "the value is not a number of bytes, such as 1048576 or 64M".to_owned())
}

/// The table of limits for `mip --help`.
pub(crate) fn help() -> String {
    let mut out =
        String::from("Limits for --limit NAME=BYTES (counts where the name is not about bytes):\n");
    let number = |n: u64| if n == u64::MAX { "none".to_owned() } else { n.to_string() };
    out.push_str(&format!("  {:<18}{:>14}{:>14}\n", "NAME", "default", "strict"));
    for (name, field) in LIMITS {
        let (mut usual, mut strict) = (Limits::default(), Limits::strict());
        out.push_str(&format!(
            "  {:<18}{:>14}{:>14}\n",
            name.replace('_', "-"),
            number(*field(&mut usual)),
            number(*field(&mut strict)),
        ));
    }
    out.push_str("\nA limit of 0 means nothing is allowed, never unlimited.");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_of_the_library_has_a_name() {
        // The derived Debug form of Limits names every field once.
        let shown = format!("{:?}", Limits::default());
        let fields: Vec<&str> = shown
            .trim_start_matches("Limits { ")
            .trim_end_matches(" }")
            .split(", ")
            .map(|f| f.split(": ").next().unwrap())
            .collect();
        let names: Vec<&str> = LIMITS.iter().map(|(n, _)| *n).collect();
        assert_eq!(names, fields);
    }
}
