//! docs/aws.md says what the program's key may do: the policies there are the calls that the code makes, and
//! no others.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value as Json;

const PAGE: &str = include_str!("../../docs/aws.md");

/// How the names of calls begin that the SDKs have.
const VERBS: [&str; 14] = [
    "get_", "list_", "create_", "put_", "delete_", "send_", "confirm_", "receive_", "change_",
    "set_", "update_", "tag_", "check_", "publish",
];

/// Every call of an AWS service in the sources, as the action that allows it.
fn called() -> BTreeSet<String> {
    let mut actions = BTreeSet::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                if !["tests", "sandbox"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else {
                calls(&std::fs::read_to_string(&path).unwrap(), &mut actions);
            }
        }
    }
    actions
}

fn calls(text: &str, actions: &mut BTreeSet<String>) {
    let services = [
        ("aws_sdk_sesv2", "ses"),
        ("aws_sdk_sns", "sns"),
        ("aws_sdk_sqs", "sqs"),
    ];
    let Some((_, service)) = services.iter().find(|(sdk, _)| {
        text.contains(&format!("use {sdk}::Client"))
            || text.contains(&format!("use {sdk}::{{Client"))
    }) else {
        return;
    };
    for (at, _) in text.match_indices("()") {
        let before = &text[..at];
        let name = before
            .rsplit(|c: char| !(c.is_ascii_lowercase() || c == '_'))
            .next()
            .unwrap();
        let is_method = before
            .strip_suffix(name)
            .is_some_and(|head| head.ends_with('.'));
        if is_method && VERBS.iter().any(|verb| name.starts_with(verb)) {
            actions.extend(action(service, name));
        }
    }
}

fn action(service: &str, call: &str) -> Vec<String> {
    let words = call.strip_suffix("_batch").unwrap_or(call).split('_');
    let word = |word: &str| match word {
        "sms" => "SMS".to_owned(),
        _ => word[..1].to_uppercase() + &word[1..],
    };
    let action = format!("{service}:{}", words.map(word).collect::<String>());
    match action.as_str() {
        // A raw message is checked as one.
        "ses:SendEmail" => vec![action, "ses:SendRawEmail".to_owned()],
        _ => vec![action],
    }
}

/// The blocks of JSON of that name.
fn policies(name: &str) -> Vec<Json> {
    let begin = format!("```json {name}\n");
    let blocks = PAGE.split(&begin).skip(1);
    blocks
        .map(|block| serde_json::from_str(block.split("```").next().unwrap()).unwrap())
        .collect()
}

fn texts(value: &Json) -> Vec<String> {
    let list = value.as_array().cloned();
    let list = list.unwrap_or_else(|| vec![value.clone()]);
    let text = |one: &Json| one.as_str().unwrap().to_owned();
    list.iter().map(text).collect()
}

#[test]
fn the_policies_allow_the_calls_that_the_code_makes_and_no_others() {
    let mut allowed = BTreeSet::new();
    let policies = policies("iam-policy");
    assert_eq!(policies.len(), 3);
    for policy in &policies {
        assert_eq!(policy["Version"], "2012-10-17");
        for statement in policy["Statement"].as_array().unwrap() {
            assert!(statement["Resource"].is_string() || statement["Resource"].is_array());
            if statement["Effect"] == "Allow" {
                allowed.extend(texts(&statement["Action"]));
            }
        }
    }
    assert!(allowed.iter().all(|action| !action.contains('*')));
    assert_eq!(allowed, called());
}

#[test]
fn every_action_has_its_reason_in_the_table() {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    let mut reasoned = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert!(cells[2].len() > 10, "{row}");
        reasoned.extend(cells[1].split('`').skip(1).step_by(2).map(str::to_owned));
    }
    assert_eq!(reasoned, called());
}

#[test]
fn the_topic_takes_events_of_ses_alone() {
    let policy = policies("topic-policy").remove(0);
    let statement = &policy["Statement"][0];
    assert_eq!(statement["Principal"]["Service"], "ses.amazonaws.com");
    assert_eq!(texts(&statement["Action"]), ["sns:Publish"]);
    assert!(statement["Condition"]["StringEquals"]["AWS:SourceAccount"].is_string());
}
