//! The alarms for Prometheus, the page that says what to do about them, and their test.

use std::collections::BTreeSet;

use crate::Rule;
use crate::source::{Source, is_word};

pub(crate) const RULES: &[Rule] = &[Rule {
    name: "every alarm reads metrics that there are, has a page for operators, and is tested",
    check: alarms_are_known,
    bad: &[
        &[(ALARMS, GOOD), (PAGE, "### SendtrailOld\n"), (TEST, TESTED)],
        &[(ALARMS, GOOD), (PAGE, METRIC), (TEST, TESTED)],
        &[(ALARMS, GOOD), (PAGE, BOTH), (TEST, "tests:")],
        &[
            (ALARMS, "- alert: SendtrailOld\n runbook_url: x#other\n"),
            (PAGE, BOTH),
            (TEST, TESTED),
        ],
        &[
            (ALARMS, GOOD),
            (
                PAGE,
                "### SendtrailOld\n### SendtrailGone\n| `sendtrail_age` |",
            ),
            (TEST, TESTED),
        ],
        &[(ALARMS, "groups:"), (PAGE, ""), (TEST, "")],
    ],
    good: &[&[(ALARMS, GOOD), (PAGE, BOTH), (TEST, TESTED)]],
}];

const ALARMS: &str = "config/prometheus/alarms.yml";
const TEST: &str = "config/prometheus/alarms.test.yml";
const PAGE: &str = "docs/operations.md";

const GOOD: &str = "- alert: SendtrailOld\n expr: max(sendtrail_age) > 1\n \
                    runbook_url: docs/operations.md#sendtrailold\n";
const METRIC: &str = "| `sendtrail_age` | gauge |\n";
const BOTH: &str = "| `sendtrail_age` | gauge |\n### SendtrailOld\n";
/// Once tripped, once quiet.
const TESTED: &str = "expr: ALERTS{alertname=\"SendtrailOld\",alertstate=\"firing\"}\n exp_samples:\n\
                      expr: ALERTS{alertname=\"SendtrailOld\",alertstate=\"firing\"}\n \
                      exp_samples: []\n";

fn alarms_are_known(tree: &[Source]) -> Vec<String> {
    let text = |path: &str| {
        let file = tree.iter().find(|file| file.path == path);
        file.map_or("", |file| file.text.as_str())
    };
    let (alarms, page, shown) = (text(ALARMS), text(PAGE), text(TEST));
    let mut complaints = Vec::new();
    let mut names = BTreeSet::new();
    for rule in alarms.split("- alert: ").skip(1) {
        let name = rule.lines().next().unwrap_or("").trim();
        names.insert(name);
        let anchor = format!("docs/operations.md#{}", name.to_ascii_lowercase());
        if !rule.lines().any(|line| line.trim_end().ends_with(&anchor)) {
            complaints.push(format!("{name}: runbook_url must lead to {anchor}"));
        }
        let expected = format!("alertname=\"{name}\"");
        let tests: Vec<&str> = shown
            .split("expr: ")
            .filter(|it| it.contains(&expected))
            .collect();
        let quiet = tests
            .iter()
            .filter(|it| it.contains("exp_samples: []"))
            .count();
        if quiet == 0 || quiet == tests.len() {
            complaints.push(format!("{name}: {TEST} must trip it, and show it quiet"));
        }
    }
    if names.is_empty() {
        complaints.push(format!("{ALARMS}: there are no alarms"));
    }
    let entries = page
        .lines()
        .filter_map(|line| line.strip_prefix("### Sendtrail"));
    let entries: BTreeSet<String> = entries.map(|rest| format!("Sendtrail{rest}")).collect();
    let asked: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    for name in entries.symmetric_difference(&asked) {
        complaints.push(format!(
            "{name}: an alarm and an entry in {PAGE} belong together"
        ));
    }
    for metric in alarms
        .split(|c| !is_word(c))
        .filter(|it| it.starts_with("sendtrail_"))
    {
        let name = metric.strip_suffix("_bucket").unwrap_or(metric);
        if !page.contains(&format!("| `{name}` |")) {
            complaints.push(format!("{metric}: not in the table of metrics in {PAGE}"));
        }
    }
    complaints
}
