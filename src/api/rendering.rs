//! Templates in a request: looked up once, filled at enqueue, so that what was sent is what is shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value as Json, json};

use super::content::{self, Given, OF_EMAIL};
use super::digest;
use super::fields::{Errors, Fields, step};
use super::files;
use super::intake::{Intake, Reading};
use super::problem::FieldError;
use crate::domain::mailbox::Mailbox;
use crate::domain::message::{Attachment, Content, TemplateRef};
use crate::domain::method::Method;
use crate::store::Error;
use crate::store::enqueue::ContentSource;
use crate::store::templates::StoredTemplate;
use crate::template::{Mistake, Part, Rendered, Source, Template, What};

/// It is a step of a path and the name of a file.
pub(super) const TEMPLATE_NAME_LENGTH_MAX: usize = 100;
pub(super) const DATA_BYTES_MAX: usize = 64 * 1024;
/// Each that is not in memory is a look-up.
pub(super) const TEMPLATES_MAX: usize = 50;

/// All templates of one request together, in the engine's units of work: a message of usual size
/// takes some hundred, so a thousand of them take a small part of this; all of it takes a second.
const REQUEST_EFFORT_MAX: u64 = 20_000_000;
/// All that the templates of one request make, in bytes: it is in memory at once.
const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;
/// After so many tries that came to nothing the other notifications of a request are not tried: each
/// could take as much work as a whole message.
const TRIES_MAX: usize = 100;

pub(super) const NAMES: [&str; 2] = ["name", "data"];
pub(super) const EMAIL_NAMES: [&str; 4] = ["name", "data", "reply_to", "attachments"];

/// What a notification asks of a template.
#[derive(Debug)]
pub(super) struct Asked {
    /// Position of the notification in the request.
    index: usize,
    /// The pointer to the field `template`.
    at: String,
    name: String,
    data: Map<String, Json>,
    method: Method,
    reply_to: Option<Mailbox>,
    attachments: Vec<Attachment>,
    files: Vec<Bytes>,
}

/// Whether a text can name a template.
pub fn is_template_name(text: &str) -> bool {
    let inside = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (1..=TEMPLATE_NAME_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(inside)
        && text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
}

/// Reads the field `template` of a notification of this method.
pub(super) fn read(
    notification: &mut Fields<'_, '_>,
    method: Method,
    index: usize,
) -> Option<Asked> {
    let mut fields = if method == Method::Email {
        notification.object("template", &EMAIL_NAMES)?
    } else {
        notification.object_without("template", &NAMES, &OF_EMAIL)?
    };
    fields.require(&["name"]);
    let at = fields.at().to_owned();
    let data = fields.data("data", DATA_BYTES_MAX);
    let is_data_wrong = data.is_none() && fields.get("data").is_some();
    let (mut reply_to, mut attached) = (None, (Vec::new(), Vec::new()));
    if method == Method::Email {
        reply_to = fields.parsed("reply_to", Mailbox::parse);
        attached = files::read(&mut fields, true);
    }
    let name = fields.line("name", TEMPLATE_NAME_LENGTH_MAX)?;
    let (attachments, files) = attached;
    (!is_data_wrong).then(|| Asked {
        index,
        at,
        name,
        data: data.unwrap_or_default(),
        method,
        reply_to,
        attachments,
        files,
    })
}

impl Asked {
    /// As [`content::asked`] has it.
    pub(super) fn asked(&self) -> [Option<String>; 8] {
        let reply_to = self.reply_to.as_ref().map(ToString::to_string);
        let files = digest::attachments(&self.attachments);
        let (name, data) = (Some(self.name.clone()), Some(digest::data(&self.data)));
        [None, None, None, None, reply_to, files, name, data]
    }

    fn error(&self, below: &str, detail: impl Into<String>) -> FieldError {
        FieldError {
            pointer: format!("{}{below}", self.at),
            detail: detail.into(),
        }
    }
}

/// Fills the templates of a request, and notes what is wrong.
pub(super) async fn fill(
    intake: &Intake,
    business: &str,
    reading: &mut Reading,
) -> Result<(), Error> {
    let asked = std::mem::take(&mut reading.asked);
    let mut names: Vec<String> = asked.iter().map(|asked| asked.name.clone()).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() > TEMPLATES_MAX {
        let detail = format!("use more than {TEMPLATES_MAX} templates: send several requests");
        reading.errors.add("/notifications", detail);
        return Ok(());
    }
    let templates = find(intake, business, &names).await?;
    // Filling a thousand takes a while, and a hostile one is stopped only after its share of work.
    let filled = tokio::task::spawn_blocking(move || fill_all(asked, &templates)).await;
    let filled = match filled {
        Ok(filled) => filled,
        Err(stopped) => match stopped.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The program is ending.
            Err(_cancelled) => return Err(Error::Closed),
        },
    };
    for (index, made) in filled.made {
        let Some(Some(draft)) = reading.drafts.get_mut(index) else {
            continue;
        };
        draft.content = ContentSource::New(made.given.content);
        draft.files = made.given.files;
        if draft.type_name.is_empty() {
            draft.type_name = made.type_name.unwrap_or_default();
        }
        if draft.type_name.is_empty() {
            let at = made.at.strip_suffix("/template").unwrap_or_default();
            let detail = "is required: the template brings none";
            reading.errors.add(step(at, "type"), detail);
        }
        draft.template = Some(made.template);
    }
    let failed = without_repetitions(intake, business, reading, filled.failed).await?;
    for error in failed.into_iter().flat_map(|(_, errors)| errors) {
        reading.errors.add(error.pointer, error.detail);
    }
    if let Some(error) = filled.stopped {
        reading.errors.add(error.pointer, error.detail);
    }
    Ok(())
}

/// A request that was enqueued before stays enqueued, even if its template has changed since then
/// so that the old data does not fit it any more.
async fn without_repetitions(
    intake: &Intake,
    business: &str,
    reading: &Reading,
    failed: Vec<(usize, Vec<FieldError>)>,
) -> Result<Vec<(usize, Vec<FieldError>)>, Error> {
    let key = |index: usize| {
        let draft = reading.drafts.get(index)?.as_ref()?;
        draft.idempotency.as_ref()
    };
    let keys: Vec<_> = failed.iter().filter_map(|(index, _)| key(*index)).collect();
    if keys.is_empty() {
        return Ok(failed);
    }
    let before = intake.store.enqueued_before(business, &keys).await?;
    let mut before = before.into_iter();
    let left = failed.into_iter().filter(|(index, _)| {
        let is_repetition = key(*index).is_some() && before.next() == Some(true);
        !is_repetition
    });
    Ok(left.collect())
}

/// The current versions of these templates, by name.
async fn find(
    intake: &Intake,
    business: &str,
    names: &[String],
) -> Result<BTreeMap<String, Arc<Template>>, Error> {
    let mut templates = BTreeMap::new();
    for (name, version) in intake.store.current_templates(business, names).await? {
        let template = if let Some(template) = intake.templates.get(version) {
            template
        } else {
            let stored = intake
                .store
                .template(business, &name, Some(version))
                .await?;
            let Some(stored) = stored else { continue };
            let compiled = Template::compile(source(stored));
            // It compiled when it was written, by this program or an earlier one.
            let Ok(compiled) = compiled else { continue };
            let compiled = Arc::new(compiled);
            intake.templates.keep(&compiled);
            compiled
        };
        templates.insert(name, template);
    }
    Ok(templates)
}

pub(super) fn source(stored: StoredTemplate) -> Source {
    Source {
        method: stored.method,
        type_name: stored.type_name,
        subject: stored.subject,
        text: stored.text,
        html: stored.html,
    }
}

/// What came of the templates of one request.
#[derive(Default)]
struct Filled {
    made: Vec<(usize, Made)>,
    failed: Vec<(usize, Vec<FieldError>)>,
    /// Why the others were not tried.
    stopped: Option<FieldError>,
}

struct Made {
    at: String,
    given: Given,
    type_name: Option<String>,
    template: TemplateRef,
}

fn fill_all(asked: Vec<Asked>, templates: &BTreeMap<String, Arc<Template>>) -> Filled {
    let mut filled = Filled::default();
    let (mut effort, mut bytes, mut tries) = (0_u64, 0_usize, 0_usize);
    for asked in asked {
        let too_much = if effort > REQUEST_EFFORT_MAX {
            Some("the templates of this request take too much work together: send fewer at once")
        } else if bytes > REQUEST_BYTES_MAX {
            Some("the templates of this request make too much text together: send fewer at once")
        } else if tries >= TRIES_MAX {
            Some("this and the following were not tried: mend those above first")
        } else {
            None
        };
        if let Some(detail) = too_much {
            filled.stopped = Some(asked.error("", detail));
            break;
        }
        let index = asked.index;
        match fill_one(asked, templates) {
            Ok((made, spent)) => {
                effort += spent.effort;
                bytes += spent.bytes;
                filled.made.push((index, made));
            }
            Err(refused) => {
                tries += refused.tries;
                filled.failed.push((index, refused.errors));
            }
        }
    }
    filled
}

struct Spent {
    effort: u64,
    bytes: usize,
}

struct Refused {
    errors: Vec<FieldError>,
    tries: usize,
}

impl From<FieldError> for Refused {
    fn from(error: FieldError) -> Self {
        Self {
            errors: vec![error],
            tries: 1,
        }
    }
}

fn fill_one(
    asked: Asked,
    templates: &BTreeMap<String, Arc<Template>>,
) -> Result<(Made, Spent), Refused> {
    let Some(template) = templates.get(&asked.name) else {
        return Err(asked
            .error("/name", "is no template of this business")
            .into());
    };
    let source = template.source();
    if source.method != asked.method {
        let (made_for, wanted) = (source.method, asked.method);
        let detail = format!("is a template for {made_for}, not for {wanted}");
        return Err(asked.error("/name", detail).into());
    }
    let rendered = template.render(&asked.data).map_err(|failed| {
        let errors = failed.mistakes.iter();
        Refused {
            errors: errors
                .map(|mistake| error(&asked, template, mistake))
                .collect(),
            tries: failed.tries,
        }
    })?;
    let spent = Spent {
        effort: rendered.effort,
        bytes: [&rendered.text, &rendered.html]
            .into_iter()
            .flatten()
            .map(String::len)
            .sum(),
    };
    let made = Made {
        at: asked.at.clone(),
        type_name: source.type_name.clone(),
        template: TemplateRef {
            name: asked.name.clone(),
            version: template.version(),
        },
        given: checked(asked, &rendered)?,
    };
    Ok((made, spent))
}

/// What is wrong with a message that a template made: it is held to the rules for one that an
/// application writes itself.
pub fn check_rendered(method: Method, rendered: &Rendered) -> Vec<String> {
    as_content(method, rendered).err().unwrap_or_default()
}

fn as_content(method: Method, rendered: &Rendered) -> Result<Given, Vec<String>> {
    let mut parts = Map::new();
    let head = if method == Method::Push {
        Part::Title
    } else {
        Part::Subject
    };
    for (part, text) in [
        (head, &rendered.subject),
        (Part::Text, &rendered.text),
        (Part::Html, &rendered.html),
    ] {
        if let Some(text) = text {
            parts.insert(part.as_str().to_owned(), Json::from(text.as_str()));
        }
    }
    let body = json!({ "content": parts });
    let mut errors = Errors::default();
    let given = Fields::open(&body, String::new(), &["content"], &mut errors)
        .and_then(|mut fields| content::read(&mut fields, method));
    errors.unless_any(given).map_err(|errors| {
        let words = errors.into_iter().map(|FieldError { pointer, detail }| {
            let part = pointer
                .trim_start_matches("/content")
                .trim_start_matches('/');
            let part = if part.is_empty() { "message" } else { part };
            format!("the rendered {part} {detail}")
        });
        words.collect()
    })
}

/// The message that was rendered, with what the notification brings itself.
fn checked(asked: Asked, rendered: &Rendered) -> Result<Given, Refused> {
    let mut given = as_content(asked.method, rendered).map_err(|words| Refused {
        errors: words
            .into_iter()
            .map(|words| asked.error("", words))
            .collect(),
        tries: 1,
    })?;
    if let Content::Email {
        reply_to,
        attachments,
        ..
    } = &mut given.content
    {
        *reply_to = asked.reply_to;
        *attachments = asked.attachments;
        given.files = asked.files;
    }
    Ok(given)
}

/// The pointer to what the data lacks, or to the template.
fn error(asked: &Asked, template: &Template, mistake: &Mistake) -> FieldError {
    let place = format!("{}, line {}", mistake.part.as_str(), mistake.line);
    let (path, detail) = match &mistake.what {
        What::Missing(path) => (
            path,
            format!("is missing: the template asks for it ({place})"),
        ),
        What::Null(path) => (
            path,
            format!("is null: the template asks for a value ({place})"),
        ),
        What::TooMuchWork | What::Other(_) => {
            return asked.error("", format!("{place}: {}", mistake.what));
        }
    };
    // The template's own names, such as those of a loop, are not in the data.
    if path
        .first()
        .is_some_and(|name| template.variables().contains(name))
    {
        let below = path
            .iter()
            .fold("/data".to_owned(), |at, name| step(&at, name));
        return asked.error(&below, detail);
    }
    asked.error("/data", format!("`{}` {detail}", path.join(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_name_is_a_step_of_a_path() {
        for good in ["a", "booking-confirmation", "Reminder_2.en", "7"] {
            assert!(is_template_name(good), "{good}");
        }
        let long = "a".repeat(101);
        for bad in [
            "",
            "-a",
            ".a",
            "..",
            "a/b",
            "a b",
            "é",
            "a\n",
            long.as_str(),
        ] {
            assert!(!is_template_name(bad), "{bad}");
        }
    }
}
