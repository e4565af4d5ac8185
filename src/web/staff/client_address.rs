//! From where somebody signs in: attempts are counted by it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap, HeaderName};

/// The address that the header of our proxy names, or of the connection. Only the last address of the
/// header is the proxy's word: what stands before it, whoever asks has written.
pub(super) fn of(
    headers: &HeaderMap,
    extensions: &Extensions,
    trusted: Option<&HeaderName>,
) -> Option<IpAddr> {
    let connection = extensions.get::<ConnectInfo<SocketAddr>>();
    let Some(trusted) = trusted else {
        return connection.map(|info| counted(info.0.ip()));
    };
    let named = headers.get_all(trusted).iter().next_back()?.to_str().ok()?;
    let last = named.rsplit(',').next()?.trim();
    last.parse().ok().map(counted)
}

/// A customer has a whole /64 of IPv6 (RFC 6177), so it counts as one.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_the_trusted_header_and_of_it_only_the_last_address_counts() {
        let trusted = HeaderName::from_static("x-forwarded-for");
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 1))));
        let find = |text: &'static str, trusted: Option<&HeaderName>| {
            let mut headers = HeaderMap::new();
            headers.append("x-forwarded-for", HeaderValue::from_static("9.9.9.9"));
            headers.append("x-forwarded-for", HeaderValue::from_static(text));
            of(&headers, &extensions, trusted).map(|it| it.to_string())
        };
        for (text, found) in [
            ("192.0.2.7", Some("192.0.2.7")),
            ("1.1.1.1, 192.0.2.7", Some("192.0.2.7")),
            ("2001:db8:1:2:3:4:5:6", Some("2001:db8:1:2::")),
            ("::ffff:192.0.2.7", Some("192.0.2.7")),
            ("unknown", None),
            ("", None),
        ] {
            assert_eq!(find(text, Some(&trusted)).as_deref(), found, "{text}");
            assert_eq!(find(text, None).as_deref(), Some("10.0.0.1"));
        }
    }
}
