//! Contacts entered on the pages, and the task manager.

use std::time::Duration;

use sendtrail::domain::method::Channel;
use sendtrail::domain::role::Role;
use sendtrail::store::clients::{Change, Changes};
use sendtrail::store::history::{Entry, Filter};

use super::staff::{Browser, PASSWORD, Page, add, start};
use crate::support::db::{TestDb, both};

both! {
    a_contact_is_entered_as_it_was_typed_and_once_however_often_it_is_sent,
    what_is_wrong_stands_beside_its_field_and_what_was_typed_stays,
    a_task_is_seen_done_and_undone_by_whom_it_is_for_and_by_those_who_lead,
}

const FORM: &str = "/clients/C%2F1/contacts/new";

async fn client(db: &TestDb) {
    let card = Changes {
        name: Change::To("Cleo <i>Marsh</i>".to_owned()),
        location: Change::To("Lisbon".to_owned()),
        staff_id: Change::To("S-1".to_owned()),
        ..Changes::default()
    };
    db.store.add_client("default", "C/1", &card).await.unwrap();
}

async fn signed_in(program: &super::program::Program, email: &str) -> Browser {
    let mut browser = Browser::at(program);
    assert_eq!(browser.sign_in(email, PASSWORD).await.status, 303);
    browser
}

/// The value of a field of the page.
fn value(page: &Page, name: &str) -> String {
    let (_, rest) = page.html.split_once(&format!("name=\"{name}\"")).unwrap();
    let (_, rest) = rest.split_once("value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

async fn entries(db: &TestDb) -> Vec<Entry> {
    let filter = Filter {
        limit: 10,
        ..Filter::default()
    };
    db.store.history("default", &filter).await.unwrap().entries
}

async fn a_contact_is_entered_as_it_was_typed_and_once_however_often_it_is_sent(db: &TestDb) {
    let program = start(db).await;
    client(db).await;
    add(db, "default", "ana@example.com", "S-1", Role::Staff).await;
    let mut browser = signed_in(&program, "ana@example.com").await;
    let page = browser.get(FORM).await;
    assert_eq!(page.status, 200);
    assert!(page.html.contains("Cleo &#60;i&#62;Marsh"), "{}", page.html);
    assert!(
        page.html.contains("<option value=\"S-1\" selected>"),
        "the visitor by default"
    );
    assert_eq!(value(&page, "date"), "2027-01-01T09:00", "now by default");
    let (token, key) = (value(&page, "token"), value(&page, "key"));
    let mut fields = vec![
        ("token", token.as_str()),
        ("key", &key),
        ("date", "2026-07-01T12:30"),
        ("date_offset", "120"),
        ("method", "in_person"),
        ("channel", "Inbound"),
        ("contact_type", "message center"),
        ("staff_id", ""),
        ("description", "Line one\r\nline <two>\u{1F600}"),
        ("follow_up", "yes"),
        ("due", "2027-01-02T08:00"),
        ("assignee", "S-1"),
        ("title", "Call back"),
    ];
    let added = browser.post(FORM, &fields).await;
    assert_eq!(added.status, 303, "{}", added.html);
    let again = browser.post(FORM, &fields).await;
    assert_eq!((again.status, &again.location), (303, &added.location));
    let found = entries(db).await;
    assert_eq!(found.len(), 1);
    let entry = &found[0];
    assert_eq!(added.location, format!("/entries/{}", entry.id));
    assert_eq!(entry.date.to_string(), "2026-07-01T10:30:00.000Z");
    assert_eq!(
        (entry.user.as_str(), entry.channel),
        ("No Staff", Channel::Inbound)
    );
    assert_eq!(
        entry.contact_type, "Message Center",
        "as it is spelled already"
    );
    assert_eq!(
        entry.description.as_deref(),
        Some("Line one\nline <two>\u{1F600}")
    );
    let tasks = db.store.tasks_of_entry("default", entry.id).await.unwrap();
    assert_eq!((tasks.len(), tasks[0].created_by.as_str()), (1, "S-1"));
    marks_are_told(&mut browser, &added.location, &tasks[0].id.to_string()).await;
    fields[6] = ("contact_type", "Visit");
    let other = browser.post(FORM, &fields).await;
    assert_eq!(other.status, 409, "another contact by the same form");
    assert!(other.html.contains(&added.location) && other.html.contains("value=\"Visit\""));
    let fresh = value(&other, "key");
    assert_ne!(fresh, key);
    fields[1] = ("key", &fresh);
    assert_eq!(
        browser.post(FORM, &fields).await.status,
        303,
        "when it is meant"
    );
    assert_eq!(entries(db).await.len(), 2);
    let types = db.store.contact_types("default").await.unwrap();
    assert!(types.contains(&"Visit".to_owned()), "made on the spot");
    program.stop().await;
}

/// The page of the contact says who made its task, did it, and opened it again.
async fn marks_are_told(browser: &mut Browser, entry: &str, task: &str) {
    let token = value(&browser.get(entry).await, "token");
    for mark in ["done", "reopen"] {
        let path = format!("/tasks/{task}/{mark}");
        let marked = browser.post(&path, &[("token", &token)]).await;
        assert_eq!(marked.status, 303, "{}", marked.html);
    }
    let told = browser.get(entry).await.html;
    for words in [
        "made a follow-up task for",
        "marked the follow-up task as done",
        "opened the follow-up task again",
    ] {
        assert!(told.contains(words), "{words} in {told}");
    }
}

async fn what_is_wrong_stands_beside_its_field_and_what_was_typed_stays(db: &TestDb) {
    let program = start(db).await;
    client(db).await;
    add(db, "default", "ana@example.com", "S-1", Role::Admin).await;
    let mut browser = signed_in(&program, "ana@example.com").await;
    let page = browser.get(FORM).await;
    let (token, key) = (value(&page, "token"), value(&page, "key"));
    let long = "\u{e9}".repeat(4_001);
    let wrong = [
        (
            "date",
            "1989-12-31T23:59",
            "This is before 1990: check the year.",
        ),
        ("method", "fax", "Choose one."),
        ("channel", "Sideways", "Choose Outbound or Inbound."),
        ("contact_type", " ", "This must not be empty."),
        ("staff_id", "S-99", "Choose somebody of the list."),
        (
            "description",
            &long,
            "This is too long: at most 4000 characters.",
        ),
        (
            "due",
            "soon",
            "Give a date and a time, such as 2027-01-31T09:30.",
        ),
        ("assignee", "S-99", "Choose somebody of the list."),
        ("title", "", "This must not be empty."),
        (
            "task_description",
            &long,
            "This is too long: at most 4000 characters.",
        ),
    ];
    let mut fields = vec![
        ("token", token.as_str()),
        ("key", &key),
        ("follow_up", "yes"),
    ];
    fields.extend(wrong.map(|(name, typed, _)| (name, typed)));
    let page = browser.post(FORM, &fields).await;
    assert_eq!(page.status, 422, "{}", page.html);
    for (name, typed, why) in wrong {
        let beside = format!("id=\"{name}-fault\">{why}</p>");
        assert!(page.html.contains(&beside), "{beside} in {}", page.html);
        assert!(
            page.html.contains(&format!("<a href=\"#{name}\">")),
            "{name}"
        );
        let chosen = ["method", "channel", "staff_id", "assignee"].contains(&name);
        assert!(chosen || page.html.contains(typed.trim()), "{name} stays");
    }
    assert_eq!(value(&page, "key"), key);
    let ahead = [("date", "2027-01-02T09:01"), ("token", &token)];
    let page = browser.post(FORM, &ahead).await;
    assert!(
        page.html.contains("more than a day in the future"),
        "{}",
        page.html
    );
    assert!(!page.html.contains("id=\"due-fault\""), "no task is wanted");
    assert!(entries(db).await.is_empty());
    assert_eq!(db.count("follow_up_tasks").await, 0);
    program.stop().await;
}

#[expect(clippy::too_many_lines, reason = "a story is told at a stretch")]
async fn a_task_is_seen_done_and_undone_by_whom_it_is_for_and_by_those_who_lead(db: &TestDb) {
    let program = start(db).await;
    client(db).await;
    for (email, staff_id, role) in [
        ("ana@example.com", "S-1", Role::Staff),
        ("bob@example.com", "S-2", Role::StaffPlus),
        ("eve@example.com", "S-3", Role::Manager),
    ] {
        add(db, "default", email, staff_id, role).await;
    }
    let mut ana = signed_in(&program, "ana@example.com").await;
    let page = ana.get(FORM).await;
    let (token, key) = (value(&page, "token"), value(&page, "key"));
    let fields = [
        ("token", token.as_str()),
        ("key", &key),
        ("date", "2027-01-01T08:00"),
        ("method", "phone"),
        ("channel", "Outbound"),
        ("contact_type", "Talk"),
        ("follow_up", "yes"),
        ("due", "2027-01-01T08:59"),
        ("assignee", "S-2"),
        ("title", "Call <b>back</b>"),
    ];
    assert_eq!(ana.post(FORM, &fields).await.status, 303);
    let task = db
        .texts("SELECT CAST(id AS text) FROM follow_up_tasks")
        .await
        .remove(0);
    let (done, reopen) = (
        format!("/tasks/{task}/done"),
        format!("/tasks/{task}/reopen"),
    );
    assert!(ana.get("/tasks").await.html.contains("Nothing to do"));
    assert_eq!(ana.get("/tasks?of=S-2").await.status, 403);
    assert_eq!(ana.get("/tasks?of=all").await.status, 403);
    let refused = ana.post(&done, &[("token", &token)]).await;
    assert_eq!(refused.status, 404, "it is not hers");
    let mut bob = signed_in(&program, "bob@example.com").await;
    let page = bob.get("/tasks").await;
    for text in [
        "Overdue",
        "Call &#60;b&#62;back",
        "About a client whom you do not see",
        "<span class=\"unseen\">, due: </span>1</span>",
    ] {
        assert!(page.html.contains(text), "{text} in {}", page.html);
    }
    assert!(!page.html.contains("Marsh") && !page.html.contains("/entries/"));
    let own = bob.token().await;
    let marked = bob.post(&done, &[("token", &own)]).await;
    assert_eq!(
        (marked.status, marked.location.clone()),
        (303, format!("/tasks?marked={task}"))
    );
    let page = bob.get(&marked.location).await;
    assert!(page.html.contains("Marked as done:") && page.html.contains("Nothing to do"));
    assert!(!page.html.contains(", due: "), "nothing is due any more");
    let undone = bob.post(&reopen, &[("token", &own)]).await;
    assert!(bob.get(&undone.location).await.html.contains("Open again:"));
    let mut eve = signed_in(&program, "eve@example.com").await;
    let own = eve.token().await;
    let page = eve.get("/tasks?of=all").await;
    assert!(page.html.contains("assigned to") && page.html.contains("Cleo &#60;i&#62;Marsh"));
    assert!(page.html.contains("href=\"/clients/C%2F1\"") && page.html.contains("/entries/"));
    assert!(
        eve.get("/tasks").await.html.contains("Nothing to do"),
        "none is hers"
    );
    db.pass(Duration::from_mins(1));
    let marked = eve
        .post(&done, &[("token", &own), ("of", "S-2"), ("show", "")])
        .await;
    assert_eq!(marked.location, format!("/tasks?of=S-2&marked={task}"));
    let page = eve.get("/tasks?of=S-2&show=done").await;
    assert!(page.html.contains("Open again<span") && page.html.contains("09:01:00"));
    program.stop().await;
}
