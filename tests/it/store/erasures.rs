//! A client who is forgotten: nothing that was its own is left in any table or in the file, while its lines
//! and their statuses stay; and what comes in later brings nothing back.

use std::time::Duration;

use bytes::Bytes;
use sendtrail::domain::event::{Bounce, Failure, Severity, What};
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::message::{Attachment, Content};
use sendtrail::domain::method::{Channel, Method};
use sendtrail::domain::reason::Category;
use sendtrail::domain::role::Role;
use sendtrail::domain::suppression::{Bar, Reason};
use sendtrail::store::buried::NewBuried;
use sendtrail::store::by_hand::{Contact, Entered};
use sendtrail::store::changes::Edit;
use sendtrail::store::clients::Changes;
use sendtrail::store::enqueue::{ContentSource, Enqueued, NewNotification, Why};
use sendtrail::store::erasures::{Erasure, Order, Ordered};
use sendtrail::store::exports::NewExport;
use sendtrail::store::feedback::Incoming;
use sendtrail::store::jobs::Claim;
use sendtrail::store::record::Then;
use sendtrail::store::resend_runs::NewRun;
use sendtrail::store::suppressions::{Filter, Lift};
use sendtrail::store::tasks::FollowUp;
use sendtrail::store::verify::Span;
use serde_json::json;
use uuid::Uuid;

use super::make::{
    BUSINESS, address, claimed, done, email, enqueued, happening, incoming, keyed, nothing_left,
    push, request, sms, suppressed, tried,
};
use super::staff::member;
use crate::support::db::{TestDb, both};

both! {
    nothing_of_a_forgotten_client_is_left_and_nothing_comes_back,
    an_erasure_goes_on_where_another_process_left_it,
    a_client_on_hold_is_not_forgotten,
}

/// Stands in everything that is the client's own, and nowhere else.
const MARK: &str = "zq";
const CLIENT: &str = "zqclient";
const OWN: &str = "zqmail@example.com";
const OTHER: &str = "zqother@example.com";
const PHONE: &str = "+14155559876";

fn order<'a>(client_id: &'a str) -> Order<'a> {
    Order {
        business: BUSINESS,
        client_id,
        asked_by: "API key privacy",
        reason: Some("asked by letter"),
    }
}

async fn begun(db: &TestDb, client_id: &str) -> Erasure {
    match db.store.erase_client(order(client_id)).await.unwrap() {
        Ordered::Begun(erasure) => erasure,
        other => panic!("{other:?}"),
    }
}

/// Both rounds.
async fn finish(db: &TestDb) {
    for _ in 0..2 {
        for id in db.store.open_erasures(10).await.unwrap() {
            while db.store.erase_on(id).await.unwrap() {}
        }
        db.pass(Duration::from_mins(6));
    }
}

fn to(mut new: NewNotification, method: Method, to: &str) -> NewNotification {
    new.client.name = Some("Zqana Zqruiz".to_owned());
    new.client.email = Some(OWN.to_owned());
    new.client.phone = Some(PHONE.to_owned());
    new.to = Some(address(method, to));
    new.staff_id = Some("S-7".to_owned());
    new.metadata = json!({"zqname": "zqvalue"}).as_object().cloned();
    new.tags = Some(vec!["zqtag".to_owned()]);
    new
}

fn letter(to_address: &str) -> NewNotification {
    let mut new = to(email(CLIENT), Method::Email, to_address);
    new.content = ContentSource::New(Content::Email {
        subject: "Zqsubject".to_owned(),
        text: Some("zqtext".to_owned()),
        html: Some("<p>zqhtml</p>".to_owned()),
        reply_to: None,
        attachments: vec![
            file("zqown.pdf", "5a".repeat(32)),
            file("zqterms.pdf", "5b".repeat(32)),
        ],
    });
    new.files = vec![Bytes::from_static(b"zqbytes"), Bytes::from_static(b"terms")];
    new
}

fn file(name: &str, sha256: String) -> Attachment {
    Attachment {
        name: name.to_owned(),
        content_type: "application/pdf".to_owned(),
        content_id: None,
        size: 5,
        sha256,
    }
}

/// Somebody else, with a file that the client has as well.
fn neighbour() -> NewNotification {
    let mut new = email("C-2");
    if let ContentSource::New(Content::Email { attachments, .. }) = &mut new.content {
        attachments.push(file("terms.pdf", "5b".repeat(32)));
    }
    new.files = vec![Bytes::from_static(b"terms")];
    new
}

fn bounce(words: &str) -> What {
    What::Bounced(Bounce {
        severity: Severity::Permanent,
        category: Category::InvalidAddress,
        subtype: Some("NoEmail".to_owned()),
        status: Some("5.1.1".to_owned()),
        diagnostic: Some(format!("550 {words} unknown")),
    })
}

fn told(id: &str, of: NotificationId, what: What) -> Incoming {
    let key = 1_000 + u128::from(id.bytes().map(u32::from).sum::<u32>());
    let at = sendtrail::domain::time::Timestamp::parse(crate::support::db::START).unwrap();
    let mut message = incoming(id, Some(of), None, vec![happening(key, at, what)]);
    message.body = format!("{{\"to\":\"{OWN}\",\"notification_id\":\"{of}\"}}").into();
    message
}

/// Sends what is claimed; one is refused in the provider's own words.
async fn record(db: &TestDb, claim: &Claim, refused: usize) {
    let now = db.clock.now();
    let mut batch = Vec::new();
    for (number, job) in claim.jobs.iter().enumerate() {
        let then = if number == refused {
            Then::Rejected(Failure {
                category: Category::InvalidAddress,
                code: Some("550".to_owned()),
                provider_text: Some("550 zqwords".to_owned()),
            })
        } else {
            super::make::sent(&format!("0100018f-{}-000000", job.job.id))
        };
        let mut attempt = tried(
            now,
            if number == refused {
                "rejected"
            } else {
                "accepted"
            },
        );
        if let Some(attempt) = attempt.as_mut().filter(|_| number == refused) {
            attempt.text = Some("550 zqwords".to_owned());
        }
        batch.push(done(claim, job, attempt, then));
    }
    db.store.record(&batch, &nothing_left(claim)).await.unwrap();
}

/// Everything that a client can leave behind. Returns its emails that were sent, and the claim of one that
/// is in a worker's hands.
async fn live(db: &TestDb) -> (Vec<NotificationId>, Claim) {
    let store = &db.store;
    enqueued(store, vec![neighbour()]).await;
    let sent = enqueued(
        store,
        vec![keyed(letter(OWN), "zqkey", 1), letter(OTHER), letter(OWN)],
    )
    .await;
    let claim = claimed(store).await;
    record(db, &claim, 2).await;
    let flying = enqueued(store, vec![letter(OWN)]).await;
    let claim = claimed(store).await;
    assert_eq!(claim.jobs[0].job.id, flying[0]);
    let mut later = letter(OWN);
    later.send_at = Some(db.clock.now().plus(Duration::from_hours(24)));
    let text = to(sms(CLIENT), Method::Sms, PHONE);
    let mut note = to(push(CLIENT), Method::Push, "zqtarget");
    note.content = ContentSource::New(Content::Push {
        title: Some("zqtitle".to_owned()),
        text: "zqpush".to_owned(),
        data: json!({"zqfield": "zqdata"}).as_object().cloned().unwrap(),
    });
    enqueued(store, vec![later, text, note]).await;
    feedback(db, &sent).await;
    people(db, &sent).await;
    files(db).await;
    (sent, claim)
}

async fn feedback(db: &TestDb, sent: &[NotificationId]) {
    let store = &db.store;
    let complaint = What::Complained {
        feedback_type: Some("abuse".to_owned()),
    };
    let clicked = What::Clicked {
        link: Some("https://example.com/zqlink".to_owned()),
        user_agent: Some("zqbrowser".to_owned()),
    };
    for (id, what) in [("a", bounce(OWN)), ("b", clicked), ("c", complaint)] {
        store.keep_feedback(told(id, sent[0], what)).await.unwrap();
    }
    // Only by the provider's own id, only by an address, and about somebody else.
    let mut by_provider = told("d", sent[1], bounce(OTHER));
    by_provider.body = format!("{{\"messageId\":\"0100018f-{}-000000\",\"zq\":1}}", sent[1]).into();
    let mut by_address = told("e", sent[1], bounce(OTHER));
    (by_address.report, by_address.body) = (None, format!("To: <{OTHER}>").into());
    let mut foreign = told(
        "f",
        NotificationId::new(Uuid::from_u128(7)),
        bounce("nobody"),
    );
    foreign.body = "{\"to\":\"joana@example.com\"}".into();
    for message in [by_provider, by_address, foreign] {
        store.keep_feedback(message).await.unwrap();
    }
    for reason in [Reason::Staff, Reason::Bounce] {
        let to = address(Method::Email, OTHER);
        let mut new = suppressed(&to, reason);
        new.note = Some("zqnote");
        store.suppress(new).await.unwrap();
    }
    let to = address(Method::Sms, PHONE);
    store
        .suppress(suppressed(&to, Reason::Staff))
        .await
        .unwrap();
    let lift = Lift {
        business: BUSINESS,
        address: &to,
        contact_type: None,
        reason: None,
        source: "staff",
        staff_id: None,
        note: Some("zqlifted"),
    };
    store.lift(lift).await.unwrap();
}

async fn people(db: &TestDb, sent: &[NotificationId]) {
    let store = &db.store;
    let task = FollowUp {
        title: "Call zqana",
        description: Some("zqtask"),
        due_at: db.clock.now(),
        assignee: "S-1",
    };
    let contact = Contact {
        business: BUSINESS,
        client_id: CLIENT,
        date: None,
        method: Method::Phone,
        channel: Channel::Inbound,
        contact_type: "Message Center",
        staff_id: Some("S-1"),
        description: Some("zqdescription"),
        entered_by: Some("S-2"),
        key: Some("zqcontact"),
        follow_up: Some(task),
    };
    let Entered::New(entry) = store.enter_contact(&contact).await.unwrap() else {
        panic!("not entered");
    };
    let renamed = Edit::Description {
        before: Some("zqdescription".to_owned()),
        after: Some("zqrenamed".to_owned()),
    };
    let tagged = Edit::Tags {
        before: vec!["zqtag".to_owned()],
        after: vec!["zqtag two".to_owned()],
    };
    store
        .edit_entry(BUSINESS, entry, "S-1", &renamed)
        .await
        .unwrap();
    store
        .edit_entry(BUSINESS, sent[0], "S-1", &tagged)
        .await
        .unwrap();
    let run = NewRun {
        id: Uuid::from_u128(77),
        business: BUSINESS,
        account: Uuid::from_u128(7),
        staff_id: "S-1",
        filter: json!({"query": "search=zqclient", "sight": "all"}),
        total: 1,
    };
    store.begin_resend_run(run).await.unwrap();
    let body = format!("{{\"client\":{{\"id\":\"{CLIENT}\"}},\"to\":1}}");
    for (id, body) in [
        ("m-1", body.as_str()),
        ("m-2", "{\"client\":{\"id\":\"C-2\"}}"),
    ] {
        let buried = NewBuried {
            business: BUSINESS,
            source: "queue",
            message_id: id,
            reason: json!([]),
            body,
        };
        store.bury(buried).await.unwrap();
    }
}

async fn files(db: &TestDb) {
    let owner = db
        .store
        .add_staff(member("s@example.com", None, Role::Admin));
    let new = NewExport {
        business: BUSINESS,
        account: owner.await.unwrap().unwrap().id,
        format: "csv",
        filter: &json!("search=zqclient"),
    };
    db.store.add_export(new).await.unwrap();
    let mut made = db.store.claim_export().await.unwrap().unwrap();
    let piece = Some((0, Bytes::from_static(b"zqexport")));
    db.store.go_on_with_export(&mut made, piece).await.unwrap();
    db.store.finish_export(&made, Ok(8)).await.unwrap();
}

/// Where the mark stands: table and row.
async fn marks(db: &TestDb) -> Vec<String> {
    let tables = if db.is_postgres() {
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '%sqlx%' UNION ALL SELECT 'contact_history'"
    } else {
        "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite%' AND name NOT LIKE '%sqlx%'"
    };
    let (hex_mark, mut found) = (hex::encode(MARK), Vec::new());
    for table in db.texts(tables).await {
        let bytes = ["attachments", "export_chunks"].contains(&table.as_str());
        let rows = match (bytes, db.is_postgres()) {
            (false, _) => db.rows(&format!("SELECT * FROM {table}")).await,
            (true, true) => {
                db.rows(&format!("SELECT encode(bytes, 'hex') FROM {table}"))
                    .await
            }
            (true, false) => {
                db.rows(&format!("SELECT lower(hex(bytes)) FROM {table}"))
                    .await
            }
        };
        for value in rows.into_iter().flatten().flatten() {
            let value = value.to_lowercase();
            let phone = PHONE.trim_start_matches('+');
            if value.contains(MARK) || value.contains(phone) || bytes && value.contains(&hex_mark) {
                found.push(format!("{table}: {value}"));
            }
        }
    }
    found
}

async fn statuses(db: &TestDb) -> Vec<Vec<Option<String>>> {
    db.rows(
        "SELECT status, contact_method, type, \"user\", channel, COUNT(*) FROM contact_history \
             GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5",
    )
    .await
}

async fn nothing_of_a_forgotten_client_is_left_and_nothing_comes_back(db: &TestDb) {
    let (sent, flying) = live(db).await;
    assert!(marks(db).await.len() > 60, "{:#?}", marks(db).await);
    let uid = db
        .store
        .client(BUSINESS, CLIENT)
        .await
        .unwrap()
        .unwrap()
        .uid;
    let before = statuses(db).await;
    let erasure = begun(db, CLIENT).await;
    assert_eq!((erasure.client, erasure.state()), (uid, "running"));
    // It was on its way, and nobody knew how it would end.
    record(db, &flying, 0).await;
    finish(db).await;
    let marks = marks(db).await;
    assert!(marks.is_empty(), "{}", marks.join("\n"));
    let done = db
        .store
        .erasure(BUSINESS, erasure.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((done.state(), done.entries), ("finished", 8));
    assert_eq!(
        db.store.erasures(BUSINESS, 10).await.unwrap(),
        [done.clone()]
    );
    assert!(
        db.store
            .erasure("other", erasure.id)
            .await
            .unwrap()
            .is_none()
    );
    counted(&before, &statuses(db).await);
    others(db, &sent).await;
    after(db, &sent, done).await;
    in_the_file(db).await;
}

/// What waited is cancelled, and what was on its way failed; every other status is what it was.
fn counted(before: &[Vec<Option<String>>], after: &[Vec<Option<String>>]) {
    let count = |rows: &[Vec<Option<String>>], status: Option<&str>| {
        let of = rows.iter().filter(|row| row[0].as_deref() == status);
        of.map(|row| row[5].as_deref().unwrap().parse::<i64>().unwrap())
            .sum::<i64>()
    };
    assert_eq!(count(before, Some("Awaiting Send")), 4);
    assert_eq!(count(after, Some("Awaiting Send")), 0);
    assert_eq!(
        count(after, Some("Failed")),
        count(before, Some("Failed")) + 4
    );
    let still = |rows: &[Vec<Option<String>>]| -> Vec<Vec<Option<String>>> {
        let moved = [Some("Awaiting Send"), Some("Failed")];
        rows.iter()
            .filter(|row| !moved.contains(&row[0].as_deref()))
            .cloned()
            .collect()
    };
    assert_eq!(still(before), still(after));
    assert!(still(after).len() >= 3, "{after:?}");
}

async fn others(db: &TestDb, sent: &[NotificationId]) {
    assert_eq!(
        db.texts("SELECT sha256 FROM attachments").await,
        ["5b".repeat(32)]
    );
    assert_eq!(
        db.texts("SELECT message_id FROM buried_messages").await,
        ["m-2"]
    );
    let raw = "SELECT message_id FROM feedback_inbox WHERE body <> ''";
    assert_eq!(db.texts(raw).await, ["f"]);
    assert_eq!(db.count("message_content").await, 1);
    let all = Span {
        after: NotificationId::new(Uuid::nil()),
        below: NotificationId::new(Uuid::max()),
    };
    let verified = db.store.verify(all, 1_000).await.unwrap();
    assert_eq!(
        (verified.count > 5, verified.differences),
        (true, Vec::new())
    );
    let line = db
        .store
        .entries(BUSINESS, &sent[..1])
        .await
        .unwrap()
        .remove(0);
    assert_eq!(line.client_name.as_deref(), Some("Erased client"));
    assert_eq!((line.to, line.tags.len()), (None, 0));
}

async fn after(db: &TestDb, sent: &[NotificationId], done: Erasure) {
    let store = &db.store;
    // What providers say later, and say again.
    for (id, what) in [("g", bounce(OWN)), ("a", bounce(OWN))] {
        store.keep_feedback(told(id, sent[1], what)).await.unwrap();
    }
    assert!(marks(db).await.is_empty(), "{:?}", marks(db).await);
    // What is asked for again; what staff do at a page that is still open.
    let old = format!("erased-{}", done.client);
    assert_eq!(
        store.erase_client(order(&old)).await.unwrap(),
        Ordered::Before(done)
    );
    assert_eq!(
        store.erase_client(order(CLIENT)).await.unwrap(),
        Ordered::NoClient
    );
    let answer = store.enqueue(request(vec![email(&old)])).await.unwrap();
    let Enqueued::Refused(refusals) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(refusals[0].why, Why::Erased);
    // The same id is a new client, who is left alone where it asked for that.
    let new = enqueued(store, vec![letter(OWN), letter(OTHER)]).await;
    let claim = claimed(store).await;
    let bars: Vec<_> = claim.jobs.iter().map(|job| (job.job.id, job.bar)).collect();
    assert_eq!(
        bars,
        [
            (new[0], Some(Bar::Suppressed(Reason::Complaint))),
            (new[1], Some(Bar::Suppressed(Reason::Staff))),
        ]
    );
    let filter = Filter {
        addresses: vec![OTHER.to_owned()],
        limit: 10,
        ..Filter::default()
    };
    let found = store.suppressions(BUSINESS, &filter).await.unwrap();
    assert_eq!(found.suppressions.len(), 1);
    assert!(found.suppressions[0].address.starts_with("erased:"));
    begun(db, CLIENT).await;
    record(db, &claim, 9).await;
    finish(db).await;
    assert!(marks(db).await.is_empty(), "{:?}", marks(db).await);
    assert_eq!(db.count("suppressions").await, 2);
}

/// SQLite's file itself, once its log is copied into it.
async fn in_the_file(db: &TestDb) {
    let Some(path) = db.url.strip_prefix("sqlite:") else {
        return;
    };
    db.rows("PRAGMA wal_checkpoint(TRUNCATE)").await;
    for file in [path.to_owned(), format!("{path}-wal")] {
        let bytes = std::fs::read(&file)
            .unwrap_or_default()
            .to_ascii_lowercase();
        for mark in [
            "zqtext",
            "zqmail",
            "zqruiz",
            "zqbytes",
            "zqexport",
            "zqdescription",
        ] {
            let at = bytes
                .windows(mark.len())
                .position(|part| part == mark.as_bytes());
            assert_eq!(at, None, "{mark} in {file}");
        }
    }
}

async fn an_erasure_goes_on_where_another_process_left_it(db: &TestDb) {
    let mut many: Vec<NewNotification> = (0..120).map(|_| email("C-1")).collect();
    many.push(email("C-2"));
    enqueued(&db.store, many).await;
    let erasure = begun(db, "C-1").await;
    let other = db.another_store().await;
    assert!(other.erase_on(erasure.id).await.unwrap());
    other.close().await;
    let left = || db.texts("SELECT COUNT(*) FROM contact_log WHERE address IS NOT NULL");
    assert_eq!(left().await, ["71"]);
    let (a, b) = tokio::join!(db.store.erase_on(erasure.id), db.store.erase_on(erasure.id));
    assert!(a.unwrap() | b.unwrap());
    finish(db).await;
    assert_eq!(left().await, ["1"]);
    let done = db
        .store
        .erasure(BUSINESS, erasure.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((done.entries, done.state()), (120, "finished"));
    assert!(!db.store.erase_on(erasure.id).await.unwrap());
    assert_eq!(db.count("jobs").await, 1);
}

async fn a_client_on_hold_is_not_forgotten(db: &TestDb) {
    enqueued(&db.store, vec![email("C-1")]).await;
    let hold = |it| Changes {
        hold: Some(it),
        ..Changes::default()
    };
    let held = db.store.change_client(BUSINESS, "C-1", &hold(true)).await;
    assert!(held.unwrap().unwrap().hold);
    assert_eq!(
        db.store.erase_client(order("C-1")).await.unwrap(),
        Ordered::OnHold
    );
    assert_eq!(db.store.open_erasures(10).await.unwrap(), [Uuid::nil(); 0]);
    db.store
        .change_client(BUSINESS, "C-1", &hold(false))
        .await
        .unwrap();
    begun(db, "C-1").await;
}

pub(super) async fn everything(db: &TestDb) {
    let (_, claim) = live(db).await;
    begun(db, CLIENT).await;
    finish(db).await;
    record(db, &claim, 0).await;
    db.store.erasures(BUSINESS, 10).await.unwrap();
    db.store.erasure(BUSINESS, Uuid::nil()).await.unwrap();
}
