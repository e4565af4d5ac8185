//! Several providers of one method: who has the traffic, when it moves and returns, what operators
//! order, and that nothing is sent twice by it.

use std::time::Duration;

use sendtrail::app::App;
use sendtrail::sandbox::{Door, Sandbox};
use sendtrail::store::keys::NewApiKey;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::child::{Variables, run};
use super::client::{Client, text};
use super::queue::{all_done, statuses};
use super::rate::{BySandbox as _, sandbox, worker};
use crate::support::db::{TestDb, both, on_postgres};

both!(
    traffic_moves_when_the_first_provider_is_down_and_returns_when_it_is_well,
    what_may_have_gone_is_sent_by_no_other_provider_before_its_grace,
    operators_pause_and_resume_a_method_by_the_command_line,
    operators_pause_and_resume_a_provider_over_http,
);

const TIMEOUT: Duration = Duration::from_mins(1);
/// Well above what it takes; far below what anybody would call long.
const SOON: Duration = Duration::from_secs(5);

/// Email by SES, or else by SMTP, both of the sandbox. The rests are short, so that a test sees many.
fn ses_or_smtp(db: &TestDb, sandbox: &Sandbox) -> Variables {
    Variables::of(db)
        .by_ses(sandbox)
        .with("EMAIL__PROVIDERS", "ses,smtp")
        .with("SMTP__URL", &sandbox.smtp_url())
        .with("DELIVERY__RETRY_INITIAL_MS", "500")
        .with("DELIVERY__UNKNOWN_GRACE_MS", "6000")
        .with("DELIVERY__BREAKER__REST_MS", "300")
        .with("DELIVERY__BREAKER__REST_MAX_MS", "1000")
}

struct Stage {
    sandbox: Sandbox,
    app: App,
    client: Client,
    variables: Variables,
}

impl Stage {
    async fn set(db: &TestDb) -> Self {
        let sandbox = sandbox().await;
        let variables = ses_or_smtp(db, &sandbox);
        Self::on(sandbox, variables).await
    }

    async fn on(sandbox: Sandbox, variables: Variables) -> Self {
        let app = worker(&variables).await;
        let (key, digest) = sendtrail::api::auth::new_key();
        let admin = NewApiKey {
            business: "default",
            name: "console",
            digest: &digest,
            scopes: "admin",
            expires_at: None,
        };
        app.store().add_key(admin).await.unwrap();
        let client = Client::new(app.address(), &key);
        Self {
            sandbox,
            app,
            client,
            variables,
        }
    }

    async fn enqueue(&self, address: &str) -> String {
        let email = json!({
            "client": "C-1", "method": "email", "to": address, "type": "Reminder",
            "content": {"subject": "Monday", "text": "See you."},
        });
        let (status, answer) = self.client.post("/v1/notifications", &email).await;
        assert_eq!(status, 202, "{answer}");
        text(&answer["id"])
    }

    /// By which provider a message goes that is enqueued now.
    async fn goes_by(&self) -> String {
        let id = self.enqueue("ana@mail.test").await;
        let sent = self.client.until(&id, |e| e["status"] == "Sent").await;
        text(&sent["provider"])
    }

    /// Until new messages go by that provider.
    async fn until_by(&self, provider: &str, at_most: Duration) {
        let started = Instant::now();
        while self.goes_by().await != provider {
            assert!(started.elapsed() < at_most, "not by {provider} yet");
        }
    }

    async fn providers(&self) -> Value {
        let (status, body) = self.client.get("/v1/providers").await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Until the list of providers shows it.
    async fn until_shown(&self, is_so: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let shown = self.providers().await;
            if is_so(&shown) {
                return shown;
            }
            assert!(started.elapsed() < TIMEOUT, "never shown: {shown:#}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn traffic_moves_when_the_first_provider_is_down_and_returns_when_it_is_well(db: &TestDb) {
    let stage = Stage::set(db).await;
    assert_eq!(stage.goes_by().await, "ses");
    stage.sandbox.set_down(&[Door::Ses]);
    stage.until_by("smtp", SOON).await;
    for _ in 0..20 {
        assert_eq!(
            stage.goes_by().await,
            "smtp",
            "single probes fail and follow"
        );
    }
    let resting = stage
        .until_shown(|shown| shown["methods"][0]["providers"][0]["workers"][0]["state"] != "closed")
        .await;
    let ses = &resting["methods"][0]["providers"][0]["workers"][0];
    assert_eq!(
        (&ses["active"], &ses["last_error"]["code"]),
        (&json!(false), &json!("InternalServiceErrorException"))
    );

    // The second goes down as well, its connections are refused: messages wait, nothing fails.
    stage.sandbox.set_down(&[Door::Ses, Door::Smtp]);
    let waiting = [
        stage.enqueue("a@mail.test").await,
        stage.enqueue("b@mail.test").await,
    ];
    sleep(Duration::from_secs(3)).await;
    for id in &waiting {
        assert_eq!(stage.client.entry(id).await["status"], "Awaiting Send");
    }
    stage.sandbox.set_down(&[]);
    for id in &waiting {
        stage.client.until(id, |e| e["status"] == "Sent").await;
    }
    // Single messages show that it is well, then it has all of them.
    let began = Instant::now();
    let shown = loop {
        stage.goes_by().await;
        let shown = stage.providers().await;
        if shown["switches"][0]["to"] == "ses" {
            break shown;
        }
        assert!(began.elapsed() < SOON * 2, "{shown:#}");
    };
    for _ in 0..10 {
        assert_eq!(stage.goes_by().await, "ses");
    }
    let switches = shown["switches"].as_array().unwrap();
    let first = switches.last().unwrap();
    assert_eq!(
        (&first["from"], &first["to"]),
        (&json!("ses"), &json!("smtp"))
    );
    let reason = text(&first["reason"]);
    assert!(reason.contains("calls in a row failed"), "{reason}");
    assert!(text(&switches[0]["reason"]).contains("ses is well again"));
    let counted = "sendtrail_provider_switches_total{method=\"email\",from=\"ses\",to=\"smtp\"}";
    assert!(stage.client.metric(counted).await >= Some(1.0));
    stage
        .until_shown(|shown| shown["methods"][0]["providers"][0]["workers"][0]["active"] == true)
        .await;
    let gauge = "sendtrail_provider_active{method=\"email\",provider=\"ses\"}";
    assert_eq!(stage.client.metric(gauge).await, Some(1.0));
    all_done(db, TIMEOUT).await;
    assert!(stage.app.stop().await);
    // Each went once, and none failed.
    let sent = db.count("contact_log").await;
    assert_eq!(statuses(db).await, [format!("Sent {sent}")]);
    assert_eq!(stage.sandbox.calls().taken, u64::try_from(sent).unwrap());
    assert_eq!(db.count("provider_health").await, 0, "the worker is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minute_without_the_first_provider_delays_nobody_for_long() {
    on_postgres(async |db: &TestDb| {
        const DOWN_FOR: Duration = Duration::from_mins(1);
        // With the rests and retries that everybody has who sets nothing.
        let sandbox = sandbox().await;
        let variables = Variables::of(db)
            .by_ses(&sandbox)
            .with("EMAIL__PROVIDERS", "ses,smtp")
            .with("SMTP__URL", &sandbox.smtp_url());
        let stage = Stage::on(sandbox, variables).await;
        assert_eq!(stage.goes_by().await, "ses");
        stage.sandbox.set_down(&[Door::Ses]);
        let down = Instant::now();
        while down.elapsed() < DOWN_FOR {
            stage.enqueue("ana@mail.test").await;
            sleep(Duration::from_millis(100)).await;
        }
        stage.sandbox.set_down(&[]);
        stage.until_by("ses", Duration::from_secs(45)).await;
        all_done(db, TIMEOUT).await;
        assert!(stage.app.stop().await);
        let sent = db.count("contact_log").await;
        assert_eq!(statuses(db).await, [format!("Sent {sent}")]);
        let moved_in = "SELECT CAST(CAST(EXTRACT(EPOCH FROM \
                        MIN(started_at) FILTER (WHERE provider = 'smtp' AND outcome = 'accepted') - \
                        MIN(started_at) FILTER (WHERE provider = 'ses' AND outcome = 'try_later')) \
                        AS INTEGER) AS TEXT) FROM delivery_attempts";
        let moved_in: u64 = db.texts(moved_in).await[0].parse().unwrap();
        assert!(moved_in <= 10, "moved in {moved_in} s");
        let longest = "SELECT CAST(CAST(MAX(EXTRACT(EPOCH FROM f.sent_at - l.date)) AS INTEGER) AS TEXT) \
                       FROM contact_log l JOIN delivery_facts f ON f.notification_id = l.id";
        let longest: u64 = db.texts(longest).await[0].parse().unwrap();
        assert!(longest <= 20, "one waited for {longest} s");
    })
    .await;
}

async fn what_may_have_gone_is_sent_by_no_other_provider_before_its_grace(db: &TestDb) {
    const COUNT: usize = 8;
    let stage = Stage::set(db).await;
    for i in 0..COUNT {
        // SES takes it, and its answer never arrives.
        stage
            .enqueue(&format!("lost-answer+{i}@simulator.test"))
            .await;
    }
    // Answers that are lost move the traffic like any other trouble.
    stage.until_by("smtp", SOON).await;
    let attempts = async |which: &str| -> usize {
        let sql = format!(
            "SELECT COUNT(*) FROM delivery_attempts a JOIN contact_log l ON l.id = a.notification_id \
             WHERE l.address LIKE 'lost-answer%' AND {which}"
        );
        db.texts(&sql).await[0].parse().unwrap()
    };
    let unknown = attempts("a.attempt = 1 AND a.outcome = 'unknown'").await;
    assert!(unknown >= 5, "{unknown}");
    assert_eq!(attempts("a.attempt = 2").await, 0, "before its grace");
    // After it any healthy provider may have it.
    let started = Instant::now();
    while attempts("a.attempt = 2").await < COUNT {
        assert!(started.elapsed() < TIMEOUT);
        sleep(Duration::from_millis(50)).await;
    }
    let moved = "a.attempt = 2 AND a.provider = 'smtp' AND EXISTS (SELECT 1 FROM delivery_attempts b \
                 WHERE b.notification_id = a.notification_id AND b.attempt = 1 AND b.provider = 'ses')";
    assert!(attempts(moved).await > 0);
    assert!(stage.app.stop().await);
    let gap = if db.is_postgres() {
        "EXTRACT(EPOCH FROM b.started_at - a.finished_at) * 1000"
    } else {
        "b.started_at - a.finished_at"
    };
    let shortest = format!(
        "SELECT CAST(CAST(MIN({gap}) AS INTEGER) AS TEXT) FROM delivery_attempts a \
         JOIN delivery_attempts b ON b.notification_id = a.notification_id \
         AND b.attempt = a.attempt + 1 WHERE a.outcome = 'unknown'"
    );
    let shortest: u64 = db.texts(&shortest).await[0].parse().unwrap();
    assert!(shortest >= 6_000, "{shortest} ms after an unknown outcome");
}

async fn operators_pause_and_resume_a_method_by_the_command_line(db: &TestDb) {
    let stage = Stage::set(db).await;
    assert_eq!(stage.goes_by().await, "ses");
    let sendtrail = |arguments: &[&str]| {
        let ran = run(&stage.variables, arguments);
        (ran.code, ran.out, ran.errors)
    };
    let pause = [
        "providers",
        "pause",
        "--method",
        "email",
        "--reason",
        "moving house",
        "--by",
        "Maya",
    ];
    let (code, out, errors) = sendtrail(&pause);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(
        out.contains("paused: email by every provider, by Maya"),
        "{out}"
    );
    assert!(sendtrail(&pause).1.starts_with("already paused"));
    sleep(Duration::from_millis(1_500)).await;
    let id = stage.enqueue("ana@mail.test").await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(stage.client.entry(&id).await["status"], "Awaiting Send");

    let (code, out, _) = sendtrail(&["providers", "list"]);
    assert_eq!(code, Some(0));
    for words in [
        "email  ses",
        "email  smtp",
        "moving house",
        "standby",
        "ses > nobody",
    ] {
        assert!(out.contains(words), "{words:?} in {out}");
    }
    let (_, out, _) = sendtrail(&["providers", "list", "--json"]);
    let listed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(listed["pauses"][0]["by"], "Maya");
    assert_eq!(listed["pauses"][0]["provider"], Value::Null);
    assert_eq!(listed["switches"][0]["to"], Value::Null);

    let resume = ["providers", "resume", "--method", "email", "--json"];
    let (code, out, _) = sendtrail(&resume);
    assert_eq!(code, Some(0));
    assert_eq!(
        serde_json::from_str::<Value>(&out).unwrap()["changed"],
        true
    );
    let resumed = Instant::now();
    stage.client.until(&id, |e| e["status"] == "Sent").await;
    assert!(resumed.elapsed() < SOON);
    let (code, _, errors) = sendtrail(&["providers", "resume", "--method", "email"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("not paused"), "{errors}");
    wrong_targets_are_named(&stage.variables);
    assert!(stage.app.stop().await);
}

fn wrong_targets_are_named(variables: &Variables) {
    for (wrong, words) in [
        (
            vec!["--method", "pigeon", "--reason", "x"],
            "email, sms, push",
        ),
        (
            vec!["--method", "email", "--provider", "sns", "--reason", "x"],
            "ses, smtp",
        ),
        (vec!["--method", "email", "--reason", " "], "--reason"),
    ] {
        let ran = run(variables, &[vec!["providers", "pause"], wrong].concat());
        assert!(ran.code == Some(1) && ran.errors.contains(words), "{ran:?}");
    }
}

async fn operators_pause_and_resume_a_provider_over_http(db: &TestDb) {
    let stage = Stage::set(db).await;
    assert_eq!(stage.goes_by().await, "ses");
    let body = json!({"reason": "reputation"});
    let path = "/v1/providers/email/ses";
    let (status, answer) = stage.client.post(&format!("{path}/pause"), &body).await;
    assert_eq!((status, &answer["changed"]), (200, &json!(true)));
    assert_eq!(answer["paused"]["by"], "API key console");
    let began = Instant::now();
    stage.until_by("smtp", Duration::from_secs(3)).await;
    assert!(began.elapsed() < Duration::from_secs(3));
    for _ in 0..10 {
        assert_eq!(stage.goes_by().await, "smtp");
    }
    let shown = stage
        .until_shown(|shown| shown["methods"][0]["providers"][1]["workers"][0]["active"] == true)
        .await;
    let ses = &shown["methods"][0]["providers"][0];
    assert_eq!(
        (&ses["provider"], &ses["paused"]["reason"]),
        (&json!("ses"), &json!("reputation"))
    );
    let reason = text(&shown["switches"][0]["reason"]);
    assert_eq!(reason, "ses is paused by API key console: reputation");
    let (status, answer) = stage
        .client
        .post(&format!("{path}/resume"), &json!({}))
        .await;
    assert_eq!((status, &answer["changed"]), (200, &json!(true)));
    stage.until_by("ses", Duration::from_secs(3)).await;
    let shown = stage
        .until_shown(|shown| shown["switches"][0]["to"] == "ses")
        .await;
    assert_eq!(text(&shown["switches"][0]["reason"]), "ses is resumed");
    assert!(stage.app.stop().await);
    let sent = db.count("contact_log").await;
    assert_eq!(statuses(db).await, [format!("Sent {sent}")]);
}
