//! Who may import whom, and who may name which crate.

use std::collections::BTreeSet;

use crate::Rule;
use crate::source::{Source, is_word, rust_under, without_tests, words};

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "imports go downwards",
        check: imports_go_downwards,
        bad: &[
            &[("src/domain/time.rs", "use crate::clock::Clock;")],
            &[("src/domain/mod.rs", "use super::store::Db;")],
            &[("src/transport/ses.rs", "fn a() { crate::store::open() }")],
            &[("src/api/mod.rs", "use crate::transport::ses;")],
            &[("src/api/mod.rs", "use crate::{domain::id, web};")],
            &[(
                "src/web/pages/card.rs",
                "use super::super::super::api::routes;",
            )],
            &[("src/store/mod.rs", "use crate::neverheard::Of;")],
            &[("src/neverheard/mod.rs", "//! A module without a place.")],
            &[("src/app.rs", "use crate::cli::Args;")],
        ],
        good: &[
            &[(
                "src/api/mod.rs",
                "//! Like [`crate::web`].\nuse crate::store::Db;\n",
            )],
            &[(
                "src/store/mod.rs",
                "use crate::clock::Clock;\nuse crate::store::db;\n",
            )],
            &[(
                "src/feedback/sns/mod.rs",
                "mod tests { use super::super::seal; }",
            )],
            &[("src/main.rs", "fn main() { sendtrail::cli::main() }")],
        ],
    },
    Rule {
        name: "a vendor is named in its place only",
        check: vendors_in_their_place,
        bad: &[
            &[("src/api/history.rs", "use sqlx::Row;")],
            &[("src/delivery/mod.rs", "type A = axum::Router;")],
            &[("src/web/mod.rs", "use aws_sdk_sns::Client;")],
            &[("src/sandbox/mod.rs", "use aws_sdk_sns::Client;")],
            &[("src/store/mod.rs", "fn a() -> anyhow::Result<()> {}")],
            &[("src/domain/time.rs", "use tokio::time;")],
            &[("src/domain/time.rs", "pub async fn now() {}")],
        ],
        good: &[
            &[("src/store/db.rs", "use sqlx::Row;")],
            &[("src/api/mod.rs", "// not sqlx\nuse axum::Router;")],
            &[(
                "src/sandbox/sns.rs",
                "#[cfg(test)]\nmod tests { use aws_sdk_sns::Client; }",
            )],
        ],
    },
];

/// A module of `src`, and the modules it may name besides itself and [`AMBIENT`]. `None`: everything
/// that stands before it in this list.
const LAYERS: &[(&str, Option<&[&str]>)] = &[
    ("domain", Some(&[])),
    ("clock", Some(&["domain"])),
    ("telemetry", Some(&["domain"])),
    ("fault", Some(&[])),
    ("store", Some(&["domain"])),
    ("transport", Some(&["domain"])),
    ("template", Some(&["domain"])),
    // What a server of SMTP or LMTP needs, whoever serves.
    ("smtpd", Some(&[])),
    ("sandbox", Some(&["domain", "smtpd"])),
    // It counts what the store reports; the store itself never counts.
    ("metrics", Some(&["domain", "store"])),
    ("traces", Some(&["domain", "store", "metrics"])),
    (
        "delivery",
        Some(&["domain", "store", "transport", "metrics"]),
    ),
    // Its waits have the shape of delivery's.
    (
        "webhooks",
        Some(&["domain", "store", "metrics", "delivery"]),
    ),
    (
        "feedback",
        Some(&["domain", "store", "transport", "metrics", "smtpd"]),
    ),
    // Entries as they come from the store, as files.
    ("export", Some(&["domain", "store"])),
    ("api", Some(&["domain", "store", "template", "metrics"])),
    // What comes by other ways is read by the API's own reader and by that of feedback.
    (
        "intake",
        Some(&["domain", "store", "transport", "metrics", "feedback", "api"]),
    ),
    ("web", Some(&["domain", "store", "metrics"])),
    // Each part owns its section of the settings; `config` puts them together.
    (
        "config",
        Some(&[
            "domain",
            "delivery",
            "traces",
            "webhooks",
            "feedback",
            "transport",
            "intake",
        ]),
    ),
    ("app", None),
    ("cli", None),
    ("lib", Some(&[])),
    ("main", None),
];

/// May be named by every module but `domain` and, to keep them free of circles, each other.
const AMBIENT: &[&str] = &["clock", "telemetry", "fault"];

fn imports_go_downwards(tree: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in rust_under(tree, "src/") {
        let module = top_module(&file.path);
        if !LAYERS.iter().any(|(name, _)| *name == module) {
            complaints.push(format!("{}: `{module}` has no place in LAYERS", file.path));
            continue;
        }
        for (line, named) in modules_named(file) {
            if named != module && !may_name(module, named) {
                complaints.push(format!(
                    "{}:{line}: {module} may not name `{named}`",
                    file.path
                ));
            }
        }
    }
    complaints
}

fn may_name(module: &str, named: &str) -> bool {
    let Some(place) = LAYERS.iter().position(|(name, _)| *name == module) else {
        return false;
    };
    let ambient = AMBIENT.contains(&named) && module != "domain" && !AMBIENT.contains(&module);
    let allowed = match LAYERS.get(place) {
        Some((_, Some(allowed))) => allowed.contains(&named),
        Some((_, None)) => LAYERS.iter().take(place).any(|(name, _)| *name == named),
        None => false,
    };
    ambient || allowed
}

/// `src/store/db.rs` → `store`, `src/clock.rs` → `clock`.
fn top_module(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    let first = inside.split('/').next().unwrap_or(inside);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The top modules that a file names by a path that may begin at the root, each with its line.
fn modules_named(file: &Source) -> Vec<(usize, &str)> {
    let mut named = Vec::new();
    for root in ["crate::", "sendtrail::", "super::"] {
        for (at, _) in file.code.match_indices(root) {
            let (before, mut rest) = file.code.split_at(at);
            if before.ends_with(is_word) || before.ends_with("super::") {
                continue;
            }
            let mut steps = 0;
            while let Some(after) = rest.strip_prefix(root) {
                rest = after;
                steps += 1;
            }
            let name = rest.split(|c| !is_word(c)).next().unwrap_or("");
            // From a test module as many steps stay inside: there only the name can tell.
            let is_layer = LAYERS.iter().any(|(layer, _)| *layer == name);
            if root == "super::" && (steps < depth(&file.path) || !is_layer) {
                continue;
            }
            let hidden = "{..}; write one path per line";
            let shown = if name.is_empty() { hidden } else { name };
            named.push((before.matches('\n').count() + 1, shown));
        }
    }
    named
}

/// How many `super::` lead from a file's own module to the root: 1 from `src/api/mod.rs`.
fn depth(path: &str) -> usize {
    let folders = path.matches('/').count() - 1;
    if path.ends_with("/mod.rs") {
        folders
    } else {
        folders + 1
    }
}

/// The beginning of a crate's name, and the places that may name it.
const VENDORS: &[(&str, &[&str])] = &[
    ("sqlx", &["src/store"]),
    (
        "axum",
        &[
            "src/api",
            "src/web",
            "src/sandbox",
            "src/app",
            "src/feedback/webhook.rs",
            "src/feedback/twilio/webhook.rs",
        ],
    ),
    ("aws_sdk_", &["src/transport", "src/feedback", "src/intake"]),
    ("lettre", &["src/transport"]),
    ("mail_parser", &["src/feedback/bounce_mail"]),
    ("minijinja", &["src/template"]),
    ("jsonwebtoken", &["src/web/staff/oidc"]),
    ("html5gum", &["src/template", "src/transport/tracked"]),
    ("stop_words", &["src/domain/tags.rs"]),
    ("opentelemetry", &["src/traces.rs"]),
    ("anyhow", &["src/main.rs", "src/cli", "src/app"]),
];

/// Its tests may speak to it with the vendor's own client.
const TESTED_WITH_VENDORS: &str = "src/sandbox/";

/// `domain` is pure: no I/O, no async.
const NOT_IN_DOMAIN: &[&str] = &[
    "tokio::",
    "reqwest::",
    "async ",
    ".await",
    "std::fs",
    "std::env",
];

fn vendors_in_their_place(tree: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in rust_under(tree, "src/") {
        let code = match file.path.strip_prefix(TESTED_WITH_VENDORS) {
            Some(inside) if inside.starts_with("tests") => "",
            Some(_) => without_tests(&file.code),
            None => &file.code,
        };
        for word in words(code).collect::<BTreeSet<_>>() {
            let misplaced = VENDORS.iter().any(|(vendor, places)| {
                word.starts_with(vendor) && !places.iter().any(|place| file.path.starts_with(place))
            });
            if misplaced {
                complaints.push(format!("{}: may not name `{word}`", file.path));
            }
        }
        let domain = file.path.starts_with("src/domain/");
        for impure in NOT_IN_DOMAIN
            .iter()
            .filter(|it| domain && code.contains(*it))
        {
            complaints.push(format!("{}: domain is pure: no `{impure}`", file.path));
        }
    }
    complaints
}
