//! What clients write to us: whose it is, and what it does.

use std::time::Duration;

use sendtrail::domain::event::EventKey;
use sendtrail::domain::method::{Channel, Method};
use sendtrail::domain::suppression::Reason;
use sendtrail::store::clients::{Change, Changes};
use sendtrail::store::feedback::{Incoming, Kept};
use sendtrail::store::history::{Entry, Filter};
use sendtrail::store::inbound::{Sharing, Text, Wish};
use sendtrail::store::suppressions;
use uuid::Uuid;

use super::make::{BUSINESS, address, enqueued, incoming, of, sms};
use crate::support::db::{TestDb, both};

both! {
    a_text_is_entered_for_the_client_who_was_written_to_last,
    stop_ends_text_messages_and_start_begins_them_again,
    a_word_that_takes_nothing_back_is_only_a_text,
    a_text_belongs_to_the_business_whose_number_it_came_to,
    a_number_that_the_provider_picked_is_of_all_who_have_none,
    what_is_written_to_one_business_is_for_no_other,
    who_was_never_written_to_is_found_by_the_card_or_not_at_all,
    a_text_that_comes_again_does_nothing_even_when_it_is_no_longer_kept,
}

const PHONE: &str = "+14155550123";
const OURS: &str = "+15005550001";

/// A text of that number.
fn text(number: u128, words: &str) -> Text {
    Text {
        source: "twilio",
        provider_message_id: format!("SM{number}"),
        key: EventKey(Uuid::from_u128(number)),
        from: address(Method::Sms, PHONE),
        to: OURS.to_owned(),
        sharing: Sharing::Shared,
        text: words.to_owned(),
        wish: match words {
            "STOP" => Some(Wish::Stop),
            "START" => Some(Wish::Start),
            _ => None,
        },
    }
}

fn raw(name: &str) -> Incoming {
    Incoming {
        source: "twilio",
        report: None,
        ..incoming(name, None, None, Vec::new())
    }
}

async fn keep(db: &TestDb, text: &Text) -> Kept {
    let message = raw(&text.provider_message_id);
    db.store.keep_text(message, text).await.unwrap()
}

async fn inbound(db: &TestDb, business: &str) -> Vec<Entry> {
    let filter = Filter {
        channel: Some(Channel::Inbound),
        limit: 10,
        ..Filter::default()
    };
    db.store.history(business, &filter).await.unwrap().entries
}

async fn stopped(db: &TestDb, business: &str) -> Vec<(Reason, String)> {
    let filter = suppressions::Filter {
        limit: 10,
        ..suppressions::Filter::default()
    };
    let page = db.store.suppressions(business, &filter).await.unwrap();
    let entries = page.suppressions.into_iter();
    entries.map(|one| (one.reason, one.address)).collect()
}

async fn a_text_is_entered_for_the_client_who_was_written_to_last(db: &TestDb) {
    enqueued(&db.store, vec![sms("C-1")]).await;
    db.pass(Duration::from_secs(1));
    enqueued(&db.store, vec![sms("C-2")]).await;
    let at = db.pass(Duration::from_secs(1));
    let kept = keep(db, &text(1, "I shall be late\0")).await;
    assert_eq!(kept, Kept::Applied { new_events: 0 });
    let entries = inbound(db, BUSINESS).await;
    let [entry] = &entries[..] else {
        panic!("{entries:?}")
    };
    assert_eq!((entry.client_id.as_str(), entry.date), ("C-2", at));
    assert_eq!(entry.method, Method::Sms);
    assert_eq!(entry.to.as_deref(), Some(PHONE));
    assert_eq!(
        entry.description.as_deref(),
        Some("I shall be late\u{fffd}")
    );
    assert_eq!(entry.statuses(), []);
    assert_eq!(entry.user, "No Staff");
    assert_eq!(entry.contact_type, "Message Center");
    let metadata = entry.metadata.as_ref().unwrap();
    assert_eq!(metadata["provider_message_id"], "SM1");
    assert!(stopped(db, BUSINESS).await.is_empty());
    assert_eq!(db.count("feedback_inbox").await, 1);
    assert_eq!(db.count("jobs").await, 2, "nothing is sent because of it");
}

async fn stop_ends_text_messages_and_start_begins_them_again(db: &TestDb) {
    let id = enqueued(&db.store, vec![sms("C-1")]).await[0];
    assert_eq!(
        keep(db, &text(1, "STOP")).await,
        Kept::Applied { new_events: 1 }
    );
    let list = stopped(db, BUSINESS).await;
    assert_eq!(list, [(Reason::Stop, PHONE.to_owned())]);
    let entry = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
    assert!(entry.facts.unsubscribed_at.is_some());
    // Once more, by another message: nothing more is on the list.
    keep(db, &text(2, "STOP")).await;
    assert_eq!(stopped(db, BUSINESS).await.len(), 1);
    assert_eq!(
        keep(db, &text(3, "START")).await,
        Kept::Applied { new_events: 1 }
    );
    assert!(stopped(db, BUSINESS).await.is_empty());
    assert_eq!(db.count("lifted_suppressions").await, 1);
    keep(db, &text(4, "STOP")).await;
    assert_eq!(stopped(db, BUSINESS).await.len(), 1);
    assert_eq!(inbound(db, BUSINESS).await.len(), 4);
}

async fn a_word_that_takes_nothing_back_is_only_a_text(db: &TestDb) {
    enqueued(&db.store, vec![sms("C-1")]).await;
    assert_eq!(
        keep(db, &text(1, "START")).await,
        Kept::Applied { new_events: 0 }
    );
    assert_eq!(inbound(db, BUSINESS).await.len(), 1);
    assert_eq!(db.count("delivery_events").await, 0);
}

/// The number of the business `name`.
async fn with_number(db: &TestDb, name: &str, number: &str) {
    db.store.ensure_business(name, name).await.unwrap();
    db.execute(&format!(
        "UPDATE businesses SET sms_from = '{number}' WHERE id = '{name}'"
    ))
    .await;
}

/// As AWS does it for who names no number.
async fn a_number_that_the_provider_picked_is_of_all_who_have_none(db: &TestDb) {
    with_number(db, "own", "+15005550002").await;
    db.store.ensure_business("other", "other").await.unwrap();
    for business in ["other", BUSINESS, "own"] {
        of(&db.store, business, vec![sms("C-1")]).await;
        db.pass(Duration::from_secs(1));
    }
    let to = |number, to: &str| Text {
        to: to.to_owned(),
        sharing: Sharing::UnlessOwned,
        ..text(number, "STOP")
    };
    let stopped = async |expected: [usize; 3]| {
        for (business, expected) in ["own", "other", BUSINESS].into_iter().zip(expected) {
            assert_eq!(stopped(db, business).await.len(), expected, "{business}");
        }
    };
    keep(db, &to(1, "+15005550002")).await;
    stopped([1, 0, 0]).await;
    db.execute("DELETE FROM suppressions").await;
    keep(db, &to(2, "+15005550007")).await;
    stopped([0, 1, 1]).await;
}

/// Not even where its owner never wrote to the client, and others did.
async fn what_is_written_to_one_business_is_for_no_other(db: &TestDb) {
    of(&db.store, BUSINESS, vec![sms("C-1")]).await;
    keep(db, &text(1, "STOP")).await;
    assert_eq!(stopped(db, BUSINESS).await.len(), 1);
    with_number(db, "own", "+15005550002").await;
    let start = |number| Text {
        to: "+15005550002".to_owned(),
        sharing: Sharing::UnlessOwned,
        ..text(number, "START")
    };
    assert_eq!(keep(db, &start(2)).await, Kept::Unmatched);
    let card = Changes {
        phone: Change::To(PHONE.to_owned()),
        ..Changes::default()
    };
    db.store.add_client("own", "C-9", &card).await.unwrap();
    keep(db, &start(3)).await;
    assert_eq!(inbound(db, "own").await[0].client_id, "C-9");
    assert_eq!(inbound(db, BUSINESS).await.len(), 1);
    assert_eq!(stopped(db, BUSINESS).await.len(), 1, "its opt-out stays");
}

async fn a_text_belongs_to_the_business_whose_number_it_came_to(db: &TestDb) {
    with_number(db, "own", "+15005550002").await;
    db.store.ensure_business("other", "other").await.unwrap();
    for business in ["other", "own", BUSINESS] {
        of(&db.store, business, vec![sms("C-1")]).await;
        db.pass(Duration::from_secs(1));
    }
    let to_own = Text {
        to: "+15005550002".to_owned(),
        sharing: Sharing::NotShared,
        ..text(1, "STOP")
    };
    keep(db, &to_own).await;
    let all = ["own", "other", BUSINESS];
    for business in all {
        let is_own = usize::from(business == "own");
        assert_eq!(stopped(db, business).await.len(), is_own, "{business}");
        assert_eq!(inbound(db, business).await.len(), is_own, "{business}");
    }
    // The number of the settings: of all that have none of their own; the text is of one of them.
    keep(db, &text(2, "STOP")).await;
    for business in all {
        assert_eq!(stopped(db, business).await.len(), 1, "{business}");
    }
    assert_eq!(inbound(db, BUSINESS).await.len(), 1);
    assert_eq!(inbound(db, "other").await.len(), 0);
    // A number that nobody writes from any more takes nothing back, and ends everything.
    let old = |number, words| Text {
        to: "+15005550009".to_owned(),
        sharing: Sharing::NotShared,
        ..text(number, words)
    };
    keep(db, &old(3, "START")).await;
    for business in all {
        assert_eq!(stopped(db, business).await.len(), 1, "{business}");
    }
    db.execute("DELETE FROM suppressions").await;
    keep(db, &old(4, "STOP")).await;
    for business in all {
        assert_eq!(stopped(db, business).await.len(), 1, "{business}");
    }
}

async fn who_was_never_written_to_is_found_by_the_card_or_not_at_all(db: &TestDb) {
    assert_eq!(keep(db, &text(1, "Hello")).await, Kept::Unmatched);
    assert_eq!(keep(db, &text(2, "STOP")).await, Kept::Unmatched);
    assert_eq!(db.count("feedback_inbox").await, 2, "they are kept");
    let card = Changes {
        phone: Change::To(PHONE.to_owned()),
        ..Changes::default()
    };
    db.store.add_client(BUSINESS, "C-9", &card).await.unwrap();
    assert_eq!(
        keep(db, &text(3, "STOP")).await,
        Kept::Applied { new_events: 0 }
    );
    assert_eq!(stopped(db, BUSINESS).await.len(), 1);
    assert_eq!(inbound(db, BUSINESS).await[0].client_id, "C-9");
    keep(db, &text(4, "START")).await;
    assert!(stopped(db, BUSINESS).await.is_empty());
    assert_eq!(keep(db, &text(3, "STOP")).await, Kept::Duplicate);
}

async fn a_text_that_comes_again_does_nothing_even_when_it_is_no_longer_kept(db: &TestDb) {
    enqueued(&db.store, vec![sms("C-1")]).await;
    keep(db, &text(1, "STOP")).await;
    keep(db, &text(2, "START")).await;
    for _ in 0..2 {
        assert_eq!(keep(db, &text(1, "STOP")).await, Kept::Duplicate);
        assert!(stopped(db, BUSINESS).await.is_empty());
        assert_eq!(inbound(db, BUSINESS).await.len(), 2);
        db.execute("DELETE FROM feedback_inbox").await;
    }
}
