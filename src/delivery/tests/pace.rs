//! The rate against providers that have a limit, in simulated time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::delivery::pace::{Limits, Pace, Ticket};

/// A provider that takes so many units a second, and a second's worth at once.
struct Limit {
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl Limit {
    fn new(per_second: f64, at: Instant) -> Self {
        let tokens = per_second.max(1.0);
        Self {
            per_second,
            tokens,
            at,
        }
    }

    fn takes(&mut self, units: f64, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        let full = self.per_second.max(units);
        self.tokens = (self.tokens + since * self.per_second).min(full);
        self.at = self.at.max(now);
        let takes = self.tokens >= units;
        self.tokens -= if takes { units } else { 0.0 };
        takes
    }
}

/// Workers at one provider, each with more work than it can do.
struct World {
    start: Instant,
    limit: Limit,
    /// When the limit changes, and to what.
    changes: Vec<(f64, f64)>,
    workers: Vec<Worker>,
    latency: Duration,
    units: f64,
    calls: Vec<Call>,
}

struct Worker {
    begins: f64,
    pace: Pace,
    on_wire: usize,
}

#[derive(Clone, Copy, Debug)]
struct Call {
    by: usize,
    at: f64,
    taken: bool,
}

#[derive(Debug)]
enum Event {
    /// The dispatcher asks whether it may send.
    Ask,
    Answer {
        ticket: Ticket,
        taken: bool,
    },
}

const CONCURRENCY: usize = 64;
const FREE: Limits = Limits {
    max_per_second: None,
    initial_per_second: None,
    min_per_second: None,
};

impl World {
    fn new(per_second: f64, workers: &[Limits]) -> Self {
        let start = Instant::now();
        let worker = |limits: &Limits| Worker {
            begins: 0.0,
            pace: Pace::new(*limits, start),
            on_wire: 0,
        };
        Self {
            start,
            limit: Limit::new(per_second, start),
            changes: Vec::new(),
            workers: workers.iter().map(worker).collect(),
            latency: Duration::from_millis(30),
            units: 1.0,
            calls: Vec::new(),
        }
    }

    fn run(mut self, seconds: f64, seed: u64) -> Vec<Call> {
        let mut dice = StdRng::seed_from_u64(seed);
        let end = Duration::from_secs_f64(seconds);
        let mut queue = BinaryHeap::new();
        let mut events: Vec<Option<(usize, Event)>> = Vec::new();
        for (by, worker) in self.workers.iter().enumerate() {
            let begins = Duration::from_secs_f64(worker.begins);
            queue.push(Reverse((begins, events.len())));
            events.push(Some((by, Event::Ask)));
        }
        while let Some(Reverse((at, index))) = queue.pop().filter(|Reverse((at, _))| *at < end) {
            let now = self.start + at;
            let (by, event) = events[index].take().unwrap();
            let mut put = |at: Duration, event| {
                queue.push(Reverse((at, events.len())));
                events.push(Some((by, event)));
            };
            let worker = &mut self.workers[by];
            match event {
                Event::Ask if worker.on_wire >= CONCURRENCY => {
                    put(at + Duration::from_millis(1), Event::Ask);
                }
                Event::Ask => match worker.pace.admit(self.units, worker.on_wire, now) {
                    Err(wait) => {
                        // As tokio's timer, which counts in milliseconds.
                        let wait = wait.clamp(Duration::from_millis(1), Duration::from_millis(100));
                        put(at + wait, Event::Ask);
                    }
                    Ok(ticket) => {
                        worker.on_wire += 1;
                        let way = self.latency.mul_f64(dice.random_range(0.5..1.5));
                        let taken = self.takes(now + way / 2);
                        let at_seconds = at.as_secs_f64();
                        self.calls.push(Call {
                            by,
                            at: at_seconds,
                            taken,
                        });
                        put(at + way, Event::Answer { ticket, taken });
                        put(at + Duration::from_micros(100), Event::Ask);
                    }
                },
                Event::Answer { ticket, taken } => {
                    worker.on_wire -= 1;
                    if taken {
                        worker.pace.taken(ticket, now);
                    } else {
                        worker.pace.refused(ticket, None, now);
                    }
                }
            }
        }
        self.calls
    }

    fn takes(&mut self, now: Instant) -> bool {
        let seconds = (now - self.start).as_secs_f64();
        while let Some((_, limit)) = self.changes.first().filter(|(at, _)| *at <= seconds) {
            self.limit = Limit::new(*limit, now);
            self.changes.remove(0);
        }
        self.limit.takes(self.units, now)
    }
}

/// Calls a second that were taken within that time, and the share of refused ones in percent.
fn seen(calls: &[Call], from: f64, to: f64) -> (f64, f64) {
    let within: Vec<&Call> = calls
        .iter()
        .filter(|c| (from..to).contains(&c.at))
        .collect();
    let all = float(within.len());
    let taken = float(within.iter().filter(|c| c.taken).count());
    (taken / (to - from), (all - taken) / all.max(1.0) * 100.0)
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

#[test]
fn nothing_is_slowed_down_while_nothing_is_refused() {
    let mut world = World::new(1e9, &[FREE]);
    world.latency = Duration::from_millis(6);
    let calls = world.run(2.0, 1);
    // 64 calls of 6 ms at a time, and the first ones grow into that.
    let (rate, refused) = seen(&calls, 0.5, 2.0);
    assert!(rate > 9_000.0 && refused == 0.0, "{rate}");
}

#[test]
fn the_rate_follows_the_limit_within_seconds_and_few_calls_are_refused() {
    for seed in 0..20 {
        let mut world = World::new(50.0, &[FREE]);
        world.changes = vec![(15.0, 10.0), (30.0, 200.0)];
        let calls = world.run(45.0, seed);
        let (_, refused) = seen(&calls, 0.0, 45.0);
        assert!(refused < 5.0, "{seed}: {refused} % of all");
        for (from, to, limit) in [(3.0, 15.0, 50.0), (18.0, 30.0, 10.0), (40.0, 45.0, 200.0)] {
            let (rate, refused) = seen(&calls, from, to);
            assert!(rate > 0.75 * limit, "{seed}: {rate} of {limit}");
            assert!(refused < 5.0, "{seed}: {refused} % at {limit}");
        }
    }
}

#[test]
fn two_workers_find_a_limit_that_neither_knows_and_share_it() {
    let mut shares = Vec::new();
    for seed in 0..20 {
        let mut world = World::new(60.0, &[FREE, FREE]);
        world.workers[1].begins = 3.0;
        let calls = world.run(55.0, seed);
        let (rate, refused) = seen(&calls, 15.0, 55.0);
        assert!(rate > 55.0 && refused < 5.0, "{seed}: {rate} {refused} %");
        let settled = calls.iter().filter(|c| c.taken && c.at > 15.0);
        let by_first = float(settled.clone().filter(|c| c.by == 0).count());
        shares.push(by_first / float(settled.count()));
    }
    let fair = shares.iter().filter(|share| (0.35..=0.65).contains(*share));
    assert!(fair.count() >= 19, "{shares:?}");
}

#[test]
fn the_first_burst_against_an_unknown_limit_costs_few_calls() {
    for (limit, most) in [(5.0, 15), (20.0, 25), (50.0, 45), (200.0, 70)] {
        let calls = World::new(limit, &[FREE]).run(3.0, 1);
        let refused = calls.iter().filter(|c| !c.taken).count();
        assert!(refused <= most, "{refused} at {limit}");
        // No less so where a quota promises more than there is.
        let mut world = World::new(limit, &[FREE]);
        world.workers[0].pace.set_quota(5_000.0);
        let refused = world.run(3.0, 1).iter().filter(|c| !c.taken).count();
        assert!(refused <= most, "{refused} at {limit}");
    }
}

#[test]
fn a_quota_is_kept_from_the_first_second_and_may_be_raised() {
    let mut world = World::new(20.0, &[FREE]);
    world.workers[0].pace.set_quota(20.0);
    let calls = world.run(20.0, 1);
    let (rate, refused) = seen(&calls, 0.0, 20.0);
    assert!(rate > 19.0 && refused == 0.0, "{rate} {refused}");
    let mut pace = Pace::new(FREE, Instant::now());
    pace.set_quota(20.0);
    pace.set_quota(40.0);
    assert_eq!(pace.allowed(), Some(40.0));
    pace.set_quota(10.0);
    assert_eq!(pace.allowed(), Some(10.0));
}

#[test]
fn an_initial_rate_doubles_every_second_until_a_call_is_refused() {
    let limits = Limits {
        max_per_second: Some(100.0),
        initial_per_second: Some(5.0),
        ..FREE
    };
    let calls = World::new(1e9, &[limits]).run(12.0, 1);
    for (from, low, high) in [(0.0, 5.0, 9.0), (1.0, 9.0, 18.0), (2.0, 17.0, 34.0)] {
        let (rate, _) = seen(&calls, from, from + 1.0);
        assert!((low..=high).contains(&rate), "{rate} from {from}");
    }
    let (rate, _) = seen(&calls, 8.0, 12.0);
    assert!((95.0..=103.0).contains(&rate), "{rate}");
}

#[test]
fn segments_are_what_counts() {
    let limits = Limits {
        max_per_second: Some(30.0),
        ..FREE
    };
    let mut world = World::new(1e9, &[limits]);
    world.units = 3.0;
    let (messages, _) = seen(&world.run(10.0, 1), 0.0, 10.0);
    assert!((9.5..=10.5).contains(&messages), "{messages}");
}

#[test]
fn refusals_bring_it_to_its_least_rate_and_no_lower() {
    let mut now = Instant::now();
    let limits = Limits {
        min_per_second: Some(20.0),
        ..FREE
    };
    let mut pace = Pace::new(limits, now);
    for _ in 0..50 {
        let ticket = pace.admit(1.0, 0, now).unwrap();
        now += Duration::from_millis(50);
        pace.refused(ticket, None, now);
        assert_eq!(pace.allowed(), Some(20.0), "and nothing is held back");
    }
    // But for the time that the provider asks for.
    let ticket = pace.admit(1.0, 0, now).unwrap();
    let hint = Duration::from_secs(3);
    pace.refused(ticket, Some(hint), now);
    assert_eq!(pace.admit(1.0, 0, now).unwrap_err(), hint);
}

#[test]
fn a_rate_that_is_not_used_does_not_rise() {
    let now = Instant::now();
    let mut pace = Pace::new(FREE, now);
    pace.set_quota(100.0);
    let ticket = pace.admit(1.0, 0, now).unwrap();
    pace.refused(ticket, None, now);
    let low = pace.allowed();
    for second in 1..600 {
        let at = now + Duration::from_secs(second);
        let ticket = pace.admit(1.0, 0, at).unwrap();
        pace.taken(ticket, at);
    }
    assert_eq!(pace.allowed(), low, "one message a second shows nothing");
}

#[test]
fn calls_refused_together_cut_the_rate_once_and_a_hint_holds_it() {
    let now = Instant::now();
    let at = |millis| now + Duration::from_millis(millis);
    let mut pace = Pace::new(FREE, now);
    pace.set_quota(100.0);
    let tickets: Vec<Ticket> = (0..20)
        .filter_map(|i| pace.admit(1.0, 0, at(i * 10)).ok())
        .collect();
    assert_eq!(tickets.len(), 20);
    for ticket in tickets {
        pace.refused(ticket, None, at(250));
    }
    assert_eq!(pace.allowed(), Some(4.0), "nothing was ever taken");
    assert!(pace.admit(1.0, 0, at(740)).is_err(), "held for a moment");
    let ticket = pace.admit(1.0, 0, at(750)).unwrap();
    pace.refused(ticket, Some(Duration::from_secs(7)), at(800));
    assert_eq!(pace.admit(1.0, 0, at(900)).unwrap_err().as_millis(), 6_900);
    assert_eq!(pace.admit(1.0, 0, at(1_800)).unwrap_err().as_secs(), 6);
    assert!(pace.admit(1.0, 0, at(7_800)).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever the provider, its latency and the number of workers: what is taken comes near the
    /// limit, and what is refused stays a small part.
    #[test]
    fn any_limit_is_found(
        limit in 5.0_f64..300.0,
        latency in 2_u64..300,
        workers in 1_usize..4,
        seed in any::<u64>(),
    ) {
        let mut world = World::new(limit, &vec![FREE; workers]);
        world.latency = Duration::from_millis(latency);
        let reachable = limit.min(float(CONCURRENCY) / world.latency.as_secs_f64());
        let calls = world.run(50.0, seed);
        let (rate, refused) = seen(&calls, 15.0, 50.0);
        prop_assert!(rate > 0.7 * reachable, "{rate} of {reachable}");
        // Every worker finds out by itself, so at low limits each refusal weighs more.
        let few = 5.0 * float(workers) * (10.0 / limit).max(1.0);
        prop_assert!(refused < few, "{refused} %");
    }

    /// Answers of any kind at any time never bring it out of its bounds.
    #[test]
    fn the_rate_stays_within_its_bounds(
        max in 0.2_f64..1e5,
        steps in prop::collection::vec((0_u64..3_000, 0_u8..3, 1_u8..24), 1..300),
    ) {
        let limits = Limits { max_per_second: Some(max), ..FREE };
        let mut now = Instant::now();
        let mut pace = Pace::new(limits, now);
        let mut tickets = Vec::new();
        for (pass, what, units) in steps {
            now += Duration::from_millis(pass);
            match (what, tickets.pop()) {
                (0, Some(ticket)) => pace.taken(ticket, now),
                (1, Some(ticket)) => pace.refused(ticket, None, now),
                (_, kept) => {
                    tickets.extend(kept);
                    tickets.extend(pace.admit(f64::from(units), tickets.len(), now));
                }
            }
            let rate = pace.allowed().unwrap();
            prop_assert!((0.1..=max).contains(&rate), "{rate}");
        }
    }
}
