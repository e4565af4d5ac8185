//! A contact history as people go through it: every order against a plain sort, what one look
//! reaches, counts, search by tags and dates, hidden columns.

use std::time::Duration;

use sendtrail::domain::column::Column;
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::method::{Channel, Method};
use sendtrail::domain::role::{Role, Sight};
use sendtrail::domain::status::Status;
use sendtrail::store::browse::{Bound, Browse, Position, Reach, Sort};
use sendtrail::store::history::{Entry, Filter, Order};

use super::history::{add_manual, fill};
use super::make::{BUSINESS, email, enqueued, of};
use super::staff::member;
use crate::support::db::{TestDb, both};

both! {
    every_column_sorts_as_a_plain_sort_does_page_by_page,
    a_look_ends_after_so_many_entries_and_the_next_goes_on,
    the_newest_alone_are_sorted_and_it_is_said,
    statuses_are_counted_within_the_filter,
    a_business_and_its_members_see_their_own_alone,
    tags_days_and_months_are_found,
    hidden_columns_are_remembered_with_the_account,
    people_choose_from_the_words_of_their_business,
}

fn wanted(by: Column, descending: bool) -> Browse {
    Browse {
        filter: Filter {
            limit: 7,
            ..Filter::default()
        },
        sort: Sort { by, descending },
        ..Browse::default()
    }
}

/// All pages, the last bound that was told, and how many pages there were.
async fn all(db: &TestDb, wanted: &Browse) -> (Vec<Entry>, Option<Bound>, usize) {
    let mut wanted = wanted.clone();
    let (mut entries, mut pages) = (Vec::new(), 0);
    loop {
        let page = db.store.browse(BUSINESS, &wanted).await.unwrap();
        pages += 1;
        assert!(page.entries.len() <= 7 && pages < 100);
        entries.extend(page.entries);
        wanted.after = page.next;
        if wanted.after.is_none() {
            return (entries, page.bound, pages);
        }
    }
}

fn ids(entries: &[Entry]) -> Vec<NotificationId> {
    entries.iter().map(|entry| entry.id).collect()
}

/// What people read in a column.
fn value(entry: &Entry, by: Column) -> String {
    match by {
        Column::Date => entry.id.to_string(),
        Column::Client => entry
            .client_name
            .as_ref()
            .unwrap_or(&entry.client_id)
            .to_lowercase(),
        Column::User => entry.user.to_lowercase(),
        Column::Method => entry.method.label().to_owned(),
        Column::Type => entry.type_name.to_lowercase(),
        Column::ContactType => entry.contact_type.to_lowercase(),
        Column::Status => {
            let statuses = entry.statuses();
            let words: Vec<&str> = statuses.iter().map(|it| it.as_str()).collect();
            words.join(", ")
        }
        Column::Channel => entry.channel.as_str().to_owned(),
    }
}

async fn every_column_sorts_as_a_plain_sort_does_page_by_page(db: &TestDb) {
    fill(db).await;
    let newest_first = all(db, &wanted(Column::Date, true)).await.0;
    assert_eq!(newest_first.len(), 91);
    for by in Column::ALL {
        for descending in [true, false] {
            for method in [None, Some(Method::Email)] {
                let mut wanted = wanted(by, descending);
                wanted.filter.method = method;
                let (entries, bound, _) = all(db, &wanted).await;
                let mut expected = newest_first.clone();
                expected.retain(|entry| method.is_none_or(|it| it == entry.method));
                // Stable: the newest first among equals.
                if descending {
                    expected.sort_by_key(|entry| std::cmp::Reverse(value(entry, by)));
                } else {
                    expected.sort_by_key(|entry| value(entry, by));
                }
                assert_eq!(ids(&entries), ids(&expected), "{by:?} {descending}");
                assert_eq!(bound, None);
            }
        }
    }
}

async fn a_look_ends_after_so_many_entries_and_the_next_goes_on(db: &TestDb) {
    let mut dates = Vec::new();
    for i in 0..40 {
        let mut new = email("C-1");
        if i % 20 == 3 {
            new.type_name = "Rare".to_owned();
        }
        dates.push(db.pass(Duration::from_secs(1)));
        enqueued(&db.store, vec![new]).await;
    }
    for descending in [true, false] {
        let mut wanted = wanted(Column::Date, descending);
        wanted.filter.search = Some("rare".to_owned());
        wanted.reach.looked_at = 10;
        let first = db.store.browse(BUSINESS, &wanted).await.unwrap();
        assert_eq!(first.entries.len(), usize::from(!descending));
        let until = if descending { dates[30] } else { dates[9] };
        assert_eq!(first.bound, Some(Bound::LookedUntil(until)));
        let (entries, bound, pages) = all(db, &wanted).await;
        assert_eq!(entries.len(), 2, "nothing is missed between two looks");
        assert_eq!((bound, pages), (None, 5));
        // Entries of others do not count for whoever sees only their own.
        wanted.filter.sight = Sight::Own("S-1".to_owned());
        assert_eq!(all(db, &wanted).await.2, 1);
        wanted.filter.sight = Sight::All;
        // Where an index leads to the entries, there is nothing to look through.
        wanted.filter.search = None;
        wanted.filter.client_id = Some("C-1".to_owned());
        assert_eq!(all(db, &wanted).await.0.len(), 40);
    }
}

async fn the_newest_alone_are_sorted_and_it_is_said(db: &TestDb) {
    for i in 0..12 {
        let mut new = email("C-1");
        new.type_name = format!("Type {i:02}");
        db.pass(Duration::from_secs(1));
        enqueued(&db.store, vec![new]).await;
    }
    let mut wanted = wanted(Column::Type, false);
    wanted.reach.sorted = 10;
    let (entries, bound, _) = all(db, &wanted).await;
    assert_eq!((entries.len(), bound), (10, Some(Bound::NewestSorted)));
    assert_eq!(entries[0].type_name, "Type 02");
    wanted.reach.sorted = 13;
    let (entries, bound, _) = all(db, &wanted).await;
    assert_eq!((entries.len(), bound), (12, None));
    wanted.filter.channel = Some(Channel::Outbound);
    wanted.reach.looked_at = 5;
    let (entries, bound, _) = all(db, &wanted).await;
    assert_eq!((entries.len(), bound), (5, Some(Bound::NewestSorted)));
}

async fn statuses_are_counted_within_the_filter(db: &TestDb) {
    fill(db).await;
    let everything = all(db, &wanted(Column::Date, true)).await.0;
    for method in [None, Some(Method::Email), Some(Method::Phone)] {
        let filter = Filter {
            method,
            ..Filter::default()
        };
        let counts = db
            .store
            .count_statuses(BUSINESS, &filter, Reach::default())
            .await
            .unwrap();
        let mut these = everything.clone();
        these.retain(|entry| method.is_none_or(|it| it == entry.method));
        for (status, count) in &counts.by_status {
            let held = |entry: &&Entry| entry.statuses().contains(status);
            let expected = these.iter().filter(held).count();
            assert_eq!(usize::try_from(*count).unwrap(), expected, "{status}");
        }
        assert_eq!(counts.by_status.len(), Status::ALL.len());
        assert_eq!(usize::try_from(counts.entries).unwrap(), these.len());
        let by_hand = these.iter().filter(|entry| entry.manual).count();
        assert_eq!(usize::try_from(counts.by_hand).unwrap(), by_hand);
        assert!(!counts.bounded);
    }
    for (counted, looked_at) in [(10, 1_000), (1_000, 10)] {
        let reach = Reach {
            counted,
            looked_at,
            ..Reach::default()
        };
        let filter = Filter {
            statuses: Status::ALL.into(),
            ..Filter::default()
        };
        let counts = db.store.count_statuses(BUSINESS, &filter, reach).await;
        let counts = counts.unwrap();
        assert!(counts.bounded && counts.entries <= 10);
    }
}

async fn a_business_and_its_members_see_their_own_alone(db: &TestDb) {
    db.store.ensure_business("other", "Other").await.unwrap();
    of(&db.store, "other", vec![email("C-1"), email("C-9")]).await;
    let mine = enqueued(&db.store, vec![email("C-1"), email("C-2"), email("C-3")]).await;
    db.execute("UPDATE clients SET location = 'Lisbon' WHERE client_id = 'C-1'")
        .await;
    db.execute("UPDATE clients SET staff_id = 'S-1' WHERE client_id = 'C-2'")
        .await;
    let locations =
        |names: &[&str]| Sight::Locations(names.iter().map(|it| (*it).into()).collect());
    for (sight, seen) in [
        (Sight::All, &mine[..]),
        (locations(&["Lisbon", "Porto"]), &mine[..1]),
        (locations(&[]), &[]),
        (Sight::Own("S-1".to_owned()), &mine[1..2]),
    ] {
        for by in [Column::Date, Column::Type] {
            let mut wanted = wanted(by, true);
            wanted.filter.sight = sight.clone();
            let mut found = ids(&all(db, &wanted).await.0);
            found.sort();
            assert_eq!(found, seen, "{sight:?} {by:?}");
        }
        let filter = Filter {
            sight: sight.clone(),
            ..Filter::default()
        };
        let counts = db
            .store
            .count_statuses(BUSINESS, &filter, Reach::default())
            .await
            .unwrap();
        assert_eq!(usize::try_from(counts.entries).unwrap(), seen.len());
    }
}

async fn found(db: &TestDb, words: &str) -> Vec<String> {
    let mut wanted = wanted(Column::Date, false);
    wanted.filter.search = Some(words.to_owned());
    let entries = all(db, &wanted).await.0;
    entries.into_iter().map(|entry| entry.client_id).collect()
}

async fn tags_days_and_months_are_found(db: &TestDb) {
    let mut untagged = email("C-3");
    untagged.type_name = "Untagged".to_owned();
    let ids = enqueued(&db.store, vec![email("C-1"), email("C-2"), untagged]).await;
    for (id, tags) in [(ids[0], "[\"yoga\", \"Früh\"]"), (ids[1], "[\"invoice\"]")] {
        db.execute(&format!(
            "UPDATE contact_log SET tags = '{tags}' WHERE id = '{id}'"
        ))
        .await;
    }
    db.execute("UPDATE contact_log SET tags = NULL WHERE type = 'Untagged'")
        .await;
    db.pass(Duration::from_hours(24 * 40));
    enqueued(&db.store, vec![email("C-4")]).await;
    assert_eq!(found(db, "YOGA").await, ["C-1"]);
    assert_eq!(found(db, "früh").await, ["C-1"]);
    assert_eq!(found(db, "voice").await, ["C-2"]);
    assert_eq!(found(db, "untagged").await, ["C-3"]);
    for sign in ["[", "]", "\""] {
        assert_eq!(found(db, sign).await, [""; 0], "{sign}");
    }
    let entry = db.store.entry(BUSINESS, ids[0]).await.unwrap().unwrap();
    assert_eq!(entry.tags, ["yoga", "Früh"]);
    assert_eq!(found(db, "2027-01-01").await, ["C-1", "C-2", "C-3"]);
    assert_eq!(found(db, "2027-02-10").await, ["C-4"]);
    assert_eq!(found(db, "2027-02").await, ["C-4"]);
    assert_eq!(found(db, "2027-01-02").await, [""; 0]);
}

async fn hidden_columns_are_remembered_with_the_account(db: &TestDb) {
    let account = db
        .store
        .add_staff(member("ana@example.com", Some("S-1"), Role::Admin))
        .await
        .unwrap()
        .unwrap();
    let hidden = async || {
        let found = db.store.staff_credentials("ana@example.com").await;
        found.unwrap().unwrap().account.hidden_columns
    };
    assert_eq!(hidden().await, []);
    let columns = [Column::User, Column::Channel, Column::Date];
    db.store.hide_columns(account.id, &columns).await.unwrap();
    assert_eq!(hidden().await, [Column::User, Column::Channel]);
    db.execute("UPDATE staff_accounts SET hidden_columns = '[\"type\", \"gone\", 7]'")
        .await;
    assert_eq!(
        hidden().await,
        [Column::Type],
        "what is not known is left out"
    );
    db.store.hide_columns(account.id, &[]).await.unwrap();
    assert_eq!(hidden().await, []);
}

async fn people_choose_from_the_words_of_their_business(db: &TestDb) {
    db.store.ensure_business("other", "Other").await.unwrap();
    let mut theirs = email("C-1");
    theirs.contact_type = "Theirs".to_owned();
    theirs.staff_id = Some("S-9".to_owned());
    of(&db.store, "other", vec![theirs]).await;
    let mut mine = email("C-1");
    mine.contact_type = "a Reminder".to_owned();
    mine.staff_id = Some("S-1".to_owned());
    enqueued(&db.store, vec![mine]).await;
    let choices = db.store.choices(BUSINESS).await.unwrap();
    assert_eq!(choices.contact_types[0], "a Reminder");
    assert_eq!(choices.contact_types.len(), 6);
    assert!(!choices.contact_types.contains(&"Theirs".to_owned()));
    assert_eq!(choices.staff, [("S-1".to_owned(), "S-1".to_owned())]);
}

/// For the test of plans.
pub(super) async fn everything(db: &TestDb) {
    let id = add_manual(db, "C-1", "Called").await;
    let now = db.clock.now();
    let filters = [
        Filter::default(),
        Filter {
            client_id: Some("C-1".to_owned()),
            ..Filter::default()
        },
        Filter {
            from: Some(now),
            to: Some(now),
            statuses: vec![Status::Bounced],
            search: Some("2027-01".to_owned()),
            order: Order::OldestFirst,
            ..Filter::default()
        },
        Filter {
            client_id: Some("C-1".to_owned()),
            method: Some(Method::Email),
            sight: Sight::Own("S-1".to_owned()),
            ..Filter::default()
        },
    ];
    for filter in filters {
        let reach = Reach::default();
        let counted = db.store.count_statuses(BUSINESS, &filter, reach).await;
        counted.unwrap();
        for by in Column::ALL {
            for descending in [true, false] {
                let mut wanted = Browse {
                    filter: filter.clone(),
                    ..wanted(by, descending)
                };
                db.store.browse(BUSINESS, &wanted).await.unwrap();
                wanted.after = Some(Position {
                    id,
                    value: "a".to_owned(),
                });
                db.store.browse(BUSINESS, &wanted).await.unwrap();
            }
        }
    }
    db.store.choices(BUSINESS).await.unwrap();
    let account = uuid::Uuid::from_u128(1);
    db.store.hide_columns(account, &[]).await.unwrap();
}
