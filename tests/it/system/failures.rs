//! A whole group of failures put right: by HTTP and at the pages, in the sandbox; and by the command line,
//! which is interrupted and goes on.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sendtrail::clock::Clock;
use sendtrail::domain::event::{Bounce, Severity, What};
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::reason::Category;
use sendtrail::domain::role::Role;
use serde_json::{Value, json};

use super::child::{Variables, run, signal, start as start_child};
use super::client::Client;
use super::pages_entry::{email, member};
use super::queue::fill;
use super::staff::{Browser, PASSWORD, add, start};
use crate::store::make::{happening, incoming};
use crate::support::db::{TestDb, both};

both! {
    a_group_that_failed_is_sent_again_once_and_dismissed,
    the_command_line_sends_a_group_again_and_goes_on_after_an_interrupt,
}

const TIMEOUT: Duration = Duration::from_mins(1);

/// How many entries were sent again, and how many of those it was asked of.
async fn resends(db: &TestDb) -> (usize, usize) {
    let sql =
        "SELECT COUNT(*), COUNT(DISTINCT resend_of) FROM contact_log WHERE resend_of IS NOT NULL";
    let row = db.rows(sql).await.remove(0);
    let count = |i: usize| row[i].as_deref().unwrap().parse().unwrap();
    (count(0), count(1))
}

/// The answer to a question, once it is so.
async fn once(client: &Client, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let started = Instant::now();
    loop {
        let (status, text) = client.get(path).await;
        assert_eq!(status, 200, "{text}");
        let told: Value = serde_json::from_str(&text).unwrap();
        if is_so(&told) {
            return told;
        }
        assert!(started.elapsed() < TIMEOUT, "{told}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Three emails to full mailboxes; the cause.
async fn full_mailboxes(db: &TestDb, client: &Client) -> String {
    let mails: Vec<Value> = (0..3)
        .map(|n| email("C-1", &format!("mailbox-full+{n}@simulator.test")))
        .collect();
    for id in client.enqueue(&mails).await {
        client.until(&id, |it| it["status"] == "Bounced").await;
    }
    db.pass(Duration::from_secs(1));
    let told = once(client, "/v1/failures", |it| it["groups"][0]["count"] == 3).await;
    assert_eq!(told["groups"].as_array().unwrap().len(), 1, "{told}");
    let group = &told["groups"][0];
    let seen = (&group["category"], &group["open"]);
    assert_eq!(seen, (&json!("mailbox_full"), &json!(3)));
    group["id"].as_str().unwrap().to_owned()
}

fn tells(html: &str, texts: &[&str]) {
    for text in texts {
        assert!(html.contains(text), "{text} in {html}");
    }
}

async fn a_group_that_failed_is_sent_again_once_and_dismissed(db: &TestDb) {
    let program = start(db).await;
    let address = program.app.address();
    let client = Client::with_key_for("admin", address, &db.store).await;
    let cause = full_mailboxes(db, &client).await;
    let mut browser = member(db, &program, Role::Admin).await;
    let html = browser.get("/failures").await.html;
    let link = format!("href=\"/failures/{cause}\"");
    tells(
        &html,
        &[&link, "mailbox is full", "3, 100 %", "Send all again"],
    );
    let mut staff = member(db, &program, Role::Manager).await;
    assert_eq!(staff.get("/failures").await.status, 403);
    let history = browser.get(&format!("/?cause={cause}")).await.html;
    assert_eq!(history.matches("<tr id=").count(), 3, "{history}");

    let order = json!({"filter": {"causes": [cause]}, "idempotency_key": "mishap-1"});
    let (status, begun) = client.post("/v1/failures/resend", &order).await;
    assert_eq!(status, 202, "{begun}");
    let (status, again) = client.post("/v1/failures/resend", &order).await;
    assert_eq!((status, &again["id"]), (200, &begun["id"]));
    let run = format!("/v1/failures/resend/{}", begun["id"].as_str().unwrap());
    let told = once(&client, &run, |it| it["state"] == "done").await;
    assert_eq!((&told["sent"], &told["left_out"]), (&json!(3), &json!(0)));
    assert_eq!(resends(db).await, (3, 3));
    // The copies came back as well; the first ones are settled.
    let settled = |it: &Value| it["groups"][0]["count"] == 6 && it["groups"][0]["open"] == 3;
    once(&client, "/v1/failures", settled).await;
    let html = browser.get(&format!("/failures/{cause}")).await.html;
    let done = [
        "API key",
        "Sent again, 3 so far",
        "What was done about it",
        "Sent again <time",
    ];
    tells(&html, &done);
    dismissed_at_the_page(&mut browser, &cause).await;

    add(db, "other", "eve@example.com", "S-eve", Role::Admin).await;
    let mut foreign = Browser::at(&program);
    foreign.sign_in("eve@example.com", PASSWORD).await;
    let page = format!("/failures/{cause}");
    assert_eq!(foreign.get(&page).await.status, 404);
    let token = foreign.token().await;
    let fields = [("token", &*token), ("note", "x")];
    let answer = foreign.post(&format!("{page}/dismiss"), &fields).await;
    assert_eq!(answer.status, 404);
    assert!(!foreign.get("/failures").await.html.contains(&cause));
    program.stop().await;
}

async fn dismissed_at_the_page(browser: &mut Browser, cause: &str) {
    let page = format!("/failures/{cause}");
    let dismiss = format!("{page}/dismiss");
    let token = browser.token().await;
    let empty = [("token", &*token), ("note", " ")];
    assert_eq!(browser.post(&dismiss, &empty).await.status, 422);
    let fields = [("token", &*token), ("note", "<b>The list is old</b>")];
    assert_eq!(browser.post(&dismiss, &fields).await.status, 303);
    let html = browser.get(&page).await.html;
    tells(&html, &["Dismissed: &#60;b&#62;The list is old"]);
    let link = format!("href=\"{page}\"");
    let html = browser.get("/failures?show=closed&period=30d").await.html;
    tells(&html, &[&link]);
    let html = browser.get("/failures?show=open").await.html;
    assert!(!html.contains(&link));
}

/// So many emails that came back for one cause; its id.
async fn mishap(db: &TestDb, count: usize) -> String {
    let ids = fill(db, count).await;
    let now = Clock::system().now();
    let told = ids.iter().zip(0_u128..).map(|(id, key)| {
        let bounce = What::Bounced(Bounce {
            severity: Severity::Transient,
            category: Category::MailboxFull,
            subtype: None,
            status: None,
            diagnostic: Some(format!("552 mailbox of {key} is full")),
        });
        let id = NotificationId::parse(id);
        let message = incoming(
            &format!("m{key}"),
            id,
            None,
            vec![happening(key, now, bounce)],
        );
        db.store.keep_feedback(message)
    });
    for kept in join_all(told).await {
        kept.unwrap();
    }
    db.texts("SELECT CAST(id AS TEXT) FROM failure_causes")
        .await
        .remove(0)
}

/// Of the group that the command line sends again.
const COUNT: usize = 3_000;

/// The object that a command answers.
fn answer(variables: &Variables, command: &[&str]) -> Value {
    let ran = run(variables, &[&["failures"], command, &["--json"]].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

async fn who_dismisses_is_on_record(db: &TestDb, variables: &Variables, cause: &str) {
    let dismiss = ["dismiss", cause, "--note", "settled"];
    for (variables, by, expected) in [
        (variables.clone(), Some(" Ben Ruiz "), "Ben Ruiz"),
        (variables.clone(), None, "ana"),
        // No name of anybody.
        (variables.clone().user("a\nb"), None, "command line"),
    ] {
        let by = by.map_or(Vec::new(), |by| vec!["--by", by]);
        let done = answer(&variables, &[&dismiss, &by[..]].concat());
        assert_eq!(done, json!({"dismissed": [cause], "by": expected}));
        let kept = db.texts("SELECT dismissed_by FROM failure_causes").await;
        assert_eq!(kept, [expected]);
    }
    let wrong = run(
        variables,
        &[&["failures"], &dismiss[..], &["--by", " "]].concat(),
    );
    assert!(
        wrong.code == Some(1) && wrong.errors.contains("--by: one line"),
        "{wrong:?}"
    );
}

async fn what_is_told_before_it_is_sent(db: &TestDb, variables: &Variables, cause: &str) {
    let listed = run(variables, &["failures", "--json"]);
    let line: Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(
        (line["id"].as_str(), &line["open"]),
        (Some(cause), &json!(COUNT))
    );
    assert_eq!(line["dismissed"], Value::Null, "{line}");
    let points = line["trend"]["points"].as_array().unwrap();
    let counts = points.iter().filter_map(|point| point["count"].as_u64());
    assert_eq!(counts.sum::<u64>(), 3_000, "{line}");
    assert_eq!(line["trend"]["per"], "hour");
    let listed = run(variables, &["failures", "--since", "2d"]);
    assert!(listed.out.contains("3000 (100%), 3000 open"), "{listed:?}");
    let dry = run(variables, &["failures", "resend", cause, "--dry-run"]);
    assert!(dry.errors.contains("3000 will be sent again"), "{dry:?}");
    assert_eq!((dry.code, resends(db).await.0), (Some(0), 0));
    let dry = answer(variables, &["resend", cause, "--dry-run"]);
    assert_eq!(
        dry,
        json!({
            "dry_run": true, "causes": [cause], "matching": COUNT, "more": false, "resend": COUNT,
            "left_out": {"sent_again_before": 0, "suppressed": 0, "not_resendable": 0},
        })
    );
}

async fn what_is_told_afterwards(db: &TestDb, variables: &Variables, cause: &str, open: &str) {
    let none = run(variables, &["failures", "resend", cause]);
    assert!(
        none.out.contains("there is nothing to send again"),
        "{none:?}"
    );
    let none = answer(variables, &["resend", cause]);
    assert_eq!(
        (&none["dry_run"], &none["resend"]),
        (&json!(false), &json!(0))
    );
    let stopped = run(variables, &["failures", "stop", open]);
    assert!(stopped.out.contains("at its end"), "{stopped:?}");
    let stopped = answer(variables, &["stop", open]);
    assert_eq!(
        (&stopped["id"], &stopped["state"]),
        (&json!(open), &json!("done"))
    );
    who_dismisses_is_on_record(db, variables, cause).await;

    let wrong = run(variables, &["failures", "dismiss", cause, "--note", " "]);
    assert!(
        wrong.code == Some(1) && wrong.errors.contains("--note"),
        "{wrong:?}"
    );
    let dismissed = run(
        variables,
        &["failures", "dismiss", cause, "--note", "settled"],
    );
    assert!(dismissed.out.contains("dismissed"), "{dismissed:?}");
    let unknown = run(variables, &["failures", "dismiss", open, "--note", "x"]);
    assert!(
        unknown.errors.contains("see `sendtrail failures`"),
        "{unknown:?}"
    );
    let listed = run(variables, &["failures", "--all"]);
    assert!(listed.out.contains("0 open  dismissed"), "{listed:?}");
}

async fn the_command_line_sends_a_group_again_and_goes_on_after_an_interrupt(db: &TestDb) {
    let cause = mishap(db, COUNT).await;
    let variables = Variables::of(db).user("ana");
    what_is_told_before_it_is_sent(db, &variables, &cause).await;

    let mut child = start_child(&variables, &["failures", "resend", &cause]);
    let started = Instant::now();
    while resends(db).await.0 < COUNT / 10 {
        assert!(started.elapsed() < TIMEOUT, "nothing is sent again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(signal("INT", child.id()));
    let status = child.wait().unwrap();
    let (sent, distinct) = resends(db).await;
    assert!(sent == distinct && sent < COUNT, "{sent} {distinct}");
    assert_eq!(status.code(), Some(130));
    let ids = "SELECT CAST(id AS TEXT) FROM resend_runs WHERE finished_at IS NULL";
    let open = db.texts(ids).await.remove(0);
    let rest = answer(&variables, &["resend", "--run", &open]);
    let told = (&rest["id"], &rest["state"], &rest["by"]);
    assert_eq!(told, (&json!(open), &json!("done"), &json!("ana")));
    assert_eq!(rest["sent"], COUNT, "{rest}");
    let rest = run(&variables, &["failures", "resend", "--run", &open]);
    assert!(
        rest.out.starts_with("3000 sent again, 0 left out"),
        "{rest:?}"
    );
    assert_eq!(resends(db).await, (COUNT, COUNT), "each once");
    what_is_told_afterwards(db, &variables, &cause, &open).await;
}
