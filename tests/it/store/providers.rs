//! Pauses, switches of traffic and health of providers.

use std::time::Duration;

use sendtrail::domain::method::Method;
use sendtrail::store::Wake;
use sendtrail::store::providers::{
    HEALTH_TRUE_FOR, Health, LastError, Order, Pause, Paused, Switch,
};

use crate::support::db::{TestDb, both, on_postgres};

both! {
    a_provider_is_paused_once_and_resumed,
    a_method_is_paused_beside_its_providers,
    switches_are_listed_the_newest_first_and_forgotten_in_the_end,
    health_is_replaced_and_true_only_for_a_while,
}

const fn order(provider: Option<&str>) -> Order<'_> {
    Order {
        method: Method::Email,
        provider,
        by: "Maya",
    }
}

async fn a_provider_is_paused_once_and_resumed(db: &TestDb) {
    let store = &db.store;
    assert!(store.provider_pauses().await.unwrap().is_empty());
    let ses = order(Some("ses"));
    let at = db.clock.now();
    let pause = Pause {
        method: Method::Email,
        provider: Some("ses".to_owned()),
        reason: "warming up".to_owned(),
        by: "Maya".to_owned(),
        at,
    };
    let paused = store.pause_provider(ses, "warming up").await.unwrap();
    assert_eq!(paused, Paused::Now(pause.clone()));
    db.pass(Duration::from_secs(5));
    let again = store.pause_provider(ses, "other").await.unwrap();
    assert_eq!(again, Paused::Before(pause.clone()), "the first one stands");
    assert_eq!(store.provider_pauses().await.unwrap(), [pause]);
    let other = Order {
        method: Method::Sms,
        ..ses
    };
    assert!(!store.resume_provider(other).await.unwrap());
    assert!(!store.resume_provider(order(None)).await.unwrap());
    assert!(store.resume_provider(ses).await.unwrap());
    assert!(!store.resume_provider(ses).await.unwrap(), "once");
    assert!(store.provider_pauses().await.unwrap().is_empty());
    // What was ordered stays on record.
    let kept = "SELECT paused_by || ' ' || resumed_by FROM provider_pauses";
    assert_eq!(db.texts(kept).await, ["Maya Maya"]);
    let paused = store.pause_provider(ses, "once more").await.unwrap();
    assert!(matches!(paused, Paused::Now(_)));
}

async fn a_method_is_paused_beside_its_providers(db: &TestDb) {
    let store = &db.store;
    for provider in [Some("ses"), None, Some("smtp")] {
        let paused = store.pause_provider(order(provider), "x").await.unwrap();
        assert!(matches!(paused, Paused::Now(_)));
    }
    let paused = async || -> Vec<Option<String>> {
        let pauses = store.provider_pauses().await.unwrap();
        pauses.into_iter().map(|pause| pause.provider).collect()
    };
    let [ses, smtp] = ["ses", "smtp"].map(|name| Some(name.to_owned()));
    assert_eq!(paused().await, [None, ses.clone(), smtp.clone()]);
    assert!(store.resume_provider(order(None)).await.unwrap());
    assert_eq!(paused().await, [ses, smtp]);
}

async fn switches_are_listed_the_newest_first_and_forgotten_in_the_end(db: &TestDb) {
    let switch = |from: Option<&str>, to: Option<&str>| Switch {
        method: Method::Email,
        worker: "w-1".to_owned(),
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
        reason: "5 calls in a row failed".to_owned(),
        at: db.clock.now(),
    };
    let store = &db.store;
    store.note_switches(&[]).await.unwrap();
    let first = switch(Some("ses"), Some("smtp"));
    let second = switch(Some("smtp"), None);
    let batch = [first.clone(), second.clone()];
    store.note_switches(&batch).await.unwrap();
    db.pass(Duration::from_secs(1));
    let third = switch(None, Some("ses"));
    store
        .note_switches(std::slice::from_ref(&third))
        .await
        .unwrap();
    let listed = store.switches(10).await.unwrap();
    assert_eq!(listed, [third.clone(), second, first]);
    assert_eq!(store.switches(1).await.unwrap(), [third]);
    db.pass(Duration::from_hours(24 * 91));
    let last = switch(Some("ses"), Some("smtp"));
    store
        .note_switches(std::slice::from_ref(&last))
        .await
        .unwrap();
    assert_eq!(store.switches(i64::MAX).await.unwrap(), [last]);
}

async fn health_is_replaced_and_true_only_for_a_while(db: &TestDb) {
    let store = &db.store;
    let well = |worker: &str, place| Health {
        worker: worker.to_owned(),
        method: Method::Email,
        provider: format!("provider-{place}"),
        place,
        active: place == 1,
        state: "closed".to_owned(),
        rests_until: None,
        rests_because: None,
        broken: false,
        taken_per_minute: 2_472,
        allowed_per_minute: None,
        learnt_per_minute: None,
        error: None,
        seen_at: db.clock.now(),
    };
    store.keep_health(&[]).await.unwrap();
    let batch = [well("w-1", 1), well("w-1", 2), well("w-2", 1)];
    store.keep_health(&batch).await.unwrap();
    let [first, second, other] = batch;
    let listed = store.provider_health().await.unwrap();
    assert_eq!(
        listed,
        [first, other.clone(), second.clone()],
        "by preference"
    );

    let later = db.pass(HEALTH_TRUE_FOR);
    let ill = Health {
        active: false,
        state: "open".to_owned(),
        rests_until: Some(later.plus(Duration::from_secs(5))),
        rests_because: Some("5 calls in a row failed".to_owned()),
        allowed_per_minute: Some(600),
        learnt_per_minute: Some(750),
        error: Some(LastError {
            at: later,
            code: Some("500".to_owned()),
            text: None,
        }),
        ..well("w-1", 1)
    };
    store.keep_health(std::slice::from_ref(&ill)).await.unwrap();
    let listed = store.provider_health().await.unwrap();
    assert_eq!(listed, [ill.clone(), other, second], "on the very edge");
    db.pass(Duration::from_millis(1));
    assert_eq!(store.provider_health().await.unwrap(), [ill]);
    store.forget_health("w-1").await.unwrap();
    assert!(store.provider_health().await.unwrap().is_empty());
    db.pass(Duration::from_hours(2));
    store.keep_health(&[well("w-3", 1)]).await.unwrap();
    assert_eq!(db.count("provider_health").await, 1, "w-2 is long gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_told_to_other_processes_at_once() {
    on_postgres(async |db: &TestDb| {
        let mut wakes = db.store.listen().await.unwrap().unwrap();
        let other = db.another_store().await;
        other.pause_provider(order(None), "x").await.unwrap();
        other.resume_provider(order(None)).await.unwrap();
        for _ in 0..2 {
            let told = tokio::time::timeout(Duration::from_secs(10), wakes.next()).await;
            assert_eq!(told.unwrap().unwrap(), Wake::Providers);
        }
        other.close().await;
    })
    .await;
}
