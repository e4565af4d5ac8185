//! What a file may hold, and what must stand beside it.

use std::collections::BTreeSet;

use crate::Rule;
use crate::source::{Source, is_word, rust_under, without_tests, words};

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "a file is at most 500 lines",
        check: files_are_short,
        bad: &[&[("tests/it/long.rs", LINES_625)]],
        good: &[&[("tests/it/page.html", LINES_625)]],
    },
    Rule {
        name: "the first line says what the file is about",
        check: first_line_says_what,
        bad: &[
            &[("src/domain/id.rs", "use uuid::Uuid;")],
            &[("src/domain/id.rs", "")],
        ],
        good: &[&[("src/domain/id.rs", "//! Ids.")]],
    },
    Rule {
        name: "nothing is left open",
        check: nothing_left_open,
        bad: &[
            &[("tests/it/a.rs", "#[ignore]\nfn a() {}")],
            &[("tests/it/a.rs", "#[ignore = \"slow\"]\nfn a() {}")],
            &[("src/a.rs", "fn a() { todo!() }")],
            &[("src/a.rs", "fn a() { unimplemented!() }")],
            &[("src/a.rs", concat!("// TO", "DO: more"))],
            &[("migrations/sqlite/0001_a.sql", concat!("-- FIX", "ME"))],
            &[("src/web/a.html", concat!("<!-- X", "XX -->"))],
        ],
        good: &[&[("src/a.rs", "/// What is to be done.\nfn todo_list() {}")]],
    },
    Rule {
        name: "no path of one machine",
        check: no_machine_paths,
        bad: &[
            &[("README.md", concat!("see `/ho", "me/ana/x`"))],
            &[("src/a.rs", concat!("const A: &str = \"/tm", "p/x\";"))],
            &[(
                "config/default.toml",
                concat!("url = \"sqlite:///ro", "ot/x\""),
            )],
            &[("compose.yaml", concat!("- /wo", "rk/x:/x"))],
        ],
        good: &[
            &[("README.md", concat!("https://example.com/ho", "me/ana"))],
            &[("scripts/test", concat!("cd /tm", "p/x"))],
        ],
    },
    Rule {
        name: "migrations are twins",
        check: migrations_are_twins,
        bad: &[
            &[("migrations/sqlite/0001_a.sql", "")],
            &[
                ("migrations/postgres/0001_a.sql", ""),
                ("migrations/sqlite/0001_b.sql", ""),
            ],
        ],
        good: &[&[
            ("migrations/postgres/0001_a.sql", ""),
            ("migrations/sqlite/0001_a.sql", ""),
        ]],
    },
    Rule {
        name: "every file is compiled",
        check: every_file_is_compiled,
        bad: &[
            &[("src/lib.rs", "// mod lost;"), ("src/lost.rs", "")],
            &[("src/lib.rs", "mod lost_and_found;"), ("src/lost.rs", "")],
            &[
                ("src/lib.rs", "mod a;"),
                ("src/a/mod.rs", ""),
                ("src/a/b.rs", ""),
            ],
            &[("tests/it/main.rs", ""), ("tests/it/store/mod.rs", "")],
        ],
        good: &[&[
            ("src/lib.rs", "pub mod a;"),
            ("src/a/mod.rs", "mod b;"),
            ("src/a/b.rs", ""),
            ("tests/it/main.rs", "mod store;"),
            ("tests/it/store.rs", ""),
        ]],
    },
    Rule {
        name: "every store function is exercised",
        check: store_functions_are_exercised,
        bad: &[
            &[("src/store/a.rs", "pub async fn claim_due() {}")],
            &[
                ("src/store/a.rs", "pub async fn claim() {}"),
                ("tests/it/a.rs", "claim_due(); // claim"),
            ],
        ],
        good: &[&[
            (
                "src/store/a.rs",
                "pub async fn claim_due() {}\nasync fn own() {}",
            ),
            ("tests/it/a.rs", "store::claim_due().await"),
        ]],
    },
    Rule {
        name: "no module without a subject",
        check: modules_have_subjects,
        bad: &[&[("src/utils.rs", "")], &[("src/api/helpers/mod.rs", "")]],
        good: &[&[("src/api/history.rs", "")]],
    },
];

const FILE_LINES_MAX: usize = 500;

macro_rules! five_times {
    ($text:expr) => {
        concat!($text, $text, $text, $text, $text)
    };
}
const LINES_625: &str = five_times!(five_times!(five_times!(five_times!("//\n"))));

fn files_are_short(tree: &[Source]) -> Vec<String> {
    rust_under(tree, "")
        .filter(|file| file.text.lines().count() > FILE_LINES_MAX)
        .map(|file| format!("{}: {} lines", file.path, file.text.lines().count()))
        .collect()
}

fn first_line_says_what(tree: &[Source]) -> Vec<String> {
    rust_under(tree, "src/")
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| format!("{}: begin with `//! `", file.path))
        .collect()
}

/// In code.
const UNFINISHED: &[&str] = &["#[ignore", "todo!", "unimplemented!"];
/// Anywhere, as words.
const REMINDERS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
];
const WRITTEN_BY_US: &[&str] = &[".rs", ".sql", ".html", ".css", ".js", ".toml", ".py"];

fn nothing_left_open(tree: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in tree
        .iter()
        .filter(|it| WRITTEN_BY_US.iter().any(|end| it.path.ends_with(end)))
    {
        let reminders = words(&file.text).filter(|word| REMINDERS.contains(word));
        let unfinished = UNFINISHED
            .iter()
            .copied()
            .filter(|it| file.code.contains(it));
        complaints.extend(
            reminders
                .chain(unfinished)
                .map(|it| format!("{}: {it}", file.path)),
        );
    }
    complaints
}

const MACHINE_PATHS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/tm", "p/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
];
/// They run on a machine and may know its folders.
const MAY_KNOW_MACHINES: &[&str] = &["scripts/", "Dockerfile"];

fn no_machine_paths(tree: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in tree
        .iter()
        .filter(|it| !MAY_KNOW_MACHINES.iter().any(|at| it.path.starts_with(at)))
    {
        for path in MACHINE_PATHS {
            // Not the middle of a longer path or address.
            let inside = |c: char| is_word(c) || ".-)}]>".contains(c);
            for (at, _) in file.text.match_indices(path) {
                let (before, _) = file.text.split_at(at);
                if !before.ends_with(inside) {
                    let line = before.matches('\n').count() + 1;
                    complaints.push(format!("{}:{line}: {path}", file.path));
                }
            }
        }
    }
    complaints
}

fn migrations_are_twins(tree: &[Source]) -> Vec<String> {
    let names = |folder: &str| -> BTreeSet<String> {
        let inside = tree
            .iter()
            .filter_map(|file| file.path.strip_prefix(folder));
        inside.map(str::to_owned).collect()
    };
    let (sqlite, postgres) = (names("migrations/sqlite/"), names("migrations/postgres/"));
    sqlite
        .symmetric_difference(&postgres)
        .map(|name| format!("{name} has no twin"))
        .collect()
}

fn every_file_is_compiled(tree: &[Source]) -> Vec<String> {
    let roots = ["src/lib.rs", "src/main.rs", "tests/it/main.rs"];
    let files = rust_under(tree, "src/").chain(rust_under(tree, "tests/it/"));
    files
        .filter(|file| !roots.contains(&file.path.as_str()) && !is_declared(tree, &file.path))
        .map(|file| format!("{}: no `mod` line leads to it", file.path))
        .collect()
}

/// Whether the parent of `dir/name.rs` or `dir/name/mod.rs` says `mod name;`. The parents are asked the
/// same, so that by induction a declared file is reached from a root.
fn is_declared(tree: &[Source], path: &str) -> bool {
    let stem = path
        .strip_suffix("/mod.rs")
        .or_else(|| path.strip_suffix(".rs"))
        .unwrap_or(path);
    let Some((dir, name)) = stem.rsplit_once('/') else {
        return false;
    };
    let parents = ["/mod.rs", "/lib.rs", "/main.rs", ".rs"].map(|end| format!("{dir}{end}"));
    let declaration = format!("mod {name};");
    tree.iter()
        .filter(|file| parents.contains(&file.path))
        .any(|file| {
            let mut found = file.code.match_indices(&declaration);
            found.any(|(at, _)| !file.code.split_at(at).0.ends_with(is_word))
        })
}

fn store_functions_are_exercised(tree: &[Source]) -> Vec<String> {
    let tests: BTreeSet<&str> = rust_under(tree, "tests/")
        .flat_map(|it| words(&it.code))
        .collect();
    let mut complaints = Vec::new();
    for file in rust_under(tree, "src/store/") {
        for after in without_tests(&file.code).split("pub async fn ").skip(1) {
            let name = words(after).next().unwrap_or("");
            if !tests.contains(name) {
                complaints.push(format!(
                    "{}: no test under tests/ calls `{name}`",
                    file.path
                ));
            }
        }
    }
    complaints
}

const SUBJECTLESS: &[&str] = &[
    "utils", "util", "common", "core", "helpers", "types", "models", "misc",
];

fn modules_have_subjects(tree: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in rust_under(tree, "src/") {
        let parts = file.path.split(['/', '.']);
        complaints.extend(
            parts
                .filter(|it| SUBJECTLESS.contains(it))
                .map(|it| format!("{}: `{it}`", file.path)),
        );
    }
    complaints
}
