//! Figures beside their floors, as a table.

use std::fmt;
use std::time::Duration;

/// The figures of one measure on one database.
#[derive(Debug)]
pub(crate) struct Report {
    title: String,
    lines: Vec<Line>,
    notes: Vec<String>,
}

#[derive(Debug)]
struct Line {
    what: String,
    figure: String,
    ratio: String,
    target: String,
    cost: String,
}

/// What a figure is held against.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    None,
    /// At least this much in the figure's own unit.
    AtLeast(f64),
    /// At most this much in the figure's own unit.
    AtMost(f64),
    /// At least this many times the floor.
    TimesFloor(f64),
}

/// One measured value.
#[derive(Clone, Debug)]
pub(crate) struct Figure<'a> {
    pub(crate) what: &'a str,
    pub(crate) value: f64,
    pub(crate) unit: &'a str,
    /// The floor's name and value.
    pub(crate) floor: Option<(&'a str, f64)>,
    pub(crate) target: Target,
    /// What it took, for example CPU time per item.
    pub(crate) cost: String,
}

impl Report {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            lines: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, figure: &Figure<'_>) {
        let ratio = figure.floor.map(|(_, floor)| figure.value / floor);
        let target = match figure.target {
            Target::None => String::new(),
            Target::AtLeast(least) => verdict("≥", &number(least), figure.value >= least),
            Target::AtMost(most) => verdict("≤", &number(most), figure.value <= most),
            Target::TimesFloor(least) => verdict(
                "≥",
                &format!("{least} ×"),
                ratio.is_some_and(|ratio| ratio >= least),
            ),
        };
        self.lines.push(Line {
            what: figure.what.to_owned(),
            figure: format!("{} {}", number(figure.value), figure.unit),
            ratio: match (ratio, figure.floor) {
                (Some(ratio), Some((name, _))) => format!("{ratio:.2} × {name}"),
                _ => String::new(),
            },
            target,
            cost: figure.cost.clone(),
        });
    }

    /// A figure that nothing is asked of.
    pub(crate) fn plain(&mut self, what: &str, value: f64, unit: &str, cost: impl Into<String>) {
        let cost = cost.into();
        self.add(&Figure {
            what,
            value,
            unit,
            floor: None,
            target: Target::None,
            cost,
        });
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

fn verdict(sign: &str, limit: &str, met: bool) -> String {
    format!("{sign} {limit} {}", if met { "met" } else { "NOT MET" })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}", self.title)?;
        let width = |column: fn(&Line) -> &str| {
            self.lines
                .iter()
                .map(|line| column(line).chars().count())
                .max()
                .unwrap_or(0)
        };
        let what = width(|line| &line.what);
        let figure = width(|line| &line.figure);
        let ratio = width(|line| &line.ratio);
        let target = width(|line| &line.target);
        for line in &self.lines {
            let text = format!(
                "  {:what$}  {:>figure$}  {:ratio$}  {:target$}  {}",
                line.what, line.figure, line.ratio, line.target, line.cost
            );
            writeln!(f, "{}", text.trim_end())?;
        }
        for note in &self.notes {
            writeln!(f, "  ({note})")?;
        }
        Ok(())
    }
}

/// Three digits that matter, thousands apart.
pub(crate) fn number(value: f64) -> String {
    if value < 1.0 {
        return format!("{value:.3}");
    }
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The middle one; of an even number the lower of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// The smallest value that is not below the given share of them.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * count(sorted.len())).ceil();
    let mut position = 1.0;
    for value in &sorted {
        if position >= rank {
            return *value;
        }
        position += 1.0;
    }
    sorted.last().copied().unwrap_or(f64::NAN)
}

/// A count as a number to calculate with.
pub(crate) fn count(items: usize) -> f64 {
    f64::from(u32::try_from(items).unwrap_or(u32::MAX))
}

pub(crate) fn per_second(items: usize, took: Duration) -> f64 {
    count(items) / took.as_secs_f64()
}

/// `name 123 µs CPU each`.
pub(crate) fn cpu_each(name: &str, cpu: Duration, items: usize) -> String {
    format!(
        "{name} {:.0} µs CPU each",
        cpu.as_secs_f64() * 1e6 / count(items)
    )
}
