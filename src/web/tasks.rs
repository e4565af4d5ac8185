//! The task manager: what must be done, by when, and what was.

use std::fmt;

use askama::Template;

use super::page::When;
use super::staff::Head;
use crate::domain::time::Timestamp;

/// A page of tasks.
#[derive(Clone, Debug)]
pub struct Tasks {
    pub head: Head,
    pub lines: Vec<TaskLine>,
    pub is_done: bool,
    /// Whose: the value of `of` in the address.
    pub of: String,
    /// From whom one chooses, as id and name; empty for those who see their own tasks alone.
    pub members: Vec<(String, String)>,
    /// The task that was marked a moment ago.
    pub marked: Option<TaskLine>,
    /// Link to the next page.
    pub next: Option<String>,
}

/// One task.
#[derive(Clone)]
pub struct TaskLine {
    pub id: String,
    pub title: String,
    pub description: Option<String>,
    /// Id and name, where the client is in sight.
    pub client: Option<(String, String)>,
    pub entry: Option<String>,
    pub due_at: Timestamp,
    pub assignee: String,
    pub urgency: Urgency,
    /// When, and by whom.
    pub done: Option<(Timestamp, String)>,
    /// When it was opened again, and by whom.
    pub reopened: Option<(Timestamp, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    Overdue,
    /// Within a day.
    Soon,
    Later,
    Done,
}

/// The whole page.
pub fn render_tasks(page: &Tasks) -> Result<String, askama::Error> {
    TasksTemplate { page }.render()
}

#[derive(Template)]
#[template(path = "tasks.html")]
struct TasksTemplate<'a> {
    page: &'a Tasks,
}

impl Tasks {
    /// The lines under their headings, in the order in which they come.
    fn groups(&self) -> Vec<(Urgency, Vec<&TaskLine>)> {
        let mut groups: Vec<(Urgency, Vec<&TaskLine>)> = Vec::new();
        for line in &self.lines {
            match groups.last_mut() {
                Some((urgency, lines)) if *urgency == line.urgency => lines.push(line),
                _ => groups.push((line.urgency, vec![line])),
            }
        }
        groups
    }

    fn is_mine(&self) -> bool {
        self.of.is_empty()
    }

    /// The link to the open or done tasks of the same person.
    fn link(&self, show: &str) -> String {
        address(&self.of, show, None)
    }

    fn show(&self) -> &'static str {
        if self.is_done { "done" } else { "" }
    }
}

/// The address of a page of tasks, with what more it says.
pub fn address(of: &str, show: &str, more: Option<(&str, &str)>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let pairs = [("of", of), ("show", show)].into_iter().chain(more);
    query.extend_pairs(pairs.filter(|(_, value)| !value.is_empty()));
    let query = query.finish();
    if query.is_empty() {
        "/tasks".to_owned()
    } else {
        format!("/tasks?{query}")
    }
}

impl Urgency {
    const fn heading(self) -> &'static str {
        match self {
            Self::Overdue => "Overdue",
            Self::Soon => "Due within a day",
            Self::Later => "Upcoming",
            Self::Done => "Done",
        }
    }

    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Overdue => "overdue",
            Self::Soon => "soon",
            Self::Later => "later",
            Self::Done => "done",
        }
    }
}

impl TaskLine {
    pub(super) fn due(&self) -> When {
        When::new(self.due_at)
    }

    pub(super) fn done(&self) -> Option<(When, &str)> {
        let (at, by) = self.done.as_ref()?;
        Some((When::new(*at), by))
    }

    fn reopened(&self) -> Option<(When, &str)> {
        let (at, by) = self.reopened.as_ref()?;
        Some((When::new(*at), by))
    }
}

// By hand: what staff write is not for logs.
impl fmt::Debug for TaskLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskLine({})", self.id)
    }
}

#[cfg(test)]
impl TaskLine {
    /// Open, and about nobody in sight.
    pub(crate) fn sample(title: &str) -> Self {
        Self {
            id: "0190a000-0000-7000-8000-000000000001".to_owned(),
            title: title.to_owned(),
            description: None,
            client: None,
            entry: Some("0190a000-0000-7000-8000-000000000002".to_owned()),
            due_at: Timestamp::from_millis(1_798_794_000_000),
            assignee: "Tom".to_owned(),
            urgency: Urgency::Later,
            done: None,
            reopened: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(title: &str, urgency: Urgency) -> TaskLine {
        TaskLine {
            description: Some("<script>alert(1)</script>".to_owned()),
            client: Some(("C/1".to_owned(), "Ana <b>Ruiz</b>".to_owned())),
            urgency,
            ..TaskLine::sample(title)
        }
    }

    fn page(lines: Vec<TaskLine>) -> Tasks {
        Tasks {
            head: Head::sample("Lotus Yoga & Co."),
            lines,
            is_done: false,
            of: String::new(),
            members: Vec::new(),
            marked: None,
            next: None,
        }
    }

    #[test]
    fn tasks_stand_under_what_they_are_and_hostile_words_are_text() {
        let lines = vec![
            line("Call <i>back</i>", Urgency::Overdue),
            line("Second", Urgency::Overdue),
            line("Third", Urgency::Later),
        ];
        let html = render_tasks(&page(lines)).unwrap();
        for text in [
            "<h2 class=\"group\">Overdue</h2>",
            "<h2 class=\"group\">Upcoming</h2>",
            "Call &#60;i&#62;back",
            "href=\"/clients/C%2F1\"",
            "Ana &#60;b&#62;Ruiz",
            "href=\"/entries/0190a000-0000-7000-8000-000000000002\"",
            "datetime=\"2027-01-01T09:00:00.000Z\"",
        ] {
            assert!(html.contains(text), "{text} in {html}");
        }
        assert_eq!(html.matches("class=\"group\"").count(), 2);
        assert!(!html.contains("<script>alert") && !html.contains("style="));
    }

    #[test]
    fn an_empty_page_says_what_to_do_and_a_full_one_stays_small() {
        let html = render_tasks(&page(Vec::new())).unwrap();
        assert!(html.contains("Nothing to do"));
        let many = (0..50).map(|_| line("Call back", Urgency::Soon)).collect();
        let html = render_tasks(&page(many)).unwrap();
        assert!(html.len() < 100_000, "{} bytes", html.len());
        assert_eq!(
            address("S 1&a", "done", None),
            "/tasks?of=S+1%26a&show=done"
        );
        assert_eq!(address("", "", None), "/tasks");
    }
}
