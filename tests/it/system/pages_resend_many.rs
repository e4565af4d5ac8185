//! Sending many again from a filter: counted before, once for each entry, stopped, and not lost with the
//! process that works at it.

use std::time::{Duration, Instant};

use sendtrail::domain::address::Address;
use sendtrail::domain::method::Method;
use sendtrail::domain::role::Role;
use sendtrail::domain::suppression::Reason;
use sendtrail::store::suppressions::NewSuppression;
use serde_json::{Value, json};

use super::child::{Child, Variables};
use super::pages_entry::{email, field, member};
use super::program::Program;
use super::queue::fill;
use super::sink::Sink;
use super::staff::{Browser, PASSWORD, add, start};
use crate::support::db::{TestDb, both};

both! {
    many_are_counted_and_then_sent_again_once_each,
    a_run_that_is_stopped_goes_no_further,
    a_kill_in_the_middle_of_a_run_loses_nothing_and_repeats_nothing,
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

/// The text of the heading that tells how far a run is, once it says so.
async fn until(browser: &mut Browser, page: &str, word: &str) -> String {
    let started = Instant::now();
    loop {
        let html = browser.get(page).await.html;
        let (_, rest) = html
            .split_once("id=\"state-of-run\"><span role=\"status\">")
            .unwrap();
        let heading = rest.split('<').next().unwrap();
        if heading.starts_with(word) {
            return html;
        }
        assert!(started.elapsed() < TIMEOUT, "{heading}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Starts a run over what the query chooses; its page.
async fn begun(browser: &mut Browser, query: &str) -> String {
    let path = format!("/resend?{query}");
    let html = browser.get(&path).await.html;
    let (token, id) = (browser.token().await, field(&html, "id"));
    let fields = [("token", &*token), ("id", &*id)];
    let mut places = Vec::new();
    for _ in 0..2 {
        let answer = browser.post(&path, &fields).await;
        assert_eq!(answer.status, 303, "{}", answer.html);
        places.push(answer.location);
    }
    assert_eq!(places[0], places[1], "a double click is one run");
    places.remove(0)
}

/// 251 entries of one contact type, of which one is suppressed and one cannot be sent again; and another.
async fn mishap(db: &TestDb, program: &Program) {
    let to = |number: usize| format!("delivered+{number}@simulator.test");
    let mut all: Vec<Value> = (0..250).map(|number| email("C-1", &to(number))).collect();
    all.push(
        json!({"client": "C-2", "method": "push", "to": "device-delivered",
        "type": "Reminder", "content": {"text": "See you"}}),
    );
    let mut other = email("C-3", &to(0));
    other["contact_type"] = json!("Staff Notifications");
    all.push(other);
    program.client.enqueue(&all).await;
    let address = Address::parse(Method::Email, &to(7)).unwrap();
    let new = NewSuppression {
        business: "default",
        address: &address,
        contact_type: None,
        reason: Reason::Bounce,
        source: "ses",
        staff_id: None,
        note: None,
        expires_at: None,
    };
    db.store.suppress(new).await.unwrap();
    // What is enqueued in the moment of the order is not older than it.
    db.pass(Duration::from_secs(1));
}

async fn many_are_counted_and_then_sent_again_once_each(db: &TestDb) {
    let program = start(db).await;
    let mut browser = member(db, &program, Role::ContactCentre).await;
    mishap(db, &program).await;
    let query = "contact_type=Client+Notifications&match=any&staff_id=";
    let html = browser.get(&format!("/resend?{query}")).await.html;
    for line in [
        "<dt>Entries that match</dt><dd>251</dd>",
        "<dt>Will be sent again</dt><dd>249</dd>",
        "<dt>Left out: their address is suppressed</dt><dd>1</dd>",
        "can be sent again</dt><dd>1</dd>",
        "<button class=\"main\">Resend 249</button>",
    ] {
        assert!(html.contains(line), "{line} in {html}");
    }
    let none = browser.get("/resend").await.html;
    assert!(
        none.contains("There is nothing to send again"),
        "without a filter: {none}"
    );
    let wrong = browser.get("/resend?method=fax").await;
    assert_eq!(wrong.status, 422);
    assert!(
        wrong.html.contains("fax") && wrong.html.contains("cannot be used"),
        "{}",
        wrong.html
    );

    let page = begun(&mut browser, query).await;
    let html = until(&mut browser, &page, "Done: 251 of 251").await;
    assert!(html.contains("<dt>Sent again</dt><dd>249</dd>"), "{html}");
    assert!(!html.contains("Stop"), "{html}");
    assert_eq!(resends(db).await, (249, 249));
    let users = db.texts("SELECT DISTINCT staff_id FROM contact_log WHERE resend_of IS NOT NULL");
    assert_eq!(users.await, ["S-contact_centre"]);
    let html = browser.get(&format!("/resend?{query}")).await.html;
    assert!(
        html.contains(&format!("<a href=\"{page}\">")),
        "among the runs before"
    );
    // The first ones, once more, would be left out; their copies are entries of their own.
    let again = "<dt>Left out: they were sent again before</dt><dd>249</dd>";
    assert!(html.contains(again), "{html}");

    // Another business does not see it, and neither does who may not send many again.
    add(db, "other", "eve@example.com", "S-eve", Role::Admin).await;
    let mut foreign = Browser::at(&program);
    foreign.sign_in("eve@example.com", PASSWORD).await;
    assert_eq!(foreign.get(&page).await.status, 404);
    let mut staff = member(db, &program, Role::Staff).await;
    assert_eq!(staff.get(&page).await.status, 403);
    let token = staff.token().await;
    let refused = staff
        .post(&format!("/resend?{query}"), &[("token", &token)])
        .await;
    assert_eq!(refused.status, 403);
    program.stop().await;
}

async fn a_run_that_is_stopped_goes_no_further(db: &TestDb) {
    fill(db, 3_000).await;
    // Only what shows the pages: it works at runs as well, but sends nothing.
    let mut child = Child::serve(&Variables::of(db), "web");
    add(db, "default", "ana@example.com", "S-1", Role::Admin).await;
    let mut browser = Browser::on(child.address());
    browser.sign_in("ana@example.com", PASSWORD).await;
    let page = begun(&mut browser, "method=email").await;
    let token = browser.token().await;
    let stopped = browser
        .post(&format!("{page}/stop"), &[("token", &token)])
        .await;
    assert_eq!(
        (stopped.status, stopped.location.as_str()),
        (303, page.as_str())
    );
    until(&mut browser, &page, "Stopped: ").await;
    assert!(browser.get(&page).await.html.contains("Stopped by"));
    let (sent, distinct) = resends(db).await;
    assert!(sent < 3_000 && sent == distinct, "{sent} {distinct}");
    let sql = "SELECT CAST(sent AS TEXT) FROM resend_runs";
    assert_eq!(db.texts(sql).await, [sent.to_string()]);
    child.stop();
}

async fn a_kill_in_the_middle_of_a_run_loses_nothing_and_repeats_nothing(db: &TestDb) {
    const COUNT: usize = 3_000;
    fill(db, COUNT).await;
    let sink = Sink::start(Duration::ZERO).await;
    let variables = Variables::of(db).through(&sink);
    add(db, "default", "ana@example.com", "S-1", Role::Admin).await;
    let mut child = Child::serve(&variables, "web");
    let mut browser = Browser::on(child.address());
    browser.sign_in("ana@example.com", PASSWORD).await;
    let page = begun(&mut browser, "method=email").await;
    for part in [4, 2] {
        let started = Instant::now();
        while resends(db).await.0 < COUNT / part {
            assert!(started.elapsed() < TIMEOUT, "the run does not go on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        child.kill();
        child = Child::serve(&variables, "web");
        child.address();
    }
    // Two at once take nothing twice.
    let mut second = db.is_postgres().then(|| Child::serve(&variables, "web"));
    if let Some(second) = &mut second {
        second.address();
    }
    let mut browser = Browser::on(child.address());
    browser.sign_in("ana@example.com", PASSWORD).await;
    let html = until(&mut browser, &page, &format!("Done: {COUNT} of {COUNT}")).await;
    assert!(
        html.contains(&format!("<dt>Sent again</dt><dd>{COUNT}</dd>")),
        "{html}"
    );
    assert_eq!(resends(db).await, (COUNT, COUNT), "each once");
    child.stop();
    if let Some(second) = second {
        second.stop();
    }
}
