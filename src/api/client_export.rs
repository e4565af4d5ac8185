//! `GET /v1/clients/{id}/export`: all that is kept of one client, as one document (access request). It is
//! read and sent piece by piece, so that it takes the same memory however long the history is.

use std::collections::{BTreeSet, VecDeque};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tracing::error;
use utoipa::ToSchema;

use super::Shared;
use super::auth::{Caller, Scope};
use super::clients::ClientJson;
use super::content::Shown;
use super::entries::EntryJson;
use super::history::{ClientId, no_such_client};
use super::problem::Problem;
use super::suppression_list::SuppressionJson;
use super::tasks::TaskJson;
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;
use crate::store::changes::{Changed, Edit};
use crate::store::clients::Client;
use crate::store::history::{Entry, Filter, Order};
use crate::store::suppressions::{Filter as Listed, PAGE_MAX};
use crate::store::{Error, Store};

/// All that is kept of a client.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClientExport)]
pub(super) struct ClientExportJson {
    /// `1`: what is added later leaves it, what would break a reader raises it.
    version: u32,
    #[schema(value_type = String, format = DateTime)]
    exported_at: Timestamp,
    client: ClientJson,
    /// The oldest first.
    entries: Vec<ExportedEntry>,
    tasks: Vec<TaskJson>,
    /// What stands on the suppression list for the client's addresses, and what was taken off it.
    suppressions: Vec<SuppressionJson>,
}

/// An entry with its whole story.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ExportedEntry {
    #[serde(flatten)]
    entry: EntryJson,
    /// What was sent, as long as it is kept. Attached files are fetched by their `href`.
    content: Option<Shown>,
    /// What staff changed of the entry.
    changes: Vec<ChangeJson>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Change)]
struct ChangeJson {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The name of who changed it.
    user: String,
    /// `description`, `tags`, `card`, or `override`: it was sent again although the address was suppressed.
    what: &'static str,
    before: Option<String>,
    after: Option<String>,
}

impl From<Changed> for ChangeJson {
    fn from(changed: Changed) -> Self {
        let (what, before, after) = match changed.edit {
            Edit::Description { before, after } => ("description", before, after),
            Edit::Card { before, after, .. } => ("card", before, after),
            Edit::Override { why } => ("override", None, Some(why)),
            Edit::Tags { before, after } => {
                ("tags", Some(before.join(", ")), Some(after.join(", ")))
            }
        };
        Self {
            at: changed.at,
            user: changed.user,
            what,
            before,
            after,
        }
    }
}

/// Entries read at once, each with its content, which may be half a megabyte.
const ENTRIES: usize = 20;
const TASKS: i64 = 200;
/// Addresses asked for at once.
const ADDRESSES: usize = 100;

/// The document while it is written.
#[derive(Debug)]
pub struct ClientExport {
    store: Store,
    business: String,
    client: Client,
    at: Timestamp,
    part: Part,
    /// Something was written in the list that is open.
    begun: bool,
    addresses: BTreeSet<String>,
}

#[derive(Debug)]
enum Part {
    Head,
    Entries(Option<NotificationId>),
    Tasks(uuid::Uuid),
    Suppressions(VecDeque<Listed>),
    Tail,
    Done,
}

impl ClientExport {
    /// `None` when the business has no such client.
    pub async fn open(
        store: &Store,
        business: &str,
        id: &str,
        at: Timestamp,
    ) -> Result<Option<Self>, Error> {
        let client = store.client(business, id).await?;
        Ok(client.map(|client| Self {
            store: store.clone(),
            business: business.to_owned(),
            at,
            part: Part::Head,
            begun: false,
            addresses: [&client.email, &client.phone]
                .into_iter()
                .flatten()
                .map(|address| address.to_lowercase())
                .collect(),
            client,
        }))
    }

    /// The next piece, which may be empty; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<String>, Error> {
        let mut piece = String::new();
        self.part = match std::mem::replace(&mut self.part, Part::Done) {
            Part::Head => {
                let card = json(&ClientJson::from(self.client.clone()))?;
                let at = json(&self.at)?;
                piece =
                    format!("{{\"version\":1,\"exported_at\":{at},\"client\":{card},\"entries\":[");
                Part::Entries(None)
            }
            Part::Entries(after) => self.entries(after, &mut piece).await?,
            Part::Tasks(after) => self.tasks(after, &mut piece).await?,
            Part::Suppressions(wanted) => self.suppressions(wanted, &mut piece).await?,
            Part::Tail => {
                piece.push_str("]}\n");
                Part::Done
            }
            Part::Done => return Ok(None),
        };
        Ok(Some(piece))
    }

    async fn entries(
        &mut self,
        after: Option<NotificationId>,
        piece: &mut String,
    ) -> Result<Part, Error> {
        let filter = Filter {
            client_id: Some(self.client.id.clone()),
            order: Order::OldestFirst,
            after,
            limit: ENTRIES,
            ..Filter::default()
        };
        let page = self.store.history(&self.business, &filter).await?;
        for entry in page.entries {
            self.addresses
                .extend(entry.to.iter().map(|to| to.to_lowercase()));
            let exported = self.entry(entry).await?;
            self.add(piece, &exported)?;
        }
        Ok(match page.next {
            Some(last) => Part::Entries(Some(last)),
            None => self.list(piece, "tasks", Part::Tasks(uuid::Uuid::nil())),
        })
    }

    async fn entry(&self, entry: Entry) -> Result<ExportedEntry, Error> {
        let (kept, business, id) = (&self.store, &self.business, entry.id);
        let content = kept.content(business, id).await?;
        let changes = kept.entry_changes(business, id).await?;
        let story = kept.story(id).await?;
        Ok(ExportedEntry {
            content: content.map(|content| Shown::new(&entry, content)),
            entry: EntryJson::with_story(entry, &story),
            changes: changes.into_iter().map(Into::into).collect(),
        })
    }

    async fn tasks(&mut self, after: uuid::Uuid, piece: &mut String) -> Result<Part, Error> {
        let tasks = self.store.tasks_of_client(self.client.uid, after, TASKS);
        let tasks = tasks.await?;
        let last = tasks.last().map(|task| task.id);
        for task in tasks {
            self.add(piece, &TaskJson::from(task))?;
        }
        if let Some(last) = last {
            return Ok(Part::Tasks(last));
        }
        let addresses: Vec<String> = self.addresses.iter().cloned().collect();
        let wanted = addresses.chunks(ADDRESSES).flat_map(|some| {
            [false, true].map(|lifted| Listed {
                addresses: some.to_vec(),
                lifted,
                limit: PAGE_MAX,
                ..Listed::default()
            })
        });
        let wanted = wanted.collect();
        Ok(self.list(piece, "suppressions", Part::Suppressions(wanted)))
    }

    async fn suppressions(
        &mut self,
        mut wanted: VecDeque<Listed>,
        piece: &mut String,
    ) -> Result<Part, Error> {
        let Some(mut filter) = wanted.pop_front() else {
            return Ok(Part::Tail);
        };
        let page = self.store.suppressions(&self.business, &filter).await?;
        filter.after = page.suppressions.last().map(|last| last.id);
        for entry in page.suppressions {
            self.add(piece, &SuppressionJson::from(entry))?;
        }
        if page.more {
            wanted.push_front(filter);
        }
        Ok(Part::Suppressions(wanted))
    }

    /// Ends one list and begins the next.
    fn list(&mut self, piece: &mut String, name: &str, part: Part) -> Part {
        self.begun = false;
        piece.push_str("],\"");
        piece.push_str(name);
        piece.push_str("\":[");
        part
    }

    fn add(&mut self, piece: &mut String, item: &impl Serialize) -> Result<(), Error> {
        if std::mem::replace(&mut self.begun, true) {
            piece.push_str(",\n");
        }
        piece.push_str(&json(item)?);
        Ok(())
    }
}

fn json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|why| Error::Encode(why.to_string()))
}

/// All that is kept of a client, in one document: the card, every entry with content and timeline, tasks,
/// what stands on the suppression list for its addresses.
#[utoipa::path(
    get, path = "/v1/clients/{id}/export", tag = "clients",
    params(("id" = String, Path, description = "The application's id of the client.")),
    responses(
        (status = 200, description = "The document, sent while it is read. One that was cut off is no JSON.", body = ClientExportJson),
        (status = 404, description = "The business has no such client."),
    ),
)]
pub(super) async fn export(
    State(shared): State<Shared>,
    caller: Caller,
    ClientId(id): ClientId,
) -> Result<Response, Problem> {
    let business = caller.allowed(Scope::Admin)?;
    let now = shared.api.clock.now();
    let opened = ClientExport::open(&shared.api.store, business, &id, now).await?;
    let export = opened.ok_or_else(no_such_client)?;
    let pieces = stream::try_unfold(export, async |mut export| {
        let piece = export.next().await.inspect_err(|failed| {
            error!(error = %failed, "the export of a client was cut off");
        })?;
        Ok::<_, Error>(piece.map(|piece| (Bytes::from(piece), export)))
    });
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, no-store"),
        ),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}
