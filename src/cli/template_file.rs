//! A template on disk: `NAME.toml` with its method, type, subject and a sample of its data; beside it
//! `NAME.txt` and `NAME.html` with its bodies. Mistakes are named by file and line.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};

use crate::api::templates::{check_rendered, is_template_name, source_of};
use crate::template::{Mistake, Part, Source, Template};

/// Something wrong, where it is and what to do about it.
#[derive(Debug)]
pub(super) struct Trouble {
    file: PathBuf,
    line: usize,
    what: String,
    remedy: Option<String>,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.what)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

/// Larger files are no templates.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Templates of one folder.
const FOLDER_MAX: usize = 10_000;

/// The heads of the templates that a path names: of a folder all that are in it; of a body that of
/// its template.
pub(super) fn heads(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.with_extension("toml")]);
    }
    let mut heads = Vec::new();
    for entry in std::fs::read_dir(path)?.take(FOLDER_MAX) {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "toml") {
            heads.push(path);
        }
    }
    heads.sort_unstable();
    Ok(heads)
}

/// A template that has been read and compiled, or everything that is wrong with it.
#[derive(Debug)]
pub(super) struct TemplateFile {
    pub(super) name: String,
    pub(super) template: Template,
}

/// The parts of a template and where each begins.
struct Files {
    head: PathBuf,
    /// The line of the head on which its subject or title is.
    subject_line: usize,
}

impl Files {
    fn place(&self, mistake: &Mistake) -> (PathBuf, usize) {
        let line = mistake.line.max(1);
        match mistake.part {
            Part::Subject | Part::Title => (self.head.clone(), self.subject_line + line - 1),
            Part::Text => (self.head.with_extension("txt"), line),
            Part::Html => (self.head.with_extension("html"), line),
        }
    }

    fn trouble(&self, mistake: &Mistake) -> Trouble {
        let (file, line) = self.place(mistake);
        Trouble {
            file,
            line,
            what: mistake.what.to_string(),
            remedy: mistake.remedy().map(str::to_owned),
        }
    }

    fn of_head(&self, line: usize, what: String, remedy: Option<&str>) -> Trouble {
        Trouble {
            file: self.head.clone(),
            line,
            what,
            remedy: remedy.map(str::to_owned),
        }
    }
}

/// Reads a template by its head and fills it with its sample.
pub(super) fn read(head: &Path) -> Result<TemplateFile, Vec<Trouble>> {
    let mut files = Files {
        head: head.to_owned(),
        subject_line: 1,
    };
    let name = head.file_stem().unwrap_or_default().to_string_lossy();
    if !is_template_name(&name) {
        let remedy = "use up to 100 letters, digits, -, _ and ., a letter or digit first";
        let what = format!("{name:?} cannot be the name of a template");
        return Err(vec![files.of_head(1, what, Some(remedy))]);
    }
    let text = text_of(head).map_err(|trouble| vec![trouble])?;
    let text = text.ok_or_else(|| {
        let remedy = "write the method, the type and the subject into it";
        vec![files.of_head(1, "there is no such file".to_owned(), Some(remedy))]
    })?;
    let mut fields: Map<String, Json> = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_at(&text, span.start));
        vec![files.of_head(line, error.message().to_owned(), None)]
    })?;
    files.subject_line = line_of(&text, &["subject", "title"]);
    let sample = match fields.remove("sample") {
        None => Map::new(),
        Some(Json::Object(sample)) => sample,
        Some(_) => {
            let remedy = "write it as a table: [sample]";
            let what = "sample is no table".to_owned();
            return Err(vec![files.of_head(
                line_of(&text, &["sample"]),
                what,
                Some(remedy),
            )]);
        }
    };
    let source = source(&mut fields, &text, &files)?;
    let template = Template::compile(source).map_err(|mistakes| {
        mistakes
            .iter()
            .map(|it| files.trouble(it))
            .collect::<Vec<_>>()
    })?;
    try_out(&template, &sample, &files)?;
    Ok(TemplateFile {
        name: name.into_owned(),
        template,
    })
}

/// The head's fields and the bodies beside it, held to the rules of the API.
fn source(
    fields: &mut Map<String, Json>,
    head: &str,
    files: &Files,
) -> Result<Source, Vec<Trouble>> {
    for (part, end) in [("text", "txt"), ("html", "html")] {
        let file = files.head.with_extension(end);
        let Some(body) = text_of(&file).map_err(|trouble| vec![trouble])? else {
            continue;
        };
        if fields.insert(part.to_owned(), Json::String(body)).is_some() {
            let what = format!("the {part} is in {} as well", file.display());
            let line = line_of(head, &[part]);
            return Err(vec![files.of_head(line, what, Some("keep one of them"))]);
        }
    }
    source_of(&Json::Object(std::mem::take(fields))).map_err(|errors| {
        let troubles = errors.into_iter().map(|error| {
            let name = error.pointer.trim_start_matches('/').to_owned();
            let what = format!("{name} {}", error.detail);
            files.of_head(line_of(head, &[&name]), what.trim().to_owned(), None)
        });
        troubles.collect()
    })
}

/// Filled with its sample: nothing may be missing, and the message must be one that can be sent.
fn try_out(
    template: &Template,
    sample: &Map<String, Json>,
    files: &Files,
) -> Result<(), Vec<Trouble>> {
    let mut troubles = Vec::new();
    match template.render(sample) {
        Ok(rendered) => {
            let errors = check_rendered(template.source().method, &rendered);
            troubles.extend(errors.into_iter().map(|what| {
                let remedy = "change the template or its sample";
                files.of_head(1, what, Some(remedy))
            }));
        }
        Err(failed) => {
            troubles.extend(failed.mistakes.iter().map(|mistake| files.trouble(mistake)));
        }
    }
    // Those of a branch that the sample does not enter, and those that may be absent.
    for name in template.variables() {
        let quoted = format!("`{name}");
        let known = troubles
            .iter()
            .any(|trouble| trouble.what.starts_with(&quoted));
        if !sample.contains_key(name) && !known {
            let what = format!("`{name}` is not in the sample");
            let remedy = format!("correct the name, or add it under [sample]: {name} = \"…\"");
            troubles.push(files.of_head(1, what, Some(&remedy)));
        }
    }
    if troubles.is_empty() {
        Ok(())
    } else {
        Err(troubles)
    }
}

/// The text of a file; `None` when there is none.
fn text_of(file: &Path) -> Result<Option<String>, Trouble> {
    let trouble = |what: String| Trouble {
        file: file.to_owned(),
        line: 1,
        what,
        remedy: None,
    };
    match std::fs::metadata(file) {
        Ok(found) if found.len() > FILE_BYTES_MAX => {
            return Err(trouble(format!("is larger than {FILE_BYTES_MAX} bytes")));
        }
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(trouble(error.to_string())),
    }
    let text = std::fs::read_to_string(file);
    text.map(Some).map_err(|error| trouble(error.to_string()))
}

fn line_at(text: &str, offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    before.matches('\n').count() + 1
}

/// The line on which one of these keys is written; the first when there is none.
fn line_of(text: &str, keys: &[&str]) -> usize {
    let holds = |line: &str| {
        keys.iter().any(|key| {
            let line = line.trim_start().trim_start_matches(['[', '"', '\'']);
            let after = line.strip_prefix(key);
            after.is_some_and(|after| after.trim_start().starts_with(['=', ']', '"', '\'', '.']))
        })
    };
    text.lines().position(holds).map_or(1, |index| index + 1)
}
