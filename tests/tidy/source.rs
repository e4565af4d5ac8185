//! The files of the tree, and their code without comments and literals.

use std::fs;
use std::path::Path;

/// A small tree: paths and texts.
pub(crate) type Sample = &'static [(&'static str, &'static str)];

/// One file of the tree.
pub(crate) struct Source {
    /// From the root of the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text of a Rust file with its comments and literals blanked, lines kept; else empty.
    pub(crate) code: String,
}

const NOT_OURS: &[&str] = &[
    ".git",
    "target",
    "sendtrail-data",
    "node_modules",
    "__pycache__",
    ".venv",
];

/// Every text file that is or may become part of the repository.
pub(crate) fn read_tree(root: &Path) -> Vec<Source> {
    let mut tree = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the tree can be listed") {
            let entry = entry.expect("a folder of the tree can be listed");
            let name = entry.file_name();
            if NOT_OURS.iter().any(|it| name == *it) {
                continue;
            }
            let kind = entry.file_type().expect("an entry has a type");
            if kind.is_dir() {
                folders.push(entry.path());
            } else if let (true, Ok(text)) = (kind.is_file(), fs::read_to_string(entry.path())) {
                let below = entry.path();
                let path = below
                    .strip_prefix(root)
                    .expect("found below it")
                    .to_string_lossy();
                tree.push(source(&path.replace('\\', "/"), text));
            }
        }
    }
    tree.sort_by(|a, b| a.path.cmp(&b.path));
    tree
}

pub(crate) fn tree_of(sample: Sample) -> Vec<Source> {
    sample
        .iter()
        .map(|(path, text)| source(path, (*text).to_owned()))
        .collect()
}

fn source(path: &str, text: String) -> Source {
    let code = if is_rust(path) {
        code_only(&text)
    } else {
        String::new()
    };
    Source {
        path: path.to_owned(),
        text,
        code,
    }
}

pub(crate) fn rust_under<'a>(
    tree: &'a [Source],
    folder: &'a str,
) -> impl Iterator<Item = &'a Source> {
    tree.iter()
        .filter(move |file| file.path.starts_with(folder) && is_rust(&file.path))
}

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|it| it == "rs")
}

pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_word(c)).filter(|word| !word.is_empty())
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The code before its test module.
pub(crate) fn without_tests(code: &str) -> &str {
    code.split("#[cfg(test)]\nmod ").next().unwrap_or(code)
}

/// The source with comments and literals blanked out; every character that stays keeps its line.
fn code_only(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let blank = comment(rest)
            .or_else(|| text_literal(rest))
            .or_else(|| character(rest));
        let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (taken, after) = rest.split_at(blank.unwrap_or(word.max(first.len_utf8())));
        rest = after;
        if blank.is_none() {
            code.push_str(taken);
        } else {
            code.extend(taken.chars().map(|c| if c == '\n' { c } else { ' ' }));
        }
        if let (Some(raw), "r" | "br" | "cr") = (raw_literal(rest), taken) {
            let (literal, after) = rest.split_at(raw);
            rest = after;
            code.extend(literal.chars().map(|c| if c == '\n' { c } else { ' ' }));
        }
    }
    code
}

/// The length of the comment that `rest` begins with.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    rest.starts_with("/*").then_some(())?;
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(here) = rest.get(at..).filter(|here| !here.is_empty()) {
        let step = if here.starts_with("/*") {
            depth += 1;
            2
        } else if here.starts_with("*/") {
            depth -= 1;
            2
        } else {
            here.chars().next().map_or(1, char::len_utf8)
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    Some(at)
}

/// The length of the `"..."` that `rest` begins with.
fn text_literal(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('"')?;
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        if c == '"' && !escaped {
            return Some(at + 2);
        }
        escaped = c == '\\' && !escaped;
    }
    Some(rest.len())
}

/// The length of the `#"..."#` (any number of `#`) that `rest` begins with, after its `r`.
fn raw_literal(rest: &str) -> Option<usize> {
    let hashes = rest.find(|c| c != '#')?;
    let inside = rest.get(hashes..)?.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(
        inside
            .find(&end)
            .map_or(rest.len(), |at| hashes + 1 + at + end.len()),
    )
}

/// The length of the `'c'` that `rest` begins with; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    let first = inside.chars().next()?;
    let after = first.len_utf8()
        + if first == '\\' {
            inside.chars().nth(1)?.len_utf8()
        } else {
            0
        };
    let end = if first == '\\' {
        after + inside.get(after..)?.find('\'')?
    } else {
        after
    };
    inside.get(end..)?.starts_with('\'').then_some(end + 2)
}

#[test]
fn comments_and_literals_are_not_code() {
    let cases = [
        ("a // b\nc", "a     \nc"),
        ("/* a /* b */ c */d", "                 d"),
        (r#"a("b\"c")d"#, "a(      )d"),
        ("r#\"a\"b\"#c", "r       c"),
        ("b\"a\" r#type", "b    r#type"),
        ("'\"' 'a '\\'' \"b\"", "    'a         "),
        ("fn a<'b>(c: &'b str)", "fn a<'b>(c: &'b str)"),
        ("\"a\nb\"", "  \n  "),
    ];
    for (source, expected) in cases {
        assert_eq!(code_only(source), expected, "{source}");
    }
}
