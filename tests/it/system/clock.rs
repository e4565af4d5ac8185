//! The clock is set forward and back by an hour while messages are being sent: no living worker is
//! taken for dead, nothing is sent twice, nothing is left.

use std::collections::BTreeSet;
use std::time::Duration;

use sendtrail::app::Overrides;
use sendtrail::clock::Clock;

use super::child::Variables;
use super::program::Program;
use super::queue::{all_done, fill, sent, statuses, unknown};
use super::sink::Sink;
use crate::support::db::{TestDb, both};

both! {
    a_clock_that_is_set_forward_and_back_harms_nothing,
    the_jobs_of_a_dead_worker_come_back_whatever_the_clock_says,
}

const COUNT: usize = 600;
/// Enqueued at each setting of the clock.
const MORE: usize = 20;
const HOUR: Duration = Duration::from_hours(1);
const TIMEOUT: Duration = Duration::from_mins(2);
/// Slow enough that each setting of the clock finds the workers busy.
const DELAY: Duration = Duration::from_millis(20);

/// With a clock that stands still until it is set.
async fn program(variables: &Variables, clock: &Clock) -> Program {
    let overrides = Overrides {
        clock: Some(clock.clone()),
        ..Overrides::default()
    };
    Program::start_with(variables, overrides).await
}

async fn a_clock_that_is_set_forward_and_back_harms_nothing(db: &TestDb) {
    let sink = Sink::start(DELAY).await;
    let mut enqueued = fill(db, COUNT).await;
    let clock = Clock::manual(db.clock.now());
    let start = clock.now();
    // Two programs: each would take over from the other.
    let variables = Variables::of(db).through(&sink);
    let programs = [
        program(&variables, &clock).await,
        program(&variables, &clock).await,
    ];
    for (done, now) in [
        (COUNT / 5, start.plus(HOUR)),
        (2 * COUNT / 5, start),
        (3 * COUNT / 5, start.minus(HOUR)),
        // What nobody had claimed is not due an hour ago: no more than the new ones are sure to come.
        (3 * COUNT / 5 + MORE, start),
        (4 * COUNT / 5, start.plus(HOUR)),
    ] {
        sink.until(done, TIMEOUT).await;
        clock.set(now);
        // What is enqueued by the new time, and waits when the next one comes.
        enqueued.extend(more(db, &clock).await);
    }
    all_done(db, TIMEOUT).await;
    assert!(sink.ids() == enqueued, "some were lost or invented");
    assert_eq!(unknown(db).await, BTreeSet::new(), "taken for dead");
    assert_eq!(sink.repeated(), BTreeSet::new(), "sent twice");
    assert_eq!(statuses(db).await, [format!("Sent {}", enqueued.len())]);
    for program in programs {
        program.stop().await;
    }
}

/// Enqueues by this clock, as an application does through the API.
async fn more(db: &TestDb, clock: &Clock) -> BTreeSet<String> {
    let before = db.clock.now();
    db.clock.set(clock.now());
    let ids = super::queue::enqueue(db, MORE).await;
    db.clock.set(before);
    ids
}

async fn the_jobs_of_a_dead_worker_come_back_whatever_the_clock_says(db: &TestDb) {
    let sink = Sink::start(Duration::ZERO).await;
    let enqueued = fill(db, 50).await;
    let wanted = sendtrail::store::jobs::Wanted {
        worker: "dead",
        provider: "smtp",
        method: sendtrail::domain::method::Method::Email,
        forms: &[sendtrail::domain::form::Form::Plain],
        limit: 50,
        bytes_max: u64::MAX,
        lease: Duration::from_secs(2),
    };
    db.store.claim(wanted).await.unwrap().unwrap();
    // It had claimed them by a clock that was an hour ahead.
    let clock = Clock::manual(db.clock.now().minus(HOUR));
    let variables = Variables::of(db)
        .through(&sink)
        .with("DELIVERY__UNKNOWN_GRACE_MS", "0");
    let program = program(&variables, &clock).await;
    all_done(db, TIMEOUT).await;
    assert!(sink.ids() == enqueued);
    assert_eq!(
        (unknown(db).await, sent(db).await),
        (enqueued.clone(), enqueued)
    );
    program.stop().await;
}
