//! What operators are told: once, when it has lasted, and again when it is over.

use std::time::Duration;

use sendtrail::domain::alarm::Kind;
use sendtrail::domain::matter::{Concern, Matter};
use sendtrail::store::matters::News;

use crate::support::db::{TestDb, both};

both! {
    what_a_newer_program_wrote_is_left_to_it,
    a_matter_is_told_once_to_each_when_it_has_lasted_and_when_it_is_over,
    two_that_look_at_once_write_it_once,
    news_are_in_one_pair_of_hands_and_come_again_until_they_are_taken,
}

const LEASE: Duration = Duration::from_mins(1);

fn concern(matter: Matter) -> Concern {
    Concern {
        matter,
        subject: "email ses".to_owned(),
    }
}

async fn note(db: &TestDb, seen: &[Matter]) {
    let seen: Vec<Concern> = seen.iter().copied().map(concern).collect();
    let urls = [
        "https://a.example".to_owned(),
        "https://b.example".to_owned(),
    ];
    db.store.note_matters(&seen, &urls).await.unwrap();
}

/// What is due: address, matter, whether it is over. Taken, so that it does not come again.
async fn told(db: &TestDb) -> Vec<(String, Matter, bool)> {
    let mut told = Vec::new();
    for news in db.store.claim_news(100, LEASE).await.unwrap() {
        db.store.end_news(news.id, None).await.unwrap();
        told.push((news.url, news.matter, news.is_cleared));
    }
    told.sort();
    told
}

fn both_of(matter: Matter, is_cleared: bool) -> Vec<(String, Matter, bool)> {
    let urls = ["https://a.example", "https://b.example"];
    urls.map(|url| (url.to_owned(), matter, is_cleared))
        .to_vec()
}

async fn what_a_newer_program_wrote_is_left_to_it(db: &TestDb) {
    let silent = Matter::Alarm(Kind::FeedbackSilent);
    note(db, &[silent]).await;
    for (table, column) in [
        ("operation_matters", "matter"),
        ("operation_news", "matter"),
    ] {
        assert!(db.count(table).await > 0, "{table}");
        db.execute(&format!("UPDATE {table} SET {column} = 'of_next_year'"))
            .await;
    }
    assert_eq!(told(db).await, [], "and none fails for it");
    note(db, &[]).await;
    note(db, &[silent]).await;
    assert_eq!(told(db).await, both_of(silent, false));
    let words = "SELECT matter FROM operation_matters ORDER BY matter";
    assert_eq!(db.texts(words).await, [silent.as_str(), "of_next_year"]);
}

async fn a_matter_is_told_once_to_each_when_it_has_lasted_and_when_it_is_over(db: &TestDb) {
    let (rests, silent) = (Matter::ProviderRests, Matter::Alarm(Kind::FeedbackSilent));
    let began = db.clock.now();
    note(db, &[rests]).await;
    db.pass(Duration::from_mins(9));
    note(db, &[rests]).await;
    assert_eq!(told(db).await, [], "it may be over soon");
    note(db, &[]).await;
    assert_eq!(
        told(db).await,
        [],
        "and it is: nobody was told, nobody is told"
    );
    note(db, &[rests]).await;
    let since = db.clock.now();
    assert_ne!(since, began);
    db.pass(Duration::from_mins(10));
    note(db, &[rests, silent]).await;
    let first = db.store.claim_news(100, LEASE).await.unwrap();
    let of_rest: Vec<&News> = first.iter().filter(|news| news.matter == rests).collect();
    assert_eq!((first.len(), of_rest.len()), (4, 2));
    assert_eq!((of_rest[0].since, of_rest[0].at), (since, db.clock.now()));
    for news in first {
        db.store.end_news(news.id, None).await.unwrap();
    }
    db.pass(Duration::from_hours(1));
    note(db, &[rests, silent]).await;
    assert_eq!(told(db).await, [], "once");
    note(db, &[rests]).await;
    assert_eq!(told(db).await, both_of(silent, true));
    note(db, &[]).await;
    assert_eq!(told(db).await, both_of(rests, true));
    db.pass(Duration::from_hours(24 * 31));
    note(db, &[]).await;
    assert_eq!(db.count("operation_news").await, 0, "old ones go");
}

async fn two_that_look_at_once_write_it_once(db: &TestDb) {
    let another = db.another_store().await;
    let seen = [concern(Matter::Held), concern(Matter::Buried)];
    let urls = ["https://a.example".to_owned()];
    let (one, other) = tokio::join!(
        db.store.note_matters(&seen, &urls),
        another.note_matters(&seen, &urls),
    );
    one.unwrap();
    other.unwrap();
    assert_eq!(
        db.count("operation_news").await,
        1,
        "only one of them is told at once"
    );
    let (one, other) = tokio::join!(
        db.store.note_matters(&[], &urls),
        another.note_matters(&[], &urls),
    );
    one.unwrap();
    other.unwrap();
    assert_eq!(db.count("operation_news").await, 2);
}

async fn news_are_in_one_pair_of_hands_and_come_again_until_they_are_taken(db: &TestDb) {
    note(db, &[Matter::Buried]).await;
    let mine = db.store.claim_news(1, LEASE).await.unwrap();
    let yours = db.store.claim_news(100, LEASE).await.unwrap();
    assert_eq!((mine.len(), yours.len()), (1, 1));
    assert_ne!(mine[0].id, yours[0].id);
    assert!(db.store.claim_news(100, LEASE).await.unwrap().is_empty());
    db.store.end_news(mine[0].id, None).await.unwrap();
    let later = db.clock.now().plus(2 * LEASE);
    db.store.end_news(yours[0].id, Some(later)).await.unwrap();
    db.pass(LEASE);
    assert!(db.store.claim_news(100, LEASE).await.unwrap().is_empty());
    db.pass(LEASE);
    let again = db.store.claim_news(100, LEASE).await.unwrap();
    assert_eq!((again[0].id, again[0].attempts), (yours[0].id, 2));
    // Whoever had it died.
    db.pass(LEASE);
    assert_eq!(
        db.store.claim_news(100, LEASE).await.unwrap()[0].attempts,
        3
    );
}

/// For the test of plans.
pub(super) async fn everything(db: &TestDb) {
    note(db, &[Matter::Buried]).await;
    told(db).await;
    note(db, &[]).await;
    db.store.last_feedback().await.unwrap();
    db.store.sent_since(db.clock.now()).await.unwrap();
}
