//! A provider's HTTP API: a client with explicit time-outs that keeps its connections and never
//! repeats a call, and what can become of a call.

use std::error::Error as StdError;
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, ClientBuilder, RequestBuilder, Response};

use super::answer::{Fault, chain, retry_after};
use super::settings::{Problem, check_private_endpoint, check_timeouts};
use crate::domain::time::Timestamp;

/// How to reach one API, taken from its section of the configuration.
#[derive(Clone, Copy)]
pub(super) struct Reach<'a> {
    pub(super) endpoint_url: Option<&'a str>,
    pub(super) connect_timeout_ms: u64,
    pub(super) timeout_ms: u64,
}

/// A connection without work is given up after this: less than load balancers' usual minute, so
/// that we seldom meet one that the other side has just closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
/// An HTTP/2 connection is asked for a sign of life this often and given up without one, so that no
/// request waits on a connection that a firewall has forgotten.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

impl Reach<'_> {
    pub(super) fn validate(&self, problems: &mut Vec<Problem>) {
        check_private_endpoint(problems, "endpoint_url", self.endpoint_url);
        check_timeouts(problems, self.connect_timeout_ms, self.timeout_ms);
    }

    /// The address without a slash at its end.
    pub(super) fn base(&self, default: &str) -> String {
        let base = self.endpoint_url.unwrap_or(default);
        base.trim_end_matches('/').to_owned()
    }

    /// No retries: reqwest's own could send a message twice, and a redirect is nobody we know.
    pub(super) fn client(&self) -> ClientBuilder {
        Client::builder()
            .user_agent(concat!("sendtrail/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_millis(self.connect_timeout_ms))
            .timeout(Duration::from_millis(self.timeout_ms))
            .pool_idle_timeout(IDLE_TIMEOUT)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(true)
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .tcp_nodelay(true)
    }
}

/// The client cannot be made: most likely the system has no trusted certificates.
pub(super) fn no_client(error: &reqwest::Error) -> Problem {
    Problem::new(
        "endpoint_url",
        format!("cannot be called: {}", chain(error)),
    )
}

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

/// No answer of these APIs comes near; what is longer came from something else.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// Makes one call and reads the whole answer: before its last byte it may still turn out to be lost.
pub(super) async fn exchange(request: RequestBuilder, now: Timestamp) -> Result<Reply, Fault> {
    let mut response = request.send().await.map_err(fault)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(fault)? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(Fault::Lost(format!(
                "the answer is longer than {BODY_BYTES_MAX} bytes"
            )));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply {
        status: response.status().as_u16(),
        retry_after: patience(&response, now),
        body,
    })
}

fn patience(response: &Response, now: Timestamp) -> Option<Duration> {
    let header = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    retry_after(header, now)
}

/// The address is left out of the words: for APNs it holds the device's token.
fn fault(error: reqwest::Error) -> Fault {
    let error = error.without_url();
    let text = chain(&error);
    if error.is_builder() {
        Fault::Setup(text)
    } else if error.is_connect() || was_not_looked_at(&error) {
        Fault::NotSent(text)
    } else {
        Fault::Lost(text)
    }
}

/// The provider says that it has not worked on the request: it is closing the connection without a
/// fault (RFC 9113 6.8), or refuses one more stream (8.7).
fn was_not_looked_at(error: &reqwest::Error) -> bool {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(h2) = cause.downcast_ref::<h2::Error>() {
            let closing = h2.is_go_away() && h2.reason() == Some(h2::Reason::NO_ERROR);
            let refused = h2.is_reset() && h2.reason() == Some(h2::Reason::REFUSED_STREAM);
            return h2.is_remote() && (closing || refused);
        }
        next = cause.source();
    }
    false
}
