//! Every story of the sandbox, from the call to what staff see: over the HTTP API and the webhook,
//! with the providers' real protocols in between.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::child::Variables;
use super::client::{Client, text, texts};
use super::program::Program;
use crate::support::db::{TestDb, both};

both!(
    every_email_story_by_ses_ends_as_it_should,
    every_email_story_by_smtp_ends_as_it_should,
    every_text_and_push_story_ends_as_it_should,
    stories_that_fail_hold_up_no_other_message,
    late_feedback_finds_the_entry_sent_and_makes_it_unopened,
    a_resend_is_an_entry_of_its_own_that_names_the_first,
);

/// How each story must end. `posts` are the feedback messages that the sandbox sends for it.
/// By SES, over HTTP and over SMTP, with HTML: opens are tracked.
const EMAILS: &str = "
address             | statuses        | reason               | attempts | accepted | posts | facts                         | timeline
delivered           | Unopened        | -                    | 1 | 1 | 2 | delivered sent                | queued sent delivered
opened              | Opened          | -                    | 1 | 1 | 3 | delivered opened sent         | queued sent delivered opened
clicked             | Opened          | -                    | 1 | 1 | 4 | clicked delivered opened sent | queued sent delivered opened clicked
bounced             | Bounced         | invalid_address      | 1 | 1 | 2 | bounced sent                  | queued sent bounced
mailbox-full        | Bounced         | mailbox_full         | 1 | 1 | 2 | bounced sent                  | queued sent bounced
suppressed          | Bounced         | address_suppressed   | 1 | 1 | 2 | bounced sent                  | queued sent bounced
bounced-then-opened | Bounced, Opened | invalid_address      | 1 | 1 | 3 | bounced opened sent           | queued sent bounced opened
opened-then-bounced | Opened, Bounced | invalid_address      | 1 | 1 | 4 | bounced delivered opened sent | queued sent delivered opened bounced
complained          | Unopened        | -                    | 1 | 1 | 3 | complained delivered sent     | queued sent delivered complained
rejected            | Failed          | content_rejected     | 1 | 0 | 0 | failed                        | queued failed
throttled           | Unopened        | -                    | 3 | 1 | 2 | delivered sent                | queued attempt attempt sent delivered
lost-answer         | Unopened        | -                    | 1 | 1 | 2 | delivered sent                | queued sent delivered
early               | Unopened        | -                    | 1 | 1 | 2 | delivered sent                | queued sent delivered
late                | Unopened        | -                    | 1 | 1 | 2 | delivered sent                | queued sent delivered
duplicate           | Opened          | -                    | 1 | 1 | 9 | delivered opened sent         | queued sent delivered opened
shuffled            | Opened          | -                    | 1 | 1 | 3 | delivered opened sent         | queued sent delivered opened
down                | Failed          | provider_unavailable | 4 | 0 | 0 | failed                        | queued attempt attempt attempt attempt failed
delayed             | Unopened        | -                    | 1 | 1 | 3 | delayed delivered sent        | queued sent delayed delivered
virus               | Failed          | content_rejected     | 1 | 1 | 2 | failed sent                   | queued sent failed
Bounced+any-label   | Bounced         | invalid_address      | 1 | 1 | 2 | bounced sent                  | queued sent bounced
somebody@mail.test  | Unopened        | -                    | 1 | 1 | 2 | delivered sent                | queued sent delivered
success@simulator.amazonses.com         | Unopened | -                  | 1 | 1 | 2 | delivered sent | queued sent delivered
ooto@simulator.amazonses.com            | Unopened | -                  | 1 | 1 | 2 | delivered sent | queued sent delivered
bounce@simulator.amazonses.com          | Bounced  | invalid_address    | 1 | 1 | 2 | bounced sent   | queued sent bounced
suppressionlist@simulator.amazonses.com | Bounced  | address_suppressed | 1 | 1 | 2 | bounced sent   | queued sent bounced
complaint@simulator.amazonses.com       | Unopened | -                  | 1 | 1 | 3 | complained delivered sent | queued sent delivered complained
";

/// Text messages by their number, push messages by their target.
const TEXTS_AND_PUSHES: &str = "
address                 | statuses | reason               | attempts | accepted | posts | facts | timeline
+15005550001            | Failed   | invalid_address      | 1 | 0 | 0 | failed                   | queued failed
+15005550004            | Failed   | policy_or_reputation | 1 | 0 | 1 | failed sent              | queued sent failed
+15005550006            | Sent     | -                    | 1 | 0 | 0 | sent                     | queued sent
+15005550007            | Unopened | -                    | 1 | 0 | 1 | delivered sent           | queued sent delivered
+15005550008            | Failed   | provider_unavailable | 1 | 0 | 1 | failed sent              | queued sent failed
+15005550009            | Failed   | unsubscribed         | 1 | 0 | 1 | failed sent unsubscribed | queued sent failed unsubscribed
+15005550429            | Unopened | -                    | 3 | 0 | 1 | delivered sent           | queued attempt attempt sent delivered
+15005550500            | Failed   | provider_unavailable | 4 | 0 | 0 | failed                   | queued attempt attempt attempt attempt failed
endpoint-delivered      | Sent     | -                    | 1 | 0 | 0 | sent                     | queued sent
endpoint-disabled       | Failed   | invalid_address      | 1 | 0 | 0 | failed                   | queued failed
endpoint-unregistered   | Failed   | invalid_address      | 1 | 0 | 1 | failed sent              | queued sent failed
endpoint-throttled      | Sent     | -                    | 3 | 0 | 0 | sent                     | queued attempt attempt sent
endpoint-down           | Failed   | provider_unavailable | 4 | 0 | 0 | failed                   | queued attempt attempt attempt attempt failed
";

/// One line of a table.
#[derive(Debug)]
struct Story {
    address: &'static str,
    statuses: String,
    reason: String,
    attempts: u64,
    /// Times that the provider accepts an email.
    accepted: u64,
    posts: u64,
    facts: &'static str,
    timeline: &'static str,
}

fn stories(table: &'static str) -> Vec<Story> {
    let lines = table.lines().skip(2);
    lines
        .map(|line| {
            let cells: Vec<&'static str> = line.split('|').map(str::trim).collect();
            let &[
                address,
                statuses,
                reason,
                attempts,
                accepted,
                posts,
                facts,
                timeline,
            ] = cells.as_slice()
            else {
                panic!("{line}")
            };
            Story {
                address,
                statuses: statuses.to_owned(),
                reason: reason.trim_matches('-').to_owned(),
                attempts: attempts.parse().unwrap(),
                accepted: accepted.parse().unwrap(),
                posts: posts.parse().unwrap(),
                facts,
                timeline,
            }
        })
        .collect()
}

async fn every_email_story_by_ses_ends_as_it_should(db: &TestDb) {
    let program = Program::start(&Variables::of(db).sandbox()).await;
    let entries = play(&program, &stories(EMAILS)).await;
    for (address, entry) in &entries {
        particulars(address, entry);
        let sent_by_us = entry["facts"]["sent"].is_object();
        assert!(!sent_by_us || entry["provider"] == "ses", "{entry:#}");
    }
    program.stop().await;
}

/// Nobody tracks opens for us there, so what was delivered and not opened stays Sent.
async fn every_email_story_by_smtp_ends_as_it_should(db: &TestDb) {
    let variables = Variables::of(db).sandbox().with("EMAIL__PROVIDERS", "smtp");
    let program = Program::start(&variables).await;
    for (address, entry) in &play(&program, &stories(EMAILS)).await {
        particulars(address, entry);
    }
    program.stop().await;
}

async fn every_text_and_push_story_ends_as_it_should(db: &TestDb) {
    // Their reports must not overtake our own record of the send, which alone says when it was.
    let variables = Variables::of(db).sandbox();
    let program = Program::start(&variables.with("SANDBOX__LATENCY_MS", "500")).await;
    for (_, entry) in &play(&program, &stories(TEXTS_AND_PUSHES)).await {
        assert_eq!(entry["resendable"], entry["method"] == "sms", "{entry:#}");
    }
    program.stop().await;
}

/// Enqueues one notification for each story and waits for their ends; then until everything was
/// told, and looks again. Gives each address with its entry.
async fn play(program: &Program, stories: &[Story]) -> Vec<(&'static str, Value)> {
    let client = &program.client;
    let notifications: Vec<Value> = stories.iter().map(notification).collect();
    let ids = client.enqueue(&notifications).await;
    for (story, id) in stories.iter().zip(&ids) {
        await_end(client, story, id).await;
    }
    let sandbox = program.app.sandbox().unwrap();
    // And the one that asks to confirm the subscription.
    let posts = 1 + stories.iter().map(|story| story.posts).sum::<u64>();
    let started = Instant::now();
    while sandbox.counts().posted < posts {
        assert!(started.elapsed() < TIMEOUT, "{:?}", sandbox.counts());
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    assert_eq!(
        (sandbox.counts().posted, sandbox.counts().dropped),
        (posts, 0)
    );
    let accepted = stories.iter().map(|story| story.accepted).sum::<u64>();
    assert_eq!(accepted_emails(&sandbox.http_url()).await, accepted);
    let mut entries = Vec::new();
    for (story, id) in stories.iter().zip(&ids) {
        let entry = client.entry(id).await;
        assert_eq!(seen(&entry), wanted(story), "{entry:#}");
        entries.push((story.address, entry));
    }
    entries
}

const TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

fn notification(story: &Story) -> Value {
    let to = story.address;
    let client = json!({"id": format!("C {to}")});
    if to.starts_with('+') {
        return json!({"client": client, "method": "sms", "to": to, "type": "Reminder",
            "content": {"text": "See you on Monday"}});
    }
    if to.starts_with("endpoint-") {
        let to = format!("arn:aws:sns:us-east-1:000000000000:endpoint/GCM/app/{to}");
        return json!({"client": client, "method": "push", "to": to, "type": "Reminder",
            "content": {"title": "Monday", "text": "See you"}});
    }
    let to = match to {
        elsewhere if elsewhere.contains('@') => elsewhere.to_owned(),
        ours => format!("{ours}@simulator.test"),
    };
    json!({"client": client, "method": "email", "to": to, "type": "Booking confirmation",
        "content": {"subject": "See you on Monday", "text": "Monday", "html": "<p>Monday</p>"}})
}

async fn await_end(client: &Client, story: &Story, id: &str) {
    let started = Instant::now();
    loop {
        let entry = client.entry(id).await;
        if seen(&entry) == wanted(story) {
            return;
        }
        assert!(
            started.elapsed() < TIMEOUT,
            "{}: {:#?}, not {:#?}\n{entry:#}",
            story.address,
            seen(&entry),
            wanted(story)
        );
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// What the table speaks of: statuses, reason, attempts, whether an attempt is due, facts, timeline.
type Seen = (String, String, u64, bool, String, String);

fn seen(entry: &Value) -> Seen {
    let facts = entry["facts"].as_object().unwrap().keys();
    let facts: Vec<&str> = facts.map(String::as_str).collect();
    let timeline: Vec<String> = moments(entry)
        // Its place among what the provider reports is a matter of milliseconds.
        .filter(|moment| moment["outcome"] != "unknown")
        .map(|moment| text(&moment["event"]))
        .collect();
    assert_eq!(
        entry["status"], entry["statuses"][0],
        "the headline is the first"
    );
    (
        texts(&entry["statuses"]).join(", "),
        text(&entry["reason"]["category"]),
        entry["attempts"].as_u64().unwrap(),
        entry["next_attempt_at"].is_string(),
        facts.join(" "),
        timeline.join(" "),
    )
}

fn moments(entry: &Value) -> impl Iterator<Item = &Value> {
    entry["timeline"].as_array().unwrap().iter()
}

fn wanted(story: &Story) -> Seen {
    (
        story.statuses.clone(),
        story.reason.clone(),
        story.attempts,
        false,
        story.facts.to_owned(),
        story.timeline.to_owned(),
    )
}

/// Emails that the provider has accepted so far.
async fn accepted_emails(provider: &str) -> u64 {
    let url = format!("{provider}/v2/email/account");
    let account: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    account["SendQuota"]["SentLast24Hours"].as_u64().unwrap()
}

/// What no table can say.
fn particulars(address: &str, entry: &Value) {
    let (facts, timeline) = (&entry["facts"], &entry["timeline"]);
    match address {
        "bounced" => assert_eq!(facts["bounced"]["kind"], "permanent"),
        "mailbox-full" => {
            assert_eq!(facts["bounced"]["kind"], "transient");
            assert_eq!(facts["bounced"]["subtype"], "MailboxFull");
        }
        "opened" | "duplicate" | "shuffled" => assert_eq!(facts["opened"]["count"], 1),
        "clicked" => assert_eq!(facts["clicked"]["count"], 1),
        "throttled" => assert_eq!(timeline[2]["outcome"], "throttled"),
        "lost-answer" => assert!(moments(entry).any(|moment| moment["outcome"] == "unknown")),
        "down" => assert_eq!(timeline[4]["outcome"], "try_later"),
        _ => {}
    }
}

async fn late_feedback_finds_the_entry_sent_and_makes_it_unopened(db: &TestDb) {
    let program = Program::start(&Variables::of(db).sandbox()).await;
    let client = &program.client;
    let late = json!({"client": "C-1", "method": "email", "to": "late@simulator.test",
        "type": "Offer", "content": {"subject": "Offer", "html": "<p>Offer</p>"}});
    let ids = client.enqueue(&[late]).await;
    let statuses = |wanted: &'static str| move |entry: &Value| entry["status"] == wanted;
    client.until(&ids[0], statuses("Sent")).await;
    let entry = client.until(&ids[0], statuses("Unopened")).await;
    let delivered = text(&entry["facts"]["delivered"]["at"]);
    let sent = text(&entry["facts"]["sent"]["at"]);
    // When it happened, not when it was told 1.5 s later.
    assert!(sent < delivered, "{sent} {delivered}");
    program.stop().await;
}

async fn a_resend_is_an_entry_of_its_own_that_names_the_first(db: &TestDb) {
    let program = Program::start(&Variables::of(db).sandbox()).await;
    let client = &program.client;
    let bounced = json!({"client": "C-1", "method": "email", "to": "bounced@simulator.test",
        "type": "Offer", "metadata": {"booking": "8812"},
        "content": {"subject": "Offer", "html": "<p>Offer</p>"}});
    let push = json!({"client": "C-1", "method": "push", "to": "endpoint-delivered",
        "type": "Offer", "content": {"text": "Offer"}});
    let ids = client.enqueue(&[bounced, push]).await;
    let first = client
        .until(&ids[0], |entry| entry["status"] == "Bounced")
        .await;

    let resend = format!("/v1/notifications/{}/resend", ids[0]);
    let body = json!({"to": "opened@simulator.test", "staff_id": "S-7"});
    let (status, receipt) = client.post(&resend, &body).await;
    assert_eq!(
        (status, receipt["resend_of"].as_str()),
        (202, Some(ids[0].as_str()))
    );
    let again = text(&receipt["id"]);
    let second = client
        .until(&again, |entry| entry["status"] == "Opened")
        .await;
    for name in ["type", "contact_type", "metadata", "client_id", "method"] {
        assert_eq!(second[name], first[name], "{name}");
    }
    assert_eq!(
        (&second["user"], &second["resend_of"]),
        (&json!("S-7"), &json!(ids[0]))
    );
    let content = |id: &str| format!("/v1/notifications/{id}/content");
    let (first_content, second_content) = (
        client.get(&content(&ids[0])).await,
        client.get(&content(&again)).await,
    );
    assert_eq!(first_content, second_content);
    assert_eq!(
        client.entry(&ids[0]).await,
        first,
        "the first stays as it was"
    );

    let push = client
        .until(&ids[1], |entry| entry["status"] == "Sent")
        .await;
    let resend = format!("/v1/notifications/{}/resend", text(&push["id"]));
    assert_eq!(client.post(&resend, &json!({})).await.0, 409);
    program.stop().await;
}

/// A story is about its own message: however many of them fail for now, the provider is well.
async fn stories_that_fail_hold_up_no_other_message(db: &TestDb) {
    const FAILING: [[&str; 3]; 3] = [
        ["throttled", "lost-answer", "down"],
        ["0429", "0408", "0500"],
        ["-throttled", "-lost-answer", "-down"],
    ];
    let program = Program::start(&Variables::of(db).sandbox()).await;
    let client = &program.client;
    let arn = "arn:aws:sns:us-east-1:000000000000:endpoint/GCM/app";
    let mut notifications = Vec::new();
    for i in 0..60_usize {
        let [email, sms, push] = FAILING.map(|ends| ends[i % ends.len()]);
        for (email, sms, push) in [("delivered", "0006", ""), (email, sms, push)] {
            let mut add = |method: &str, to: String, content: Value| {
                notifications.push(json!({"client": "C-1", "method": method, "to": to,
                    "type": "Reminder", "content": content}));
            };
            let mail = json!({"subject": "Monday", "text": "Monday"});
            add("email", format!("{email}+{i}@simulator.test"), mail);
            add(
                "sms",
                format!("+1500555{sms}"),
                json!({"text": format!("Monday {i}")}),
            );
            add(
                "push",
                format!("{arn}/{i}{push}"),
                json!({"text": "Monday"}),
            );
        }
    }
    let ids = client.enqueue(&notifications).await;
    let (others, failing): (Vec<_>, Vec<_>) = ids
        .chunks(3)
        .enumerate()
        .partition(|(pair, _)| pair % 2 == 0);
    let began = Instant::now();
    for id in others.into_iter().flat_map(|(_, ids)| ids) {
        client
            .until(id, |entry| entry["facts"]["sent"].is_object())
            .await;
    }
    let took = began.elapsed();
    assert!(took < TIMEOUT, "the others waited for {took:?}");
    for id in failing.into_iter().flat_map(|(_, ids)| ids) {
        client
            .until(id, |entry| entry["status"] != "Awaiting Send")
            .await;
    }
    program.stop().await;
}
