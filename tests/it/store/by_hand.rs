//! Contacts that staff enter by hand, and the tasks that follow them.

use std::time::Duration;

use sendtrail::domain::id::NotificationId;
use sendtrail::domain::method::{Channel, Method};
use sendtrail::domain::role::{Role, Sight};
use sendtrail::domain::time::Timestamp;
use sendtrail::store::by_hand::{Contact, Entered};
use sendtrail::store::clients::{Change, Changes};
use sendtrail::store::history::Filter;
use sendtrail::store::tasks::{Asker, DUE_COUNTED_MAX, FollowUp, Mark, Task, TaskFilter};
use uuid::Uuid;

use super::make::BUSINESS;
use super::staff::member;
use crate::support::db::{TestDb, both};

both! {
    a_contact_stands_in_the_history_at_its_date_with_what_was_entered,
    the_same_key_enters_one_contact,
    a_client_of_another_business_is_none,
    a_task_is_listed_by_what_is_due_first_done_and_opened_again,
    tasks_are_paged_and_of_others_those_of_clients_in_sight_alone,
    tasks_due_are_counted_with_the_session,
}

fn contact(client_id: &str) -> Contact<'_> {
    Contact {
        business: BUSINESS,
        client_id,
        date: Some(at("2019-05-01T10:00:00.123Z")),
        method: Method::Phone,
        channel: Channel::Inbound,
        type_name: None,
        contact_type: "Membership talk",
        staff_id: Some("S-1"),
        description: Some("Asked about <b>pauses</b>."),
        entered_by: Some("S-2"),
        key: None,
        follow_up: None,
    }
}

fn follow_up(due: &str) -> FollowUp<'_> {
    FollowUp {
        title: "Call back",
        description: Some("With an offer"),
        due_at: at(due),
        assignee: "S-1",
    }
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

async fn client(db: &TestDb, id: &str, location: &str) {
    let card = Changes {
        location: Change::To(location.to_owned()),
        ..Changes::default()
    };
    db.store.add_client(BUSINESS, id, &card).await.unwrap();
}

async fn entered(db: &TestDb, contact: &Contact<'_>) -> NotificationId {
    let entered = db.store.enter_contact(contact).await.unwrap();
    let Entered::New(id) = entered else {
        panic!("{entered:?}")
    };
    id
}

fn asker(staff_id: &str) -> Asker<'_> {
    Asker {
        business: BUSINESS,
        staff_id,
        sight: Sight::All,
    }
}

fn of(assignee: &str, is_done: bool) -> TaskFilter {
    TaskFilter {
        assignee: Some(assignee.to_owned()),
        is_done,
        after: None,
        limit: 10,
    }
}

async fn tasks(db: &TestDb, filter: &TaskFilter) -> Vec<Task> {
    db.store.tasks(&asker("S-1"), filter).await.unwrap().tasks
}

async fn a_contact_stands_in_the_history_at_its_date_with_what_was_entered(db: &TestDb) {
    client(db, "C-1", "Lisbon").await;
    let id = entered(db, &contact("C-1")).await;
    let no_staff = Contact {
        staff_id: None,
        description: None,
        date: None,
        ..contact("C-1")
    };
    let newer = entered(db, &no_staff).await;
    let filter = Filter {
        client_id: Some("C-1".to_owned()),
        limit: 10,
        ..Filter::default()
    };
    let page = db.store.history(BUSINESS, &filter).await.unwrap();
    let ids: Vec<_> = page.entries.iter().map(|entry| entry.id).collect();
    assert_eq!(ids, [newer, id], "by date, not by when it was entered");
    assert_eq!(page.entries[0].user, "No Staff");
    let entry = &page.entries[1];
    assert_eq!(
        (Some(entry.date), Some(id.date())),
        (contact("").date, contact("").date)
    );
    assert_eq!(
        (entry.user.as_str(), entry.channel),
        ("S-1", Channel::Inbound)
    );
    assert_eq!(entry.description.as_deref(), contact("").description);
    assert!(entry.manual && entry.statuses().is_empty());
    assert_eq!(entry.type_name, "Phone call");
    // As entries were kept before they had names.
    db.execute("UPDATE contact_log SET type = ''").await;
    for (method, name) in [
        ("email", "Email"),
        ("sms", "SMS"),
        ("push", "Push message"),
        ("in_person", "Visit"),
        ("mail", "Letter"),
        ("phone", "Phone call"),
    ] {
        db.execute(&format!("UPDATE contact_log SET method = '{method}'"))
            .await;
        let page = db.store.history(BUSINESS, &filter).await.unwrap();
        assert_eq!(page.entries[1].type_name, name);
    }
    let by = &entry.metadata.as_ref().unwrap()["entered_by"];
    assert_eq!(by, "S-2");
    let types = db.store.contact_types(BUSINESS).await.unwrap();
    assert!(
        types.contains(&"Membership talk".to_owned()) && types.is_sorted(),
        "{types:?}"
    );
    assert_eq!(types.len(), 6, "the five of every business and the new one");
    let untagged = db
        .rows("SELECT id FROM contact_log WHERE tags IS NULL")
        .await;
    assert_eq!(untagged.len(), 2, "their tags were not looked for yet");
    let members = db.store.staff_members(BUSINESS).await.unwrap();
    assert_eq!(members[0].staff_id, "S-1");
}

async fn the_same_key_enters_one_contact(db: &TestDb) {
    client(db, "C-1", "Lisbon").await;
    let keyed = Contact {
        key: Some("form 1"),
        follow_up: Some(follow_up("2027-01-02T09:00:00Z")),
        ..contact("C-1")
    };
    let (one, other) = tokio::join!(
        db.store.enter_contact(&keyed),
        db.store.enter_contact(&keyed)
    );
    let (one, other) = (one.unwrap(), other.unwrap());
    let ids = |entered| match entered {
        Entered::New(id) => (Some(id), None),
        Entered::Before(id) => (None, Some(id)),
        Entered::KeyTaken(_) | Entered::NoClient => panic!("{entered:?}"),
    };
    let ((a, b), (c, d)) = (ids(one), ids(other));
    assert_eq!(
        (a.or(b), a.is_some() ^ c.is_some()),
        (c.or(d), true),
        "{one:?} {other:?}"
    );
    let id = a.or(c).unwrap();
    assert_eq!(db.count("contact_log").await, 1);
    assert_eq!(db.count("follow_up_tasks").await, 1);
    let changed = Contact {
        description: Some("Something else"),
        ..keyed.clone()
    };
    let taken = db.store.enter_contact(&changed).await.unwrap();
    assert_eq!(taken, Entered::KeyTaken(id));
    assert_eq!(db.count("contact_log").await, 1);
}

async fn a_client_of_another_business_is_none(db: &TestDb) {
    client(db, "C-1", "Lisbon").await;
    db.store.ensure_business("other", "Other").await.unwrap();
    let foreign = Contact {
        business: "other",
        key: Some("k"),
        ..contact("C-1")
    };
    let refused = db.store.enter_contact(&foreign).await.unwrap();
    assert_eq!(refused, Entered::NoClient);
    let task = follow_up("2027-01-02T09:00:00Z");
    let none = db.store.add_task("other", "C-1", &task).await.unwrap();
    assert_eq!(none, None);
    assert_eq!(db.count("contact_log").await, 0);
    assert_eq!(db.count("idempotency_keys").await, 0);
    let types = db.store.contact_types("other").await.unwrap();
    assert!(!types.contains(&"Membership talk".to_owned()));
}

async fn a_task_is_listed_by_what_is_due_first_done_and_opened_again(db: &TestDb) {
    client(db, "C-1", "Lisbon").await;
    let mut made = Vec::new();
    for due in ["2027-01-03T09:00:00Z", "2027-01-02T09:00:00Z"] {
        let with_task = Contact {
            follow_up: Some(follow_up(due)),
            ..contact("C-1")
        };
        made.push(entered(db, &with_task).await);
    }
    let open = tasks(db, &of("S-1", false)).await;
    let entries: Vec<_> = open.iter().map(|task| task.entry.unwrap()).collect();
    assert_eq!(entries, [made[1], made[0]]);
    let first = &open[0];
    assert_eq!(
        (first.title.as_str(), first.created_by.as_str()),
        ("Call back", "S-2")
    );
    assert_eq!(first.client.as_ref().unwrap().id, "C-1");
    let of_entry = db.store.tasks_of_entry(BUSINESS, made[1]).await.unwrap();
    assert_eq!(of_entry, std::slice::from_ref(first));
    assert!(
        db.store
            .tasks_of_entry("other", made[1])
            .await
            .unwrap()
            .is_empty()
    );
    let done = db
        .store
        .finish_task(&asker("S-3"), first.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (done.done_at, done.done_by.as_deref()),
        (Some(db.clock.now()), Some("S-3"))
    );
    db.pass(Duration::from_mins(1));
    let again = db.store.finish_task(&asker("S-4"), first.id).await.unwrap();
    assert_eq!(again, Some(done), "the first who said so stays");
    assert_eq!(tasks(db, &of("S-1", false)).await.len(), 1);
    assert_eq!(tasks(db, &of("S-1", true)).await.len(), 1);
    let opened = db.store.reopen_task(&asker("S-1"), first.id).await.unwrap();
    let opened_again = Task {
        reopened: Some((db.clock.now(), "S-1".to_owned())),
        ..first.clone()
    };
    assert_eq!(opened, Some(opened_again));
    db.pass(Duration::from_mins(1));
    let again = db.store.reopen_task(&asker("S-4"), first.id).await.unwrap();
    assert_eq!(again, opened, "and so does the first who did not");
    assert!(tasks(db, &of("S-1", true)).await.is_empty());
    marks_are_on_record(db, made[1]).await;
    others_see_none(db, first.id).await;
}

async fn marks_are_on_record(db: &TestDb, entry: NotificationId) {
    let changes = db.store.task_changes_of_entry(BUSINESS, entry).await;
    let changes = changes.unwrap();
    let told: Vec<_> = changes.iter().map(|it| (it.mark, &*it.user)).collect();
    assert_eq!(told, [(Mark::Done, "S-3"), (Mark::Reopened, "S-1")]);
    let foreign = db.store.task_changes_of_entry("other", entry).await;
    assert!(foreign.unwrap().is_empty());
}

async fn others_see_none(db: &TestDb, task: Uuid) {
    let foreign = Asker {
        business: "other",
        ..asker("S-1")
    };
    assert_eq!(db.store.task(&foreign, task).await.unwrap(), None);
    assert_eq!(db.store.finish_task(&foreign, task).await.unwrap(), None);
    assert_eq!(db.store.reopen_task(&foreign, task).await.unwrap(), None);
    assert!(
        db.store
            .tasks(&foreign, &of("S-1", false))
            .await
            .unwrap()
            .tasks
            .is_empty()
    );
}

#[expect(clippy::too_many_lines, reason = "a story is told at a stretch")]
async fn tasks_are_paged_and_of_others_those_of_clients_in_sight_alone(db: &TestDb) {
    client(db, "C-1", "Lisbon").await;
    client(db, "C-2", "Porto").await;
    for n in 0..5 {
        let client_id = if n < 3 { "C-1" } else { "C-2" };
        let task = follow_up("2027-01-02T09:00:00Z");
        let made = db
            .store
            .add_task(BUSINESS, client_id, &task)
            .await
            .unwrap()
            .unwrap();
        assert!(made.created_by.is_empty() && made.entry.is_none());
        db.store.finish_task(&asker("S-1"), made.id).await.unwrap();
        db.store.add_task(BUSINESS, client_id, &task).await.unwrap();
    }
    for is_done in [false, true] {
        for assignee in [None, Some("S-1".to_owned())] {
            let mut filter = TaskFilter {
                assignee,
                is_done,
                after: None,
                limit: 2,
            };
            let mut seen: Vec<Uuid> = Vec::new();
            for more in [true, true, false] {
                let page = db.store.tasks(&asker("S-9"), &filter).await.unwrap();
                assert_eq!(page.more, more);
                let last = page.tasks.last().unwrap();
                filter.after = Some((last.done_at.unwrap_or(last.due_at), last.id));
                seen.extend(page.tasks.iter().map(|task| task.id));
            }
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 5, "each once");
        }
    }
    let here = |staff_id| Asker {
        sight: Sight::Locations(vec!["Lisbon".to_owned()]),
        ..asker(staff_id)
    };
    let found = async |staff_id, filter: &TaskFilter| {
        db.store.tasks(&here(staff_id), filter).await.unwrap().tasks
    };
    let everybodys = TaskFilter {
        assignee: None,
        ..of("", false)
    };
    for filter in [&everybodys, &of("S-1", false)] {
        let seen = found("S-2", filter).await;
        assert!(seen.len() == 3 && seen.iter().all(|task| task.client.is_some()));
    }
    let own = found("S-1", &of("S-1", false)).await;
    let hidden = own.iter().filter(|task| task.client.is_none()).count();
    assert_eq!(
        (own.len(), hidden),
        (5, 2),
        "own ones are shown, without the client"
    );
    let out_of_sight = own.iter().find(|task| task.client.is_none()).unwrap().id;
    assert!(
        db.store
            .task(&here("S-1"), out_of_sight)
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        db.store
            .task(&here("S-2"), out_of_sight)
            .await
            .unwrap()
            .is_none()
    );
}

async fn tasks_due_are_counted_with_the_session(db: &TestDb) {
    client(db, "C-1", "Lisbon").await;
    let new = member("ana@example.com", Some("S-1"), Role::Staff);
    let account = db.store.add_staff(new).await.unwrap().unwrap();
    db.store
        .begin_staff_session(account.id, "a", None)
        .await
        .unwrap();
    let due = async || {
        db.store
            .staff_session("a")
            .await
            .unwrap()
            .unwrap()
            .tasks_due
    };
    assert_eq!(due().await, 0);
    let mut overdue = None;
    for (due_at, assignee) in [
        ("2026-12-01T09:00:00Z", "S-1"),
        ("2027-01-02T08:59:59Z", "S-1"),
        ("2027-01-02T09:00:00Z", "S-1"),
        ("2026-12-01T09:00:00Z", "S-2"),
    ] {
        let task = FollowUp {
            assignee,
            ..follow_up(due_at)
        };
        let made = db.store.add_task(BUSINESS, "C-1", &task).await.unwrap();
        overdue = overdue.or(made);
    }
    assert_eq!(due().await, 2, "overdue, and within a day");
    db.store
        .finish_task(&asker("S-1"), overdue.unwrap().id)
        .await
        .unwrap();
    assert_eq!(due().await, 1);
    for _ in 0..DUE_COUNTED_MAX {
        let task = follow_up("2026-12-01T09:00:00Z");
        db.store.add_task(BUSINESS, "C-1", &task).await.unwrap();
    }
    assert_eq!(due().await, DUE_COUNTED_MAX, "no further");
}

/// Every function, so that the plans of their statements are seen.
pub(super) async fn everything(db: &TestDb) {
    let store = &db.store;
    client(db, "C-1", "Lisbon").await;
    let keyed = Contact {
        key: Some("by hand"),
        follow_up: Some(follow_up("2027-01-02T09:00:00Z")),
        ..contact("C-1")
    };
    let id = entered(db, &keyed).await;
    store.enter_contact(&keyed).await.unwrap();
    store.contact_types(BUSINESS).await.unwrap();
    store.staff_members(BUSINESS).await.unwrap();
    let of_entry = store.tasks_of_entry(BUSINESS, id).await.unwrap();
    let task = &of_entry[0];
    store.task_changes_of_entry(BUSINESS, id).await.unwrap();
    store
        .add_task(BUSINESS, "C-1", &follow_up("2027-01-02T09:00:00Z"))
        .await
        .unwrap();
    for sight in [
        Sight::All,
        Sight::Locations(vec!["Lisbon".to_owned()]),
        Sight::Own("S-1".to_owned()),
    ] {
        let asker = Asker {
            sight,
            ..asker("S-1")
        };
        store.task(&asker, task.id).await.unwrap();
        store.finish_task(&asker, task.id).await.unwrap();
        store.reopen_task(&asker, task.id).await.unwrap();
        for is_done in [false, true] {
            for assignee in [None, Some("S-1"), Some("S-2")] {
                for after in [None, Some((db.clock.now(), task.id))] {
                    let filter = TaskFilter {
                        assignee: assignee.map(str::to_owned),
                        is_done,
                        after,
                        limit: 10,
                    };
                    store.tasks(&asker, &filter).await.unwrap();
                }
            }
        }
    }
}
