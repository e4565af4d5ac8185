//! The brakes that are on.

use std::sync::atomic::AtomicI64;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::labels::BrakeLabels;
use crate::store::brakes::Brake;

#[derive(Debug, Default)]
pub(super) struct BrakeGauges(Family<BrakeLabels, Gauge<i64, AtomicI64>>);

impl BrakeGauges {
    pub(super) fn register(&self, told: &mut Registry) {
        told.register(
            "brake",
            "1: too much email of the business comes back: it is warned, or its bulk email is held",
            self.0.clone(),
        );
    }

    pub(super) fn set(&self, brakes: &[Brake]) {
        self.0.clear();
        for brake in brakes {
            let labels = BrakeLabels {
                business: brake.business.clone(),
                kind: brake.kind.as_str(),
                state: brake.state.as_str(),
            };
            self.0.get_or_create(&labels).set(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Metrics, Waiting};
    use super::*;
    use crate::domain::brake::{Count, Kind, State};
    use crate::domain::time::Timestamp;

    #[test]
    fn a_brake_that_is_on_is_a_series_and_none_is_left_when_it_is_off() {
        let metrics = Metrics::default();
        let held = Brake {
            business: "yoga".to_owned(),
            kind: Kind::Bounce,
            state: State::Held,
            count: Count::default(),
            why: String::new(),
            changed_at: Timestamp::EPOCH,
            counted_from: None,
        };
        let render = |brakes| {
            let waiting = Waiting {
                brakes,
                ..Waiting::default()
            };
            metrics.render(Some(&waiting), Timestamp::EPOCH)
        };
        let on = render(vec![held]);
        let line = "sendtrail_brake{business=\"yoga\",kind=\"bounce\",state=\"held\"} 1\n";
        assert!(on.contains(line), "{on}");
        assert!(!render(Vec::new()).contains("sendtrail_brake{"));
    }
}
