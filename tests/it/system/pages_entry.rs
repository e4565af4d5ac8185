//! The page of an entry, and sending again from it.

use std::time::Duration;

use sendtrail::domain::address::Address;
use sendtrail::domain::method::Method;
use sendtrail::domain::role::Role;
use sendtrail::domain::suppression::Reason;
use sendtrail::store::suppressions::{Filter, NewSuppression};
use serde_json::{Value, json};

use super::program::Program;
use super::staff::{Browser, PASSWORD, add, start};
use crate::support::db::{TestDb, both};

both! {
    an_entry_is_renamed_and_what_stood_there_stays_on_record,
    an_entry_is_tagged_by_its_content_and_by_people,
    a_message_is_shown_from_each_side_and_its_pictures_only_when_asked_for,
    an_entry_is_sent_again_once_however_often_the_form_is_sent,
    a_corrected_address_is_checked_and_goes_to_the_card_where_asked_for,
    a_suppressed_address_is_explained_and_overridden_by_those_who_may,
    what_cannot_be_sent_again_says_why,
}

/// A member who sees everything, at the pages.
pub(super) async fn member(db: &TestDb, program: &Program, role: Role) -> Browser {
    let email = format!("{}@example.com", role.as_str());
    add(db, "default", &email, &format!("S-{}", role.as_str()), role).await;
    let mut browser = Browser::at(program);
    assert_eq!(browser.sign_in(&email, PASSWORD).await.status, 303);
    browser
}

pub(super) fn email(client: &str, to: &str) -> Value {
    json!({
        "client": {"id": client, "name": "Yuki Tanaka"}, "method": "email", "to": to,
        "type": "Booking confirmation",
        "content": {
            "subject": "Your yoga class", "text": "See you on Monday, Yuki.",
            "html": "<p>See you <img src=\"https://example.com/a.gif\"></p>",
            "reply_to": "desk@example.com",
            "attachments": [{"name": "a.txt", "content_type": "text/plain", "data": "eA=="}],
        },
    })
}

/// The program with an email that it was asked to send, and a member at its pages.
pub(super) async fn with_an_email(db: &TestDb, role: Role, to: &str) -> (Program, Browser, String) {
    let program = start(db).await;
    let browser = member(db, &program, role).await;
    let ids = program.client.enqueue(&[email("C-1", to)]).await;
    let id = ids.into_iter().next().unwrap();
    (program, browser, id)
}

/// The value of a hidden field.
pub(super) fn field(html: &str, name: &str) -> String {
    let begin = format!("name=\"{name}\" value=\"");
    let (_, rest) = html
        .split_once(&begin)
        .unwrap_or_else(|| panic!("no {name} in {html}"));
    rest.split('"').next().unwrap().to_owned()
}

/// The mark of the form that is posted to this path.
pub(super) fn mark(html: &str, path: &str) -> String {
    let (_, form) = html.split_once(&format!("action=\"{path}\"")).unwrap();
    field(form, "before")
}

async fn an_entry_is_renamed_and_what_stood_there_stays_on_record(db: &TestDb) {
    let (program, mut browser, id) =
        with_an_email(db, Role::Admin, "delivered@simulator.test").await;
    let (page, token) = (format!("/entries/{id}"), browser.token().await);
    let shown = browser.get(&page).await.html;
    let rename = format!("{page}/description");
    let first = mark(&shown, &rename);
    let save = |mark: String, text: &'static str| {
        [
            ("token", token.clone()),
            ("before", mark),
            ("description", text.to_owned()),
        ]
    };
    for text in ["First visit", "First <b>visit</b>"] {
        let before = mark(&browser.get(&page).await.html, &rename);
        let saved = browser.post_owned(&rename, &save(before, text)).await;
        assert_eq!(
            (saved.status, saved.location.as_str()),
            (303, page.as_str())
        );
        db.pass(Duration::from_secs(1));
    }
    let stale = browser.post_owned(&rename, &save(first, "Over it")).await;
    assert_eq!(stale.status, 409);
    assert!(
        stale.html.contains("Somebody else changed it"),
        "{}",
        stale.html
    );
    let before = mark(&browser.get(&page).await.html, &rename);
    let long = "x".repeat(4_001);
    let fields = [
        ("token", &*token),
        ("before", &*before),
        ("description", &*long),
    ];
    let refused = browser.post(&rename, &fields).await;
    assert_eq!(refused.status, 422);

    let shown = browser.get(&page).await.html;
    for text in [
        "<p class=\"words\">First &#60;b&#62;visit&#60;/b&#62;</p>",
        "Ana &#60;b&#62;Ruiz&#60;/b&#62; added a description",
        "“First visit” became “First &#60;b&#62;visit&#60;/b&#62;”",
    ] {
        assert!(shown.contains(text), "{text} in {shown}");
    }
    let entry = program.client.entry(&id).await;
    assert_eq!(entry["description"], "First <b>visit</b>");
    assert_eq!(entry["type"], "Booking confirmation", "no form changes it");
    assert_eq!(db.count("entry_changes").await, 2);
    program.stop().await;
}

async fn an_entry_is_tagged_by_its_content_and_by_people(db: &TestDb) {
    let (program, mut browser, id) =
        with_an_email(db, Role::Admin, "delivered@simulator.test").await;
    let (page, token) = (format!("/entries/{id}"), browser.token().await);
    let shown = browser.get(&page).await.html;
    assert!(shown.contains("<li>yoga class</li>"), "{shown}");
    assert!(!shown.contains("<li>yuki</li>"), "the client's own name");
    let entry = program.client.entry(&id).await;
    assert_eq!(entry["tags"][0], "yoga class", "{entry}");
    let retag = format!("{page}/tags");
    for (tags, status) in [("VIP, yoga", 303), ("a,b,c,d,e,f", 422)] {
        let before = mark(&browser.get(&page).await.html, &retag);
        let fields = [("token", &*token), ("before", &*before), ("tags", tags)];
        assert_eq!(browser.post(&retag, &fields).await.status, status, "{tags}");
    }
    let shown = browser.get(&page).await.html;
    assert!(
        shown.contains("changed the tags") && shown.contains("<li>VIP</li>"),
        "{shown}"
    );
    assert!(shown.contains("became “VIP, yoga”"), "{shown}");
    let entry = program.client.entry(&id).await;
    assert_eq!(entry["tags"], json!(["VIP", "yoga"]));
    assert_eq!(db.count("entry_changes").await, 1);
    program.stop().await;
}

async fn a_message_is_shown_from_each_side_and_its_pictures_only_when_asked_for(db: &TestDb) {
    let (program, mut browser, id) =
        with_an_email(db, Role::Admin, "delivered@simulator.test").await;
    program
        .client
        .until(&id, |entry| entry["status"] != "Awaiting Send")
        .await;
    let page = format!("/entries/{id}");
    let formatted = browser.get(&page).await;
    assert!(
        formatted.html.contains("<iframe sandbox srcdoc="),
        "{}",
        formatted.html
    );
    assert!(formatted.html.contains("Show the pictures") && formatted.html.contains("a.txt"));
    assert!(
        formatted.policy.contains("img-src data:;"),
        "{}",
        formatted.policy
    );
    let fetched = browser.get(&format!("{page}?pictures=yes")).await;
    assert!(
        fetched.policy.contains("img-src data: https: http:;"),
        "{}",
        fetched.policy
    );
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(fetched.policy.contains(part), "{part}");
    }
    assert!(fetched.html.contains("<iframe sandbox srcdoc="));
    let text = browser.get(&format!("{page}?show=text")).await.html;
    assert!(text.contains("See you on Monday, Yuki.") && !text.contains("<iframe"));
    let headers = browser.get(&format!("{page}?show=headers")).await.html;
    for line in [
        "<dt>Reply-To</dt><dd>desk@example.com</dd>",
        "<dt>To</dt><dd>delivered@simulator.test</dd>",
        "<dt>Subject</dt><dd>Your yoga class</dd>",
        &format!("<dt>X-Sendtrail-Id</dt><dd>{id}</dd>"),
        "<dt>Provider</dt><dd>ses</dd>",
    ] {
        assert!(headers.contains(line), "{line} in {headers}");
    }
    program.stop().await;
}

async fn an_entry_is_sent_again_once_however_often_the_form_is_sent(db: &TestDb) {
    let (program, mut browser, first) =
        with_an_email(db, Role::Admin, "delivered@simulator.test").await;
    let (path, token) = (format!("/entries/{first}/resend"), browser.token().await);
    let form = browser.get(&path).await.html;
    assert!(form.contains("See you on Monday, Yuki.") && form.contains("delivered@simulator.test"));
    let key = field(&form, "key");
    let fields = [("token", &*token), ("key", &*key), ("where", "original")];
    let mut places = Vec::new();
    for _ in 0..3 {
        let sent = browser.post(&path, &fields).await;
        assert_eq!(sent.status, 303, "{}", sent.html);
        places.push(sent.location);
    }
    places.dedup();
    assert_eq!(places.len(), 1, "a double click is one message");
    assert_eq!(db.count("contact_log").await, 2);
    let again = places[0].strip_prefix("/entries/").unwrap().to_owned();
    let entry = program.client.entry(&again).await;
    assert_eq!(
        (&entry["resend_of"], &entry["user"]),
        (&json!(first), &json!("Ana <b>Ruiz</b>"))
    );
    assert_eq!(entry["tags"][0], "yoga class");
    let other = [
        ("token", &*token),
        ("key", &*key),
        ("where", "other"),
        ("to", "opened@simulator.test"),
    ];
    let refused = browser.post(&path, &other).await;
    assert_eq!(refused.status, 422);
    assert!(
        refused
            .html
            .contains("was sent before with another address"),
        "{}",
        refused.html
    );
    assert_ne!(field(&refused.html, "key"), key);
    program
        .client
        .until(&again, |entry| entry["status"] != "Awaiting Send")
        .await;
    let page = browser.get(&format!("/entries/{first}")).await.html;
    assert!(page.contains("Sent again:") && page.contains(&format!("href=\"/entries/{again}\"")));
    assert!(page.contains("Sent again by Ana"), "{page}");
    let page = browser.get(&format!("/entries/{again}")).await.html;
    assert!(page.contains("Resend of") && page.contains(&format!("href=\"/entries/{first}\"")));
    assert!(page.contains("Enqueued as a resend by Ana"), "{page}");
    program.stop().await;
}

async fn a_corrected_address_is_checked_and_goes_to_the_card_where_asked_for(db: &TestDb) {
    let (program, mut browser, first) =
        with_an_email(db, Role::ContactCentre, "bounced@simulator.test").await;
    let (path, token) = (format!("/entries/{first}/resend"), browser.token().await);
    for (to, card, status) in [
        ("not an address", "", 422),
        ("delivered@simulator.test", "", 303),
        ("opened@simulator.test", "yes", 303),
    ] {
        let key = field(&browser.get(&path).await.html, "key");
        let fields = [
            ("token", &*token),
            ("key", &*key),
            ("where", "other"),
            ("to", to),
            ("card", card),
        ];
        let answer = browser.post(&path, &fields).await;
        assert_eq!(answer.status, status, "{}", answer.html);
        let client = db.store.client("default", "C-1").await.unwrap().unwrap();
        assert_eq!(client.email.as_deref() == Some(to), card == "yes");
        if status == 422 {
            assert!(
                answer.html.contains("is not an email address"),
                "{}",
                answer.html
            );
            assert!(
                answer.html.contains("value=\"not an address\""),
                "what was typed stays"
            );
        }
    }
    let page = browser.get(&format!("/entries/{first}")).await.html;
    assert!(page.contains("To opened@simulator.test"), "{page}");
    let told = page.matches("corrected the client&#39;s card").count();
    assert_eq!(told, 1, "with the former address: {page}");
    program.stop().await;
}

pub(super) async fn suppress(db: &TestDb, method: Method, to: &str, reason: Reason) {
    let address = Address::parse(method, to).unwrap();
    let new = NewSuppression {
        business: "default",
        address: &address,
        contact_type: None,
        reason,
        source: "staff",
        staff_id: None,
        note: Some("<i>asked</i> by phone"),
        expires_at: None,
    };
    db.store.suppress(new).await.unwrap();
}

async fn a_suppressed_address_is_explained_and_overridden_by_those_who_may(db: &TestDb) {
    let program = start(db).await;
    let mut leader = member(db, &program, Role::Admin).await;
    let mut caller = member(db, &program, Role::ContactCentre).await;
    let to = "suppressed@simulator.test";
    let first = program.client.enqueue(&[email("C-1", to)]).await.remove(0);
    // SES has it on the list for the whole account; its bounce puts it on our own.
    program
        .client
        .until(&first, |entry| entry["status"] == "Bounced")
        .await;
    suppress(db, Method::Email, to, Reason::Staff).await;
    let path = format!("/entries/{first}/resend");
    let shown = caller.get(&path).await.html;
    assert!(
        shown.contains("An earlier message to this address came back for good"),
        "{shown}"
    );
    assert!(shown.contains("Noted then: “&#60;i&#62;asked&#60;/i&#62; by phone”"));
    assert!(shown.contains("An Admin or Manager") && !shown.contains("name=\"override\""));
    let key = field(&shown, "key");
    let forged = override_by(&caller.token().await, &key, "yes", "x");
    let refused = caller.post_owned(&path, &forged).await;
    assert_eq!(refused.status, 409);
    assert!(
        refused.html.contains("Your role cannot"),
        "{}",
        refused.html
    );

    let shown = leader.get(&path).await.html;
    let (key, token) = (field(&shown, "key"), leader.token().await);
    assert!(shown.contains("name=\"override\""));
    for (overrides, note, words) in [
        ("", "", "is on the suppression list, so nothing was sent"),
        ("yes", " ", "Say why"),
    ] {
        let refused = leader
            .post_owned(&path, &override_by(&token, &key, overrides, note))
            .await;
        assert_eq!(refused.status, 409);
        assert!(refused.html.contains(words), "{words} in {}", refused.html);
    }
    assert_eq!(db.count("contact_log").await, 1);
    let fields = override_by(&token, &key, "yes", NOTE);
    let once = leader.post_owned(&path, &fields).await;
    assert_eq!(once.status, 303, "{}", once.html);
    let twice = leader.post_owned(&path, &fields).await;
    assert_eq!(
        twice.location, once.location,
        "a double click is one message"
    );
    let lifted = lifted(db).await;
    assert_eq!(lifted, 3, "two of ours, and that of the account");
    let story = leader.get(&format!("/entries/{first}")).await.html;
    assert!(
        story.contains("had it sent again although the address was suppressed")
            && story.contains(NOTE),
        "{story}"
    );
    program.stop().await;
}

const NOTE: &str = "The mailbox works again";

/// The form, as somebody sends it who wants to write to the address nevertheless.
fn override_by(token: &str, key: &str, overrides: &str, note: &str) -> [(&'static str, String); 5] {
    [
        ("token", token.to_owned()),
        ("key", key.to_owned()),
        ("where", "original".to_owned()),
        ("override", overrides.to_owned()),
        ("note", note.to_owned()),
    ]
}

/// How many entries of the list the Admin took off with the note.
async fn lifted(db: &TestDb) -> usize {
    let filter = Filter {
        lifted: true,
        limit: 10,
        ..Filter::default()
    };
    let page = db.store.suppressions("default", &filter).await.unwrap();
    let by_leader = page.suppressions.iter().filter(|entry| {
        entry.lifted.as_ref().is_some_and(|how| {
            how.staff_id.as_deref() == Some("S-admin") && how.note.as_deref() == Some(NOTE)
        })
    });
    by_leader.count()
}

async fn what_cannot_be_sent_again_says_why(db: &TestDb) {
    let program = start(db).await;
    let mut browser = member(db, &program, Role::Admin).await;
    let mut other = member(db, &program, Role::Staff).await;
    let push = json!({"client": "C-1", "method": "push", "to": "device-delivered", "type": "Reminder",
        "content": {"text": "See you"}});
    let sms = json!({"client": "C-1", "method": "sms", "to": "+15005550007", "type": "Reminder",
        "content": {"text": "See you"}});
    let ids = program.client.enqueue(&[push, sms]).await;
    let token = browser.token().await;
    let path = format!("/entries/{}/resend", ids[0]);
    let fields = [
        ("token", &*token),
        ("key", "00000000-0000-0000-0000-000000000000"),
    ];
    for answer in [browser.get(&path).await, browser.post(&path, &fields).await] {
        assert_eq!(answer.status, 409);
        assert!(
            answer
                .html
                .contains("Only emails and SMS can be sent again"),
            "{}",
            answer.html
        );
    }
    let page = browser.get(&format!("/entries/{}", ids[0])).await.html;
    assert!(!page.contains("/resend\""), "it is not offered");

    suppress(db, Method::Sms, "+15005550007", Reason::Stop).await;
    let path = format!("/entries/{}/resend", ids[1]);
    let shown = browser.get(&path).await.html;
    assert!(
        shown.contains("texted START") && !shown.contains("name=\"override\""),
        "{shown}"
    );
    let key = field(&shown, "key");
    let fields = [
        ("token", &*token),
        ("key", &*key),
        ("where", "original"),
        ("override", "yes"),
        ("note", "x"),
    ];
    let refused = browser.post(&path, &fields).await;
    assert_eq!(refused.status, 409);
    assert!(
        refused.html.contains("Nobody here can override this"),
        "{}",
        refused.html
    );

    // A client of nobody: out of the sight of Staff.
    let token = other.token().await;
    for path in [
        path,
        format!("/entries/{}/description", ids[1]),
        format!("/entries/{}/tags", ids[1]),
    ] {
        let fields = [
            ("token", &*token),
            ("key", &*key),
            ("before", ""),
            ("where", "original"),
        ];
        assert_eq!(other.post(&path, &fields).await.status, 404, "{path}");
    }
    assert_eq!(db.count("contact_log").await, 2);
    assert_eq!(db.count("entry_changes").await, 0);
    program.stop().await;
}
