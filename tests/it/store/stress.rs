//! Everything at once: applications, workers that die and wake up again, rescuers, feedback,
//! cancelling and reading, from two programs. Nothing is lost, nothing doubled, nothing fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sendtrail::domain::event::{EventKey, Failure, What};
use sendtrail::domain::facts::Facts;
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::method::Method;
use sendtrail::domain::reason::Category;
use sendtrail::domain::time::Timestamp;
use sendtrail::store::Store;
use sendtrail::store::enqueue::Enqueued;
use sendtrail::store::history::Filter;
use sendtrail::store::jobs::{Claim, Wanted};
use sendtrail::store::record::{Done, Left, Then};
use sendtrail::store::unmatched::Sweep;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::make::{
    BUSINESS, delivered, done, email, happening, incoming, keyed, lost, opened, request, sent,
    tried,
};
use crate::support::db::{TestDb, both};

both! {
    many_writers_of_every_sort_lose_and_double_nothing,
}

const LASTS: Duration = Duration::from_millis(2_500);
const LEASE: Duration = Duration::from_millis(250);
const GRACE: Duration = Duration::from_millis(50);

#[derive(Clone)]
struct World {
    store: Store,
    clock: sendtrail::clock::Clock,
    until: Instant,
    shared: Arc<Mutex<Shared>>,
}

/// What the test knows to be true.
#[derive(Default)]
struct Shared {
    enqueued: Vec<NotificationId>,
    cancelled: BTreeSet<NotificationId>,
    /// How often the provider was called.
    sends: BTreeMap<NotificationId, usize>,
    told: BTreeSet<(NotificationId, EventKey)>,
    messages: BTreeSet<String>,
    /// What workers that were taken for dead still hold.
    asleep: Vec<(Vec<Done>, Vec<Left>)>,
}

/// A small generator (xorshift64), so that a failure can be repeated from its seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

impl World {
    fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    fn some_id(&self, dice: &mut Dice) -> Option<NotificationId> {
        let shared = self.shared.lock().unwrap();
        let count = u64::try_from(shared.enqueued.len()).unwrap();
        let position = usize::try_from(dice.below(count.max(1))).unwrap();
        shared.enqueued.get(position).copied()
    }
}

async fn many_writers_of_every_sort_lose_and_double_nothing(db: &TestDb) {
    let other = db.another_store().await;
    let mut tasks = JoinSet::new();
    let shared = Arc::new(Mutex::new(Shared::default()));
    for i in 0..8_u64 {
        let world = World {
            store: if i % 2 == 0 {
                db.store.clone()
            } else {
                other.clone()
            },
            clock: db.clock.clone(),
            until: Instant::now() + LASTS,
            shared: Arc::clone(&shared),
        };
        let dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (i + 1));
        match i {
            0 | 1 => drop(tasks.spawn(applications(world, dice))),
            2..=4 => drop(tasks.spawn(workers(world, dice, i))),
            5 | 6 => drop(tasks.spawn(providers(world, dice, i))),
            _ => drop(tasks.spawn(housekeeping(world, dice))),
        }
    }
    let until = Instant::now() + LASTS;
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(5)).await;
        db.pass(Duration::from_millis(5));
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    drain(db, &shared).await;
    other.close().await;
    let shared = std::mem::take(&mut *shared.lock().unwrap());
    check(db, &shared).await;
}

async fn applications(world: World, mut dice: Dice) {
    while world.goes_on() {
        let batch = (0..=dice.below(8)).map(|_| {
            let mut new = email(&format!("C-{}", dice.below(12)));
            if dice.one_in(3) {
                new.client.name = Some("Ana".to_owned());
                new.client.email = Some("ana@example.com".to_owned());
            }
            if dice.one_in(2) {
                new = keyed(new, &format!("k{}", dice.below(200)), 1);
            }
            new
        });
        let answer = world.store.enqueue(request(batch.collect())).await.unwrap();
        let Enqueued::Done(tickets) = answer else {
            panic!("refused");
        };
        let fresh = tickets.iter().filter(|ticket| !ticket.duplicate);
        world
            .shared
            .lock()
            .unwrap()
            .enqueued
            .extend(fresh.map(|ticket| ticket.id));
        if dice.one_in(4) {
            let Some(id) = world.some_id(&mut dice) else {
                continue;
            };
            if world.store.cancel(BUSINESS, id).await.unwrap() {
                assert!(world.shared.lock().unwrap().cancelled.insert(id));
            }
        }
    }
}

async fn workers(world: World, mut dice: Dice, number: u64) {
    let mut generation = 0;
    while world.goes_on() {
        let worker = format!("worker-{number}-{generation}");
        let wanted = Wanted {
            worker: &worker,
            provider: "ses",
            method: Method::Email,
            forms: &[sendtrail::domain::form::Form::Plain],
            limit: 1 + usize::try_from(dice.below(20)).unwrap(),
            bytes_max: u64::MAX,
            lease: LEASE,
        };
        let Some(claim) = world.store.claim(wanted).await.unwrap() else {
            tokio::time::sleep(Duration::from_millis(3)).await;
            continue;
        };
        let batch = work(&world, &mut dice, &claim);
        world.store.beat(&[claim.id]).await.unwrap();
        let half = batch.len() / 2;
        let first = Left {
            claim: claim.id,
            jobs: claim.jobs[half..]
                .iter()
                .map(|claimed| claimed.job)
                .collect(),
            rewrite: batch[..half].iter().any(|done| done.tried.is_none()),
        };
        let last = Left {
            claim: claim.id,
            jobs: Vec::new(),
            rewrite: false,
        };
        world.store.record(&batch[..half], &[first]).await.unwrap();
        if dice.one_in(6) {
            // It dies; perhaps it was only asleep, and wakes up when its claim is another's.
            generation += 1;
            let rest = (batch[half..].to_vec(), vec![last]);
            world.shared.lock().unwrap().asleep.push(rest);
            continue;
        }
        world.store.record(&batch[half..], &[last]).await.unwrap();
    }
}

fn work(world: &World, dice: &mut Dice, claim: &Claim) -> Vec<Done> {
    let now = world.clock.now();
    let outcomes = claim.jobs.iter().map(|job| {
        let failure = Failure {
            category: Category::ProviderUnavailable,
            code: None,
            provider_text: None,
        };
        if job.has_gone {
            return done(claim, job, None, Then::Settled);
        }
        let again = Then::Again { due_at: now };
        match dice.below(20) {
            0 => done(claim, job, None, again),
            1 | 2 => done(claim, job, tried(now, "throttled"), again),
            3 => done(claim, job, tried(now, "rejected"), Then::Rejected(failure)),
            4 => done(claim, job, None, Then::GaveUp(failure)),
            _ => {
                let mut shared = world.shared.lock().unwrap();
                *shared.sends.entry(job.job.id).or_default() += 1;
                done(
                    claim,
                    job,
                    tried(now, "accepted"),
                    sent(&format!("p-{}", job.job.id)),
                )
            }
        }
    });
    outcomes.collect()
}

async fn providers(world: World, mut dice: Dice, number: u64) {
    let mut count = 0;
    while world.goes_on() {
        let mut calls = Vec::new();
        for _ in 0..=dice.below(10) {
            let Some(id) = world.some_id(&mut dice) else {
                break;
            };
            if !world.shared.lock().unwrap().sends.contains_key(&id) {
                continue;
            }
            count += 1;
            let message_id = format!("m-{number}-{count}");
            let message = about(&world, &mut dice, id, &message_id);
            if dice.one_in(5) {
                calls.push(world.store.keep_feedback(message.clone()));
            }
            calls.push(world.store.keep_feedback(message));
        }
        for kept in futures_util::future::join_all(calls).await {
            kept.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A message about a notification: by our id, by the provider's, or both. The same happening may
/// come again in another message.
fn about(
    world: &World,
    dice: &mut Dice,
    id: NotificationId,
    message_id: &str,
) -> sendtrail::store::feedback::Incoming {
    let start = Timestamp::parse(crate::support::db::START).unwrap();
    let accepted = What::Accepted {
        provider: "ses".to_owned(),
        provider_message_id: Some(format!("p-{id}")),
        opens_tracked: false,
    };
    let happenings: Vec<_> = (0..=dice.below(2))
        .map(|_| {
            let key = dice.below(9);
            let what = match key {
                0 => accepted.clone(),
                1 | 2 => delivered(),
                _ => opened(),
            };
            // A key names one happening in the whole world.
            let unique = id.uuid().as_u128() & !0xF | u128::from(key);
            happening(unique, start.plus(Duration::from_secs(key)), what)
        })
        .collect();
    let mut shared = world.shared.lock().unwrap();
    shared.messages.insert(message_id.to_owned());
    shared.told.extend(happenings.iter().map(|h| (id, h.key)));
    let theirs = format!("p-{id}");
    let (own, theirs) = match dice.below(3) {
        0 => (Some(id), None),
        1 => (None, Some(theirs.as_str())),
        _ => (Some(id), Some(theirs.as_str())),
    };
    incoming(message_id, own, theirs, happenings)
}

async fn housekeeping(world: World, mut dice: Dice) {
    let filter = Filter {
        limit: 20,
        ..Filter::default()
    };
    let mut seen = (Vec::new(), Instant::now());
    let mut sweep = Sweep::default();
    while world.goes_on() {
        // Whoever is silent for a lease is dead.
        if seen.1.elapsed() > LEASE {
            world.store.rescue(&seen.0, lost(GRACE)).await.unwrap();
            seen = (world.store.pulses().await.unwrap(), Instant::now());
        }
        world.store.sweep_unmatched(&mut sweep).await.unwrap();
        world.store.history(BUSINESS, &filter).await.unwrap();
        world.store.depth(9).await.unwrap();
        let woken = {
            let mut shared = world.shared.lock().unwrap();
            if shared.asleep.len() > 3 {
                Some(shared.asleep.remove(0))
            } else {
                None
            }
        };
        if let Some((batch, left)) = woken {
            world.store.record(&batch, &left).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(dice.below(10))).await;
    }
}

/// Finishes all work that is left: every dead worker wakes up too late, and a good one does the rest.
async fn drain(db: &TestDb, shared: &Mutex<Shared>) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(Instant::now() < end, "work without end");
        db.pass(GRACE);
        let rescued = super::make::rescue(&db.store, GRACE).await;
        let asleep = std::mem::take(&mut shared.lock().unwrap().asleep);
        for (batch, left) in asleep {
            db.store.record(&batch, &left).await.unwrap();
        }
        let wanted = super::make::wanted(Method::Email, 200);
        let Some(claim) = db.store.claim(wanted).await.unwrap() else {
            if rescued == 0 && db.count("claims").await == 0 && db.count("jobs").await == 0 {
                break;
            }
            continue;
        };
        let now = db.clock.now();
        let batch: Vec<Done> = claim
            .jobs
            .iter()
            .map(|job| {
                if job.has_gone {
                    return done(&claim, job, None, Then::Settled);
                }
                let mut shared = shared.lock().unwrap();
                *shared.sends.entry(job.job.id).or_default() += 1;
                done(
                    &claim,
                    job,
                    tried(now, "accepted"),
                    sent(&format!("p-{}", job.job.id)),
                )
            })
            .collect();
        let left = super::make::nothing_left(&claim);
        assert_eq!(db.store.record(&batch, &left).await.unwrap(), 0);
    }
    let mut sweep = Sweep::default();
    while db.store.sweep_unmatched(&mut sweep).await.unwrap() > 0 {}
}

async fn check(db: &TestDb, shared: &Shared) {
    let ids: BTreeSet<NotificationId> = shared.enqueued.iter().copied().collect();
    assert_eq!(ids.len(), shared.enqueued.len());
    assert_eq!(db.count("contact_log").await, ids.len());
    assert_eq!(db.count("feedback_inbox").await, shared.messages.len());
    assert_eq!(db.store.count_unmatched(1000).await.unwrap(), 0);
    let mut told = BTreeSet::new();
    for id in &ids {
        let facts = db.store.entry(BUSINESS, *id).await.unwrap().unwrap().facts;
        let story = db.store.story(*id).await.unwrap();
        assert_eq!(facts, Facts::fold(&story.events), "{id}");
        assert!(
            facts.sent.is_some() || facts.failed.is_some() || facts.has_evidence(),
            "{id} lost"
        );
        let of_feedback = story
            .events
            .iter()
            .filter(|event| event.key.0.as_u128() >> 4 == id.uuid().as_u128() >> 4);
        told.extend(of_feedback.map(|event| (*id, event.key)));
        let numbers: Vec<i64> = story
            .attempts
            .iter()
            .map(|attempt| attempt.number)
            .collect();
        let count = i64::try_from(numbers.len()).unwrap();
        assert_eq!(numbers, (1..=count).collect::<Vec<_>>(), "{id}");
        let lost = story
            .attempts
            .iter()
            .filter(|attempt| attempt.outcome == "unknown")
            .count();
        let sends = shared.sends.get(id).copied().unwrap_or_default();
        assert!(
            sends <= 1 + lost,
            "{id} was sent {sends} times, {lost} attempts lost"
        );
        assert!(
            !shared.cancelled.contains(id) || facts.failed.is_some(),
            "{id}"
        );
    }
    assert!(
        told == shared.told,
        "{} happenings told, {} kept",
        shared.told.len(),
        told.len()
    );
    assert!(ids.len() > 50, "only {} notifications", ids.len());
    if db.is_postgres() {
        // Connections report what they met when they end.
        db.store.close().await;
        let circles = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        assert_eq!(db.texts(circles).await, ["0"]);
    }
}
