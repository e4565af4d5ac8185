//! What is common to the settings of all transports: how a wrong one is named, and limits.

/// A wrong setting: its key within the section, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} {message}")]
pub struct Problem {
    pub key: &'static str,
    pub message: String,
}

impl Problem {
    pub fn new(key: &'static str, message: impl Into<String>) -> Self {
        Self {
            key,
            message: message.into(),
        }
    }
}

/// The longest time-out that makes sense: RFC 5321 4.5.3.2.6 waits ten minutes for the last reply.
const TIMEOUT_MS_MAX: u64 = 600_000;

/// A time-out is above zero and at most [`TIMEOUT_MS_MAX`].
pub(super) fn check_timeout(problems: &mut Vec<Problem>, key: &'static str, millis: u64) {
    if !(1..=TIMEOUT_MS_MAX).contains(&millis) {
        problems.push(Problem::new(
            key,
            format!("is {millis}; it must be 1 to {TIMEOUT_MS_MAX} (milliseconds)"),
        ));
    }
}

/// The time-outs of an HTTP API: for connecting, and for the whole request.
pub(super) fn check_timeouts(problems: &mut Vec<Problem>, connect_ms: u64, whole_ms: u64) {
    check_timeout(problems, "connect_timeout_ms", connect_ms);
    check_timeout(problems, "timeout_ms", whole_ms);
    if connect_ms >= whole_ms {
        // The other way round a connection that was never made would look like a lost answer.
        problems.push(Problem::new(
            "timeout_ms",
            "must be longer than connect_timeout_ms",
        ));
    }
}

/// `http://` or `https://` and a host.
pub(super) fn check_endpoint(problems: &mut Vec<Problem>, key: &'static str, url: Option<&str>) {
    let Some(url) = url else { return };
    let fits = reqwest::Url::parse(url)
        .is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
    if !fits {
        problems.push(Problem::new(
            key,
            "is not an address: write it like https://email.eu-west-1.amazonaws.com",
        ));
    }
}

/// The fastest rate that makes sense as a setting: beyond it there is nothing to limit.
const PER_SECOND_MAX: f64 = 1_000_000.0;
/// One message in ten seconds.
const PER_SECOND_MIN: f64 = 0.1;

/// Rates are within bounds, and the first is not above the last.
pub(super) fn check_rates(
    problems: &mut Vec<Problem>,
    max: (&'static str, Option<f64>),
    initial: (&'static str, Option<f64>),
) {
    for (key, rate) in [max, initial] {
        if rate.is_some_and(|rate| !(PER_SECOND_MIN..=PER_SECOND_MAX).contains(&rate)) {
            problems.push(Problem::new(
                key,
                format!("must be {PER_SECOND_MIN} to {PER_SECOND_MAX} (a second)"),
            ));
        }
    }
    if let (Some(most), Some(first)) = (max.1, initial.1)
        && first > most
    {
        problems.push(Problem::new(
            initial.0,
            format!("must not be above {}", max.0),
        ));
    }
}

/// An address to which secrets go as they are: `https://`, or this machine itself.
pub(super) fn check_private_endpoint(
    problems: &mut Vec<Problem>,
    key: &'static str,
    url: Option<&str>,
) {
    let Some(url) = url else { return };
    match reqwest::Url::parse(url) {
        Ok(url) if url.scheme() == "https" && url.has_host() => {}
        Ok(url) if url.scheme() == "http" && url.host_str().is_some_and(is_loopback) => {}
        Ok(url) if url.scheme() == "http" => problems.push(Problem::new(
            key,
            "would send the credentials in the clear: use https://",
        )),
        Ok(_) | Err(_) => problems.push(Problem::new(
            key,
            "is not an address: it begins with https://",
        )),
    }
}

/// The host is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    bare == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}
