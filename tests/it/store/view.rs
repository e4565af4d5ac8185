//! The view `contact_history`, which dashboards read, says what the domain says: over all
//! combinations of facts.

use std::time::Duration;

use sendtrail::domain::event::{Bounce, Failure, Severity, What};
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::reason::Category;
use sendtrail::store::enqueue::NewNotification;
use sendtrail::store::feedback::{Happening, Incoming};

use super::make::{BUSINESS, delivered, email, enqueued, happening, incoming, opened, push, sms};
use crate::support::db::{TestDb, both};

both! {
    the_view_and_the_domain_agree_on_every_combination_of_facts,
    the_view_reads_as_staff_read,
}

/// Each list holds what one fact may be: absent, or present in ways that matter.
fn combinations(db: &TestDb) -> Vec<Vec<Happening>> {
    let start = db.clock.now();
    let at = |seconds: u64| start.plus(Duration::from_secs(seconds));
    let accepted = |opens_tracked| What::Accepted {
        provider: "ses".to_owned(),
        provider_message_id: None,
        opens_tracked,
    };
    let failure = Failure {
        category: Category::Unknown,
        code: None,
        provider_text: None,
    };
    let bounced = What::Bounced(Bounce {
        severity: Severity::Transient,
        category: Category::MailboxFull,
        subtype: None,
        status: None,
        diagnostic: None,
    });
    let complained = What::Complained {
        feedback_type: None,
    };
    let clicked = What::Clicked {
        link: None,
        user_agent: None,
    };
    let when = |key, what: &What| -> Vec<Option<Happening>> {
        let times = [2, 3, 4].map(|seconds| Some(happening(key, at(seconds), what.clone())));
        [None].into_iter().chain(times).collect()
    };
    let whether = |key, what: What| vec![None, Some(happening(key, at(3), what))];
    let choices = [
        vec![
            None,
            Some(happening(1, at(1), accepted(false))),
            Some(happening(1, at(1), accepted(true))),
        ],
        whether(2, What::GaveUp(failure)),
        whether(3, delivered()),
        whether(4, complained),
        whether(5, bounced),
        when(6, &opened()),
        when(7, &clicked),
    ];
    let mut all: Vec<Vec<Happening>> = vec![Vec::new()];
    for choice in choices {
        let longer = all.iter().flat_map(|combination| {
            choice.iter().map(move |happening| {
                let mut longer = combination.clone();
                longer.extend(happening.clone());
                longer
            })
        });
        all = longer.collect();
    }
    all
}

async fn the_view_and_the_domain_agree_on_every_combination_of_facts(db: &TestDb) {
    let combinations = combinations(db);
    assert_eq!(combinations.len(), 3 * 2 * 2 * 2 * 2 * 4 * 4);
    for make in [email, sms, push] {
        agree(db, make, &combinations).await;
    }
}

async fn agree(db: &TestDb, make: fn(&str) -> NewNotification, combinations: &[Vec<Happening>]) {
    let ids = enqueued(&db.store, vec![make("C-1"); combinations.len()]).await;
    let told = ids.iter().zip(combinations).enumerate();
    let messages = told.map(|(i, (id, happenings))| -> Incoming {
        incoming(&format!("{id} {i}"), Some(*id), None, happenings.clone())
    });
    let calls = messages.map(|message| db.store.keep_feedback(message));
    for kept in futures_util::future::join_all(calls).await {
        kept.unwrap();
    }
    let rows = db.rows("SELECT id, status FROM contact_history").await;
    let shown: std::collections::BTreeMap<String, String> = rows
        .into_iter()
        .map(|row| {
            let [id, status] = row.try_into().unwrap();
            (id.unwrap(), status.unwrap())
        })
        .collect();
    for chunk in ids.chunks(200) {
        for entry in db.store.entries(BUSINESS, chunk).await.unwrap() {
            let words: Vec<&str> = entry.statuses().iter().map(|s| s.as_str()).collect();
            assert_eq!(
                shown[&entry.id.to_string()],
                words.join(", "),
                "{:?}",
                entry.facts
            );
        }
    }
}

async fn the_view_reads_as_staff_read(db: &TestDb) {
    let mut new = email("C-1");
    new.client.name = Some("Ana Ruiz".to_owned());
    new.staff_id = Some("S-7".to_owned());
    let id = enqueued(&db.store, vec![new, sms("C-1")]).await[0];
    db.execute("UPDATE staff SET name = 'Nina Berg' WHERE staff_id = 'S-7'")
        .await;
    let rows = db
        .rows(
            "SELECT id, client_id, client_name, date, \"user\", contact_method, type, \
             contact_type, status, channel, address FROM contact_history ORDER BY id",
        )
        .await;
    let row: Vec<String> = rows[0].iter().map(|text| text.clone().unwrap()).collect();
    let date = if db.is_postgres() {
        "2027-01-01 09:00:00+00"
    } else {
        "2027-01-01T09:00:00.000Z"
    };
    let id: &NotificationId = &id;
    let id = id.to_string();
    let expected = [
        id.as_str(),
        "C-1",
        "Ana Ruiz",
        date,
        "Nina Berg",
        "Email",
        "Booking confirmation",
        "Client Notifications",
        "Awaiting Send",
        "Outbound",
        "c-1@example.com",
    ];
    assert_eq!(row, expected);
    assert_eq!(rows[1][4].as_deref(), Some("Automated"));
    assert_eq!(rows[1][5].as_deref(), Some("SMS"));
    let entry = db
        .store
        .entries(BUSINESS, &[NotificationId::parse(&id).unwrap()])
        .await;
    assert_eq!(entry.unwrap()[0].user, "Nina Berg");
}
