//! Charts: SVG made on the server, readable without colours, with the figures in a table behind each.

use std::fmt::Write as _;
use std::time::Duration;

use super::page::When;
use crate::domain::time::Timestamp;

/// Lines over bins of time.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Of the page.
    pub id: &'static str,
    pub title: &'static str,
    pub unit: Unit,
    /// Where each bin begins, the oldest first.
    pub bins: Vec<Timestamp>,
    /// The length of a bin.
    pub bin: Duration,
    pub lines: Vec<Series>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// From zero up.
    Count,
    /// Seconds, each step of the scale ten times as long.
    Seconds,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Series {
    pub name: &'static str,
    /// Its colour and its dashes in the style sheet.
    pub class: &'static str,
    /// One for each bin.
    pub values: Vec<Option<f64>>,
    /// Of all bins, for the legend.
    pub total: String,
}

/// The plot is drawn so large and stretched to its place; strokes keep their width.
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 200.0;

struct Scale {
    unit: Unit,
    low: f64,
    high: f64,
}

impl Chart {
    fn values(&self) -> impl Iterator<Item = f64> {
        self.lines
            .iter()
            .flat_map(|line| line.values.iter().copied().flatten())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values().all(|value| value == 0.0)
    }

    fn scale(&self) -> Scale {
        let high = self.values().fold(0.0, f64::max);
        let (low, high) = match self.unit {
            Unit::Count => (0.0, nice(high)),
            Unit::Seconds => {
                let low = self.values().fold(high, f64::min).max(0.001);
                let power = |value: f64| 10.0_f64.powf(value);
                let (low, high) = (low.log10().floor(), high.max(low).log10().ceil());
                (power(low), power(high.max(low + 1.0)))
            }
        };
        Scale {
            unit: self.unit,
            low,
            high,
        }
    }

    /// At the top, the middle and the bottom.
    pub(super) fn ticks(&self) -> [String; 3] {
        let Scale { unit, low, high } = self.scale();
        match unit {
            Unit::Count => [high, high / 2.0, 0.0].map(count),
            Unit::Seconds => [high, (low * high).sqrt(), low].map(seconds),
        }
    }

    /// The `d` of its path. Where there is no value, the line is broken.
    #[expect(clippy::cast_precision_loss, reason = "there are some dozens of bins")]
    pub(super) fn path(&self, line: &Series) -> String {
        let scale = self.scale();
        let gaps = self.bins.len().saturating_sub(1).max(1) as f64;
        let (mut path, mut begun) = (String::new(), false);
        for (place, value) in line.values.iter().enumerate() {
            let Some(value) = value else {
                begun = false;
                continue;
            };
            let (x, y) = (place as f64 / gaps * WIDTH, scale.height(*value));
            // A point alone shows by the round end of a line without length. Writing to a String
            // cannot fail.
            write!(path, "{}{x:.0} {y:.0}", if begun { 'L' } else { 'M' }).ok();
            if !begun {
                path.push_str("h0");
            }
            begun = true;
        }
        path
    }

    /// What a screen reader says in place of the picture.
    pub(super) fn spoken(&self) -> String {
        let lines = self.lines.iter();
        let lines: Vec<String> = lines
            .map(|line| format!("{} {}", line.name, line.total))
            .collect();
        format!("{}: {}.", self.title, lines.join(", "))
    }

    pub(super) fn begins(&self) -> Option<When> {
        self.bins.first().map(|at| When::new(*at))
    }

    /// Of one of these: the word alone.
    pub(super) fn bin_text(&self) -> String {
        match self.bin.as_secs() {
            60 => "minute".to_owned(),
            3_600 => "hour".to_owned(),
            86_400 => "day".to_owned(),
            _ => took(self.bin),
        }
    }

    /// Bins and their figures, the newest first.
    pub(super) fn rows(&self) -> Vec<(When, Vec<String>)> {
        let rows = self.bins.iter().enumerate().rev().map(|(place, at)| {
            let figures = self.lines.iter().map(|line| {
                let value = line.values.get(place).copied().flatten();
                value.map_or_else(|| "–".to_owned(), |value| self.unit.figure(value))
            });
            (When::new(*at), figures.collect())
        });
        rows.collect()
    }
}

impl Scale {
    /// From the top of the plot.
    fn height(&self, value: f64) -> f64 {
        let share = match self.unit {
            Unit::Count => value / self.high,
            Unit::Seconds => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
        };
        HEIGHT - share.clamp(0.0, 1.0) * HEIGHT
    }
}

impl Unit {
    fn figure(self, value: f64) -> String {
        match self {
            Self::Count => count(value),
            Self::Seconds => seconds(value),
        }
    }
}

/// The least of 1, 2 or 5 times a power of ten that is not below; at least 2, so that its half is whole.
fn nice(value: f64) -> f64 {
    let value = value.max(2.0);
    let power = 10.0_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps
        .into_iter()
        .find(|step| *step >= value)
        .unwrap_or(value)
}

fn count(value: f64) -> String {
    let (rest, unit) = if value >= 1e9 {
        (value / 1e9, "G")
    } else if value >= 1e6 {
        (value / 1e6, "M")
    } else if value >= 1e4 {
        (value / 1e3, "k")
    } else {
        return format!("{value}");
    };
    format!("{}{unit}", short(rest))
}

fn seconds(value: f64) -> String {
    took(Duration::from_secs_f64(value.max(0.0)))
}

/// How long something took, to two digits.
pub fn took(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    let (value, unit) = if seconds < 0.999 {
        (seconds * 1e3, "ms")
    } else if seconds < 100.0 {
        (seconds, "s")
    } else if seconds < 7_200.0 {
        (seconds / 60.0, "min")
    } else if seconds < 172_800.0 {
        (seconds / 3_600.0, "h")
    } else {
        (seconds / 86_400.0, "days")
    };
    format!("{} {unit}", short(value))
}

/// With one digit behind the point where there are few before it.
fn short(value: f64) -> String {
    if value < 9.95 {
        let text = format!("{value:.1}");
        text.strip_suffix(".0").unwrap_or(&text).to_owned()
    } else {
        format!("{value:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(unit: Unit, values: Vec<Option<f64>>) -> Chart {
        let bins = 0..i64::try_from(values.len()).unwrap();
        Chart {
            id: "flow",
            title: "Flow",
            unit,
            bins: bins.map(|i| Timestamp::from_millis(i * 60_000)).collect(),
            bin: Duration::from_mins(1),
            lines: vec![Series {
                name: "Sent",
                class: "sent",
                values,
                total: "12".to_owned(),
            }],
        }
    }

    #[test]
    fn a_line_goes_from_the_bottom_to_the_top_and_is_broken_where_nothing_is_known() {
        let chart = chart(Unit::Count, vec![Some(0.0), Some(10.0), None, Some(5.0)]);
        assert_eq!(chart.path(&chart.lines[0]), "M0 200h0L333 0M1000 100h0");
        assert_eq!(chart.ticks(), ["10", "5", "0"]);
        assert_eq!(chart.spoken(), "Flow: Sent 12.");
        let rows = chart.rows();
        assert_eq!(rows[0].1, ["5"]);
        assert_eq!(rows[1].1, ["–"]);
        let named = [60, 300, 3_600, 7_200, 86_400].map(|seconds| {
            let bin = Duration::from_secs(seconds);
            Chart {
                bin,
                ..chart.clone()
            }
            .bin_text()
        });
        assert_eq!(named, ["minute", "5 min", "hour", "2 h", "day"]);
    }

    #[test]
    fn times_have_a_scale_of_powers_of_ten() {
        let chart = chart(Unit::Seconds, vec![Some(0.02), Some(50.0)]);
        assert_eq!(
            chart.ticks(),
            ["100 s", "1 s", "10 ms"].map(|text| text.replace("100 s", "1.7 min"))
        );
        assert!(!chart.is_empty());
    }

    #[test]
    fn spans_and_counts_are_short() {
        for (millis, text) in [
            (0, "0 ms"),
            (40, "40 ms"),
            (1_250, "1.2 s"),
            (65_000, "65 s"),
            (600_000, "10 min"),
            (10_800_000, "3 h"),
            (400_000_000, "4.6 days"),
        ] {
            assert_eq!(took(Duration::from_millis(millis)), text);
        }
        assert_eq!(count(9_999.0), "9999");
        assert_eq!(count(12_300_000.0), "12M");
        assert_eq!([0.0, 430.0].map(|most| count(nice(most))), ["2", "500"]);
    }

    #[test]
    fn an_empty_chart_knows_it() {
        assert!(chart(Unit::Seconds, vec![None, None]).is_empty());
        let empty = chart(Unit::Count, vec![Some(0.0); 2]);
        assert!(empty.is_empty());
        assert_eq!(empty.path(&empty.lines[0]), "M0 200h0L1000 200");
    }
}
