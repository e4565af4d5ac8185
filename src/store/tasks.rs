//! Follow-up tasks (W14): made, listed, done, opened again.

use uuid::Uuid;

use super::db::Tx;
use super::row::Row;
use super::stmt::{Stmt, sql};
use super::{Error, Store, by_hand, sight};
use crate::domain::id::NotificationId;
use crate::domain::role::Sight;
use crate::domain::time::Timestamp;

/// A task as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub id: Uuid,
    /// Absent where the client is out of sight: a member's own tasks are shown whoever it is about.
    pub client: Option<TaskClient>,
    /// The contact that it follows.
    pub entry: Option<NotificationId>,
    pub title: String,
    pub description: Option<String>,
    pub due_at: Timestamp,
    pub assignee: String,
    pub assignee_name: String,
    /// Empty when an application made it.
    pub created_by: String,
    pub created_by_name: String,
    pub created_at: Timestamp,
    pub done_at: Option<Timestamp>,
    pub done_by: Option<String>,
    /// The last time that it was opened again, and by whom; empty when an application did it.
    pub reopened: Option<(Timestamp, String)>,
}

/// A task was marked as done, or opened again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskChange {
    pub task: Uuid,
    pub at: Timestamp,
    /// The member's name; empty when an application did it.
    pub user: String,
    pub mark: Mark,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Done,
    Reopened,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskClient {
    pub id: String,
    pub name: Option<String>,
}

/// A task to be made.
#[derive(Clone, Copy, Debug)]
pub struct FollowUp<'a> {
    pub title: &'a str,
    pub description: Option<&'a str>,
    pub due_at: Timestamp,
    /// Who must do it.
    pub assignee: &'a str,
}

/// What it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Of<'a> {
    pub(super) business: &'a str,
    pub(super) client: Uuid,
    pub(super) entry: Option<NotificationId>,
    pub(super) created_by: Option<&'a str>,
}

/// Who asks for tasks.
#[derive(Clone, Debug)]
pub struct Asker<'a> {
    pub business: &'a str,
    pub staff_id: &'a str,
    pub sight: Sight,
}

/// Which tasks. Open ones come by what is due first, done ones by what was done last.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Of one member; none: of everybody, as far as their clients are in sight.
    pub assignee: Option<String>,
    pub is_done: bool,
    /// The due or done date and the id of the last task of the page before.
    pub after: Option<(Timestamp, Uuid)>,
    pub limit: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPage {
    pub tasks: Vec<Task>,
    /// There are more after the last of these.
    pub more: bool,
}

/// The longest page.
pub const TASKS_PAGE_MAX: usize = 200;
/// Tasks of one contact that are shown with it.
const OF_ENTRY_MAX: i64 = 50;
/// Changes of these that are shown, the latest.
const CHANGES_MAX: i64 = 100;
/// Those due are counted so far: more are too many anyway.
pub const DUE_COUNTED_MAX: i64 = 100;

const COLUMNS: &str = "SELECT t.id, t.entry_id, t.title, t.description, t.due_at, t.assignee, \
    coalesce(s.name, t.assignee) AS assignee_name, t.created_by, coalesce(m.name, t.created_by) AS created_by_name, t.created_at, t.done_at, \
    coalesce(d.name, t.done_by) AS done_by, c.client_id, c.name AS client_name, \
    r.changed_at AS reopened_at, coalesce(o.name, r.staff_id) AS reopened_by \
    FROM follow_up_tasks t \
    LEFT JOIN task_changes r ON r.id = (SELECT x.id FROM task_changes x WHERE x.task_id = t.id \
    AND x.kind = 'reopened' ORDER BY x.id DESC LIMIT 1) \
    LEFT JOIN staff o ON o.business_id = t.business_id AND o.staff_id = r.staff_id \
    LEFT JOIN staff s ON s.business_id = t.business_id AND s.staff_id = t.assignee \
    LEFT JOIN staff m ON m.business_id = t.business_id AND m.staff_id = t.created_by \
    LEFT JOIN staff d ON d.business_id = t.business_id AND d.staff_id = t.done_by \
    LEFT JOIN clients c ON c.uid = t.client_uid";

impl Store {
    /// One page of tasks.
    pub async fn tasks(&self, asker: &Asker<'_>, filter: &TaskFilter) -> Result<TaskPage, Error> {
        let limit = filter.limit.clamp(1, TASKS_PAGE_MAX);
        let mut stmt = of(asker);
        stmt = match &filter.assignee {
            Some(assignee) if assignee == asker.staff_id => {
                stmt.push(" AND t.assignee = ").bind(assignee)
            }
            Some(assignee) => stmt
                .push(" AND c.uid IS NOT NULL AND t.assignee = ")
                .bind(assignee),
            None => stmt.push(" AND c.uid IS NOT NULL"),
        };
        stmt = if filter.is_done {
            let stmt = stmt.push(" AND t.done_at IS NOT NULL");
            let stmt = match filter.after {
                Some((at, id)) => stmt
                    .push(" AND (t.done_at, t.id) < (")
                    .bind(at)
                    .push(", ")
                    .bind(id)
                    .push(")"),
                None => stmt,
            };
            stmt.push(" ORDER BY t.done_at DESC, t.id DESC LIMIT ")
        } else {
            let stmt = stmt.push(" AND t.done_at IS NULL");
            let stmt = match filter.after {
                Some((at, id)) => stmt
                    .push(" AND (t.due_at, t.id) > (")
                    .bind(at)
                    .push(", ")
                    .bind(id)
                    .push(")"),
                None => stmt,
            };
            stmt.push(" ORDER BY t.due_at, t.id LIMIT ")
        };
        let mut tx = self.db.read().await?;
        let rows = tx
            .all(stmt.bind(i64::try_from(limit + 1).unwrap_or(i64::MAX)))
            .await?;
        let mut tasks: Vec<Task> = rows.iter().map(task).collect::<Result<_, _>>()?;
        let more = tasks.len() > limit;
        tasks.truncate(limit);
        Ok(TaskPage { tasks, more })
    }

    /// The tasks that follow a contact which the caller has already been shown, the oldest first.
    pub async fn tasks_of_entry(
        &self,
        business: &str,
        entry: NotificationId,
    ) -> Result<Vec<Task>, Error> {
        let stmt = sql(COLUMNS)
            .push(" WHERE t.business_id = ")
            .bind(business)
            .push(" AND t.entry_id = ")
            .bind(entry.uuid())
            .push(" ORDER BY t.id LIMIT ")
            .bind(OF_ENTRY_MAX);
        let mut tx = self.db.read().await?;
        tx.all(stmt).await?.iter().map(task).collect()
    }

    /// When those were marked as done and opened again, and by whom, by time.
    pub async fn task_changes_of_entry(
        &self,
        business: &str,
        entry: NotificationId,
    ) -> Result<Vec<TaskChange>, Error> {
        let stmt = sql(
            "SELECT x.task_id, x.changed_at, x.kind, coalesce(s.name, x.staff_id) AS name \
             FROM follow_up_tasks t JOIN task_changes x ON x.task_id = t.id \
             LEFT JOIN staff s ON s.business_id = x.business_id AND s.staff_id = x.staff_id \
             WHERE t.business_id = ",
        )
        .bind(business)
        .push(" AND t.entry_id = ")
        .bind(entry.uuid())
        .push(" ORDER BY x.id DESC LIMIT ")
        .bind(CHANGES_MAX);
        let mut tx = self.db.read().await?;
        let mut changes = Vec::new();
        for row in tx.all(stmt).await?.iter().rev() {
            changes.push(TaskChange {
                task: row.id("task_id")?,
                at: row.time("changed_at")?,
                user: row.text("name")?,
                mark: row.word("kind", Mark::parse)?,
            });
        }
        Ok(changes)
    }

    /// A task that the asker may see: an own one, or one about a client in sight.
    /// Those about one client, by their ids: so many after this one.
    pub async fn tasks_of_client(
        &self,
        client: Uuid,
        after: Uuid,
        limit: i64,
    ) -> Result<Vec<Task>, Error> {
        let stmt = sql(COLUMNS)
            .push(" WHERE t.client_uid = ")
            .bind(client)
            .push(" AND t.id > ")
            .bind(after)
            .push(" ORDER BY t.id LIMIT ")
            .bind(limit);
        let mut tx = self.db.read().await?;
        tx.all(stmt).await?.iter().map(task).collect()
    }

    pub async fn task(&self, asker: &Asker<'_>, id: Uuid) -> Result<Option<Task>, Error> {
        let mut tx = self.db.read().await?;
        read(&mut tx, asker, id).await
    }

    /// Makes a task about a client. `None` when there is no such client.
    pub async fn add_task(
        &self,
        business: &str,
        client_id: &str,
        new: &FollowUp<'_>,
    ) -> Result<Option<Task>, Error> {
        let now = self.clock.now();
        let id = self.clock.new_uuid(now);
        let mut tx = self.db.write().await?;
        let Some(client) = by_hand::client_uid(&mut tx, business, client_id).await? else {
            return Ok(None);
        };
        by_hand::know(&mut tx, business, new.assignee, now).await?;
        let of = Of {
            business,
            client,
            entry: None,
            created_by: None,
        };
        insert(&mut tx, id, &of, new, now).await?;
        let asker = Asker {
            business,
            staff_id: "",
            sight: Sight::All,
        };
        let made = read(&mut tx, &asker, id).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// The task is done, by whom it says; one that was done already stays as it is. The task as it is
    /// afterwards; `None` when there is none that the asker may see.
    pub async fn finish_task(&self, asker: &Asker<'_>, id: Uuid) -> Result<Option<Task>, Error> {
        let change = sql("UPDATE follow_up_tasks SET done_at = ")
            .bind(self.clock.now())
            .push(", done_by = ")
            .bind(asker.staff_id)
            .push(" WHERE done_at IS NULL AND id = ");
        self.change_task(asker, id, (Mark::Done, change)).await
    }

    /// The task is open again.
    pub async fn reopen_task(&self, asker: &Asker<'_>, id: Uuid) -> Result<Option<Task>, Error> {
        let change = sql("UPDATE follow_up_tasks SET done_at = NULL, done_by = NULL \
             WHERE done_at IS NOT NULL AND id = ");
        self.change_task(asker, id, (Mark::Reopened, change)).await
    }

    async fn change_task(
        &self,
        asker: &Asker<'_>,
        id: Uuid,
        (mark, change): (Mark, Stmt),
    ) -> Result<Option<Task>, Error> {
        let mut tx = self.db.write().await?;
        if read(&mut tx, asker, id).await?.is_none() {
            return Ok(None);
        }
        if tx.execute(change.bind(id)).await? > 0 {
            let now = self.clock.now();
            let stmt = sql(
                "INSERT INTO task_changes (id, business_id, task_id, staff_id, changed_at, kind) \
                 VALUES (",
            )
            .bind(self.clock.new_uuid(now))
            .push(", ")
            .bind(asker.business)
            .push(", ")
            .bind(id)
            .push(", ")
            .bind(asker.staff_id)
            .push(", ")
            .bind(now)
            .push(", ")
            .bind(mark.as_str())
            .push(")");
            tx.execute(stmt).await?;
        }
        let changed = read(&mut tx, asker, id).await?;
        tx.commit().await?;
        Ok(changed)
    }
}

impl Mark {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Reopened => "reopened",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let all = [Self::Done, Self::Reopened];
        all.into_iter().find(|mark| mark.as_str() == text)
    }
}

/// The tasks of the business, their clients as far as they are in sight.
fn of(asker: &Asker<'_>) -> Stmt {
    sight::within(sql(COLUMNS), " AND c.uid IN ", asker.business, &asker.sight)
        .push(" WHERE t.business_id = ")
        .bind(asker.business)
}

async fn read(tx: &mut Tx, asker: &Asker<'_>, id: Uuid) -> Result<Option<Task>, Error> {
    let stmt = of(asker)
        .push(" AND t.id = ")
        .bind(id)
        .push(" AND (c.uid IS NOT NULL OR t.assignee = ")
        .bind(asker.staff_id)
        .push(")");
    tx.optional(stmt).await?.as_ref().map(task).transpose()
}

pub(super) async fn insert(
    tx: &mut Tx,
    id: Uuid,
    of: &Of<'_>,
    new: &FollowUp<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    let stmt = sql(
        "INSERT INTO follow_up_tasks (id, business_id, client_uid, entry_id, title, description, \
         due_at, assignee, created_by, created_at) VALUES (",
    )
    .bind(id)
    .push(", ")
    .bind(of.business)
    .push(", ")
    .bind(of.client)
    .push(", ")
    .bind(of.entry.map(NotificationId::uuid))
    .push(", ")
    .bind(new.title)
    .push(", ")
    .bind(new.description)
    .push(", ")
    .bind(new.due_at)
    .push(", ")
    .bind(new.assignee)
    .push(", ")
    .bind(of.created_by.unwrap_or(""))
    .push(", ")
    .bind(now)
    .push(")");
    tx.execute(stmt).await?;
    Ok(())
}

fn task(row: &Row) -> Result<Task, Error> {
    let client = row.opt_text("client_id")?.map(|id| {
        Ok::<_, Error>(TaskClient {
            id,
            name: row.opt_text("client_name")?,
        })
    });
    Ok(Task {
        id: row.id("id")?,
        client: client.transpose()?,
        entry: row.opt_id("entry_id")?.map(NotificationId::new),
        title: row.text("title")?,
        description: row.opt_text("description")?,
        due_at: row.time("due_at")?,
        assignee: row.text("assignee")?,
        assignee_name: row.text("assignee_name")?,
        created_by: row.text("created_by")?,
        created_by_name: row.text("created_by_name")?,
        created_at: row.time("created_at")?,
        done_at: row.opt_time("done_at")?,
        done_by: row.opt_text("done_by")?,
        reopened: row
            .opt_time("reopened_at")?
            .zip(row.opt_text("reopened_by")?),
    })
}
