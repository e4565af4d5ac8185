//! House rules that the compiler does not check, read from the sources. A rule is a function from the
//! files to complaints; it comes with bad samples that it must refuse and good ones that it must not.

mod alarms;
mod files;
mod imports;
mod source;

use std::path::Path;

use source::{Sample, Source};

struct Rule {
    name: &'static str,
    check: fn(&[Source]) -> Vec<String>,
    bad: &'static [Sample],
    good: &'static [Sample],
}

fn rules() -> impl Iterator<Item = &'static Rule> {
    let rules = imports::RULES.iter().chain(files::RULES);
    rules.chain(alarms::RULES)
}

#[test]
fn the_tree_keeps_every_rule() {
    let tree = source::read_tree(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(
        tree.iter().any(|file| file.path == "src/lib.rs"),
        "read no sources"
    );
    let mut complaints = Vec::new();
    for rule in rules() {
        complaints.extend(
            (rule.check)(&tree)
                .iter()
                .map(|found| format!("{}: {found}", rule.name)),
        );
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn every_rule_refuses_its_bad_samples_and_no_good_one() {
    for rule in rules() {
        assert!(
            !rule.bad.is_empty(),
            "{}: a rule that cannot fail is no rule",
            rule.name
        );
        for &sample in rule.bad {
            assert!(
                !(rule.check)(&source::tree_of(sample)).is_empty(),
                "{}: accepted {sample:?}",
                rule.name
            );
        }
        for &sample in rule.good {
            let complaints = (rule.check)(&source::tree_of(sample));
            assert!(
                complaints.is_empty(),
                "{}: refused {sample:?}: {complaints:?}",
                rule.name
            );
        }
    }
}
