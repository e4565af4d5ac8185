//! A client with everything that one can leave behind.

use std::time::Duration;

use bytes::Bytes;
use sendtrail::domain::event::{Bounce, Failure, Severity, What};
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::message::{Attachment, Content};
use sendtrail::domain::method::{Channel, Method};
use sendtrail::domain::reason::Category;
use sendtrail::domain::role::Role;
use sendtrail::domain::suppression::Reason;
use sendtrail::store::buried::NewBuried;
use sendtrail::store::by_hand::{Contact, Entered};
use sendtrail::store::changes::Edit;
use sendtrail::store::enqueue::{ContentSource, NewNotification};
use sendtrail::store::exports::NewExport;
use sendtrail::store::feedback::Incoming;
use sendtrail::store::jobs::Claim;
use sendtrail::store::record::Then;
use sendtrail::store::resend_runs::NewRun;
use sendtrail::store::suppressions::Lift;
use sendtrail::store::tasks::FollowUp;
use serde_json::json;
use uuid::Uuid;

use super::make::{
    BUSINESS, address, claimed, done, email, enqueued, happening, incoming, keyed, nothing_left,
    push, sms, suppressed, tried,
};
use super::staff::member;
use crate::support::db::TestDb;

/// Stands in everything that is the client's own, and nowhere else.
pub(super) const MARK: &str = "zq";
pub(super) const CLIENT: &str = "zqclient";
pub(super) const OWN: &str = "zqmail@example.com";
pub(super) const OTHER: &str = "zqother@example.com";
pub(super) const PHONE: &str = "+14155559876";

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

pub(super) fn letter(to_address: &str) -> NewNotification {
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

pub(super) fn bounce(words: &str) -> What {
    What::Bounced(Bounce {
        severity: Severity::Permanent,
        category: Category::InvalidAddress,
        subtype: Some("NoEmail".to_owned()),
        status: Some("5.1.1".to_owned()),
        diagnostic: Some(format!("550 {words} unknown")),
    })
}

pub(super) fn told(id: &str, of: NotificationId, what: What) -> Incoming {
    let key = 1_000 + u128::from(id.bytes().map(u32::from).sum::<u32>());
    let at = sendtrail::domain::time::Timestamp::parse(crate::support::db::START).unwrap();
    let mut message = incoming(id, Some(of), None, vec![happening(key, at, what)]);
    message.body = format!("{{\"to\":\"{OWN}\",\"notification_id\":\"{of}\"}}").into();
    message
}

/// Sends what is claimed; one is refused in the provider's own words.
pub(super) async fn record(db: &TestDb, claim: &Claim, refused: usize) {
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
pub(super) async fn live(db: &TestDb) -> (Vec<NotificationId>, Claim) {
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
        type_name: None,
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
    let overridden = Edit::Override {
        why: "zqreason".to_owned(),
    };
    for (id, edit) in [(entry, renamed), (sent[0], tagged), (sent[0], overridden)] {
        store.edit_entry(BUSINESS, id, "S-1", &edit).await.unwrap();
    }
    let run = NewRun {
        id: Uuid::from_u128(77),
        business: BUSINESS,
        account: Uuid::from_u128(7),
        staff_id: "S-1",
        filter: json!({"query": "search=zqclient", "sight": "all"}),
        total: 1,
        causes: &[],
        by: "S-1",
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
