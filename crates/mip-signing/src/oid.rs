//! Object identifiers, as the content octets of their DER form.

/// The content type of a MIP index: 2.25.325635056561047735607541986947491753784, the
/// UUID f4fb07d7-d8db-478c-8073-16cae0a0ef38 (ITU-T X.667: no registration needed).
/// A type of our own separates these signatures from every other use of the same key.
pub(crate) const MIP_INDEX: &[u8] = &[
    0x69, 0x83, 0xe9, 0xfb, 0x83, 0xf5, 0xfb, 0x8d, 0xda, 0x9e, 0x99, 0x80, 0xb9, 0xc5, 0xd9, 0xae,
    0x85, 0x83, 0xde, 0x38,
];

// PKCS#7 and PKCS#9 (RFC 5652, RFC 2985)
pub(crate) const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
pub(crate) const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
pub(crate) const ENCRYPTED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 6];
pub(crate) const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
pub(crate) const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];
pub(crate) const SIGNING_TIME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 5];

// timestamps (RFC 3161)
pub(crate) const TST_INFO: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 4];
pub(crate) const TIMESTAMP_TOKEN: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 2, 14];
pub(crate) const TIME_STAMPING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 8];

// Apple: 1.2.840.113635.100 and below it
pub(crate) const APPLE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x63, 0x64];

// digests
pub(crate) const MD5: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 5];
pub(crate) const SHA1: &[u8] = &[0x2b, 14, 3, 2, 26];
pub(crate) const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
pub(crate) const SHA384: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];
pub(crate) const SHA512: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3];

// RSA (RFC 8017)
pub(crate) const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
pub(crate) const MD2_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 2];
pub(crate) const MD5_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4];
pub(crate) const SHA1_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5];
pub(crate) const SHA256_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
pub(crate) const SHA384_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12];
pub(crate) const SHA512_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13];

// elliptic curves (RFC 5480) and DSA
pub(crate) const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
pub(crate) const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
pub(crate) const P384: &[u8] = &[0x2b, 0x81, 4, 0, 34];
pub(crate) const P521: &[u8] = &[0x2b, 0x81, 4, 0, 35];
pub(crate) const ECDSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
pub(crate) const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
pub(crate) const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
pub(crate) const ECDSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4];
pub(crate) const DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1];
pub(crate) const DSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 3];

// certificate extensions and purposes (RFC 5280)
pub(crate) const COMMON_NAME: &[u8] = &[0x55, 4, 3];
pub(crate) const ORGANIZATIONAL_UNIT: &[u8] = &[0x55, 4, 11];
pub(crate) const SUBJECT_KEY_ID: &[u8] = &[0x55, 29, 14];
pub(crate) const KEY_USAGE: &[u8] = &[0x55, 29, 15];
pub(crate) const SUBJECT_ALT_NAME: &[u8] = &[0x55, 29, 17];
pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 29, 19];
pub(crate) const NAME_CONSTRAINTS: &[u8] = &[0x55, 29, 30];
pub(crate) const CERTIFICATE_POLICIES: &[u8] = &[0x55, 29, 32];
pub(crate) const AUTHORITY_KEY_ID: &[u8] = &[0x55, 29, 35];
pub(crate) const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 29, 37];
pub(crate) const ANY_PURPOSE: &[u8] = &[0x55, 29, 37, 0];
pub(crate) const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];

// password-based encryption (RFC 8018) and PKCS#12 (RFC 7292)
pub(crate) const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 12];
pub(crate) const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 13];
pub(crate) const HMAC_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 7];
pub(crate) const HMAC_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 9];
pub(crate) const HMAC_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 10];
pub(crate) const HMAC_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 11];
pub(crate) const AES_128_CBC: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 2];
pub(crate) const AES_192_CBC: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 22];
pub(crate) const AES_256_CBC: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 42];
pub(crate) const PKCS12_SHA1_3DES: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 1, 3];
pub(crate) const PKCS12_SHA1_RC2_40: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 1, 6];
pub(crate) const PKCS12_SHROUDED_KEY: &[u8] =
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 10, 1, 2];

/// The dotted form, for messages; hexadecimal when the octets are not an identifier.
pub(crate) fn text(content: &[u8]) -> String {
    dotted(content).unwrap_or_else(|| mip_base::hex(content))
}

fn dotted(content: &[u8]) -> Option<String> {
    let mut arcs: Vec<u128> = Vec::new();
    let mut n = 0u128;
    for b in content.iter().take(64) {
        n = n.checked_mul(128)?.checked_add(u128::from(b & 0x7f))?;
        if b & 0x80 == 0 {
            if arcs.is_empty() {
                let top = (n / 40).min(2);
                arcs.push(top);
                n = n.checked_sub(top.checked_mul(40)?)?;
            }
            arcs.push(n);
            n = 0;
        }
    }
    (!arcs.is_empty() && n == 0 && content.len() <= 64)
        .then(|| arcs.iter().map(ToString::to_string).collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_dotted() {
        assert_eq!(text(SIGNED_DATA), "1.2.840.113549.1.7.2");
        assert_eq!(text(SHA256), "2.16.840.1.101.3.4.2.1");
        assert_eq!(text(P384), "1.3.132.0.34");
        // The number of the UUID in the decision page.
        assert_eq!(
            text(MIP_INDEX),
            format!("2.25.{}", 0xf4fb_07d7_d8db_478c_8073_16ca_e0a0_ef38_u128)
        );
        assert_eq!(text(&[0x80]), "80");
    }
}
