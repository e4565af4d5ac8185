//! Providers with a limit: the rate follows it, several workers share it, nothing fails by it.

use std::time::Duration;

use sendtrail::app::{App, Overrides, Roles};
use sendtrail::clock::Clock;
use sendtrail::config::Settings;
use sendtrail::sandbox::{Calls, Options, Sandbox};
use tokio::time::{Instant, sleep};

use super::child::{Child, Variables};
use super::client::Client;
use super::queue::{all_done, fill, statuses};
use crate::support::db::{TestDb, both, on_postgres, on_sqlite};

both!(
    the_rate_follows_a_limit_that_changes_and_nothing_fails,
    a_quota_that_the_provider_tells_is_kept_from_the_start,
);

/// For what is left at the end, on a busy machine with a debug build.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Email by a sandbox that tells nobody what becomes of it.
pub(super) trait BySandbox {
    fn by_ses(self, sandbox: &Sandbox) -> Self;
    fn by_smtp(self, sandbox: &Sandbox) -> Self;
}

impl BySandbox for Variables {
    fn by_ses(self, sandbox: &Sandbox) -> Self {
        self.with("EMAIL__PROVIDERS", "ses")
            .with("SES__ENDPOINT_URL", &sandbox.http_url())
            .with("SES__REGION", "us-east-1")
            .with("SES__ACCESS_KEY_ID", "sandbox")
            .with("SES__SECRET_ACCESS_KEY", "sandbox")
            .with("DELIVERY__POLL_MS", "50")
    }

    fn by_smtp(self, sandbox: &Sandbox) -> Self {
        self.with("EMAIL__PROVIDERS", "smtp")
            .with("SMTP__URL", &sandbox.smtp_url())
            .with("DELIVERY__POLL_MS", "50")
    }
}

pub(super) async fn sandbox() -> Sandbox {
    Sandbox::start(Options::default(), Clock::system())
        .await
        .unwrap()
}

/// A worker in this process.
pub(super) async fn worker(variables: &Variables) -> App {
    let settings = Settings::load(None, Some(variables.iter().collect())).unwrap();
    App::start_with(settings, Roles::ALL, Overrides::default())
        .await
        .unwrap()
}

/// Requests that the sandbox took, and those that it refused, within that time.
async fn watch(sandbox: &Sandbox, seconds: u64) -> Calls {
    let before = sandbox.calls();
    sleep(Duration::from_secs(seconds)).await;
    let after = sandbox.calls();
    Calls {
        taken: after.taken - before.taken,
        refused: after.refused - before.refused,
    }
}

fn few_are_refused(calls: Calls) {
    let all = calls.taken + calls.refused;
    assert!(calls.refused * 20 < all, "5 % and more: {calls:?}");
}

async fn the_rate_follows_a_limit_that_changes_and_nothing_fails(db: &TestDb) {
    const COUNT: usize = 4_500;
    fill(db, COUNT).await;
    let sandbox = sandbox().await;
    sandbox.set_limit(Some(50.0));
    // Both protocols say in their own words that it is too fast.
    let (variables, provider) = if db.is_postgres() {
        (Variables::of(db).by_ses(&sandbox), "ses")
    } else {
        (Variables::of(db).by_smtp(&sandbox), "smtp")
    };
    let app = worker(&variables).await;
    let client = Client::new(app.address(), "none");
    let allowed = format!("sendtrail_provider_allowed{{method=\"email\",provider=\"{provider}\"}}");
    // Each time some seconds to follow, and then it holds.
    for (limit, settles_in, holds_for) in [(50_u32, 5, 8), (10, 5, 16), (200, 12, 5)] {
        sandbox.set_limit(Some(f64::from(limit)));
        sleep(Duration::from_secs(settles_in)).await;
        let calls = watch(&sandbox, holds_for).await;
        few_are_refused(calls);
        let allowed = client.metric(&allowed).await.unwrap();
        assert!(allowed > 0.7 * f64::from(limit), "{allowed} at {limit}");
        // A busy machine may not come to the highest rate that it is allowed.
        let whole = u64::from(limit.min(100)) * holds_for;
        let most = u64::from(limit) * holds_for * 13 / 10;
        assert!(
            (whole * 7 / 10..=most).contains(&calls.taken),
            "{calls:?} at {limit} a second"
        );
    }
    few_are_refused(sandbox.calls());
    sandbox.set_limit(None);
    all_done(db, TIMEOUT).await;
    assert!(app.stop().await);
    assert_eq!(statuses(db).await, [format!("Sent {COUNT}")]);
    let used_up = "SELECT COUNT(*) FROM delivery_attempts \
                   WHERE outcome NOT IN ('accepted', 'throttled')";
    assert_eq!(db.texts(used_up).await, ["0"], "attempts were used up");
}

async fn a_quota_that_the_provider_tells_is_kept_from_the_start(db: &TestDb) {
    fill(db, 300).await;
    let sandbox = sandbox().await;
    sandbox.set_max_send_rate(20.0);
    sandbox.set_limit(Some(20.0));
    let app = worker(&Variables::of(db).by_ses(&sandbox)).await;
    let calls = watch(&sandbox, 8).await;
    assert!((100..=185).contains(&calls.taken), "{calls:?}");
    assert_eq!(calls.refused, 0);
    // Far less is in a worker's hands than waits.
    let left = 300 - usize::try_from(calls.taken).unwrap();
    let waiting = db.count("jobs").await;
    assert!(
        waiting + 60 > left,
        "{waiting} of {left} are left for others"
    );
    sandbox.set_limit(None);
    assert!(app.stop().await);
    assert_eq!(db.count("claims").await, 0, "the rest was given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_in_the_settings_counts_segments_of_sms() {
    on_sqlite(async |db: &TestDb| {
        let sandbox = sandbox().await;
        let variables = Variables::of(db)
            .with("SNS__ENDPOINT_URL", &sandbox.http_url())
            .with("SNS__REGION", "us-east-1")
            .with("SNS__ACCESS_KEY_ID", "sandbox")
            .with("SNS__SECRET_ACCESS_KEY", "sandbox")
            .with("SNS__SMS_MAX_PER_SECOND", "30")
            .with("DELIVERY__POLL_MS", "50");
        let app = worker(&variables).await;
        let client = Client::with_new_key(app.address(), app.store()).await;
        // Three segments each.
        let text = "a".repeat(400);
        let sms: Vec<_> = (0..200)
            .map(|i| {
                serde_json::json!({
                    "client": format!("C-{i}"), "method": "sms", "to": "+15005550006",
                    "type": "Reminder", "content": {"text": text},
                })
            })
            .collect();
        client.enqueue(&sms).await;
        sleep(Duration::from_secs(1)).await;
        let calls = watch(&sandbox, 6).await;
        assert!((40..=66).contains(&calls.taken), "{calls:?}");
        assert!(app.stop().await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_converge_to_a_limit_and_share_it_fairly() {
    const LIMIT: u32 = 60;
    on_postgres(async |db: &TestDb| {
        fill(db, 5_000).await;
        let sandbox = sandbox().await;
        sandbox.set_limit(Some(f64::from(LIMIT)));
        let variables = Variables::of(db).by_ses(&sandbox);
        let mut workers = [(); 2].map(|()| Child::serve(&variables, "worker"));
        let clients = workers
            .each_mut()
            .map(|worker| Client::new(worker.address(), "none"));
        sleep(Duration::from_secs(10)).await;
        let (before, began) = (sends(&clients).await, Instant::now());
        let calls = watch(&sandbox, 30).await;
        let (after, took) = (sends(&clients).await, began.elapsed().as_secs_f64());
        let shares = [after[0] - before[0], after[1] - before[1]];
        let all = shares[0] + shares[1];
        few_are_refused(calls);
        let most = f64::from(LIMIT) * took;
        assert!(all > 0.85 * most && all < 1.1 * most, "{all} of {most}");
        let fair = shares.iter().all(|share| *share > 0.35 * all);
        assert!(fair, "{shares:?}");
        workers.into_iter().for_each(Child::stop);
        let failed = statuses(db).await.iter().any(|s| s.starts_with("Failed"));
        assert!(!failed);
    })
    .await;
}

/// What each worker has sent so far.
async fn sends(workers: &[Client; 2]) -> [f64; 2] {
    let series = "sendtrail_sends_total{method=\"email\",provider=\"ses\",outcome=\"accepted\"}";
    let count = async |worker: &Client| worker.metric(series).await.unwrap_or(0.0);
    [count(&workers[0]).await, count(&workers[1]).await]
}
