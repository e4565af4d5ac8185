//! The signing certificates at hand: fetched once each, kept, and never fetched in a crowd.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::certificate::{Certificate, NotACertificate};
use super::refusal::Refusal;
use crate::domain::time::Timestamp;

/// Certificates kept. SNS changes its certificate about once a year and uses one for most regions.
const KNOWN_MAX: usize = 16;
/// Failures kept, so that senders of invented addresses cannot fill the memory.
const FAILED_MAX: usize = 64;
/// An address that failed is not asked again for this long: much less than the 20 s after which
/// SNS repeats a message.
const FAILED_FOR: Duration = Duration::from_secs(5);
/// Fetches under way at the same time. An address always takes the same lane, so it is never
/// fetched twice at once.
const LANES: usize = 4;
/// A whole fetch, from the name look-up to the last byte.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
/// Waiting for a lane. Together with the fetch less than the 15 s in which SNS wants its answer.
const LANE_TIMEOUT: Duration = Duration::from_secs(6);
/// In bytes. Real certificates have about 2000.
const PEM_MAX: usize = 16 * 1024;

const NOT_200: &str = "the answer was not 200";
const TOO_LARGE: &str = "the answer is larger than a certificate";

type Fetch = Box<dyn Fn(String) -> BoxFuture<'static, Result<Vec<u8>, &'static str>> + Send + Sync>;

/// Shared by all who verify. Only successes are kept for long: a network failure must not make us
/// refuse what SNS sends later.
pub struct Certificates {
    trusted: Vec<(String, Arc<Certificate>)>,
    memory: Mutex<Memory>,
    lanes: [tokio::sync::Mutex<()>; LANES],
    fetch: Fetch,
}

#[derive(Default)]
struct Memory {
    known: VecDeque<(String, Arc<Certificate>)>,
    failed: VecDeque<(String, Timestamp)>,
}

/// The HTTPS client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the client that fetches signing certificates cannot be made")]
pub struct NoClient(#[source] reqwest::Error);

impl Certificates {
    /// Fetches over HTTPS: no redirects, no repetition, bounded in time and size.
    pub fn over_https() -> Result<Self, NoClient> {
        let client = reqwest::Client::builder()
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(FETCH_TIMEOUT)
            .timeout(FETCH_TIMEOUT)
            .build()
            .map_err(NoClient)?;
        Ok(Self::fetched_by(move |url| {
            download(client.clone(), url).boxed()
        }))
    }

    /// Answers every address with this certificate instead of fetching; everything else is checked
    /// as ever. For judging stored messages.
    pub fn given(pem: &[u8]) -> Result<Self, NotACertificate> {
        Certificate::from_pem(pem)?;
        let pem = pem.to_vec();
        Ok(Self::fetched_by(move |_url| {
            std::future::ready(Ok(pem.clone())).boxed()
        }))
    }

    pub(super) fn fetched_by(
        fetch: impl Fn(String) -> BoxFuture<'static, Result<Vec<u8>, &'static str>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self {
            trusted: Vec::new(),
            memory: Mutex::default(),
            lanes: std::array::from_fn(|_| tokio::sync::Mutex::default()),
            fetch: Box::new(fetch),
        }
    }

    /// Adds a trust anchor for exactly this address: neither the address nor the certificate's name
    /// is asked about, nor is it fetched; its validity and the signature are checked as ever. For
    /// the sandbox, which signs with a key of its own.
    pub fn trust(&mut self, url: &str, pem: &[u8]) -> Result<(), NotACertificate> {
        let certificate = Arc::new(Certificate::from_pem(pem)?);
        self.trusted.push((url.to_owned(), certificate));
        Ok(())
    }

    pub(super) fn trusted(&self, url: &str) -> Option<Arc<Certificate>> {
        self.trusted
            .iter()
            .find(|(trusted, _)| trusted == url)
            .map(|(_, certificate)| Arc::clone(certificate))
    }

    /// Whether the host answers at all.
    pub(super) async fn reaches(&self, host: &str) -> bool {
        let answer = (self.fetch)(format!("https://{host}/")).await;
        matches!(answer, Ok(_) | Err(NOT_200 | TOO_LARGE))
    }

    /// The certificate at an address that has passed the policy. Callers who want the same one wait
    /// for the same fetch; when it fails, all of them are told so.
    pub(super) async fn get(&self, url: &str, now: Timestamp) -> Result<Arc<Certificate>, Refusal> {
        if let Some(known) = self.memory().recall(url, now)? {
            return Ok(known);
        }
        let _turn = tokio::time::timeout(LANE_TIMEOUT, self.lane(url).lock())
            .await
            .map_err(|_elapsed| unavailable("too many are being fetched"))?;
        if let Some(known) = self.memory().recall(url, now)? {
            return Ok(known);
        }
        let fetched = (self.fetch)(url.to_owned()).await.and_then(|pem| {
            Certificate::from_pem(&pem).map_err(|NotACertificate| "the answer is no certificate")
        });
        match fetched {
            Ok(certificate) => Ok(self.memory().keep(url, certificate)),
            Err(why) => {
                self.memory().note_failure(url, now);
                Err(unavailable(why))
            }
        }
    }

    fn lane(&self, url: &str) -> &tokio::sync::Mutex<()> {
        let mut hasher = DefaultHasher::new();
        url.hash(&mut hasher);
        let lane = hasher.finish() % u64::try_from(LANES).unwrap_or(1);
        let [first, ..] = &self.lanes;
        usize::try_from(lane)
            .ok()
            .and_then(|lane| self.lanes.get(lane))
            .unwrap_or(first)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn recall(&self, url: &str, now: Timestamp) -> Result<Option<Arc<Certificate>>, Refusal> {
        if let Some((_, certificate)) = self.known.iter().find(|(known, _)| known == url) {
            return Ok(Some(Arc::clone(certificate)));
        }
        // Apart in either direction, so that a clock that was set back does not prolong a failure.
        let fresh = |at: Timestamp| now.since(at).max(at.since(now)) < FAILED_FOR;
        if self
            .failed
            .iter()
            .any(|(failed, at)| failed == url && fresh(*at))
        {
            return Err(unavailable("fetching it failed seconds ago"));
        }
        Ok(None)
    }

    fn keep(&mut self, url: &str, certificate: Certificate) -> Arc<Certificate> {
        let certificate = Arc::new(certificate);
        self.failed.retain(|(failed, _)| failed != url);
        self.known
            .push_back((url.to_owned(), Arc::clone(&certificate)));
        if self.known.len() > KNOWN_MAX {
            self.known.pop_front();
        }
        certificate
    }

    fn note_failure(&mut self, url: &str, now: Timestamp) {
        self.failed.retain(|(failed, _)| failed != url);
        self.failed.push_back((url.to_owned(), now));
        if self.failed.len() > FAILED_MAX {
            self.failed.pop_front();
        }
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.memory().known.len();
        f.debug_struct("Certificates")
            .field("trusted", &self.trusted.len())
            .field("known", &known)
            .finish_non_exhaustive()
    }
}

const fn unavailable(why: &'static str) -> Refusal {
    Refusal::CertificateUnavailable { why }
}

async fn download(client: reqwest::Client, url: String) -> Result<Vec<u8>, &'static str> {
    let mut response = client.get(url).send().await.map_err(|e| words(&e))?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(NOT_200);
    }
    let mut pem = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| words(&e))? {
        if pem.len() + chunk.len() > PEM_MAX {
            return Err(TOO_LARGE);
        }
        pem.extend_from_slice(&chunk);
    }
    Ok(pem)
}

fn words(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Semaphore;

    use super::super::fixture;
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + seconds * 1000)
    }

    /// Counts the fetches and lets none finish before it has a permit.
    struct Peer {
        calls: AtomicUsize,
        busiest: AtomicUsize,
        busy: AtomicUsize,
        permits: Semaphore,
        answer: Mutex<Result<Vec<u8>, &'static str>>,
    }

    impl Peer {
        fn new(permits: usize) -> Arc<Self> {
            Arc::new(Self {
                calls: AtomicUsize::new(0),
                busiest: AtomicUsize::new(0),
                busy: AtomicUsize::new(0),
                permits: Semaphore::new(permits),
                answer: Mutex::new(Ok(fixture("test-signing/cert.pem"))),
            })
        }

        fn answers(&self, answer: Result<Vec<u8>, &'static str>) {
            *self.answer.lock().unwrap() = answer;
        }

        fn calls(&self) -> usize {
            self.calls.load(Ordering::SeqCst)
        }

        fn certificates(self: &Arc<Self>) -> Arc<Certificates> {
            let peer = Arc::clone(self);
            Arc::new(Certificates::fetched_by(move |_url| {
                let peer = Arc::clone(&peer);
                async move {
                    peer.calls.fetch_add(1, Ordering::SeqCst);
                    let busy = peer.busy.fetch_add(1, Ordering::SeqCst) + 1;
                    peer.busiest.fetch_max(busy, Ordering::SeqCst);
                    peer.permits.acquire().await.unwrap().forget();
                    peer.busy.fetch_sub(1, Ordering::SeqCst);
                    peer.answer.lock().unwrap().clone()
                }
                .boxed()
            }))
        }
    }

    async fn until(what: impl Fn() -> bool) {
        tokio::time::timeout(Duration::from_secs(5), async {
            while !what() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("the condition holds within five seconds");
    }

    #[tokio::test]
    async fn one_address_is_fetched_once_for_all_who_wait_and_then_kept() {
        let peer = Peer::new(0);
        let certificates = peer.certificates();
        let waiting: Vec<_> = (0..50)
            .map(|_| {
                let certificates = Arc::clone(&certificates);
                tokio::spawn(async move { certificates.get("a", at(0)).await.is_ok() })
            })
            .collect();
        until(|| peer.calls() == 1).await;
        peer.permits.add_permits(50);
        for waiter in waiting {
            assert!(waiter.await.unwrap());
        }
        assert!(certificates.get("a", at(1_000_000)).await.is_ok());
        assert_eq!(peer.calls(), 1);
    }

    #[tokio::test]
    async fn a_caller_who_goes_away_does_not_stop_the_others() {
        let peer = Peer::new(0);
        let certificates = peer.certificates();
        let impatient = tokio::spawn({
            let certificates = Arc::clone(&certificates);
            async move { certificates.get("a", at(0)).await.is_ok() }
        });
        until(|| peer.calls() == 1).await;
        impatient.abort();
        assert!(impatient.await.unwrap_err().is_cancelled());
        peer.permits.add_permits(1);
        assert!(certificates.get("a", at(0)).await.is_ok());
    }

    #[tokio::test]
    async fn a_failure_is_remembered_for_seconds_and_never_as_a_forgery() {
        let peer = Peer::new(100);
        let certificates = peer.certificates();
        peer.answers(Err("no connection"));
        let first = certificates.get("a", at(0)).await.unwrap_err();
        assert_eq!(first, unavailable("no connection"));
        let second = certificates.get("a", at(4)).await.unwrap_err();
        assert_eq!(second, unavailable("fetching it failed seconds ago"));
        assert_eq!(peer.calls(), 1);

        peer.answers(Ok(fixture("test-signing/cert.pem")));
        assert!(
            certificates.get("b", at(4)).await.is_ok(),
            "another address is asked"
        );
        assert!(
            certificates.get("a", at(5)).await.is_ok(),
            "the same one again, later"
        );
        assert!(certificates.get("a", at(5)).await.is_ok());
        assert_eq!(peer.calls(), 3);
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_does_not_prolong_a_failure() {
        let peer = Peer::new(100);
        let certificates = peer.certificates();
        peer.answers(Err("no connection"));
        assert!(certificates.get("a", at(10_000)).await.is_err());
        peer.answers(Ok(fixture("test-signing/cert.pem")));
        assert!(certificates.get("a", at(0)).await.is_ok());
    }

    #[tokio::test]
    async fn an_answer_that_is_no_certificate_is_a_failure_and_not_kept() {
        let peer = Peer::new(100);
        let certificates = peer.certificates();
        peer.answers(Ok(b"<Error/>".to_vec()));
        let refusal = certificates.get("a", at(0)).await.unwrap_err();
        assert_eq!(refusal, unavailable("the answer is no certificate"));
        peer.answers(Ok(fixture("test-signing/cert.pem")));
        assert!(certificates.get("a", at(6)).await.is_ok());
    }

    #[tokio::test]
    async fn memory_and_concurrency_are_bounded() {
        let peer = Peer::new(0);
        let certificates = peer.certificates();
        let waiting: Vec<_> = (0..40)
            .map(|n| {
                let certificates = Arc::clone(&certificates);
                tokio::spawn(async move { certificates.get(&n.to_string(), at(0)).await.is_ok() })
            })
            .collect();
        until(|| peer.calls() == LANES).await;
        peer.permits.add_permits(1000);
        for waiter in waiting {
            assert!(waiter.await.unwrap());
        }
        assert!(peer.busiest.load(Ordering::SeqCst) <= LANES);
        peer.answers(Err("no connection"));
        for n in 100..300 {
            assert!(certificates.get(&n.to_string(), at(0)).await.is_err());
        }
        let memory = certificates.memory();
        assert_eq!(
            (memory.known.len(), memory.failed.len()),
            (KNOWN_MAX, FAILED_MAX)
        );
    }

    /// A plain HTTP peer: `download` itself does not insist on HTTPS, the client made by
    /// `over_https` does.
    async fn peer_that_answers(response: Vec<u8>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x.pem", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(&response).await.ok();
        });
        url
    }

    #[tokio::test]
    async fn only_a_small_answer_of_200_is_taken() {
        let client = || {
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .timeout(FETCH_TIMEOUT)
                .build()
                .unwrap()
        };
        let body = fixture("test-signing/cert.pem");
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        let url = peer_that_answers([head.as_bytes(), &body].concat()).await;
        assert_eq!(download(client(), url).await, Ok(body));

        let endless = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; PEM_MAX + 1]].concat();
        let url = peer_that_answers(endless).await;
        assert_eq!(
            download(client(), url).await,
            Err("the answer is larger than a certificate")
        );
        for status in [
            "302 Found\r\nlocation: http://127.0.0.1:1/",
            "403 Forbidden",
        ] {
            let response = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            let url = peer_that_answers(response.into_bytes()).await;
            assert_eq!(download(client(), url).await, Err("the answer was not 200"));
        }
    }

    #[tokio::test]
    async fn nothing_is_fetched_over_plain_http() {
        let certificates = Certificates::over_https().unwrap();
        let url = peer_that_answers(Vec::new()).await;
        let refusal = certificates.get(&url, at(0)).await.unwrap_err();
        assert_eq!(refusal.label(), "certificate_unavailable");
    }
}
