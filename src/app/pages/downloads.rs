//! Histories to take away (M7): CSV as it is read, Excel and PDF made in the background.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Form, Path, RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::{Extension, http::HeaderValue};
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::mpsc;
use tracing::error;
use uuid::Uuid;

use super::Pages;
use super::asked::Asked;
use crate::app::downloads::Pages as Entries;
use crate::domain::order::Order;
use crate::domain::time::Timestamp;
use crate::export::{Csv, Format};
use crate::store::Store;
use crate::store::exports::{Export, NewExport};
use crate::store::history::Filter;
use crate::web::staff::{Notice, Visitor};
use crate::web::{self, Download, DownloadState, Downloads};

#[derive(Deserialize)]
pub(super) struct Ask {
    format: String,
    /// The filter, as the address of the report has it.
    #[serde(default)]
    query: String,
}

pub(super) async fn show(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    request: HeaderMap,
) -> Result<Response, Notice> {
    let view = view(&pages, &visitor).await?;
    Ok(web::html(&request, web::render_downloads(&view)?))
}

/// What of the page changes while it is open.
pub(super) async fn live(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    request: HeaderMap,
) -> Result<Response, Notice> {
    let view = view(&pages, &visitor).await?;
    Ok(web::html(&request, web::render_downloads_live(&view)?))
}

async fn view(pages: &Pages, visitor: &Visitor) -> Result<Downloads, Notice> {
    let account = &visitor.account;
    let found = pages.store.exports(&account.business, account.id).await?;
    Ok(Downloads {
        head: visitor.head("/downloads"),
        files: found.iter().map(download).collect(),
    })
}

fn download(export: &Export) -> Download {
    let order = Order::read(&export.filter);
    let asked = Asked::read(order.as_ref().map(|order| order.query.as_str()));
    Download {
        id: export.id,
        title: asked.title(),
        selection: asked.words(),
        format: format(export).label(),
        asked_at: export.created_at,
        expires_at: export.expires_at,
        written: export.written,
        state: match (&export.trouble, export.bytes) {
            (Some(trouble), _) => DownloadState::Failed(trouble.clone()),
            (None, Some(bytes)) => DownloadState::Ready(bytes),
            (None, None) => DownloadState::Making,
        },
    }
}

fn format(export: &Export) -> Format {
    Format::parse(&export.format).unwrap_or(Format::Xlsx)
}

pub(super) async fn ask(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Form(asked): Form<Ask>,
) -> Result<Response, Notice> {
    match Format::parse(&asked.format) {
        None => return Err(Notice::Refused("Choose CSV, Excel or PDF.")),
        Some(Format::Csv) => {
            let to = format!("/downloads/history.csv?{}", asked.query);
            return Ok(Redirect::to(&to).into_response());
        }
        Some(Format::Xlsx | Format::Pdf) => {}
    }
    let account = &visitor.account;
    let order = Order {
        query: asked.query,
        sight: account.sight(),
        by: None,
    };
    let filter = order.to_json();
    let new = NewExport {
        business: &account.business,
        account: account.id,
        format: &asked.format,
        filter: &filter,
    };
    if pages.store.add_export(new).await?.is_none() {
        let text = "Five of your files are being made already. Wait for one of them to be ready.";
        return Err(Notice::Refused(text));
    }
    pages.exports_asked.notify_one();
    Ok(Redirect::to("/downloads").into_response())
}

/// A file that is ready.
pub(super) async fn fetch(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<Uuid>,
) -> Result<Response, Notice> {
    let account = &visitor.account;
    let found = pages
        .store
        .export(&account.business, account.id, id)
        .await?;
    // What was seen when it was asked for may be out of sight by now.
    let seen = |export: &Export| {
        Order::read(&export.filter).is_some_and(|order| order.sight == account.sight())
    };
    let found = found.filter(seen);
    let ready = found.and_then(|export| Some((export.bytes?, export)));
    let (bytes, export) = ready.ok_or(Notice::NotFound)?;
    let store = pages.store.clone();
    let pieces = stream::try_unfold((store, 0), move |(store, number)| async move {
        let piece = store.export_piece(id, number).await.inspect_err(broken)?;
        Ok::<_, crate::store::Error>(piece.map(|bytes| (Bytes::from(bytes), (store, number + 1))))
    });
    let mut response = file(
        format(&export),
        export.created_at,
        Body::from_stream(pieces),
    );
    let length = HeaderValue::from(bytes);
    response.headers_mut().insert(CONTENT_LENGTH, length);
    Ok(response)
}

/// Sent while it is read: it begins at once and takes the same memory however long it gets.
pub(super) async fn csv(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    RawQuery(query): RawQuery,
) -> Result<Response, Notice> {
    let turn = Arc::clone(&pages.csv_turns).try_acquire_owned();
    let turn = turn.map_err(|_closed_or_full| {
        Notice::Refused("Several histories are being sent at the moment. Try again in a minute.")
    })?;
    let filter = Asked::read(query.as_deref()).filter(visitor.account.sight());
    let (store, business) = (pages.store.clone(), visitor.account.business.clone());
    let (pieces, taken) = mpsc::channel(PIECES_AHEAD);
    tokio::spawn(async move {
        // Given back when the file is read, or its reader has not taken any for a while.
        let _turn = turn;
        if let Err(failed) = read_out(&store, &business, filter, &pieces).await {
            error!(error = %failed, "a history as CSV was cut off");
        }
    });
    let pieces = stream::unfold(Some(taken), async |taken| {
        let mut taken = taken?;
        match taken.recv().await {
            Some(Some(piece)) => Some((Ok(piece), Some(taken))),
            Some(None) => None,
            None => Some((Err(std::io::Error::other("cut off")), None)),
        }
    });
    Ok(file(
        Format::Csv,
        pages.clock.now(),
        Body::from_stream(pieces),
    ))
}

/// Pieces of a CSV that are read before somebody takes them.
const PIECES_AHEAD: usize = 2;
/// A reader who takes nothing for so long makes place for others.
const READER_SLEEPS: Duration = Duration::from_secs(30);

/// A part of the file; none: that was all. Without that word it was cut off.
type Piece = Option<Vec<u8>>;

async fn read_out(
    store: &Store,
    business: &str,
    filter: Filter,
    pieces: &mpsc::Sender<Piece>,
) -> anyhow::Result<()> {
    let mut entries = Entries::new(store, business, filter, Format::Csv.rows_max());
    let mut piece = Csv::headings()?;
    loop {
        if !piece.is_empty()
            && pieces
                .send_timeout(Some(piece), READER_SLEEPS)
                .await
                .is_err()
        {
            // Gone, or asleep.
            return Ok(());
        }
        let Some(rows) = entries.next().await? else {
            pieces.send_timeout(None, READER_SLEEPS).await.ok();
            return Ok(());
        };
        piece = Csv::rows(&rows)?;
    }
}

fn broken(failed: &crate::store::Error) {
    error!(error = %failed, "a file for staff was cut off");
}

fn file(format: Format, at: Timestamp, body: Body) -> Response {
    let day = at.to_string().chars().take(10).collect::<String>();
    let name = format!(
        "attachment; filename=\"contact-history-{day}.{}\"",
        format.as_str()
    );
    let name = HeaderValue::try_from(name).expect("letters of our own");
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(format.media_type())),
        (CONTENT_DISPOSITION, name),
        (CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
    ];
    (StatusCode::OK, headers, body).into_response()
}
