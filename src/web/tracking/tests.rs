//! The links without a database behind them, and the queue when it is full.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use tower::ServiceExt as _;

use super::*;
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;
use crate::metrics::Metrics;
use crate::store::Store;

/// Its store has no tables: whatever asks it fails.
struct Links {
    app: Router,
    queue: Queue,
    metrics: Arc<Metrics>,
    tokens: Tokens,
    clock: Clock,
}

impl Links {
    async fn new() -> Self {
        let clock = Clock::manual(Timestamp::from_millis(1_800_000_000_000));
        let store = Store::open("sqlite::memory:", 1, clock.clone()).await;
        let metrics: Arc<Metrics> = Arc::default();
        let (visits, queue) = Queue::new(store.unwrap(), Arc::clone(&metrics));
        let tokens = Tokens::new("a secret of some length");
        let app = router(Tracking {
            tokens: tokens.clone(),
            visits,
            clock: clock.clone(),
        });
        Self {
            app,
            queue,
            metrics,
            tokens,
            clock,
        }
    }

    fn id(&self) -> NotificationId {
        NotificationId::new(self.clock.new_uuid(self.clock.now()))
    }

    fn click(&self, target: &str) -> String {
        let target = Target::parse(target).unwrap();
        format!("/t/c/{}", self.tokens.click(self.id(), &target))
    }

    fn open(&self) -> String {
        format!("/t/o/{}", self.tokens.open(self.id()))
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        self.app.clone().oneshot(request).await.unwrap()
    }

    fn counted(&self, kind: &str, result: &str) -> Option<String> {
        let text = self.metrics.render(None, self.clock.now());
        let series = format!("sendtrail_visits_total{{kind=\"{kind}\",result=\"{result}\"}} ");
        let mut lines = text.lines();
        lines.find_map(|line| Some(line.strip_prefix(&series)?.to_owned()))
    }

    /// How many wait to be recorded.
    fn waiting(&self) -> usize {
        self.queue.len()
    }
}

fn is_guarded(response: &Response) {
    let headers = response.headers();
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["x-robots-tag"], "noindex, nofollow");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert!(!headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn a_person_is_led_on_and_a_picture_is_shown_whatever_the_database_does() {
    let links = Links::new().await;
    let target = "https://example.com/a?b=c&d=%0D%0ASet-Cookie:x#e";
    let response = links.ask("GET", &links.click(target), &[]).await;
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(response.headers()["location"], target);
    is_guarded(&response);
    let response = links.ask("GET", &links.open(), &[]).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "image/gif");
    is_guarded(&response);
    let picture = to_bytes(response.into_body(), 1_000).await.unwrap();
    assert_eq!(&picture[..], PICTURE);
    assert_eq!(links.waiting(), 2);
}

#[tokio::test]
async fn to_look_without_loading_and_to_look_ahead_is_no_visit() {
    let links = Links::new().await;
    let click = links.click("https://example.com/");
    let head = links.ask("HEAD", &click, &[]).await;
    assert_eq!(head.status(), StatusCode::FOUND);
    assert_eq!(head.headers()["location"], "https://example.com/");
    assert_eq!(links.ask("HEAD", &links.open(), &[]).await.status(), 200);
    let ahead = [("sec-purpose", "prefetch;prerender")];
    let response = links.ask("GET", &click, &ahead).await;
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(links.waiting(), 0);
    let counted = links.counted("clicked", "prefetched");
    assert_eq!(counted.as_deref(), Some("1"));
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(links.ask(method, &click, &[]).await.status(), 405);
    }
}

#[tokio::test]
async fn what_was_altered_leads_nowhere() {
    let links = Links::new().await;
    let (open, click) = (links.open(), links.click("https://example.com/"));
    let other = Tokens::new("another secret of some length");
    let target = Target::parse("https://evil.example/").unwrap();
    let forged = format!("/t/c/{}", other.click(links.id(), &target));
    let long = format!("/t/c/{}", "A".repeat(TOKEN_LENGTH_MAX + 1));
    let swapped = format!(
        "{}{}",
        &click[..30],
        &links.click("https://b.example/")[30..]
    );
    for path in [
        forged.as_str(),
        &long,
        &swapped,
        &click.replacen("/t/c/", "/t/o/", 1),
        &open.replacen("/t/o/", "/t/c/", 1),
        &open[..open.len() - 1],
        &click[..click.len() - 1],
        &format!("{click}A"),
        &format!("{click}/x"),
        "/t/c/https://evil.example/",
        "/t/c/%FF",
        "/t/c/",
        "/t/o",
        "/t/",
        "/t",
    ] {
        for method in ["GET", "HEAD"] {
            let response = links.ask(method, path, &[]).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
            assert!(!response.headers().contains_key("location"), "{path}");
            is_guarded(&response);
        }
    }
    assert_eq!(links.waiting(), 0);
    let response = links.ask("GET", &forged, &[]).await;
    let page = to_bytes(response.into_body(), 10_000).await.unwrap();
    let page = String::from_utf8(page.to_vec()).unwrap();
    assert!(page.contains("This link does not work") && !page.contains("evil"));
    for absent in ["<script", "style=", "http:", "https:", "<form"] {
        assert!(!page.contains(absent), "{absent}");
    }
}

#[tokio::test]
async fn what_waits_is_bounded_and_what_is_lost_is_counted() {
    let links = Links::new().await;
    let open = links.open();
    for _ in 0..queue::WAITING_MAX + 3 {
        assert_eq!(links.ask("GET", &open, &[]).await.status(), 200);
    }
    assert_eq!(links.waiting(), queue::WAITING_MAX);
    let dropped = links.counted("opened", "dropped");
    assert_eq!(dropped.as_deref(), Some("3"));
    let Links {
        app,
        queue,
        metrics,
        ..
    } = links;
    let recording = queue.start();
    assert!(recording.stop(Duration::from_secs(30)).await);
    let text = metrics.render(None, Timestamp::EPOCH);
    let count = queue::WAITING_MAX;
    let lost = format!("{{kind=\"opened\",result=\"not_kept\"}} {count}\n");
    assert!(text.contains(&lost), "{text}");
    // The routes are still there, and say nothing is wrong.
    let request = Request::get(&open).body(Body::empty()).unwrap();
    assert_eq!(app.oneshot(request).await.unwrap().status(), 200);
}
