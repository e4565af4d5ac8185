//! The counts of a range by what they are of: how much each provider had to do with.

use super::flow::{folded, unfolded};
use super::stmt::sql;
use super::{Error, Store};
use crate::domain::flow::{Kind, Range};
use crate::domain::method::Method;

/// Providers, sources and reasons of one range.
const SUBJECTS_MAX: i64 = 500;

/// A sum of a range by what it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    pub kind: Kind,
    /// None: no message of a method.
    pub method: Option<Method>,
    pub subject: String,
    pub amount: i64,
}

/// What one provider had to do with.
#[derive(Clone, Copy, Debug)]
pub struct OfProvider<'a> {
    pub method: Method,
    /// Empty: of none.
    pub provider: &'a str,
    shares: &'a [Share],
}

impl OfProvider<'_> {
    pub fn amount(&self, kind: Kind) -> i64 {
        let of_kind = self.shares.iter().filter(|share| share.kind == kind);
        of_kind.map(|share| share.amount).sum()
    }
}

/// By method and provider, in the order in which [`Store::flow_shares`] has them.
pub fn by_provider(shares: &[Share]) -> impl Iterator<Item = OfProvider<'_>> {
    let same = |a: &Share, b: &Share| a.method == b.method && a.subject == b.subject;
    shares.chunk_by(same).filter_map(|shares| {
        let first = shares.first()?;
        Some(OfProvider {
            method: first.method?,
            provider: &first.subject,
            shares,
        })
    })
}

impl Store {
    /// The counts of a range by method and by subject, in one sum each.
    pub async fn flow_shares(&self, business: &str, range: Range) -> Result<Vec<Share>, Error> {
        let now = self.clock.now();
        let mut tx = self.db.read().await?;
        let stmt = sql(
            "SELECT kind, method, subject, CAST(SUM(amount) AS bigint) AS amount FROM \
             (SELECT c.kind, c.method, c.subject, c.amount FROM flow_counts c WHERE ",
        );
        let stmt = folded(stmt, business, range, now)
            .push(" UNION ALL SELECT unfolded.kind, unfolded.method, unfolded.subject, unfolded.amount FROM ");
        let stmt = unfolded(stmt, business, range, now)
            .push(
                ") AS counted GROUP BY kind, method, subject ORDER BY method, subject, kind LIMIT ",
            )
            .bind(SUBJECTS_MAX);
        let mut shares = Vec::new();
        for row in tx.all(stmt).await? {
            shares.push(Share {
                kind: row.word("kind", Kind::parse)?,
                method: Method::parse(&row.text("method")?),
                subject: row.text("subject")?,
                amount: row.int("amount")?,
            });
        }
        Ok(shares)
    }
}
