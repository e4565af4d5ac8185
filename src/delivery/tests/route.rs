//! Who has the traffic, and why it moves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::delivery::breaker::BreakerSettings;
use crate::delivery::held::Moment;
use crate::delivery::pace::{Limits, Ticket};
use crate::delivery::route::{Another, Clearance, Route, Turn};
use crate::domain::event::Failure;
use crate::domain::method::Method;
use crate::domain::outcome::{Outcome, Trouble};
use crate::domain::reason::Category;
use crate::domain::time::Timestamp;
use crate::store::providers::Pause;

const LEASE: Duration = Duration::from_secs(30);
const SES: usize = 0;
const SMTP: usize = 1;

/// Email by SES, or else by SMTP.
struct Stage {
    route: Route,
    now: Instant,
    start: Instant,
}

impl Stage {
    fn set(pauses: &[Pause]) -> Self {
        let now = Instant::now();
        let rules = BreakerSettings {
            failures: 3,
            error_share: 1.0,
            volume_min: 1_000,
            rest_ms: 1_000,
            rest_max_ms: 8_000,
            probes: 2,
        };
        let lines = ["ses", "smtp"].map(|name| (name, Limits::default()));
        let rules = (rules, Duration::from_secs(30));
        let news = Arc::default();
        let route = Route::new(Method::Email, "w-1", lines.into(), rules, news, now);
        let stage = Self {
            route,
            now,
            start: now,
        };
        assert_eq!(
            stage.turns(),
            [Turn::None; 2],
            "nothing before it has begun"
        );
        stage.route.begin(pauses, stage.moment());
        stage
    }

    fn moment(&self) -> Moment {
        Moment {
            steady: self.now,
            wall: Timestamp::EPOCH.plus(self.now - self.start),
        }
    }

    fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    fn turns(&self) -> [Turn; 2] {
        [SES, SMTP].map(|line| self.route.turn(line, LEASE, self.now))
    }

    fn ticket(&self, line: usize) -> Ticket {
        match self.route.clearance(line, 1.0, 0, self.now) {
            Clearance::Now(ticket) => ticket,
            other @ (Clearance::Wait(_) | Clearance::No) => panic!("{other:?}"),
        }
    }

    fn call(&self, line: usize, outcome: &Outcome) {
        let ticket = self.ticket(line);
        self.route.ended(line, ticket, outcome, self.moment());
    }

    fn fail(&self, line: usize) {
        let tickets = [(); 3].map(|()| self.ticket(line));
        for ticket in tickets {
            self.route.ended(line, ticket, &down(), self.moment());
        }
    }

    /// `from > to: reason` of every switch since the last look.
    fn switches(&self) -> Vec<String> {
        let name = |name: Option<String>| name.unwrap_or_else(|| "nobody".to_owned());
        let switches = self.route.take_switches().into_iter();
        switches
            .map(|s| format!("{} > {}: {}", name(s.from), name(s.to), s.reason))
            .collect()
    }
}

fn why() -> Trouble {
    Trouble::new(Some("500"), "out of order")
}
fn down() -> Outcome {
    Outcome::TryLater {
        after: None,
        why: why(),
    }
}
fn good() -> Outcome {
    Outcome::Accepted {
        provider_message_id: None,
    }
}
fn pause(provider: Option<&str>) -> Pause {
    Pause {
        method: Method::Email,
        provider: provider.map(str::to_owned),
        reason: "warming up".to_owned(),
        by: "Maya".to_owned(),
        at: Timestamp::EPOCH,
    }
}

const ALL: Turn = Turn::Upto(None);

#[test]
fn the_first_provider_has_all_the_traffic_while_it_is_well() {
    let stage = Stage::set(&[]);
    assert_eq!(stage.turns(), [ALL, Turn::None]);
    let failure = Failure {
        category: Category::InvalidAddress,
        code: None,
        provider_text: None,
    };
    let later = Outcome::TryLater {
        after: None,
        why: why().of_the_message(),
    };
    // Too much for one device: neither the wait nor the refusal is the others'.
    let too_often = Outcome::Throttled {
        after: Some(Duration::from_mins(1)),
        why: why().of_the_message(),
    };
    // What a provider says of messages says nothing against the provider.
    for outcome in [Outcome::Rejected(failure), later, too_often] {
        for _ in 0..50 {
            stage.call(SES, &outcome);
        }
    }
    assert_eq!(stage.turns(), [ALL, Turn::None], "and as fast as it likes");
    assert!(stage.switches().is_empty());
}

#[test]
fn traffic_moves_when_the_first_is_down_and_returns_when_probes_went_well() {
    let mut stage = Stage::set(&[]);
    assert_eq!(stage.route.another(SES, stage.now), Another::IsWell);
    stage.fail(SES);
    assert_eq!(stage.turns(), [Turn::None, ALL]);
    assert!(matches!(
        stage.route.clearance(SES, 1.0, 0, stage.now),
        Clearance::No
    ));
    assert_eq!(stage.route.another(SES, stage.now), Another::HasTheTraffic);
    assert_eq!(stage.route.another(SMTP, stage.now), Another::None);
    let moved = "ses > smtp: ses rests: 3 calls in a row failed: out of order";
    assert_eq!(stage.switches(), [moved]);
    stage.pass(1_000);
    assert_eq!(
        stage.turns(),
        [Turn::One, ALL],
        "the second keeps on meanwhile"
    );
    stage.call(SES, &down());
    assert_eq!(stage.turns(), [Turn::None, ALL]);
    stage.pass(2_000);
    stage.call(SES, &good());
    assert_eq!(stage.turns(), [Turn::One, ALL]);
    stage.call(SES, &good());
    assert_eq!(stage.turns(), [ALL, Turn::None]);
    assert_eq!(stage.switches(), ["smtp > ses: ses is well again"]);
}

#[test]
fn when_none_is_well_messages_wait_and_each_is_tried() {
    let mut stage = Stage::set(&[]);
    stage.fail(SES);
    stage.fail(SMTP);
    assert_eq!(stage.turns(), [Turn::None; 2]);
    assert_eq!(stage.route.another(SMTP, stage.now), Another::None);
    stage.pass(1_000);
    assert_eq!(stage.turns(), [Turn::One; 2]);
    stage.call(SMTP, &good());
    stage.call(SMTP, &good());
    assert_eq!(stage.turns(), [Turn::One, ALL]);
    let switches = stage.switches();
    assert!(
        switches[1].starts_with("smtp > nobody: smtp rests"),
        "{switches:?}"
    );
    assert_eq!(switches[2], "nobody > smtp: smtp is well again");
    // One that nobody needs is not tried.
    stage.call(SES, &good());
    stage.call(SES, &good());
    stage.fail(SMTP);
    assert_eq!(stage.turns(), [ALL, Turn::None]);
    stage.pass(60_000);
    assert_eq!(stage.turns(), [ALL, Turn::None]);
}

#[test]
fn a_provider_that_does_not_accept_us_or_says_wait_long_rests() {
    let broken = Outcome::Broken { why: why() };
    let full = Outcome::Throttled {
        after: Some(Duration::from_hours(9)),
        why: why(),
    };
    for (outcome, rest, is_broken) in [(broken, 30_000, true), (full, 3_600_000, false)] {
        let mut stage = Stage::set(&[]);
        stage.call(SES, &outcome);
        assert_eq!(stage.turns(), [Turn::None, ALL]);
        assert_eq!(stage.switches(), ["ses > smtp: ses rests: out of order"]);
        let health = stage.route.health(stage.moment());
        let until = Timestamp::EPOCH.plus(Duration::from_millis(rest));
        assert_eq!(health[SES].rests_until, Some(until));
        assert_eq!(health[SES].broken, is_broken);
        stage.pass(rest - 1);
        assert_eq!(stage.turns(), [Turn::None, ALL]);
        stage.pass(1);
        assert_eq!(stage.turns(), [Turn::One, ALL]);
        let health = stage.route.health(stage.moment());
        assert_eq!(
            health[SES].broken, is_broken,
            "nothing shows that it is not"
        );
        if is_broken {
            stage.call(SES, &good());
            stage.call(SES, &good());
            assert!(!stage.route.health(stage.moment())[SES].broken);
        }
    }
}

#[test]
fn refusals_for_the_rate_slow_a_provider_down_and_move_nothing() {
    let stage = Stage::set(&[]);
    let throttled = Outcome::Throttled {
        after: None,
        why: why(),
    };
    let tickets: Vec<Ticket> = (0..5).map(|_| stage.ticket(SES)).collect();
    for ticket in tickets {
        stage.route.ended(SES, ticket, &throttled, stage.moment());
    }
    let Clearance::Wait(wait) = stage.route.clearance(SES, 1.0, 0, stage.now) else {
        panic!("it goes on as before")
    };
    assert!(wait >= Duration::from_millis(500));
    assert_eq!(
        stage.turns(),
        [Turn::Upto(Some(4)), Turn::None],
        "a second's worth"
    );
    assert!(stage.switches().is_empty());
}

#[test]
fn a_claim_is_small_beside_a_short_lease() {
    let stage = Stage::set(&[]);
    stage.route.set_quota(SES, 80.0);
    let turn = |lease| stage.route.turn(SES, lease, stage.now);
    assert_eq!(turn(LEASE), Turn::Upto(Some(80)));
    assert_eq!(turn(Duration::from_secs(1)), Turn::Upto(Some(10)));
}

#[test]
fn what_is_paused_sends_nothing_and_fails_nothing_until_it_is_resumed() {
    let stage = Stage::set(&[]);
    stage
        .route
        .set_pauses(&[pause(Some("ses"))], stage.moment());
    assert_eq!(stage.turns(), [Turn::None, ALL]);
    assert!(matches!(
        stage.route.clearance(SES, 1.0, 0, stage.now),
        Clearance::No
    ));
    stage.route.set_pauses(&[pause(None)], stage.moment());
    assert_eq!(stage.turns(), [Turn::None; 2]);
    stage.route.set_pauses(&[], stage.moment());
    assert_eq!(stage.turns(), [ALL, Turn::None]);
    assert_eq!(
        stage.switches(),
        [
            "ses > smtp: ses is paused by Maya: warming up",
            "smtp > nobody: email is paused by Maya: warming up",
            "nobody > ses: ses is resumed",
        ]
    );
    // Another method's pause is nothing to us.
    let other = Pause {
        method: Method::Sms,
        ..pause(None)
    };
    stage.route.set_pauses(&[other], stage.moment());
    assert_eq!(stage.turns(), [ALL, Turn::None]);
}

#[test]
fn a_worker_that_starts_finds_what_is_paused_and_calls_it_no_switch() {
    let stage = Stage::set(&[pause(Some("ses"))]);
    assert_eq!(stage.turns(), [Turn::None, ALL]);
    assert!(stage.switches().is_empty());
    assert!(!stage.route.health(stage.moment())[SES].active);
}

#[test]
fn health_tells_what_is_seen() {
    let mut stage = Stage::set(&[]);
    stage.pass(5_000);
    stage.route.set_quota(SES, 14.0);
    stage.call(SES, &good());
    stage.fail(SMTP);
    let [ses, smtp] = stage.route.health(stage.moment()).try_into().unwrap();
    assert_eq!(
        (ses.provider.as_str(), ses.place, ses.active),
        ("ses", 1, true)
    );
    assert_eq!((ses.state.as_str(), ses.error), ("closed", None));
    assert_eq!(
        (ses.taken_per_minute, ses.allowed_per_minute),
        (60, Some(840))
    );
    assert_eq!(
        (smtp.place, smtp.active, smtp.state.as_str()),
        (2, false, "open")
    );
    let at = Timestamp::EPOCH.plus(Duration::from_secs(5));
    assert_eq!(smtp.error.unwrap().at, at);
    assert_eq!(smtp.rests_until, Some(at.plus(Duration::from_secs(1))));
    assert!(smtp.rests_because.unwrap().contains("3 calls in a row"));
    assert_eq!(smtp.allowed_per_minute, None);
}

#[test]
fn health_names_no_recipient() {
    for (calls, outcome) in [
        (
            3,
            Outcome::TryLater {
                after: None,
                why: Trouble::new(Some("421"), "421 4.3.0 Cannot take <ana@example.com> now"),
            },
        ),
        (
            1,
            Outcome::Broken {
                why: Trouble::new(
                    None,
                    "535 Login for +14155550123 and ana@example.com refused",
                ),
            },
        ),
    ] {
        let stage = Stage::set(&[]);
        for _ in 0..calls {
            stage.call(SES, &outcome);
        }
        let health = stage.route.health(stage.moment());
        let switches = stage.switches();
        let told = format!("{health:?} {switches:?}");
        assert!(told.contains("<address>"), "{told}");
        assert!(
            !told.contains("ana@") && !told.contains("4155550123"),
            "{told}"
        );
    }
}
