//! Filters, tests and functions that a template names: the engine would miss one only when it comes
//! to it, in the night, for one client of a thousand.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, State, Value};

use super::Part;
use super::mistake::{Mistake, What};

/// What can be called. Data has no functions.
pub(super) const FUNCTIONS: [&str; 5] = ["range", "dict", "namespace", "debug", "loop"];

/// The names in a part that nothing is known by. The part must have been parsed before.
pub(super) fn unknown(environment: &Environment<'_>, part: Part, text: &str) -> Vec<Mistake> {
    let mut state = environment.empty_state();
    let mut mistakes = Vec::new();
    let mut before = [Before::Other; 2];
    let mut tokens = tokenize(text, false, SyntaxConfig::default())
        .filter_map(Result::ok)
        .peekable();
    while let Some((token, span)) = tokens.next() {
        let [_, last] = before;
        if let Token::Ident(name) = token {
            let is_called = matches!(tokens.peek(), Some((Token::ParenOpen, _)));
            let unknown =
                role(before, name, is_called).filter(|role| !is_known(&mut state, role, name));
            if let Some(role) = unknown {
                mistakes.push(Mistake {
                    part,
                    line: usize::from(span.start_line),
                    what: What::Other(format!("there is no {role} `{name}`")),
                });
            }
        }
        before = [last, Before::of(&token)];
    }
    mistakes
}

/// As much of a token as the next ones need to know.
#[derive(Clone, Copy)]
enum Before {
    Pipe,
    Dot,
    Block,
    Is,
    Not,
    Filter,
    Other,
}

impl Before {
    fn of(token: &Token<'_>) -> Self {
        if matches!(token, Token::Pipe) {
            Self::Pipe
        } else if matches!(token, Token::Dot) {
            Self::Dot
        } else if matches!(token, Token::BlockStart) {
            Self::Block
        } else if let Token::Ident(word) = token {
            match *word {
                "is" => Self::Is,
                "not" => Self::Not,
                "filter" => Self::Filter,
                _ => Self::Other,
            }
        } else {
            Self::Other
        }
    }
}

/// What a name must be, by the two tokens before it and whether a bracket follows.
fn role(before: [Before; 2], name: &str, is_called: bool) -> Option<&'static str> {
    match before {
        [_, Before::Pipe] | [Before::Block, Before::Filter] => Some("filter"),
        [Before::Is, Before::Not] => Some("test"),
        [_, Before::Is] => (name != "not").then_some("test"),
        [_, Before::Dot] => None,
        _ => (is_called && !KEYWORDS.contains(&name)).then_some("function"),
    }
}

/// Words before a bracket that call nothing.
const KEYWORDS: [&str; 15] = [
    "if",
    "elif",
    "else",
    "in",
    "is",
    "and",
    "or",
    "not",
    "set",
    "for",
    "with",
    "do",
    "autoescape",
    "filter",
    "recursive",
];

fn is_known(state: &mut State<'_, '_>, role: &str, name: &str) -> bool {
    if role == "function" {
        return FUNCTIONS.contains(&name);
    }
    // `"upper" is filter`, `"odd" is test`
    let known = state.perform_test(role, &[Value::from(name)]);
    known.unwrap_or(true)
}
