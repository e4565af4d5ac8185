//! Templates: every content one ever had, and which of them is current.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::row::Row;
use super::stmt::{Kind, Rows, Stmt, sql};
use super::{Error, Store};
use crate::domain::method::Method;
use crate::domain::time::Timestamp;

/// One version of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTemplate {
    pub name: String,
    /// Made from the content, so that the same content is the same version.
    pub version: Uuid,
    pub method: Method,
    pub type_name: Option<String>,
    /// For push, the title.
    pub subject: Option<String>,
    pub text: Option<String>,
    pub html: Option<String>,
}

/// A line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    pub version: Uuid,
    pub method: Method,
    pub type_name: Option<String>,
    /// Of a template: when this version became current. Of a version: when it was first written.
    pub at: Timestamp,
}

/// What became of a template that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The name is new.
    Created,
    /// Another version is current now.
    Changed,
    /// It was current already.
    Unchanged,
}

/// The longest page of a list.
pub const TEMPLATES_PAGE_MAX: usize = 200;

impl Store {
    /// Makes this the current version of the template, kept beside those that it had before.
    pub async fn put_template(
        &self,
        business: &str,
        template: &StoredTemplate,
    ) -> Result<Written, Error> {
        super::again(|| self.put_template_once(business, template)).await
    }

    async fn put_template_once(
        &self,
        business: &str,
        template: &StoredTemplate,
    ) -> Result<Written, Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        tx.execute(insert_version(business, template, now)).await?;
        let stmt = sql("SELECT version FROM templates WHERE business_id = ")
            .bind(business)
            .push(" AND name = ")
            .bind(&template.name)
            .push(tx.dialect().lock(" FOR UPDATE"));
        let current = tx.optional(stmt).await?;
        let written = match current.map(|row| row.id("version")).transpose()? {
            Some(version) if version == template.version => return Ok(Written::Unchanged),
            Some(_) => Written::Changed,
            None => Written::Created,
        };
        let stmt = sql("INSERT INTO templates (business_id, name, version, updated_at) VALUES (")
            .bind(business)
            .push(", ")
            .bind(&template.name)
            .push(", ")
            .bind(template.version)
            .push(", ")
            .bind(now)
            .push(
                ") ON CONFLICT (business_id, name) DO UPDATE \
                 SET version = excluded.version, updated_at = excluded.updated_at",
            );
        tx.execute(stmt).await?;
        tx.commit().await?;
        Ok(written)
    }

    /// The current versions of these templates, as far as there are any.
    pub async fn current_templates(
        &self,
        business: &str,
        names: &[String],
    ) -> Result<BTreeMap<String, Uuid>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql("SELECT name, version FROM templates WHERE business_id = ")
            .bind(business)
            .push(" AND name IN (SELECT b.name FROM ")
            .rows(rows_of_names(names))
            .push(")");
        let mut current = BTreeMap::new();
        for row in tx.all(stmt).await? {
            current.insert(row.text("name")?, row.id("version")?);
        }
        Ok(current)
    }

    /// One version of a template; the current one when none is named.
    pub async fn template(
        &self,
        business: &str,
        name: &str,
        version: Option<Uuid>,
    ) -> Result<Option<StoredTemplate>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(
            "SELECT v.name, v.version, v.method, v.type, v.subject, v.text, v.html \
             FROM template_versions v WHERE v.business_id = ",
        )
        .bind(business)
        .push(" AND v.name = ")
        .bind(name)
        .push(" AND v.version = ");
        let stmt = match version {
            Some(version) => stmt.bind(version),
            None => stmt
                .push("(SELECT t.version FROM templates t WHERE t.business_id = ")
                .bind(business)
                .push(" AND t.name = ")
                .bind(name)
                .push(")"),
        };
        tx.optional(stmt).await?.as_ref().map(stored).transpose()
    }

    /// The business's templates by name, after this one; one more than the limit when there are
    /// more.
    pub async fn templates(
        &self,
        business: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(
            "SELECT t.name, t.version, v.method, v.type, t.updated_at AS listed_at \
             FROM templates t JOIN template_versions v ON v.business_id = t.business_id \
             AND v.name = t.name AND v.version = t.version WHERE t.business_id = ",
        )
        .bind(business)
        .push(" AND t.name > ")
        .bind(after.unwrap_or_default())
        .push(" ORDER BY t.name LIMIT ")
        .bind(one_more(limit));
        tx.all(stmt).await?.iter().map(listed).collect()
    }

    /// The versions of a template, the latest first, after this one; one more than the limit when
    /// there are more.
    pub async fn template_versions(
        &self,
        business: &str,
        name: &str,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        let mut tx = self.db.read().await?;
        let mut stmt = sql(
            "SELECT v.name, v.version, v.method, v.type, v.created_at AS listed_at \
             FROM template_versions v WHERE v.business_id = ",
        )
        .bind(business)
        .push(" AND v.name = ")
        .bind(name);
        if let Some(after) = after {
            stmt = stmt
                .push(
                    " AND (v.created_at, v.version) < (SELECT a.created_at, a.version \
                     FROM template_versions a WHERE a.business_id = ",
                )
                .bind(business)
                .push(" AND a.name = ")
                .bind(name)
                .push(" AND a.version = ")
                .bind(after)
                .push(")");
        }
        let stmt = stmt
            .push(" ORDER BY v.created_at DESC, v.version DESC LIMIT ")
            .bind(one_more(limit));
        tx.all(stmt).await?.iter().map(listed).collect()
    }
}

fn insert_version(business: &str, template: &StoredTemplate, now: Timestamp) -> Stmt {
    sql(
        "INSERT INTO template_versions (business_id, name, version, method, type, subject, text, \
         html, created_at) VALUES (",
    )
    .bind(business)
    .push(", ")
    .bind(&template.name)
    .push(", ")
    .bind(template.version)
    .push(", ")
    .bind(template.method.as_str())
    .push(", ")
    .bind(template.type_name.clone())
    .push(", ")
    .bind(template.subject.clone())
    .push(", ")
    .bind(template.text.clone())
    .push(", ")
    .bind(template.html.clone())
    .push(", ")
    .bind(now)
    .push(") ON CONFLICT (business_id, name, version) DO NOTHING")
}

fn rows_of_names(names: &[String]) -> Rows {
    let mut rows = Rows::new(&[("name", Kind::Text)]);
    for name in names {
        rows.add([name.into()]);
    }
    rows
}

fn one_more(limit: usize) -> i64 {
    i64::try_from(limit.clamp(1, TEMPLATES_PAGE_MAX) + 1).unwrap_or(i64::MAX)
}

fn stored(row: &Row) -> Result<StoredTemplate, Error> {
    Ok(StoredTemplate {
        name: row.text("name")?,
        version: row.id("version")?,
        method: row.word("method", Method::parse)?,
        type_name: row.opt_text("type")?,
        subject: row.opt_text("subject")?,
        text: row.opt_text("text")?,
        html: row.opt_text("html")?,
    })
}

fn listed(row: &Row) -> Result<Listed, Error> {
    Ok(Listed {
        name: row.text("name")?,
        version: row.id("version")?,
        method: row.word("method", Method::parse)?,
        type_name: row.opt_text("type")?,
        at: row.time("listed_at")?,
    })
}
