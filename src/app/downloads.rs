//! Files that staff asked for, made in the background: one at a time in each process, begun anew by
//! another when a process dies over one.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::pages::asked::Asked;
use crate::clock::Clock;
use crate::domain::order::Order;
use crate::export::{self, About, Format, Pdf, Row, Sheet};
use crate::store::browse::Browse;
use crate::store::exports::Export;
use crate::store::history::{Filter, PAGE_MAX};
use crate::store::{self, Store};

/// How often a process looks for files that another has left.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often a file is begun: a database that restarts is no reason to give it up.
const ATTEMPTS_MAX: i64 = 3;
/// A piece of a file: one row of the database, small beside its memory.
const PIECE_BYTES: usize = 1024 * 1024;

/// Makes files as they are asked for.
#[derive(Clone)]
pub(super) struct Maker {
    pub(super) store: Store,
    pub(super) clock: Clock,
    /// Somebody asked just now.
    pub(super) asked: Arc<Notify>,
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Export(#[from] export::Error),
    #[error("its writing ended before its time: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl Maker {
    pub(super) async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let made = tokio::select! {
                made = self.make_one() => made,
                () = stop.cancelled() => return,
            };
            match made {
                Ok(true) => continue,
                Ok(false) => {}
                Err(failed) => error!(error = %failed, "a file for staff could not be made"),
            }
            tokio::select! {
                () = self.asked.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// `false` when there is nothing to do.
    async fn make_one(&self) -> Result<bool, Trouble> {
        let Some(mut export) = self.store.claim_export().await? else {
            return Ok(false);
        };
        let result = match self.make(&mut export).await {
            Ok(Some(bytes)) => Ok(bytes),
            // Another has taken it over, or it was given up.
            Ok(None) => return Ok(true),
            // The database may be away: whoever finds it back begins anew, a few times.
            Err(Trouble::Store(failed)) if export.attempts < ATTEMPTS_MAX => {
                return Err(failed.into());
            }
            Err(failed) => {
                error!(error = %failed, export = %export.id, "a file for staff could not be made");
                Err("It could not be written. Narrow the filter and ask again; the log says more.")
            }
        };
        self.store.finish_export(&export, result).await?;
        let (entries, format) = (export.written, &export.format);
        info!(export = %export.id, entries, format, "a file for staff is done with");
        Ok(true)
    }

    /// How long the file is; `None` when there is nothing more to say of it.
    async fn make(&self, export: &mut Export) -> Result<Option<i64>, Trouble> {
        let account = self.store.staff_account(export.account).await?;
        let account = account.filter(|account| account.business == export.business);
        let order = Order::read(&export.filter);
        let (Some(account), Some(order)) = (account, order) else {
            let why = "The account of whoever asked is closed.";
            return Ok(self.give_up(export, why).await?);
        };
        if account.sight() != order.sight {
            let why = "Whose clients you see has changed since. Ask again.";
            return Ok(self.give_up(export, why).await?);
        }
        let asked = Asked::read(Some(&order.query));
        let filter = asked.filter(order.sight);
        let about = About {
            title: asked.title(),
            business: account.business_name.clone(),
            selection: asked.words(),
            of_all: asked.client.is_none(),
            made_at: self.clock.now(),
        };
        let file = match Format::parse(&export.format) {
            Some(Format::Xlsx) => self.sheet(export, filter, &about).await?,
            Some(Format::Pdf) => self.document(export, filter, about).await?,
            // CSV is sent as it is read and never waits here.
            Some(Format::Csv) | None => None,
        };
        let Some(file) = file else { return Ok(None) };
        self.keep(export, file).await
    }

    async fn give_up(&self, export: &Export, why: &str) -> Result<Option<i64>, store::Error> {
        self.store.finish_export(export, Err(why)).await?;
        Ok(None)
    }

    async fn sheet(
        &self,
        export: &mut Export,
        filter: Filter,
        about: &About,
    ) -> Result<Option<Vec<u8>>, Trouble> {
        let mut sheet = Sheet::new(about)?;
        let (business, most) = (export.business.clone(), Format::Xlsx.rows_max());
        let mut pages = Pages::new(&self.store, &business, filter, most);
        while let Some(rows) = pages.next().await? {
            sheet.add(&rows)?;
            if !self.note(export, rows.len()).await? {
                return Ok(None);
            }
        }
        let finish = move || {
            let mut file = Cursor::new(Vec::new());
            sheet.finish(&mut file)?;
            Ok(file.into_inner())
        };
        self.finished(export, finish).await
    }

    async fn document(
        &self,
        export: &mut Export,
        filter: Filter,
        about: About,
    ) -> Result<Option<Vec<u8>>, Trouble> {
        let mut document = Pdf::new(about)?;
        let (business, most) = (export.business.clone(), Format::Pdf.rows_max());
        let mut pages = Pages::new(&self.store, &business, filter, most);
        while let Some(rows) = pages.next().await? {
            document.add(&rows)?;
            if !self.note(export, rows.len()).await? {
                return Ok(None);
            }
        }
        self.finished(export, move || document.finish()).await
    }

    /// What ends a file may take a while; meanwhile nobody else takes it over.
    async fn finished(
        &self,
        export: &mut Export,
        finish: impl FnOnce() -> Result<Vec<u8>, export::Error> + Send + 'static,
    ) -> Result<Option<Vec<u8>>, Trouble> {
        let mut task = tokio::task::spawn_blocking(finish);
        loop {
            tokio::select! {
                file = &mut task => return Ok(Some(file??)),
                () = tokio::time::sleep(LOOK_EVERY) => {
                    if !self.note(export, 0).await? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn note(&self, export: &mut Export, more: usize) -> Result<bool, store::Error> {
        export.written += i64::try_from(more).unwrap_or(i64::MAX);
        self.store.go_on_with_export(export, None).await
    }

    async fn keep(&self, export: &mut Export, file: Vec<u8>) -> Result<Option<i64>, Trouble> {
        let file = Bytes::from(file);
        let mut begin = 0;
        for number in 0.. {
            let end = file.len().min(begin + PIECE_BYTES);
            if begin == end {
                break;
            }
            let piece = (number, file.slice(begin..end));
            if !self.store.go_on_with_export(export, Some(piece)).await? {
                return Ok(None);
            }
            begin = end;
        }
        Ok(Some(i64::try_from(file.len()).unwrap_or(i64::MAX)))
    }
}

/// The entries of a selection, page by page.
pub(super) struct Pages<'a> {
    store: &'a Store,
    business: &'a str,
    browse: Browse,
    /// How many may still come.
    left: usize,
}

impl<'a> Pages<'a> {
    pub(super) fn new(store: &'a Store, business: &'a str, filter: Filter, most: usize) -> Self {
        let filter = Filter {
            limit: PAGE_MAX,
            ..filter
        };
        Self {
            store,
            business,
            browse: Browse {
                filter,
                ..Browse::default()
            },
            left: most,
        }
    }

    /// As far as one look reaches, which may be without an entry; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Row>>, store::Error> {
        if self.left == 0 {
            return Ok(None);
        }
        let looked = self.store.browse(self.business, &self.browse).await?;
        let mut rows: Vec<Row> = looked.entries.iter().map(Row::from).collect();
        rows.truncate(self.left);
        self.left = match looked.next {
            Some(_) => self.left - rows.len(),
            None => 0,
        };
        self.browse.after = looked.next;
        Ok(Some(rows))
    }
}
