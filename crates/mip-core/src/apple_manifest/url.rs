//! The address in a manifest.

use mip_base::{Code, Error, Result, escape};

/// Longest address that is taken.
const MAX_BYTES: usize = 2048;

/// An address that a Mac can take a package from.
///
/// Apple's schema asks that it "needs to start with `https://`" (apple/device-management,
/// `other/manifesturl.yaml`); the rest is RFC 3986: ASCII, everything else percent-encoded.
///
/// # Errors
/// [`Code::Usage`].
pub(super) fn check(url: &str) -> Result<()> {
    let bad = |why: &str, hint: &str| {
        let shown: String = url.chars().take(100).collect();
        let text = format!("the URL \"{}\" {why}", escape(&shown));
        Err(Error::new(Code::Usage, text).hint(hint))
    };
    if url.len() > MAX_BYTES {
        return bad("is longer than 2048 bytes", "shorten it");
    }
    let Some(rest) = url.strip_prefix("https://") else {
        return bad(
            "does not start with https://",
            "macOS takes packages by https only: give --url https://…",
        );
    };
    if let Some(c) = url.chars().find(|c| !is_of_a_url(*c)) {
        let why = format!("holds \"{}\"", escape(c.encode_utf8(&mut [0; 4])));
        return bad(&why, "write it percent-encoded: a blank is %20");
    }
    let mut percents = rest.match_indices('%').map(|(at, _)| rest.get(at.saturating_add(1)..));
    let coded = |after: Option<&str>| {
        let two = after.unwrap_or_default().as_bytes().get(..2);
        two.is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    };
    if !percents.all(coded) {
        return bad("has a % that is not followed by two hexadecimal digits", "write % as %25");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        let hint = "everyone who reads the manifest would read them: serve the package without";
        return bad("holds a user name or password", hint);
    }
    let host = authority.rsplit_once(':').map_or(authority, |(host, port)| {
        if port.bytes().all(|b| b.is_ascii_digit()) { host } else { authority }
    });
    if host.is_empty() {
        return bad("names no host", "give --url https://host/path/Tool.pkg");
    }
    if rest.contains('#') {
        return bad("has a fragment (#…), which no server sees", "leave it out, or write # as %23");
    }
    Ok(())
}

/// Unreserved, reserved and `%` (RFC 3986, 2.2 and 2.3).
fn is_of_a_url(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_a_mac_can_use() {
        for good in [
            "https://example.com/Tool.pkg",
            "https://example.com:8443/a%20b/T(1).pkg?x=1&y=%25",
            "https://[2001:db8::1]/Tool.pkg",
            "https://[2001:db8::1]:443/Tool.pkg",
        ] {
            check(good).unwrap();
        }
        let long = format!("https://e.com/{}", "a".repeat(3000));
        for bad in [
            "http://example.com/Tool.pkg",
            "HTTPS://example.com/Tool.pkg",
            "file:///Tool.pkg",
            "example.com/Tool.pkg",
            "https://",
            "https:///Tool.pkg",
            "https://:443/Tool.pkg",
            "https://example.com/a b.pkg",
            "https://example.com/\u{202e}gkp.exe",
            "https://example.com/gr\u{f6}\u{df}e.pkg",
            "https://example.com/a\nb",
            "https://example.com/<x>",
            "https://example.com/50%.pkg",
            "https://example.com/%2",
            "https://me:secret@example.com/Tool.pkg",
            "https://example.com/Tool.pkg#top",
            "",
            &long,
        ] {
            let e = check(bad).unwrap_err();
            assert_eq!(e.code(), Code::Usage, "{bad}");
            assert!(e.next_step().is_some());
            assert!(!e.message().contains('\u{202e}'));
        }
    }
}
