//! When a provider rests, and when it is called again.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::delivery::breaker::{Breaker, BreakerSettings, State, WINDOW};

const RULES: BreakerSettings = BreakerSettings {
    failures: 5,
    error_share: 0.5,
    volume_min: 20,
    rest_ms: 1_000,
    rest_max_ms: 8_000,
    probes: 3,
};

struct Stage {
    breaker: Breaker,
    now: Instant,
}

impl Stage {
    fn set() -> Self {
        let now = Instant::now();
        let breaker = Breaker::new(RULES, now);
        Self { breaker, now }
    }
    fn pass(&mut self, millis: u64) -> &mut Self {
        self.now += Duration::from_millis(millis);
        self
    }
    fn state(&mut self) -> State {
        self.breaker.state(self.now)
    }
    fn good(&mut self, times: u32) -> &mut Self {
        for _ in 0..times {
            self.breaker.passed(self.now, self.now);
        }
        self
    }
    fn bad(&mut self, times: u32) -> Option<String> {
        (0..times).find_map(|_| self.breaker.failed(self.now, self.now))
    }
    fn rests(&mut self) -> Duration {
        self.breaker.rests_for(self.now).unwrap()
    }
}

#[test]
fn it_opens_after_failures_in_a_row_and_not_before() {
    let mut stage = Stage::set();
    assert_eq!(stage.bad(4), None);
    assert_eq!(stage.good(1).bad(4), None, "a success between them");
    assert_eq!(stage.state(), State::Closed);
    assert_eq!(stage.bad(1).unwrap(), "5 calls in a row failed");
    assert_eq!(stage.state(), State::Open);
}

#[test]
fn it_opens_for_a_share_of_errors_only_above_the_minimal_volume() {
    let mut stage = Stage::set();
    let mut mixed = |rounds| (0..rounds).find_map(|_| stage.good(1).bad(1));
    assert_eq!(mixed(9), None, "18 calls are too few to judge");
    assert_eq!(mixed(1).unwrap(), "10 of 20 calls failed");
    let mut stage = Stage::set();
    for _ in 0..100 {
        assert_eq!(stage.good(2).bad(1), None, "a third failed");
    }
}

#[test]
fn errors_of_long_ago_are_forgotten() {
    let mut stage = Stage::set();
    for _ in 0..9 {
        assert_eq!(stage.good(1).bad(1), None);
    }
    stage.pass(u64::try_from(WINDOW.as_millis()).unwrap() + 1_000);
    for _ in 0..9 {
        assert_eq!(stage.good(1).bad(1), None);
    }
    assert_eq!(stage.state(), State::Closed);
}

#[test]
fn after_its_rest_probes_in_a_row_close_it() {
    let mut stage = Stage::set();
    stage.bad(5);
    assert_eq!(stage.pass(999).state(), State::Open);
    assert_eq!(stage.pass(1).state(), State::HalfOpen);
    stage.good(2);
    assert_eq!(stage.state(), State::HalfOpen);
    stage.good(1);
    assert_eq!(stage.state(), State::Closed);
}

#[test]
fn a_failed_probe_makes_it_rest_twice_as_long_up_to_the_longest() {
    let mut stage = Stage::set();
    stage.bad(5);
    for seconds in [1, 2, 4, 8, 8] {
        assert_eq!(stage.rests(), Duration::from_secs(seconds));
        stage.pass(seconds * 1_000).good(2);
        assert!(stage.bad(1).is_some());
    }
    // Well for a while: the next rest is a first one again.
    stage.pass(8_000).good(3);
    stage.pass(8_001).bad(5);
    assert_eq!(stage.rests(), Duration::from_secs(1));
    // Well for a moment only: it goes on.
    stage.pass(1_000).good(3);
    stage.bad(5);
    assert_eq!(stage.rests(), Duration::from_secs(2));
}

#[test]
fn calls_that_began_before_say_nothing_about_the_present_state() {
    let mut stage = Stage::set();
    let before = stage.now;
    stage.pass(10).bad(5);
    stage.pass(1_000);
    assert_eq!(stage.state(), State::HalfOpen);
    // Late time-outs of calls from before the rest.
    for _ in 0..10 {
        assert_eq!(stage.breaker.failed(before, stage.now), None);
    }
    assert_eq!(stage.state(), State::HalfOpen);
    stage.good(3);
    for _ in 0..10 {
        assert_eq!(stage.breaker.failed(before, stage.now), None);
    }
    assert_eq!(stage.state(), State::Closed);
}

#[test]
fn a_rest_that_is_ordered_is_kept_and_ends_in_probes() {
    let mut stage = Stage::set();
    stage.breaker.rest(Duration::from_secs(30), stage.now);
    stage.breaker.rest(Duration::from_secs(1), stage.now);
    assert_eq!(stage.rests(), Duration::from_secs(30), "the longer one");
    stage.good(9);
    assert_eq!(stage.state(), State::Open);
    assert_eq!(stage.pass(30_000).state(), State::HalfOpen);
    stage.breaker.rest(Duration::from_secs(30), stage.now);
    assert_eq!(stage.rests(), Duration::from_secs(30));
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Good,
    Bad,
    LateBad,
}

proptest! {
    /// Whatever happens: it never rests for longer than it may, a provider that is well again is in use
    /// again, and one that only fails is not.
    #[test]
    fn it_always_finds_back(steps in prop::collection::vec(prop_oneof![
        (0_u64..3_000).prop_map(Step::Pass),
        Just(Step::Good),
        Just(Step::Bad),
        Just(Step::LateBad),
    ], 0..200)) {
        let mut stage = Stage::set();
        let start = stage.now;
        for step in steps {
            match step {
                Step::Pass(millis) => drop(stage.pass(millis)),
                Step::Good => drop(stage.good(1)),
                Step::Bad => drop(stage.bad(1)),
                Step::LateBad => drop(stage.breaker.failed(start, stage.now)),
            }
            if let Some(rest) = stage.breaker.rests_for(stage.now) {
                prop_assert!(rest <= Duration::from_millis(RULES.rest_max_ms));
            }
        }
        let (mut well, mut ill) = (stage, Stage::set());
        well.pass(RULES.rest_max_ms).good(RULES.probes);
        prop_assert_eq!(well.state(), State::Closed);
        ill.bad(RULES.failures);
        let mut called = 0;
        for _ in 0..60 {
            if ill.pass(1_000).state() != State::Open {
                called += 1;
                ill.bad(1);
            }
        }
        prop_assert!(called <= 10, "{called} probes in a minute");
    }
}
