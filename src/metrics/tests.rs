//! What the text says, and that the page for operators has a line for each metric.

use std::collections::BTreeSet;

use super::*;
use crate::domain::alarm::Kind;
use crate::domain::brake;

fn silent() -> Alarm {
    Alarm {
        kind: Kind::FeedbackSilent,
        subject: "ses".to_owned(),
        since: Timestamp::EPOCH,
    }
}

fn paused(provider: Option<&str>) -> Pause {
    Pause {
        method: Method::Sms,
        provider: provider.map(str::to_owned),
        reason: "words of an operator".to_owned(),
        by: "ops".to_owned(),
        at: Timestamp::EPOCH,
    }
}

fn moved() -> Switch {
    Switch {
        method: Method::Email,
        worker: "w-1".to_owned(),
        from: Some("ses".to_owned()),
        to: None,
        reason: String::new(),
        at: Timestamp::EPOCH,
    }
}

fn half_open() -> Health {
    Health {
        worker: "w-1".to_owned(),
        method: Method::Email,
        provider: "ses".to_owned(),
        place: 1,
        active: true,
        state: "half_open".to_owned(),
        rests_until: None,
        rests_because: None,
        broken: false,
        taken_per_minute: 90,
        allowed_per_minute: Some(600),
        learnt_per_minute: None,
        error: None,
        seen_at: Timestamp::EPOCH,
    }
}

#[test]
fn providers_have_their_rate_state_and_switches_and_no_limit_while_none_is_known() {
    let metrics = Metrics::default();
    let mut health = half_open();
    let text = |metrics: &Metrics| metrics.render(None, Timestamp::EPOCH);
    metrics.providers(std::slice::from_ref(&health));
    metrics.switched(&moved());
    let all = text(&metrics);
    for line in [
        "provider_rate{method=\"email\",provider=\"ses\"} 1.5",
        "provider_allowed{method=\"email\",provider=\"ses\"} 10.0",
        "provider_state{method=\"email\",provider=\"ses\"} 1",
        "provider_active{method=\"email\",provider=\"ses\"} 1",
        "provider_switches_total{method=\"email\",from=\"ses\",to=\"none\"} 1",
    ] {
        assert!(all.contains(line), "{line} in {all}");
    }
    health.allowed_per_minute = None;
    metrics.providers(&[health]);
    assert!(!text(&metrics).contains("provider_allowed{"));
}

#[test]
fn every_queue_has_its_depth_and_age_and_an_empty_one_is_zero() {
    let metrics = Metrics::default();
    let now = Timestamp::from_millis(60_000);
    let full = Depth {
        method: Method::Email,
        priority: Priority::Bulk,
        waiting: 7,
        oldest_due_at: Timestamp::EPOCH,
    };
    let series = |text: &str, name: &str, labels: &str, value: u64| {
        let line = format!("sendtrail_queue_{name}{{{labels}}} {value}\n");
        assert!(text.contains(&line), "{line} in {text}");
    };
    let bulk = "method=\"email\",lane=\"bulk\"";
    let render = |depths| {
        let waiting = Waiting {
            depths,
            ..Waiting::default()
        };
        metrics.render(Some(&waiting), now)
    };
    let text = render(vec![full]);
    series(&text, "depth", bulk, 7);
    series(&text, "age_seconds", bulk, 60);
    series(&text, "depth", "method=\"push\",lane=\"high\"", 0);
    let text = render(Vec::new());
    series(&text, "depth", bulk, 0);
    series(&text, "age_seconds", bulk, 0);
}

#[test]
fn without_a_database_the_process_tells_what_it_knows_itself() {
    let metrics = Metrics::default();
    metrics.enqueued(3);
    let waiting = Waiting {
        unmatched: 7,
        alarms: vec![silent()],
        ..Waiting::default()
    };
    let up = metrics.render(Some(&waiting), Timestamp::EPOCH);
    let down = metrics.render(None, Timestamp::EPOCH);
    for text in [&up, &down] {
        assert!(text.contains("sendtrail_enqueued_total 3\n"), "{text}");
        assert_eq!(text.matches("# EOF").count(), 1, "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
    assert!(up.contains("sendtrail_database_up 1\n"), "{up}");
    assert!(up.contains("sendtrail_feedback_unmatched 7\n"), "{up}");
    let alarm = "sendtrail_alarm{alarm=\"feedback_silent\",subject=\"ses\"} 1\n";
    assert!(up.contains(alarm), "{up}");
    assert!(down.contains("sendtrail_database_up 0\n"), "{down}");
    // Old values would pass for new ones.
    assert!(!down.contains("sendtrail_queue"), "{down}");
    assert!(!down.contains("unmatched"), "{down}");
}

#[test]
fn what_an_alarm_counts_begins_at_zero_and_a_pause_is_there_while_it_lasts() {
    let metrics = Metrics::default();
    metrics.providers(&[half_open()]);
    let waiting = Waiting {
        held: 2,
        endpoints: Troubled {
            failing: 3,
            disabled: 1,
        },
        pauses: vec![paused(None), paused(Some("sns"))],
        ..Waiting::default()
    };
    let all = metrics.render(Some(&waiting), Timestamp::EPOCH);
    for line in [
        "sends_total{method=\"email\",provider=\"ses\",outcome=\"broken\"} 0",
        "deliveries_total{method=\"email\",end=\"gave_up\"} 0",
        "feedback_total{kind=\"complained\",result=\"applied\"} 0",
        "held 2",
        "webhook_endpoints{state=\"failing\"} 3",
        "webhook_endpoints{state=\"disabled\"} 1",
        "provider_paused{method=\"sms\",provider=\"all\"} 1",
        "provider_paused{method=\"sms\",provider=\"sns\"} 1",
    ] {
        assert!(
            all.contains(&format!("\nsendtrail_{line}\n")),
            "{line} in {all}"
        );
    }
    let resumed = metrics.render(Some(&Waiting::default()), Timestamp::EPOCH);
    assert!(!resumed.contains("provider_paused"), "{resumed}");
    // Counted once, however often the worker looks.
    metrics.attempt(Method::Email, "ses", "broken", Duration::ZERO);
    metrics.providers(&[half_open()]);
    let all = metrics.render(None, Timestamp::EPOCH);
    let broken = "provider=\"ses\",outcome=\"broken\"} 1\n";
    assert!(all.contains(broken), "{all}");
}

/// Each with something to tell.
fn all() -> String {
    let metrics = Metrics::default();
    metrics.providers(&[half_open()]);
    metrics.switched(&moved());
    metrics.attempt(Method::Email, "ses", "accepted", Duration::ZERO);
    metrics.ended(Method::Email, "sent");
    metrics.intake("sqs", "enqueued");
    metrics.visit("opened", "recorded");
    metrics.webhook("delivered");
    metrics.traced("sent", 1);
    metrics.pruned("content", 1);
    let waiting = Waiting {
        pauses: vec![paused(None)],
        alarms: vec![silent()],
        brakes: vec![held()],
        ..Waiting::default()
    };
    metrics.render(Some(&waiting), Timestamp::EPOCH)
}

fn held() -> Brake {
    Brake {
        business: "yoga".to_owned(),
        kind: brake::Kind::Bounce,
        state: brake::State::Held,
        count: brake::Count::default(),
        why: String::new(),
        changed_at: Timestamp::EPOCH,
        counted_from: None,
    }
}

#[test]
fn the_page_for_operators_has_a_line_for_each_metric_and_for_no_other() {
    const PAGE: &str = include_str!("../../docs/operations.md");
    const SOURCE: &str = include_str!("mod.rs");
    let all = all();
    let exported: BTreeSet<String> = all
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| match kind {
            "counter" => format!("{name}_total"),
            _ => name.to_owned(),
        })
        .collect();
    let registered =
        SOURCE.matches(".register(").count() + SOURCE.matches(".register_with_unit(").count();
    assert_eq!(
        exported.len(),
        registered,
        "one has nothing to tell: {exported:?}"
    );
    let listed: BTreeSet<String> = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("| `sendtrail_"))
        .filter_map(|line| line.split_once('`'))
        .map(|(name, _)| format!("sendtrail_{name}"))
        .collect();
    assert_eq!(listed, exported);
}
