//! The task manager (W14): a member's own tasks, and for those who lead, everybody's.

use axum::Extension;
use axum::extract::{Form, Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use uuid::Uuid;

use super::Pages;
use crate::domain::by_hand::DUE_SOON;
use crate::domain::role::Right;
use crate::domain::time::Timestamp;
use crate::store::tasks::{Asker, Task, TaskFilter};
use crate::web::staff::{Notice, Visitor};
use crate::web::{self, TaskLine, Tasks, Urgency, tasks_address};

/// Tasks of one page: it stays under 100 KB with them, unless descriptions are long.
const TASKS: usize = 50;
/// In the address: everybody's.
const ALL: &str = "all";
/// In the address: those that are done.
const DONE: &str = "done";
/// Who did it, where nobody is named.
pub(super) const APPLICATION: &str = "an application";

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    /// Empty: the visitor's own.
    of: String,
    show: String,
    /// The last task of the page before: its date and its id.
    after: String,
    /// The task that was marked a moment ago.
    marked: String,
}

pub(super) async fn show(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Query(asked): Query<Asked>,
    request: HeaderMap,
) -> Result<Response, Notice> {
    let (by, leads) = (asker(&visitor), visitor.account.may(Right::SeeAllTasks));
    let own = by.staff_id;
    let of = if asked.of == own { "" } else { &asked.of };
    if !of.is_empty() && !leads {
        return Ok(Notice::NoRight(visitor.head("/tasks").into()).into_response());
    }
    let is_done = asked.show == DONE;
    let filter = TaskFilter {
        assignee: match of {
            ALL => None,
            "" => Some(own.to_owned()),
            other => Some(other.to_owned()),
        },
        is_done,
        after: position(&asked.after),
        limit: TASKS,
    };
    let found = pages.store.tasks(&by, &filter).await?;
    let now = pages.clock.now();
    let last = found.tasks.last().filter(|_| found.more);
    let next = last.map(|task| {
        let after = after(task, is_done);
        tasks_address(of, &asked.show, Some(("after", &after)))
    });
    let members = if leads {
        pages.store.staff_members(by.business).await?
    } else {
        Vec::new()
    };
    let marked = match Uuid::try_parse(&asked.marked) {
        Ok(id) => pages.store.task(&by, id).await?,
        Err(_none) => None,
    };
    let others = members.into_iter().filter(|member| member.staff_id != own);
    let page = Tasks {
        head: visitor.head("/tasks"),
        lines: found.tasks.into_iter().map(|it| line(it, now)).collect(),
        is_done,
        of: of.to_owned(),
        members: others.map(|it| (it.staff_id, it.name)).collect(),
        marked: marked.map(|it| line(it, now)),
        next,
    };
    Ok(web::html(&request, web::render_tasks(&page)?))
}

/// From where a task is marked.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct From {
    of: String,
    show: String,
}

pub(super) async fn finish(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    Form(from): Form<From>,
) -> Result<Response, Notice> {
    let id = markable(&pages, &visitor, &id).await?;
    let marked = pages.store.finish_task(&asker(&visitor), id).await?;
    back(&from, marked.as_ref())
}

pub(super) async fn reopen(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    Form(from): Form<From>,
) -> Result<Response, Notice> {
    let id = markable(&pages, &visitor, &id).await?;
    let marked = pages.store.reopen_task(&asker(&visitor), id).await?;
    back(&from, marked.as_ref())
}

/// Whoever must do a task marks it, and whoever leads. To others it is not there.
async fn markable(pages: &Pages, visitor: &Visitor, id: &str) -> Result<Uuid, Notice> {
    let id = Uuid::try_parse(id).map_err(|_no_id| Notice::NotFound)?;
    let task = pages.store.task(&asker(visitor), id).await?;
    let task = task.ok_or(Notice::NotFound)?;
    let is_own = task.assignee == visitor.account.staff_id;
    if is_own || visitor.account.may(Right::SeeAllTasks) {
        Ok(id)
    } else {
        Err(Notice::NotFound)
    }
}

fn back(from: &From, marked: Option<&Task>) -> Result<Response, Notice> {
    let id = marked.ok_or(Notice::NotFound)?.id.to_string();
    let to = tasks_address(&from.of, &from.show, Some(("marked", &id)));
    Ok(Redirect::to(&to).into_response())
}

fn asker(visitor: &Visitor) -> Asker<'_> {
    Asker {
        business: &visitor.account.business,
        staff_id: &visitor.account.staff_id,
        sight: visitor.account.sight(),
    }
}

fn after(task: &Task, is_done: bool) -> String {
    let at = if is_done { task.done_at } else { None };
    format!("{}.{}", at.unwrap_or(task.due_at).as_millis(), task.id)
}

/// What is no position begins at the beginning.
fn position(after: &str) -> Option<(Timestamp, Uuid)> {
    let (at, id) = after.split_once('.')?;
    let at = Timestamp::from_millis(at.parse().ok()?);
    Some((at, Uuid::try_parse(id).ok()?))
}

pub(super) fn line(task: Task, now: Timestamp) -> TaskLine {
    let by = |name: String| {
        if name.is_empty() {
            APPLICATION.to_owned()
        } else {
            name
        }
    };
    let done = task
        .done_at
        .map(|at| (at, by(task.done_by.unwrap_or_default())));
    let urgency = if done.is_some() {
        Urgency::Done
    } else if task.due_at < now {
        Urgency::Overdue
    } else if task.due_at.since(now) < DUE_SOON {
        Urgency::Soon
    } else {
        Urgency::Later
    };
    let seen = task.client.is_some();
    let client = task.client.map(|client| {
        let name = client.name.filter(|name| !name.is_empty());
        (client.id.clone(), name.unwrap_or(client.id))
    });
    TaskLine {
        id: task.id.to_string(),
        title: task.title,
        description: task.description,
        client,
        entry: task.entry.filter(|_| seen).map(|id| id.to_string()),
        due_at: task.due_at,
        assignee: task.assignee_name,
        urgency,
        done,
        reopened: task.reopened.map(|(at, name)| (at, by(name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_comes_back_as_it_was_given_and_nonsense_is_none() {
        let id = Uuid::from_u128(7);
        let at = Timestamp::from_millis(1_798_794_000_123);
        let given = format!("{}.{id}", at.as_millis());
        assert_eq!(position(&given), Some((at, id)));
        for wrong in ["", "1", "1.x", "x.00000000-0000-0000-0000-000000000007"] {
            assert_eq!(position(wrong), None, "{wrong}");
        }
    }
}
