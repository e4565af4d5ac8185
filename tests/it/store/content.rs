//! What messages are made of: templates, attachments, and who a business writes as.

use std::time::Duration;

use bytes::Bytes;
use sendtrail::domain::mailbox::Mailbox;
use sendtrail::domain::message::{Attachment, Content, TemplateRef};
use sendtrail::domain::method::Method;
use sendtrail::domain::sms_sender::SmsSender;
use sendtrail::store::businesses::{Change, Identity, Setting};
use sendtrail::store::enqueue::{ContentSource, Enqueue, Enqueued, NewNotification, Refusal, Why};
use sendtrail::store::templates::{StoredTemplate, Written};
use uuid::Uuid;

use super::make::{BUSINESS, claimed, email, enqueued, keyed, push, request, sms, tickets, wanted};
use crate::support::db::{TestDb, both};

both! {
    a_template_keeps_every_version_and_one_is_current,
    templates_belong_to_their_business,
    templates_and_versions_are_listed_page_by_page,
    two_programs_write_one_template_at_once,
    files_are_kept_once_and_come_back_as_they_were,
    files_belong_to_their_business,
    a_thousand_emails_share_one_file,
    a_resend_has_the_files_and_the_template_of_the_first,
    a_message_is_from_who_the_business_was_when_it_was_enqueued,
    what_was_enqueued_before_is_known_by_key_and_body,
    what_is_as_before_is_a_repetition_or_refused,
    a_message_whose_columns_cannot_be_read_does_not_hold_up_the_others,
}

fn template(name: &str, text: &str) -> StoredTemplate {
    StoredTemplate {
        name: name.to_owned(),
        version: Uuid::from_u128(
            text.bytes()
                .fold(1, |sum, byte| sum * 257 + u128::from(byte)),
        ),
        method: Method::Email,
        type_name: Some("Reminder".to_owned()),
        subject: Some("Hello".to_owned()),
        text: Some(text.to_owned()),
        html: None,
    }
}

async fn a_template_keeps_every_version_and_one_is_current(db: &TestDb) {
    let (one, two) = (template("t", "one"), template("t", "two"));
    let put = async |template| db.store.put_template(BUSINESS, template).await.unwrap();
    let current = async || db.store.template(BUSINESS, "t", None).await.unwrap();
    assert_eq!(current().await, None);
    assert_eq!(put(&one).await, Written::Created);
    assert_eq!(put(&one).await, Written::Unchanged);
    assert_eq!(current().await.as_ref(), Some(&one));
    db.pass(Duration::from_secs(1));
    assert_eq!(put(&two).await, Written::Changed);
    assert_eq!(current().await.as_ref(), Some(&two));
    let old = db.store.template(BUSINESS, "t", Some(one.version)).await;
    assert_eq!(old.unwrap().as_ref(), Some(&one), "kept");
    db.pass(Duration::from_secs(1));
    assert_eq!(
        put(&one).await,
        Written::Changed,
        "back to the version that it was"
    );
    assert_eq!(current().await.as_ref(), Some(&one));
    assert_eq!(db.count("template_versions").await, 2);
    let names = ["t".to_owned(), "none".to_owned()];
    let found = db.store.current_templates(BUSINESS, &names).await.unwrap();
    assert_eq!(
        found.into_iter().collect::<Vec<_>>(),
        [("t".to_owned(), one.version)]
    );
    assert!(
        db.store
            .current_templates(BUSINESS, &[])
            .await
            .unwrap()
            .is_empty()
    );
}

async fn templates_belong_to_their_business(db: &TestDb) {
    db.store.ensure_business("other", "Other").await.unwrap();
    let (ours, theirs) = (template("t", "ours"), template("t", "theirs"));
    db.store.put_template(BUSINESS, &ours).await.unwrap();
    db.store.put_template("other", &theirs).await.unwrap();
    for (business, own, foreign) in [(BUSINESS, &ours, &theirs), ("other", &theirs, &ours)] {
        let current = db.store.template(business, "t", None).await.unwrap();
        assert_eq!(current.as_ref(), Some(own));
        let version = Some(foreign.version);
        assert_eq!(
            db.store.template(business, "t", version).await.unwrap(),
            None
        );
        assert_eq!(
            db.store.templates(business, None, 10).await.unwrap().len(),
            1
        );
        let versions = db.store.template_versions(business, "t", None, 10).await;
        assert_eq!(versions.unwrap().len(), 1);
    }
}

async fn templates_and_versions_are_listed_page_by_page(db: &TestDb) {
    for name in ["c", "a", "b", "d"] {
        db.store
            .put_template(BUSINESS, &template(name, "x"))
            .await
            .unwrap();
    }
    let names = async |after, limit| {
        let page = db.store.templates(BUSINESS, after, limit).await.unwrap();
        page.into_iter().map(|line| line.name).collect::<Vec<_>>()
    };
    assert_eq!(names(None, 2).await, ["a", "b", "c"], "and one more");
    assert_eq!(names(Some("b"), 2).await, ["c", "d"]);
    assert!(names(Some("d"), 2).await.is_empty());

    let mut versions = Vec::new();
    for text in ["1", "2", "3", "4", "5"] {
        let template = template("v", text);
        db.store.put_template(BUSINESS, &template).await.unwrap();
        versions.push(template.version);
        // Two of them in one moment.
        if text != "2" {
            db.pass(Duration::from_secs(1));
        }
    }
    let page = async |after, limit| {
        let page = db
            .store
            .template_versions(BUSINESS, "v", after, limit)
            .await;
        page.unwrap()
            .into_iter()
            .map(|line| line.version)
            .collect::<Vec<_>>()
    };
    let mut in_one_moment = [versions[1], versions[2]];
    in_one_moment.sort_unstable();
    let expected = [
        versions[4],
        versions[3],
        in_one_moment[1],
        in_one_moment[0],
        versions[0],
    ];
    assert_eq!(page(None, 10).await, expected);
    for cut in 0..expected.len() {
        assert_eq!(page(Some(expected[cut]), 10).await, expected[cut + 1..]);
    }
    assert_eq!(page(None, 2).await.len(), 3, "and one more");
}

async fn two_programs_write_one_template_at_once(db: &TestDb) {
    let other = db.another_store().await;
    let writes = (0..20).map(|number| {
        let store = if number % 2 == 0 { &db.store } else { &other };
        let template = template("t", &(number % 5).to_string());
        async move { store.put_template(BUSINESS, &template).await.unwrap() }
    });
    futures_util::future::join_all(writes).await;
    assert_eq!(db.count("templates").await, 1);
    assert_eq!(db.count("template_versions").await, 5);
    other.close().await;
}

/// An email with these files; the digests are only names here.
fn with_files(mut new: NewNotification, files: &[(&str, Vec<u8>)]) -> NewNotification {
    let ContentSource::New(Content::Email { attachments, .. }) = &mut new.content else {
        panic!("an email");
    };
    for (name, bytes) in files {
        attachments.push(Attachment {
            name: (*name).to_owned(),
            content_type: "application/pdf".to_owned(),
            content_id: None,
            size: u64::try_from(bytes.len()).unwrap(),
            sha256: format!("digest of {} {:?}", bytes.len(), bytes.first()),
        });
        new.files.push(Bytes::from(bytes.clone()));
    }
    new
}

fn attachments(content: &Content) -> &[Attachment] {
    match content {
        Content::Email { attachments, .. } => attachments,
        Content::Sms { .. } | Content::Push { .. } => panic!("{content:?}"),
    }
}

async fn files_are_kept_once_and_come_back_as_they_were(db: &TestDb) {
    let all: Vec<u8> = (0..=255).collect();
    let large = vec![7; 5_000_000];
    let files = [
        ("a.pdf", all.clone()),
        ("b.pdf", large.clone()),
        ("c.pdf", all.clone()),
    ];
    let new = with_files(email("C-1"), &files);
    let id = enqueued(&db.store, vec![new.clone()]).await[0];
    assert_eq!(db.count("attachments").await, 2, "the same content once");
    let content = db.store.content(BUSINESS, id).await.unwrap().unwrap();
    let ContentSource::New(given) = &new.content else {
        panic!("an email");
    };
    assert_eq!(&content, given);
    let attachments = attachments(&content);
    let found = db.store.files(id, attachments).await.unwrap().unwrap();
    assert!(found == [all.clone(), large, all]);
    let none = db.store.files(id, &[]).await.unwrap();
    assert_eq!(none, Some(Vec::new()));
    let missing = Attachment {
        sha256: "nothing".to_owned(),
        ..attachments[0].clone()
    };
    let found = db.store.files(id, &[attachments[0].clone(), missing]).await;
    assert_eq!(found.unwrap(), None);
    let claim = claimed(&db.store).await;
    let message = claim.jobs[0].message.as_ref().unwrap();
    assert_eq!(&message.content, given);
    assert!(message.files.is_empty(), "they are fetched when it is sent");
    let bytes = db.texts("SELECT bytes FROM jobs").await;
    assert!(
        bytes.is_empty() && claim.jobs[0].bytes < 100,
        "nor counted before"
    );
}

async fn files_belong_to_their_business(db: &TestDb) {
    db.store.ensure_business("other", "Other").await.unwrap();
    let new = with_files(email("C-1"), &[("a.pdf", vec![1])]);
    let ours = enqueued(&db.store, vec![new.clone()]).await[0];
    let content = db.store.content(BUSINESS, ours).await.unwrap().unwrap();
    let theirs = Enqueue {
        business: "other".to_owned(),
        notifications: vec![email("C-1")],
    };
    let theirs = tickets(db.store.enqueue(theirs).await.unwrap())[0].id;
    let found = db.store.files(theirs, attachments(&content)).await.unwrap();
    assert_eq!(
        found, None,
        "knowing a digest opens no other business's file"
    );
    let again = Enqueue {
        business: "other".to_owned(),
        notifications: vec![new],
    };
    db.store.enqueue(again).await.unwrap();
    assert_eq!(db.count("attachments").await, 2);
}

async fn a_thousand_emails_share_one_file(db: &TestDb) {
    let file = [("terms.pdf", vec![9; 100_000])];
    let batch: Vec<NewNotification> = (0..1_000)
        .map(|number| with_files(email(&format!("C-{number}")), &file))
        .collect();
    let ids = enqueued(&db.store, batch).await;
    assert_eq!(db.count("attachments").await, 1);
    let content = db.store.content(BUSINESS, ids[999]).await.unwrap().unwrap();
    let found = db.store.files(ids[999], attachments(&content)).await;
    assert_eq!(found.unwrap().unwrap()[0].len(), 100_000);
    // From two programs at once, in opposite orders.
    let other = db.another_store().await;
    let many: Vec<(String, Vec<u8>)> = (0..30).map(|i| (format!("{i}"), vec![i; 10])).collect();
    let mut orders = [many.clone(), many];
    orders[1].reverse();
    let writes = orders.map(|files| {
        let files: Vec<(&str, Vec<u8>)> = files
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.clone()))
            .collect();
        request(vec![with_files(email("C-1"), &files)])
    });
    let [a, b] = writes;
    let (a, b) = tokio::join!(db.store.enqueue(a), other.enqueue(b));
    assert!(matches!(
        (a.unwrap(), b.unwrap()),
        (Enqueued::Done(_), Enqueued::Done(_))
    ));
    assert_eq!(db.count("attachments").await, 31);
    other.close().await;
}

async fn a_resend_has_the_files_and_the_template_of_the_first(db: &TestDb) {
    let template = TemplateRef {
        name: "t".to_owned(),
        version: Uuid::from_u128(7),
    };
    let mut new = with_files(email("C-1"), &[("a.pdf", vec![1, 2, 3])]);
    new.template = Some(template.clone());
    let first = enqueued(&db.store, vec![new]).await[0];
    let entry = db.store.entry(BUSINESS, first).await.unwrap().unwrap();
    assert_eq!(entry.template, Some(template));
    let mut again = email("C-1");
    again.content = ContentSource::Frozen(entry.content_id.unwrap());
    again.template.clone_from(&entry.template);
    again.resend_of = Some(first);
    let second = enqueued(&db.store, vec![again]).await[0];
    let content = db.store.content(BUSINESS, second).await.unwrap().unwrap();
    let found = db.store.files(second, attachments(&content)).await.unwrap();
    assert_eq!(found.unwrap(), [Bytes::from_static(&[1, 2, 3])]);
    let resent = db.store.entry(BUSINESS, second).await.unwrap().unwrap();
    assert_eq!(resent.template, entry.template);
}

async fn a_message_is_from_who_the_business_was_when_it_was_enqueued(db: &TestDb) {
    let mailbox = |text: &str| Mailbox::parse(text).unwrap();
    let business = async || db.store.business(BUSINESS).await.unwrap().unwrap();
    assert_eq!(business().await.identity, Identity::default());
    assert_eq!(db.store.business("none").await.unwrap(), None);
    let before = enqueued(&db.store, vec![email("C-1")]).await[0];
    let change = Change {
        email_from: Setting::Own(mailbox("\"Shop, Ltd\" <shop@example.com>")),
        reply_to: Setting::Own(mailbox("answers@example.com")),
        sms_from: Setting::Own(SmsSender::parse("MyShop").unwrap()),
        ..Change::default()
    };
    assert!(db.store.change_business(BUSINESS, &change).await.unwrap());
    assert!(!db.store.change_business("none", &change).await.unwrap());
    let own = business().await.identity.email_from;
    assert_eq!(own, Some(mailbox("\"Shop, Ltd\" <shop@example.com>")));
    let ids = enqueued(&db.store, vec![email("C-2"), sms("C-2"), push("C-2")]).await;
    let later = Change {
        email_from: Setting::Default,
        reply_to: Setting::AsItIs,
        sms_from: Setting::Default,
        ..Change::default()
    };
    assert!(db.store.change_business(BUSINESS, &later).await.unwrap());
    let identity = business().await.identity;
    assert_eq!((identity.email_from, identity.sms_from), (None, None));
    assert_eq!(identity.reply_to, Some(mailbox("answers@example.com")));
    let after = enqueued(&db.store, vec![email("C-3")]).await[0];
    let from = Some("\"Shop, Ltd\" <shop@example.com>");
    let answers = Some("answers@example.com");
    for (id, sender, reply_to) in [
        (before, None, None),
        (ids[0], from, answers),
        (ids[1], Some("MyShop"), None),
        (ids[2], None, None),
        (after, None, answers),
    ] {
        let entry = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
        assert_eq!(entry.sender.as_deref(), sender, "{}", entry.method);
        let shown = entry.reply_to.map(|mailbox| mailbox.to_string());
        assert_eq!(shown.as_deref(), reply_to);
        let claim = db
            .store
            .claim(wanted(entry.method, 1))
            .await
            .unwrap()
            .unwrap();
        let message = claim.jobs[0].message.as_ref().unwrap();
        assert_eq!((message.id, message.sender.as_deref()), (id, sender));
        let shown = message.reply_to.as_ref().map(ToString::to_string);
        assert_eq!(shown.as_deref(), reply_to);
    }
}

async fn what_was_enqueued_before_is_known_by_key_and_body(db: &TestDb) {
    enqueued(
        &db.store,
        vec![keyed(email("C-1"), "k", 1), keyed(email("C-1"), "l", 2)],
    )
    .await;
    let asked: Vec<_> = [("k", 1), ("k", 2), ("l", 2), ("m", 1)]
        .map(|(key, body)| keyed(email("C-1"), key, body).idempotency.unwrap())
        .into();
    let asked: Vec<_> = asked.iter().collect();
    let known = db.store.enqueued_before(BUSINESS, &asked).await.unwrap();
    assert_eq!(known, [true, false, true, false]);
    let known = db.store.enqueued_before("other", &asked).await.unwrap();
    assert_eq!(known, [false; 4]);
    assert!(
        db.store
            .enqueued_before(BUSINESS, &[])
            .await
            .unwrap()
            .is_empty()
    );
}

async fn what_is_as_before_is_a_repetition_or_refused(db: &TestDb) {
    let first = enqueued(&db.store, vec![keyed(email("C-1"), "k", 1)]).await[0];
    let mut again = keyed(email("C-1"), "k", 1);
    again.content = ContentSource::AsBefore;
    let ticket = tickets(
        db.store
            .enqueue(request(vec![again.clone()]))
            .await
            .unwrap(),
    )[0];
    assert_eq!((ticket.id, ticket.duplicate), (first, true));
    again.idempotency = None;
    let answer = db
        .store
        .enqueue(request(vec![email("C-2"), again]))
        .await
        .unwrap();
    let why = Why::NotAsBefore;
    assert_eq!(answer, Enqueued::Refused(vec![Refusal { index: 1, why }]));
    assert_eq!(db.count("contact_log").await, 1);
}

async fn a_message_whose_columns_cannot_be_read_does_not_hold_up_the_others(db: &TestDb) {
    let ids = enqueued(&db.store, vec![email("C-1"), email("C-2"), email("C-3")]).await;
    let [bad, worse] = [ids[0], ids[1]];
    db.execute(&format!(
        "UPDATE contact_log SET reply_to = 'nobody' WHERE id = '{bad}'"
    ))
    .await;
    db.execute(&format!(
        "UPDATE message_content SET attachments = '[7]' WHERE id = '{worse}'"
    ))
    .await;
    let claim = claimed(&db.store).await;
    let readable = claim.jobs.iter().map(|claimed| claimed.message.is_some());
    assert_eq!(readable.collect::<Vec<_>>(), [false, false, true]);
}
