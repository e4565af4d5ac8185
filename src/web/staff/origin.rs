//! Whether a form comes from our own pages: browsers say so in every request that changes something.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};

/// As the OWASP CSRF Prevention Cheat Sheet has it: Fetch Metadata decides; a browser without it sends
/// `Origin`, which must name the host that was asked for. What sends neither is no browser, and
/// nobody can make it act for somebody else.
pub(super) fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    match (text("sec-fetch-site"), text(ORIGIN.as_str())) {
        (Some(site), _) => site == "same-origin" || site == "none",
        (None, None) => true,
        (None, Some(origin)) => {
            let host = text(HOST.as_str()).unwrap_or("");
            let named = origin.split_once("://").map_or("", |(_, named)| named);
            !host.is_empty() && named.eq_ignore_ascii_case(host)
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn only_forms_of_our_own_pages_pass() {
        for (headers, own) in [
            (&[][..], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "same-site")], false),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://a.example"),
                ],
                false,
            ),
            (&[("sec-fetch-site", "\u{e9}")], false),
            (&[("origin", "https://a.example")], true),
            (&[("origin", "https://A.example")], true),
            (&[("origin", "https://b.example")], false),
            (&[("origin", "https://a.example.b.example")], false),
            (&[("origin", "https://a.example:444")], false),
            (&[("origin", "null")], false),
            (&[("origin", "")], false),
        ] {
            let pairs = headers.iter().map(|(name, value)| {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                (HeaderName::from_static(name), value)
            });
            let mut given: HeaderMap = pairs.collect();
            given.insert(HOST, HeaderValue::from_static("a.example"));
            assert_eq!(is_own(&given), own, "{headers:?}");
        }
        let mut nowhere = HeaderMap::new();
        nowhere.insert(ORIGIN, HeaderValue::from_static("https://"));
        assert!(
            !is_own(&nowhere),
            "without a host there is nothing to compare"
        );
    }
}
