//! The contact history: pages in total order, every filter against a plain model of it, search.

use std::time::Duration;

use sendtrail::domain::event::What;
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::method::{Channel, Method};
use sendtrail::domain::status::Status;
use sendtrail::domain::time::Timestamp;
use sendtrail::store::enqueue::Enqueue;
use sendtrail::store::history::{Entry, Filter, Match, Order, PAGE_MAX};

use super::facts::one_of_each;
use super::make::{BUSINESS, delivered, email, enqueued, happening, incoming, opened, push, sms};
use crate::support::db::{TestDb, both};

both! {
    every_filter_gives_what_a_plain_search_gives,
    pages_stay_stable_while_entries_are_added,
    a_page_has_a_limit_whatever_is_asked,
    a_business_sees_its_own_alone,
    words_are_found_in_any_case,
    an_entry_is_found_by_its_id,
    wildcards_and_quotes_are_plain_characters,
    a_manual_entry_has_no_status,
    a_story_is_in_order_and_has_a_limit,
}

/// All entries that a filter gives, page by page.
async fn all(db: &TestDb, filter: &Filter) -> Vec<Entry> {
    let mut filter = filter.clone();
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let page = db.store.history(BUSINESS, &filter).await.unwrap();
        assert!(page.entries.len() <= filter.limit);
        assert!(page.next.is_none() || page.entries.len() == filter.limit);
        entries.extend(page.entries);
        if page.next.is_none() {
            return entries;
        }
        assert_eq!(page.next, entries.last().map(|entry| entry.id));
        filter.after = page.next;
    }
}

fn ids(entries: &[Entry]) -> Vec<NotificationId> {
    entries.iter().map(|entry| entry.id).collect()
}

/// Ninety entries of three clients, a second apart, some with feedback of every sort.
pub(super) async fn fill(db: &TestDb) {
    for i in 0..90_usize {
        db.pass(Duration::from_secs(1));
        let client = ["C-1", "C-2", "C-3"][i % 3];
        let mut new = [email, sms, push][i / 3 % 3](client);
        new.staff_id = (i % 4 == 0).then(|| format!("S-{}", i % 8));
        new.contact_type = ["Client Notifications", "Reminders"][i % 2].to_owned();
        new.type_name = format!("Type {}", i % 5);
        let id = enqueued(&db.store, vec![new]).await[0];
        let now = db.clock.now();
        let mut happenings = Vec::new();
        let kinds = one_of_each();
        for (key, what) in kinds.iter().enumerate() {
            if (i * 7 + key * 5) % 11 < 3 {
                let at = now.plus(Duration::from_secs(u64::try_from((i + key) % 3).unwrap()));
                happenings.push(happening(u128::try_from(key).unwrap(), at, what.clone()));
            }
        }
        if i % 9 != 0 {
            let message = incoming(&format!("m{i}"), Some(id), None, happenings);
            db.store.keep_feedback(message).await.unwrap();
        }
    }
    add_manual(db, "C-1", "Called about the invoice").await;
}

/// As staff will write one; no part of the store makes them yet.
pub(super) async fn add_manual(db: &TestDb, client: &str, description: &str) -> NotificationId {
    let now = db.pass(Duration::from_secs(1));
    let id = NotificationId::new(db.clock.new_uuid(now));
    let date = if db.is_postgres() {
        format!("'{now}'")
    } else {
        now.as_millis().to_string()
    };
    let manual = if db.is_postgres() { "true" } else { "1" };
    db.execute(&format!(
        "INSERT INTO contact_log (id, business_id, client_uid, date, method, channel, type, \
         contact_type, manual, description, priority) SELECT '{id}', business_id, uid, {date}, \
         'phone', 'Inbound', 'Call', 'Client Notifications', {manual}, '{description}', 'normal' \
         FROM clients WHERE client_id = '{client}'"
    ))
    .await;
    id
}

async fn every_filter_gives_what_a_plain_search_gives(db: &TestDb) {
    fill(db).await;
    let everything = all(db, &limited(7)).await;
    assert_eq!(everything.len(), 91);
    let newest_first = ids(&everything);
    assert!(newest_first.is_sorted_by(|a, b| a > b));
    let dates: Vec<Timestamp> = everything.iter().map(|entry| entry.date).collect();
    assert!(dates.is_sorted_by(|a, b| a >= b));
    let middle = dates[45];
    for (what, filter) in filters(middle) {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let filter = Filter {
                order,
                ..filter.clone()
            };
            let mut expected: Vec<NotificationId> = everything
                .iter()
                .filter(|entry| matches(entry, &filter))
                .map(|entry| entry.id)
                .collect();
            if order == Order::OldestFirst {
                expected.reverse();
            }
            assert_eq!(ids(&all(db, &filter).await), expected, "{what} {order:?}");
            let wide = Filter {
                limit: 200,
                ..filter
            };
            assert_eq!(
                ids(&all(db, &wide).await),
                expected,
                "{what} {order:?} on one page"
            );
        }
    }
}

fn limited(limit: usize) -> Filter {
    Filter {
        limit,
        ..Filter::default()
    }
}

fn filters(middle: Timestamp) -> Vec<(String, Filter)> {
    let base = limited(7);
    let mut filters = vec![("none".to_owned(), base.clone())];
    let mut add = |what: &str, change: &dyn Fn(&mut Filter)| {
        let mut filter = base.clone();
        change(&mut filter);
        filters.push((what.to_owned(), filter));
    };
    add("client", &|f| f.client_id = Some("C-2".to_owned()));
    add("unknown client", &|f| f.client_id = Some("C-9".to_owned()));
    add("type", &|f| f.contact_type = Some("Reminders".to_owned()));
    add("staff", &|f| f.staff_id = Some("S-4".to_owned()));
    add("inbound", &|f| f.channel = Some(Channel::Inbound));
    add("outbound", &|f| f.channel = Some(Channel::Outbound));
    add("from", &|f| f.from = Some(middle));
    add("to", &|f| f.to = Some(middle));
    add("an instant", &|f| {
        f.from = Some(middle);
        f.to = Some(middle.plus(Duration::from_millis(1)));
    });
    add("nothing", &|f| {
        f.from = Some(middle);
        f.to = Some(middle);
    });
    add("together", &|f| {
        f.client_id = Some("C-1".to_owned());
        f.method = Some(Method::Email);
        f.statuses = vec![Status::Opened, Status::Failed, Status::Bounced];
        f.to = Some(middle);
    });
    for method in Method::ALL {
        add(method.as_str(), &|f| f.method = Some(method));
    }
    for a in Status::ALL {
        add(a.as_str(), &|f| f.statuses = vec![a]);
        for b in Status::ALL {
            for how in [Match::Any, Match::All] {
                add(&format!("{how:?} {a} {b}"), &|f| {
                    f.statuses = vec![a, b];
                    f.status_match = how;
                });
            }
        }
    }
    filters
}

fn matches(entry: &Entry, filter: &Filter) -> bool {
    let held = entry.statuses();
    let statuses = &filter.statuses;
    let status = statuses.is_empty()
        || match filter.status_match {
            Match::Any => statuses.iter().any(|status| held.contains(status)),
            Match::All => statuses.iter().all(|status| held.contains(status)),
        };
    let is = |wanted: &Option<String>, found: Option<&str>| {
        wanted.as_deref().is_none_or(|wanted| Some(wanted) == found)
    };
    status
        && is(&filter.client_id, Some(&entry.client_id))
        && is(&filter.contact_type, Some(&entry.contact_type))
        && is(&filter.staff_id, entry.staff_id.as_deref())
        && filter.method.is_none_or(|method| method == entry.method)
        && filter
            .channel
            .is_none_or(|channel| channel == entry.channel)
        && filter.from.is_none_or(|from| entry.date >= from)
        && filter.to.is_none_or(|to| entry.date < to)
}

async fn pages_stay_stable_while_entries_are_added(db: &TestDb) {
    let before = enqueued(&db.store, vec![email("C-1"); 25]).await;
    let mut filter = limited(10);
    let mut seen = Vec::new();
    loop {
        let page = db.store.history(BUSINESS, &filter).await.unwrap();
        seen.extend(ids(&page.entries));
        db.pass(Duration::from_millis(1));
        enqueued(&db.store, vec![email("C-1"); 3]).await;
        if page.next.is_none() {
            break;
        }
        filter.after = page.next;
    }
    let mut expected = before;
    expected.reverse();
    assert_eq!(seen, expected);
}

async fn a_page_has_a_limit_whatever_is_asked(db: &TestDb) {
    enqueued(&db.store, vec![email("C-1"); PAGE_MAX + 1]).await;
    for (limit, found) in [(usize::MAX, PAGE_MAX), (PAGE_MAX, PAGE_MAX), (0, 1)] {
        let page = db.store.history(BUSINESS, &limited(limit)).await.unwrap();
        assert_eq!((page.entries.len(), page.next.is_some()), (found, true));
    }
    let none = db.store.entries(BUSINESS, &[]).await.unwrap();
    assert!(none.is_empty());
}

async fn a_business_sees_its_own_alone(db: &TestDb) {
    db.store.ensure_business("other", "Other").await.unwrap();
    let mine = enqueued(&db.store, vec![email("C-1")]).await;
    let request = Enqueue {
        business: "other".to_owned(),
        notifications: vec![email("C-1"), email("C-1")],
    };
    db.store.enqueue(request).await.unwrap();
    assert_eq!(ids(&all(db, &limited(10)).await), mine);
    let of_client = Filter {
        client_id: Some("C-1".to_owned()),
        ..limited(10)
    };
    assert_eq!(ids(&all(db, &of_client).await), mine);
    let theirs = db.store.history("other", &of_client).await.unwrap();
    assert_eq!(theirs.entries.len(), 2);
    let nobody = db.store.history("nobody", &limited(10)).await.unwrap();
    assert!(nobody.entries.is_empty());
}

async fn found(db: &TestDb, words: &str) -> Vec<String> {
    let filter = Filter {
        search: Some(words.to_owned()),
        ..limited(50)
    };
    let entries = all(db, &filter).await;
    let mut clients: Vec<String> = entries.into_iter().map(|entry| entry.client_id).collect();
    clients.sort();
    clients
}

async fn words_are_found_in_any_case(db: &TestDb) {
    let names = [
        "Élise Müller",
        "JOSÉ ÑANDÚ",
        "Иван Петров",
        "ana ruiz",
        "100% Off_Ltd",
    ];
    let batch = names.iter().enumerate().map(|(i, name)| {
        let mut new = email(&format!("C-{i}"));
        new.client.name = Some((*name).to_owned());
        new.type_name = format!("Reminder {i}");
        new
    });
    enqueued(&db.store, batch.collect()).await;
    add_manual(db, "C-3", "Asked for a SPECIAL price").await;
    let whose = [&["C-0"][..], &["C-1"], &["C-2"], &["C-3", "C-3"], &["C-4"]];
    for (name, expected) in names.iter().zip(whose) {
        for words in [
            (*name).to_owned(),
            name.to_lowercase(),
            name.to_uppercase(),
            format!("  {name} "),
        ] {
            assert_eq!(found(db, &words).await, expected, "{words}");
        }
    }
    assert_eq!(found(db, "müller").await, ["C-0"]);
    assert_eq!(found(db, "ñandú").await, ["C-1"]);
    assert_eq!(found(db, "REMINDER 2").await, ["C-2"], "the type");
    assert_eq!(found(db, "c-0@EXAMPLE.com").await, ["C-0"], "the address");
    assert_eq!(found(db, "special PRICE").await, ["C-3"], "the description");
    assert_eq!(found(db, "nobody").await, [""; 0]);
    assert_eq!(found(db, " ").await.len(), 6, "no words, no filter");
}

async fn an_entry_is_found_by_its_id(db: &TestDb) {
    let batch = vec![email("C-1"), email("C-2")];
    let id = enqueued(&db.store, batch).await[1];
    assert_eq!(found(db, &id.to_string()).await, ["C-2"]);
    assert_eq!(found(db, &id.to_string().to_uppercase()).await, ["C-2"]);
}

async fn wildcards_and_quotes_are_plain_characters(db: &TestDb) {
    let mut new = email("C-1");
    new.type_name = r#"50%_off \ "now" o'clock $1 ?"#.to_owned();
    enqueued(&db.store, vec![new, email("C-2")]).await;
    for words in ["%", "_", r"\", "\"", "'", "$1", "?", "50%_OFF", "o'clock"] {
        assert_eq!(found(db, words).await, ["C-1"], "{words}");
    }
    for words in ["b%k", "Book_ng", "' OR 1=1 --", "\0"] {
        assert_eq!(found(db, words).await, [""; 0], "{words}");
    }
    assert_eq!(found(db, &"x".repeat(100_000)).await, [""; 0]);
}

async fn a_manual_entry_has_no_status(db: &TestDb) {
    enqueued(&db.store, vec![email("C-1")]).await;
    let id = add_manual(db, "C-1", "Called").await;
    let entry = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
    assert!(entry.manual);
    assert!(entry.statuses().is_empty());
    assert_eq!(
        (entry.user.as_str(), entry.channel),
        ("No Staff", Channel::Inbound)
    );
    assert_eq!(entry.description.as_deref(), Some("Called"));
    assert_eq!((entry.to, entry.content_id), (None, None));
    assert_eq!(db.store.content(BUSINESS, id).await.unwrap(), None);
    let status = db
        .rows("SELECT status FROM contact_history ORDER BY id DESC LIMIT 1")
        .await;
    assert_eq!(status, [[None]]);
}

async fn a_story_is_in_order_and_has_a_limit(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let now = db.clock.now();
    let happenings = (0..600_u64).map(|i| {
        let what: What = if i == 0 { delivered() } else { opened() };
        let at = now.plus(Duration::from_secs(i * 7919 % 600));
        happening(u128::from(i), at, what)
    });
    let message = incoming("m", Some(id), None, happenings.collect());
    db.store.keep_feedback(message).await.unwrap();
    let story = db.store.story(id).await.unwrap();
    assert_eq!(story.events.len(), 500);
    assert!(
        story
            .events
            .is_sorted_by_key(|event| (event.occurred_at, event.key))
    );
    let entry = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
    assert_eq!(
        entry.facts.opened.unwrap().count,
        599,
        "the ledger keeps them all"
    );
    let nothing = NotificationId::new(uuid::Uuid::from_u128(1));
    let story = db.store.story(nothing).await.unwrap();
    assert!(story.attempts.is_empty() && story.events.is_empty());
}
