//! Honest templates are filled; hostile ones end in an error that says where.

use std::time::Instant;

use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::{Failed, Part, Rendered, Source, Template, What, engine};
use crate::domain::method::Method;

fn sms(text: &str) -> Source {
    Source {
        method: Method::Sms,
        type_name: None,
        subject: None,
        text: Some(text.to_owned()),
        html: None,
    }
}

fn email(subject: &str, text: Option<&str>, html: Option<&str>) -> Source {
    Source {
        method: Method::Email,
        type_name: Some("Booking confirmation".to_owned()),
        subject: Some(subject.to_owned()),
        text: text.map(str::to_owned),
        html: html.map(str::to_owned),
    }
}

fn map(data: Json) -> Map<String, Json> {
    match data {
        Json::Object(map) => map,
        other => panic!("{other}"),
    }
}

fn render(source: Source, data: Json) -> Result<Rendered, Failed> {
    Template::compile(source).unwrap().render(&map(data))
}

fn text(source: &str, data: Json) -> String {
    render(sms(source), data).unwrap().text.unwrap()
}

fn whats(failed: &Failed) -> Vec<String> {
    let mistakes = failed.mistakes.iter();
    mistakes
        .map(|it| format!("{}:{}: {}", it.part.as_str(), it.line, it.what))
        .collect()
}

#[test]
fn an_email_is_filled_and_escaped_in_its_html_alone() {
    let source = email(
        "  For {{ name }}\n",
        Some(
            "Dear {{ name }},\n{% for item in items %}- {{ item.what }}: {{ item.price }}\n{% endfor %}",
        ),
        Some("<p title=\"{{ name }}\">{{ name }}</p>{{ signature|safe }}"),
    );
    let data = json!({
        "name": "<Ana> & 'Co' \"x\"", "signature": "<b>Bye</b>",
        "items": [{"what": "Tea", "price": 3}, {"what": "Cake", "price": 4.5}],
    });
    let rendered = render(source, data).unwrap();
    assert_eq!(rendered.subject.unwrap(), "For <Ana> & 'Co' \"x\"");
    assert_eq!(
        rendered.text.unwrap(),
        "Dear <Ana> & 'Co' \"x\",\n- Tea: 3\n- Cake: 4.5\n"
    );
    let escaped = "&lt;Ana&gt; &amp; &#x27;Co&#x27; &quot;x&quot;";
    assert_eq!(
        rendered.html.unwrap(),
        format!("<p title=\"{escaped}\">{escaped}</p><b>Bye</b>")
    );
    assert!(rendered.effort > 0);
}

#[test]
fn without_a_text_part_the_text_is_made_from_the_html() {
    let html = "<h1>Hello {{ name }}</h1><p>See <a href=\"https://example.com/{{ id }}\">it</a>";
    let data = json!({"name": "Ana & Co", "id": 7});
    let rendered = render(email("x", None, Some(html)), data).unwrap();
    let expected = "Hello Ana & Co\n\nSee it (https://example.com/7)";
    assert_eq!(rendered.text.as_deref(), Some(expected));
    let picture = render(email("x", None, Some("<img src=\"cid:a\">")), json!({})).unwrap();
    assert_eq!(picture.text, None, "an empty part helps nobody");
}

#[test]
fn every_missing_value_is_named_once_and_where() {
    let source = email(
        "{{ name }}: {{ number }}",
        Some(
            "{{ name }}\n{{ customer.city }} {{ customer.zip }}\n{% for i in items %}{{ i }}{% endfor %}{{ last|upper }}",
        ),
        None,
    );
    let failed = render(source, json!({"customer": {"zip": null}})).unwrap_err();
    assert_eq!(
        whats(&failed),
        [
            "subject:1: `name` is missing",
            "subject:1: `number` is missing",
            "text:2: `customer.city` is missing",
            "text:2: `customer.zip` is null",
            "text:3: `items` is missing",
            "text:3: `last` is missing",
        ]
    );
    let source = "{% for item in items %}{{ item.price }}{% endfor %}";
    let failed = render(sms(source), json!({"items": [{"price": 1}, {}]})).unwrap_err();
    assert_eq!(whats(&failed), ["text:1: `item.price` is missing"]);
    let many: String = (0..100).map(|i| format!("{{{{ v{i} }}}}")).collect();
    let failed = render(sms(&many), json!({})).unwrap_err();
    assert_eq!(failed.mistakes.len(), 20, "the limit");
    assert!(failed.tries < 50, "{}", failed.tries);
}

#[test]
fn a_value_may_be_absent_where_the_template_says_so() {
    let source = "{{ note|default('-') }}{% if note is defined %}!{% endif %}{{ memo or '?' }}";
    assert_eq!(text(source, json!({"memo": null})), "-?");
    assert_eq!(text(source, json!({"note": "n", "memo": "m"})), "n!m");
    let template = Template::compile(sms(source)).unwrap();
    let variables: Vec<&str> = template.variables().iter().map(String::as_str).collect();
    assert_eq!(variables, ["memo", "note"]);
}

#[test]
fn what_can_be_known_to_be_wrong_is_said_before_there_is_data() {
    for (source, line, words) in [
        ("a\n{{ name", 2, "syntax error"),
        ("{% if x %}", 1, "syntax error"),
        ("{% include 'secret.txt' %}", 1, "syntax error"),
        ("{% extends 'base.html' %}", 1, "syntax error"),
        ("{% import 'x' as y %}", 1, "syntax error"),
        ("{% macro a() %}{{ a() }}{% endmacro %}", 1, "syntax error"),
        (
            "x\n{% if false %}\n{{ a|curency }}{% endif %}",
            3,
            "no filter `curency`",
        ),
        ("{% filter shout %}x{% endfilter %}", 1, "no filter `shout`"),
        (
            "{% set a = [1]|map('x') %}{{ a|frist }}",
            1,
            "no filter `frist`",
        ),
        ("{% if a is evn %}{% endif %}", 1, "no test `evn`"),
        ("{% if a is not evn %}{% endif %}", 1, "no test `evn`"),
        ("{{ open('/etc/passwd') }}", 1, "no function `open`"),
        ("{{ a if b() else c }}", 1, "no function `b`"),
        ("{{ (1) }}{{ range(3) }}{{ x() }}", 1, "no function `x`"),
    ] {
        let mistakes = Template::compile(sms(source)).unwrap_err();
        let found = mistakes.first().unwrap();
        assert_eq!(found.line, line, "{source}");
        let what = found.what.to_string();
        assert!(what.contains(words), "{source}: {what}");
    }
    let both = email("{{ a|b }}", Some("{{ c|d }}{{"), None);
    let parts: Vec<Part> = Template::compile(both)
        .unwrap_err()
        .iter()
        .map(|it| it.part)
        .collect();
    assert_eq!(parts, [Part::Subject, Part::Text], "all parts at once");
}

#[test]
fn what_the_engine_knows_is_not_refused() {
    let source = "{% if (a) and not (b) and a is not none and a is in ([1]) and c is eq 1 %}\
        {% set ns = namespace(n=0) %}{% for x in range(3) %}{% set ns.n = ns.n + x %}{% endfor %}\
        {{ ns.n }}{% endif %}{% filter upper %}x{{ 'is|nothing(' }}{% endfilter %}\
        {# {{ a|nothing }} #}{% raw %}{{ a|nothing }}{% endraw %}\
        {{ dict(k='v').k }}{{ data.items|length }}{{ [2, 1]|sort|join('-')|title }}\
        {{ x.nothing }}{% for i in t recursive %}{{ i.n }}{{ loop(i.c) }}{% endfor %}";
    let data = json!({
        "a": 1, "b": false, "c": 1, "data": {"items": [1, 2]}, "x": {"nothing": "!"},
        "t": [{"n": 1, "c": [{"n": 2, "c": []}]}],
    });
    let expected = "3XIS|NOTHING({{ a|nothing }}v21-2!12";
    assert_eq!(text(source, data), expected);
}

#[test]
fn hostile_templates_end_soon_and_say_why() {
    let deep = "{% if a %}".repeat(1_000);
    let brackets = "{{ ".to_owned() + &"(".repeat(10_000);
    for source in [&deep, &brackets] {
        let mistakes = Template::compile(sms(source)).unwrap_err();
        assert!(matches!(mistakes[0].what, What::Other(_)), "{mistakes:?}");
    }
    for source in [
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) %}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
         xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
         xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{% endfor %}",
        "{{ 'x' * 1000000000 }}",
        "{% set ns = namespace(s='x') %}{% for i in range(64) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
        "{{ [1] * 1000000000 }}",
        "{{ range(99999)|list|sort|reverse|list|tojson|length }}{{ range(99999)|list|tojson }}\
         {{ range(99999)|list|tojson }}{{ range(99999)|list|tojson }}{{ range(99999)|list|tojson }}",
        "{{ '%1000000000d'|format(1) }}",
        "{{ ('x' * 100000)|replace('x', 'y' * 100000) }}",
        "{{ ('x\n' * 100000)|indent(100000) }}",
        "{% for i in t recursive %}{{ loop(t) }}{% endfor %}",
        "{{ 10 ** 1000000 }}",
    ] {
        let begun = Instant::now();
        let data = json!({"a": 1, "t": [1]});
        let Err(failed) = render(sms(source), data) else {
            panic!("{source} was filled");
        };
        assert!(
            begun.elapsed().as_secs() < 10,
            "{source}: {:?}",
            begun.elapsed()
        );
        assert_eq!(failed.mistakes.len(), 1, "{source}");
        let what = failed.mistakes[0].what.to_string();
        assert!(!what.is_empty() && what.len() < 500, "{what}");
    }
}

#[test]
fn the_longest_message_is_far_below_the_limit_of_work() {
    let row = "<tr><td>{{ row.name }}</td><td>{{ row.price|round(2) }}</td><td>{% if row.new %}new{% endif %}</td></tr>";
    let source = format!("<table>{{% for row in rows %}}{row}{{% endfor %}}</table>");
    let rows: Vec<Json> = (0..1_000)
        .map(|i| json!({"name": format!("Item {i}"), "price": 1.5, "new": i % 2 == 0}))
        .collect();
    let rendered = render(email("x", None, Some(&source)), json!({"rows": rows})).unwrap();
    assert!(
        rendered.effort < engine::EFFORT_MAX / 5,
        "{}",
        rendered.effort
    );
}

#[test]
fn a_version_is_its_content() {
    let one = email("a", Some("b"), None);
    let version = one.version();
    assert_eq!(one.clone().version(), version);
    assert_eq!(version.to_string(), "be8df2c7-c616-8d22-8660-37a8a9a0d99a");
    for other in [
        email("a", None, Some("b")),
        email("b", Some("a"), None),
        email("ab", Some(""), None),
        Source {
            type_name: None,
            ..one.clone()
        },
        Source {
            method: Method::Push,
            ..one.clone()
        },
    ] {
        assert_ne!(other.version(), version, "{other:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_template_and_no_data_make_a_panic(
        source in prop_oneof![
            "\\PC{0,60}",
            "(\\{\\{|\\}\\}|\\{%|%\\}|\\{#|#\\}| |a|b\\.c|\\||upper|is|not|odd|if|for|in|end|\\(|\\)|\\[|\\]|'|\"|~|\\*|1|,|:|=|\n){0,30}",
        ],
        value in prop_oneof![
            Just(json!(null)), Just(json!(-1)), Just(json!(1e300)), Just(json!("x\0\u{202e}")),
            Just(json!([[], {}])), Just(json!({"c": []})),
        ],
    ) {
        if let Ok(template) = Template::compile(sms(&source)) {
            drop(template.render(&map(json!({"a": value, "b": {"c": value}}))));
        }
    }

    #[test]
    fn no_data_breaks_out_of_the_html(value in "[<>\"'&a-z/= ]{0,40}") {
        let source = email("x", None, Some("<p class=\"{{ v }}\">{{ v }}</p>"));
        let html = render(source, json!({"v": value})).unwrap().html.unwrap();
        let inside = html.strip_prefix("<p class=\"").unwrap().strip_suffix("</p>").unwrap();
        let (attribute, content) = inside.split_once("\">").unwrap();
        for text in [attribute, content] {
            prop_assert!(!text.contains(['<', '>', '"', '\'']), "{}", html);
        }
    }
}
