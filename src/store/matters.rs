//! What operators are told of by webhooks of their own: which matters last, and the news of them that
//! have yet to be sent. Whichever process sees a matter first writes it, once.

use std::time::Duration;

use uuid::Uuid;

use super::db::Tx;
use super::row::Row;
use super::stmt::{Kind, Rows, Stmt, sql};
use super::{Error, Store};
use crate::domain::id::NotificationId;
use crate::domain::matter::{Concern, Matter};
use crate::domain::time::Timestamp;

/// Something to be sent to one address.
#[derive(Clone, Debug)]
pub struct News {
    /// The `webhook-id`, the same each time that it is sent.
    pub id: Uuid,
    pub url: String,
    pub matter: Matter,
    pub subject: String,
    /// It is over.
    pub is_cleared: bool,
    /// Since when it lasts, or lasted.
    pub since: Timestamp,
    /// When it became news.
    pub at: Timestamp,
    /// How often it has been sent, this time included.
    pub attempts: u32,
}

/// Kept for so long after it was written, to be looked at.
const KEPT: Duration = Duration::from_hours(24 * 30);
/// Deleted in one transaction.
const PRUNED_TOGETHER: i64 = 1_000;

impl Store {
    /// Takes note of all matters that there are. What has lasted for its time, and what is over that was
    /// told, becomes news for each of these addresses.
    pub async fn note_matters(&self, seen: &[Concern], urls: &[String]) -> Result<(), Error> {
        super::again(|| self.note_matters_once(seen, urls)).await
    }

    async fn note_matters_once(&self, seen: &[Concern], urls: &[String]) -> Result<(), Error> {
        let now = self.clock.now();
        let mut tx = self.db.write().await?;
        let mut news = Vec::new();
        if seen.is_empty() {
            let stmt = of_known(sql("DELETE FROM operation_matters WHERE "))
                .push(" RETURNING matter, subject, since_at, told_at");
            news.extend(tx.all(stmt).await?.iter().map(|row| told(row, true)));
        } else {
            let stmt = of_known(sql("DELETE FROM operation_matters WHERE "))
                .push(" AND NOT EXISTS (SELECT 1 FROM ")
                .rows(rows(seen, now))
                .push(
                    " WHERE b.matter = operation_matters.matter \
                     AND b.subject = operation_matters.subject) \
                     RETURNING matter, subject, since_at, told_at",
                );
            news.extend(tx.all(stmt).await?.iter().map(|row| told(row, true)));
            let stmt = sql(
                "INSERT INTO operation_matters (matter, subject, since_at, tell_at) \
                 SELECT b.matter, b.subject, b.since_at, b.tell_at FROM ",
            )
            .rows(rows(seen, now))
            .push(" WHERE true ON CONFLICT (matter, subject) DO NOTHING");
            tx.execute(stmt).await?;
            let stmt = sql("UPDATE operation_matters SET told_at = ")
                .bind(now)
                .push(" WHERE told_at IS NULL AND tell_at <= ")
                .bind(now)
                .push(" AND ");
            let stmt = of_known(stmt).push(" RETURNING matter, subject, since_at, told_at");
            news.extend(tx.all(stmt).await?.iter().map(|row| told(row, false)));
        }
        self.write(&mut tx, news, urls, now).await?;
        let stmt = sql(
            "DELETE FROM operation_news WHERE id IN (SELECT id FROM operation_news \
             WHERE id < ",
        )
        .bind(NotificationId::floor(now.minus(KEPT)).uuid())
        .push(" ORDER BY id LIMIT ")
        .bind(PRUNED_TOGETHER)
        .push(")");
        tx.execute(stmt).await?;
        tx.commit().await
    }

    /// Each of the news for each of the addresses.
    async fn write(
        &self,
        tx: &mut Tx,
        news: Vec<Result<Told, Error>>,
        urls: &[String],
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut written = Rows::new(&[
            ("id", Kind::Id),
            ("url", Kind::Text),
            ("matter", Kind::Text),
            ("subject", Kind::Text),
            ("cleared", Kind::Bool),
            ("since_at", Kind::Time),
            ("happened_at", Kind::Time),
        ]);
        for told in news {
            let Some((concern, is_cleared, since)) = told? else {
                continue;
            };
            for url in urls {
                written.add([
                    self.clock.new_uuid(now).into(),
                    url.into(),
                    concern.matter.as_str().into(),
                    (&concern.subject).into(),
                    is_cleared.into(),
                    since.into(),
                    now.into(),
                ]);
            }
        }
        if !written.is_empty() {
            let stmt = sql("INSERT INTO operation_news (id, url, matter, subject, cleared, since_at, \
                 happened_at, due_at, attempts) SELECT b.id, b.url, b.matter, b.subject, b.cleared, \
                 b.since_at, b.happened_at, b.happened_at, 0 FROM ")
            .rows(written);
            tx.execute(stmt).await?;
        }
        Ok(())
    }

    /// News that are to be sent now. Nobody else is given them before `lease` is over.
    pub async fn claim_news(&self, limit: i64, lease: Duration) -> Result<Vec<News>, Error> {
        let now = self.clock.now();
        let mut tx = self.db.write().await?;
        let lock = tx.dialect().lock(" FOR UPDATE SKIP LOCKED");
        let stmt = sql("UPDATE operation_news SET attempts = attempts + 1, due_at = ")
            .bind(now.plus(lease))
            .push(" WHERE id IN (SELECT id FROM operation_news WHERE due_at <= ")
            .bind(now)
            .push(" AND ");
        let stmt = of_known(stmt)
            .push(" ORDER BY due_at, id LIMIT ")
            .bind(limit)
            .push(lock)
            .push(") RETURNING id, url, matter, subject, cleared, since_at, happened_at, attempts");
        let rows = tx.all(stmt).await?;
        tx.commit().await?;
        let mut news: Vec<News> = rows.iter().map(item).collect::<Result<_, _>>()?;
        news.sort_by_key(|item| item.id);
        Ok(news)
    }

    /// When it is sent once more; `None`: it was taken, or is given up.
    pub async fn end_news(&self, id: Uuid, again_at: Option<Timestamp>) -> Result<(), Error> {
        let mut tx = self.db.write().await?;
        let stmt = sql("UPDATE operation_news SET due_at = ")
            .bind(again_at)
            .push(" WHERE id = ")
            .bind(id);
        tx.execute(stmt).await?;
        tx.commit().await
    }
}

/// During a deploy a newer program may write of matters that this one does not know: it is left to that one.
fn of_known(stmt: Stmt) -> Stmt {
    let words = Matter::all().map(Matter::as_str);
    stmt.push("matter IN ").bind_list(words)
}

/// In one order, so that no two processes wait for each other.
fn rows(seen: &[Concern], now: Timestamp) -> Rows {
    let mut rows = Rows::new(&[
        ("matter", Kind::Text),
        ("subject", Kind::Text),
        ("since_at", Kind::Time),
        ("tell_at", Kind::Time),
    ]);
    let mut sorted: Vec<&Concern> = seen.iter().collect();
    sorted.sort();
    sorted.dedup();
    for concern in sorted {
        rows.add([
            concern.matter.as_str().into(),
            (&concern.subject).into(),
            now.into(),
            now.plus(concern.matter.patience()).into(),
        ]);
    }
    rows
}

type Told = Option<(Concern, bool, Timestamp)>;

/// What was never told is not over either.
fn told(row: &Row, is_cleared: bool) -> Result<Told, Error> {
    if row.opt_time("told_at")?.is_none() {
        return Ok(None);
    }
    let concern = Concern {
        matter: row.word("matter", Matter::parse)?,
        subject: row.text("subject")?,
    };
    Ok(Some((concern, is_cleared, row.time("since_at")?)))
}

fn item(row: &Row) -> Result<News, Error> {
    Ok(News {
        id: row.id("id")?,
        url: row.text("url")?,
        matter: row.word("matter", Matter::parse)?,
        subject: row.text("subject")?,
        is_cleared: row.bool("cleared")?,
        since: row.time("since_at")?,
        at: row.time("happened_at")?,
        attempts: super::jobs::small(row.int("attempts")?),
    })
}
