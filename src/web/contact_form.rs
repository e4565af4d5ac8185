//! The form by which staff enter a contact by hand, with what was typed and what is wrong with it.

use std::fmt;

use askama::Template;
use serde::Deserialize;

use super::staff::Head;
use crate::domain::by_hand::{DESCRIPTION_LENGTH_MAX, NAME_LENGTH_MAX};
use crate::domain::method::{Channel, Method};
use crate::domain::time::Timestamp;

/// The form as it is shown.
#[derive(Clone, Debug)]
pub struct ContactForm {
    pub head: Head,
    pub client_id: String,
    pub client_name: String,
    pub typed: Typed,
    /// What is wrong, by the name of the field.
    pub faults: Vec<(&'static str, String)>,
    /// What was entered by this form before: it is not entered twice.
    pub entered_before: Option<String>,
    /// From which one chooses.
    pub contact_types: Vec<String>,
    /// Id and name.
    pub staff: Vec<(String, String)>,
}

/// What was typed, field by field.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct Typed {
    /// One for each form that is shown, so that one sent twice enters one contact.
    pub key: String,
    pub date: String,
    /// Minutes by which the viewer's zone is ahead of UTC at that time; none: the time is in UTC.
    pub date_offset: String,
    pub method: String,
    pub channel: String,
    pub contact_type: String,
    /// Empty: No Staff.
    pub staff_id: String,
    pub description: String,
    /// Anything: a task is wanted.
    pub follow_up: String,
    pub due: String,
    pub due_offset: String,
    pub assignee: String,
    pub title: String,
    pub task_description: String,
}

/// No zone is further from UTC.
const OFFSET_MINUTES_MAX: i64 = 14 * 60;

impl Typed {
    /// When it was, as it was typed.
    pub fn date(&self) -> Option<Timestamp> {
        instant(&self.date, &self.date_offset)
    }

    pub fn due(&self) -> Option<Timestamp> {
        instant(&self.due, &self.due_offset)
    }

    pub fn wants_task(&self) -> bool {
        !self.follow_up.is_empty()
    }
}

/// What a field for date and time holds, to the minute and in UTC.
pub fn as_typed(at: Timestamp) -> String {
    at.to_string()
        .chars()
        .take("0000-00-00T00:00".len())
        .collect()
}

fn instant(local: &str, offset: &str) -> Option<Timestamp> {
    let local = local.trim();
    let seconds = if local.len() == "0000-00-00T00:00".len() {
        ":00"
    } else {
        ""
    };
    let at = Timestamp::parse_strictly(&format!("{local}{seconds}Z")).ok()?;
    let minutes: i64 = match offset.trim() {
        "" => 0,
        text => text.parse().ok()?,
    };
    if minutes.abs() > OFFSET_MINUTES_MAX {
        return None;
    }
    Some(Timestamp::from_millis(at.as_millis() - minutes * 60_000))
}

/// The whole page.
pub fn render_contact_form(form: &ContactForm) -> Result<String, askama::Error> {
    let typed = &form.typed;
    FormTemplate { form, typed }.render()
}

#[derive(Template)]
#[template(path = "contact_form.html")]
struct FormTemplate<'a> {
    form: &'a ContactForm,
    typed: &'a Typed,
}

impl ContactForm {
    const METHODS: [Method; 6] = Method::ALL;
    const CHANNELS: [Channel; 2] = [Channel::Outbound, Channel::Inbound];

    fn fault(&self, name: &str) -> Option<&str> {
        let found = self.faults.iter().find(|(field, _)| *field == name);
        found.map(|(_, why)| why.as_str())
    }

    /// The label of a field, for the list of what is wrong.
    fn label(name: &str) -> &'static str {
        match name {
            "date" => "Date/Time",
            "method" => "Contact Method",
            "channel" => "Channel",
            "contact_type" => "Contact Type",
            "staff_id" => "Staff",
            "due" => "Due Date",
            "assignee" => "Assign To",
            "title" => "Task Title",
            _ => "Description",
        }
    }

    const fn length_max() -> usize {
        DESCRIPTION_LENGTH_MAX
    }

    const fn name_length_max() -> usize {
        NAME_LENGTH_MAX
    }
}

// By hand: what is typed is not for logs.
impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Typed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_the_zone_of_whoever_typed_it() {
        for (local, offset, read) in [
            ("2027-01-01T10:00", "60", Some("2027-01-01T09:00:00.000Z")),
            ("2027-07-01T10:00", "120", Some("2027-07-01T08:00:00.000Z")),
            ("2027-01-01T00:30", "-210", Some("2027-01-01T04:00:00.000Z")),
            ("2027-01-01T10:00:30", "", Some("2027-01-01T10:00:30.000Z")),
            ("2027-01-01T10:00", "900", None),
            ("2027-01-01T10:00", "an hour", None),
            ("2027-02-30T10:00", "", None),
            ("2027-01-01", "", None),
            ("yesterday", "", None),
            ("", "", None),
        ] {
            let at = instant(local, offset).map(|at| at.to_string());
            assert_eq!(at.as_deref(), read, "{local} {offset}");
        }
        let at = Timestamp::parse("2027-01-01T09:05:59Z").unwrap();
        assert_eq!(as_typed(at), "2027-01-01T09:05");
    }

    #[test]
    fn the_form_keeps_what_was_typed_and_says_beside_each_field_what_is_wrong() {
        let form = ContactForm {
            head: Head::sample("Lotus Yoga & Co."),
            client_id: "C/1 <i>".to_owned(),
            client_name: "Ana <b>Ruiz</b>".to_owned(),
            typed: Typed {
                contact_type: "\"><script>".to_owned(),
                staff_id: "S-2".to_owned(),
                description: "</textarea><script>".to_owned(),
                follow_up: "yes".to_owned(),
                ..Typed::default()
            },
            faults: vec![("date", "Give date and time.".to_owned())],
            entered_before: None,
            contact_types: vec!["Message Center".to_owned()],
            staff: vec![
                ("S-1".to_owned(), "Dana".to_owned()),
                ("S-2".to_owned(), "<i>Tom</i>".to_owned()),
            ],
        };
        let page = render_contact_form(&form).unwrap();
        for text in [
            "action=\"/clients/C%2F1%20%3Ci%3E/contacts/new\"",
            "Ana &#60;b&#62;Ruiz",
            "aria-invalid=\"true\" aria-describedby=\"date-fault\"",
            "id=\"date-fault\">Give date and time.</p>",
            "<a href=\"#date\">Date/Time</a>",
            "value=\"&#34;&#62;&#60;script&#62;\"",
            "&#60;/textarea&#62;",
            "<option value=\"S-2\" selected>&#60;i&#62;Tom",
            "name=\"follow_up\" value=\"yes\" checked",
        ] {
            assert!(page.contains(text), "{text} in {page}");
        }
        assert!(!page.contains("<script>") && !page.contains("style="));
    }
}
