//! Entering a contact by hand (W13), with the task that follows it (W14).

use axum::Extension;
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use uuid::Uuid;

use super::Pages;
use super::client::in_sight;
use crate::domain::by_hand::{self, DESCRIPTION_LENGTH_MAX, NAME_LENGTH_MAX};
use crate::domain::method::{Channel, Method};
use crate::domain::time::Timestamp;
use crate::store::by_hand::{Contact, Entered, Member};
use crate::store::clients::Client;
use crate::store::tasks::FollowUp;
use crate::web::staff::{Notice, Visitor};
use crate::web::{self, ContactForm, TypedContact as Typed};

pub(super) async fn show(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(client_id): Path<String>,
) -> Result<Response, Notice> {
    let around = Around::read(&pages, &visitor, &client_id).await?;
    let now = pages.clock.now();
    let own = &visitor.account.staff_id;
    let typed = Typed {
        key: pages.clock.new_uuid(now).to_string(),
        date: web::as_typed(now),
        channel: Channel::Outbound.as_str().to_owned(),
        staff_id: own.clone(),
        assignee: own.clone(),
        ..Typed::default()
    };
    around.answer(StatusCode::OK, typed, Vec::new(), None)
}

pub(super) async fn enter(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(client_id): Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, Notice> {
    let around = Around::read(&pages, &visitor, &client_id).await?;
    let now = pages.clock.now();
    let read = match Read::of(&typed, &around, now) {
        Ok(read) => read,
        Err(faults) => {
            return around.answer(StatusCode::UNPROCESSABLE_ENTITY, typed, faults, None);
        }
    };
    // A space keeps it apart from the keys of applications, which have none.
    let key = Uuid::try_parse(&typed.key).map(|key| format!("form {key}"));
    let contact = Contact {
        business: &visitor.account.business,
        client_id: &around.client.id,
        entered_by: Some(&visitor.account.staff_id),
        key: key.as_deref().ok(),
        ..read.contact()
    };
    match pages.store.enter_contact(&contact).await? {
        Entered::New(id) | Entered::Before(id) => {
            Ok(Redirect::to(&format!("/entries/{id}")).into_response())
        }
        Entered::KeyTaken(before) => {
            let mut typed = typed;
            typed.key = pages.clock.new_uuid(now).to_string();
            around.answer(
                StatusCode::CONFLICT,
                typed,
                Vec::new(),
                Some(before.to_string()),
            )
        }
        Entered::NoClient => Err(Notice::NotFound),
    }
}

/// What the form stands on.
struct Around {
    head: web::staff::Head,
    client: Client,
    contact_types: Vec<String>,
    staff: Vec<Member>,
}

impl Around {
    async fn read(pages: &Pages, visitor: &Visitor, client_id: &str) -> Result<Self, Notice> {
        let business = &visitor.account.business;
        let client = in_sight(pages, visitor, client_id).await?;
        Ok(Self {
            head: visitor.head(""),
            client,
            contact_types: pages.store.contact_types(business).await?,
            staff: pages.store.staff_members(business).await?,
        })
    }

    fn answer(
        self,
        status: StatusCode,
        typed: Typed,
        faults: Vec<(&'static str, String)>,
        entered_before: Option<String>,
    ) -> Result<Response, Notice> {
        let name = self.client.name.filter(|name| !name.is_empty());
        let staff = self.staff.into_iter();
        let form = ContactForm {
            head: self.head,
            client_name: name.unwrap_or_else(|| self.client.id.clone()),
            client_id: self.client.id,
            typed,
            faults,
            entered_before,
            contact_types: self.contact_types,
            staff: staff.map(|member| (member.staff_id, member.name)).collect(),
        };
        let page = web::render_contact_form(&form)?;
        Ok((status, [(CACHE_CONTROL, "no-store")], Html(page)).into_response())
    }

    fn knows(&self, staff_id: &str) -> bool {
        self.staff.iter().any(|member| member.staff_id == staff_id)
    }
}

/// What was typed, once it is known to be good.
struct Read {
    date: Timestamp,
    method: Method,
    channel: Channel,
    contact_type: String,
    staff_id: Option<String>,
    description: Option<String>,
    task: Option<Task>,
}

struct Task {
    due_at: Timestamp,
    assignee: String,
    title: String,
    description: Option<String>,
}

type Faults = Vec<(&'static str, String)>;

impl Read {
    fn of(typed: &Typed, around: &Around, now: Timestamp) -> Result<Self, Faults> {
        let mut faults = Faults::new();
        let date = time("date", typed.date(), now, by_hand::check_date, &mut faults);
        let method = Method::parse(&typed.method);
        if method.is_none() {
            faults.push(("method", "Choose one.".to_owned()));
        }
        let channel = Channel::parse(&typed.channel);
        if channel.is_none() {
            faults.push(("channel", "Choose Outbound or Inbound.".to_owned()));
        }
        let contact_type = line("contact_type", &typed.contact_type, &mut faults);
        let staff_id = Some(typed.staff_id.clone()).filter(|id| !id.is_empty());
        if staff_id.as_ref().is_some_and(|id| !around.knows(id)) {
            faults.push(("staff_id", NOT_LISTED.to_owned()));
        }
        let description = text("description", &typed.description, &mut faults);
        let task = typed
            .wants_task()
            .then(|| Task::of(typed, around, now, &mut faults));
        match (date, method, channel, contact_type) {
            (Some(date), Some(method), Some(channel), Some(contact_type)) if faults.is_empty() => {
                Ok(Self {
                    date,
                    method,
                    channel,
                    contact_type: around.spelled(contact_type),
                    staff_id,
                    description,
                    task: task.flatten(),
                })
            }
            _ => Err(faults),
        }
    }

    fn contact(&self) -> Contact<'_> {
        Contact {
            business: "",
            client_id: "",
            date: Some(self.date),
            method: self.method,
            channel: self.channel,
            type_name: None,
            contact_type: &self.contact_type,
            staff_id: self.staff_id.as_deref(),
            description: self.description.as_deref(),
            entered_by: None,
            key: None,
            follow_up: self.task.as_ref().map(|task| FollowUp {
                title: &task.title,
                description: task.description.as_deref(),
                due_at: task.due_at,
                assignee: &task.assignee,
            }),
        }
    }
}

impl Task {
    fn of(typed: &Typed, around: &Around, now: Timestamp, faults: &mut Faults) -> Option<Self> {
        let due_at = time("due", typed.due(), now, by_hand::check_due, faults);
        if !around.knows(&typed.assignee) {
            faults.push(("assignee", NOT_LISTED.to_owned()));
        }
        let title = line("title", &typed.title, faults);
        let description = text("task_description", &typed.task_description, faults);
        Some(Self {
            due_at: due_at?,
            assignee: typed.assignee.clone(),
            title: title?,
            description,
        })
    }
}

impl Around {
    /// As the business spells the contact type already, so that `message center` makes no second one.
    fn spelled(&self, contact_type: String) -> String {
        let small = contact_type.to_lowercase();
        let mut known = self.contact_types.iter();
        let same = known.find(|it| it.to_lowercase() == small);
        same.cloned().unwrap_or(contact_type)
    }
}

const NOT_LISTED: &str = "Choose somebody of the list.";

fn time(
    name: &'static str,
    typed: Option<Timestamp>,
    now: Timestamp,
    check: impl Fn(Timestamp, Timestamp) -> Result<(), &'static str>,
    faults: &mut Faults,
) -> Option<Timestamp> {
    let Some(at) = typed else {
        faults.push((
            name,
            "Give a date and a time, such as 2027-01-31T09:30.".to_owned(),
        ));
        return None;
    };
    if let Err(why) = check(at, now) {
        faults.push((name, format!("This {why}.")));
        return None;
    }
    Some(at)
}

fn line(name: &'static str, typed: &str, faults: &mut Faults) -> Option<String> {
    let text = typed.trim();
    let why = if text.is_empty() {
        "This must not be empty.".to_owned()
    } else if text.chars().count() > NAME_LENGTH_MAX {
        format!("This is too long: at most {NAME_LENGTH_MAX} characters.")
    } else if text.chars().any(char::is_control) {
        "This must be one line without control characters.".to_owned()
    } else {
        return Some(text.to_owned());
    };
    faults.push((name, why));
    None
}

/// Browsers send line breaks as CR LF, and count them as one character.
fn text(name: &'static str, typed: &str, faults: &mut Faults) -> Option<String> {
    let text = typed.replace("\r\n", "\n");
    let text = text.trim();
    if text.chars().count() > DESCRIPTION_LENGTH_MAX {
        let why = format!("This is too long: at most {DESCRIPTION_LENGTH_MAX} characters.");
        faults.push((name, why));
    }
    (!text.is_empty()).then(|| text.to_owned())
}
