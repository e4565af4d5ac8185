//! Templates: a message's parts with blanks, compiled once and filled with an application's data.
//! They are written by users, so they are hostile input: no file, no other template and no function
//! of ours can be reached from one, and every loop ends.

mod cache;
mod engine;
mod mistake;
mod plain;
mod tags;
mod words;

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

pub use cache::Cache;
pub use mistake::{Mistake, What};
pub use plain::plain;
pub use tags::{of_content, of_parts};

use crate::domain::method::Method;

/// A template as its author wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub method: Method,
    /// The name of the notifications made from it, unless they bring their own.
    pub type_name: Option<String>,
    /// Of an email; for push, the title.
    pub subject: Option<String>,
    pub text: Option<String>,
    pub html: Option<String>,
}

/// A part of a message that is written as a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Subject,
    Title,
    Text,
    Html,
}

impl Part {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Title => "title",
            Self::Text => "text",
            Self::Html => "html",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        [Self::Subject, Self::Title, Self::Text, Self::Html]
            .into_iter()
            .find(|part| part.as_str() == name)
    }
}

impl Source {
    /// The same content is the same version, whoever writes it, wherever and however often.
    pub fn version(&self) -> Uuid {
        let content = json!([
            self.method.as_str(),
            self.type_name,
            self.subject,
            self.text,
            self.html
        ]);
        let digest = digest(&SHA256, content.to_string().as_bytes());
        let first = digest.as_ref().first_chunk::<16>();
        Uuid::new_v8(*first.expect("a SHA-256 has 32 bytes"))
    }

    /// The parts that it has, in the order in which they are read.
    pub fn parts(&self) -> impl Iterator<Item = (Part, &str)> {
        let head = if self.method == Method::Push {
            Part::Title
        } else {
            Part::Subject
        };
        [
            (head, &self.subject),
            (Part::Text, &self.text),
            (Part::Html, &self.html),
        ]
        .into_iter()
        .filter_map(|(part, text)| Some((part, text.as_deref()?)))
    }

    /// What it takes in memory, in bytes: the source and what it is compiled to.
    fn weight(&self) -> usize {
        let length: usize = self.parts().map(|(_, text)| text.len()).sum();
        length.saturating_mul(COMPILED_PER_BYTE)
    }
}

/// A compiled template holds its source and, for each expression of a few characters, instructions
/// of a few words.
const COMPILED_PER_BYTE: usize = 8;

/// A template ready to be filled. Cheap to share, never changed.
#[derive(Debug)]
pub struct Template {
    source: Source,
    version: Uuid,
    environment: Environment<'static>,
    /// The names that it takes from the data.
    variables: BTreeSet<String>,
}

/// A template filled with data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    pub subject: Option<String>,
    pub text: Option<String>,
    pub html: Option<String>,
    /// What it took, in the engine's units of work.
    pub effort: u64,
}

/// Why a template could not be filled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failed {
    pub mistakes: Vec<Mistake>,
    /// How often it was tried to find them all; each may take as much work as a whole part.
    pub tries: usize,
}

impl Template {
    /// Everything that can be known to be wrong without data is said at once.
    pub fn compile(source: Source) -> Result<Self, Vec<Mistake>> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // Names what is missing. Its reports hold data of clients: they are never printed.
        environment.set_debug(true);
        environment.set_fuel(Some(engine::EFFORT_MAX));
        environment.set_recursion_limit(engine::DEPTH_MAX);
        environment.set_formatter(engine::write_value);
        environment.set_auto_escape_callback(|name| {
            if Part::of_name(name) == Some(Part::Html) {
                AutoEscape::Html
            } else {
                AutoEscape::None
            }
        });
        let (mut mistakes, mut variables) = (Vec::new(), BTreeSet::new());
        for (part, text) in source.parts() {
            let added = environment.add_template_owned(part.as_str(), text.to_owned());
            match added.and_then(|()| environment.get_template(part.as_str())) {
                Ok(template) => variables.extend(template.undeclared_variables(false)),
                Err(error) => {
                    mistakes.push(Mistake::of_error(part, &error));
                    continue;
                }
            }
            mistakes.extend(words::unknown(&environment, part, text));
        }
        for name in words::FUNCTIONS {
            variables.remove(name);
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        Ok(Self {
            version: source.version(),
            source,
            environment,
            variables,
        })
    }

    pub fn source(&self) -> &Source {
        &self.source
    }

    pub fn version(&self) -> Uuid {
        self.version
    }

    /// The names that it takes from the data, whether it needs them or can do without.
    pub fn variables(&self) -> &BTreeSet<String> {
        &self.variables
    }

    /// Fills it. The text part of an email that has none is made from its HTML.
    pub fn render(&self, data: &Map<String, Json>) -> Result<Rendered, Failed> {
        let context = Value::from(Serde(data));
        let (mut failed, mut effort) = (Failed::default(), 0);
        let mut filled = |part: Part| {
            let template = self.environment.get_template(part.as_str()).ok()?;
            match template.render_captured(context.clone()) {
                Ok(done) => {
                    effort += done.state().fuel_levels().map_or(0, |(used, _)| used);
                    Some(done.into_output())
                }
                Err(error) => {
                    self.every_mistake(part, data, &error, &mut failed);
                    None
                }
            }
        };
        let subject = filled(Part::Subject).or_else(|| filled(Part::Title));
        let (text, html) = (filled(Part::Text), filled(Part::Html));
        if failed.tries > 0 {
            return Err(failed);
        }
        let made = || html.as_deref().map(plain).filter(|text| !text.is_empty());
        Ok(Rendered {
            subject: subject.map(|text| text.trim().to_owned()),
            text: text.or_else(made),
            html,
            effort,
        })
    }
}

#[cfg(test)]
mod tests;
