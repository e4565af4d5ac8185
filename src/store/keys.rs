//! API keys: found by digest, made, listed, revoked. The keys themselves are not kept.

use uuid::Uuid;

use super::row::Row;
use super::stmt::{Kind, Rows, sql};
use super::{Error, Store};
use crate::domain::time::Timestamp;

/// A key without its secret.
#[derive(Clone, Debug)]
pub struct ApiKey {
    pub id: Uuid,
    pub business: String,
    pub name: String,
    /// `enqueue`, `read`, `admin`, separated by commas.
    pub scopes: String,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

/// A key to be kept.
#[derive(Clone, Debug)]
pub struct NewApiKey<'a> {
    pub business: &'a str,
    pub name: &'a str,
    /// SHA-256 of the key, in hexadecimal.
    pub digest: &'a str,
    pub scopes: &'a str,
    pub expires_at: Option<Timestamp>,
}

/// The longest list of keys.
const KEYS_MAX: i64 = 1_000;

/// The contact types that every business has from the start (W5); the first migration gives them to
/// the business `default`.
const CONTACT_TYPES: [&str; 5] = [
    "Client Notifications",
    "Staff Notifications",
    "Automated Marketing",
    "Message Center",
    "Admin Business",
];

impl Store {
    pub async fn add_key(&self, key: NewApiKey<'_>) -> Result<Uuid, Error> {
        let now = self.clock.now();
        let id = self.clock.new_uuid(now);
        let mut tx = self.db.write().await?;
        let stmt = sql("INSERT INTO api_keys \
             (id, business_id, name, digest, scopes, created_at, expires_at) VALUES (")
        .bind(id)
        .push(", ")
        .bind(key.business)
        .push(", ")
        .bind(key.name)
        .push(", ")
        .bind(key.digest)
        .push(", ")
        .bind(key.scopes)
        .push(", ")
        .bind(now)
        .push(", ")
        .bind(key.expires_at)
        .push(")");
        tx.execute(stmt).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// The key with this digest, valid or not.
    pub async fn find_key(&self, digest: &str) -> Result<Option<ApiKey>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(
            "SELECT id, business_id, name, scopes, created_at, expires_at, revoked_at \
             FROM api_keys WHERE digest = ",
        )
        .bind(digest);
        tx.optional(stmt).await?.as_ref().map(api_key).transpose()
    }

    pub async fn keys(&self) -> Result<Vec<ApiKey>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(
            "SELECT id, business_id, name, scopes, created_at, expires_at, revoked_at \
             FROM api_keys ORDER BY id LIMIT ",
        )
        .bind(KEYS_MAX);
        tx.all(stmt).await?.iter().map(api_key).collect()
    }

    /// `false` when there is no such key that is still valid.
    pub async fn revoke_key(&self, id: Uuid) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        let stmt = sql("UPDATE api_keys SET revoked_at = ")
            .bind(self.clock.now())
            .push(" WHERE id = ")
            .bind(id)
            .push(" AND revoked_at IS NULL");
        let revoked = tx.execute(stmt).await? > 0;
        tx.commit().await?;
        Ok(revoked)
    }

    pub async fn business_exists(&self, id: &str) -> Result<bool, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql("SELECT id FROM businesses WHERE id = ").bind(id);
        Ok(tx.optional(stmt).await?.is_some())
    }

    /// Makes the business unless it exists, with the contact types that every business has.
    pub async fn ensure_business(&self, id: &str, name: &str) -> Result<(), Error> {
        let now = self.clock.now();
        let mut tx = self.db.write().await?;
        let stmt = sql("INSERT INTO businesses (id, name, created_at) VALUES (")
            .bind(id)
            .push(", ")
            .bind(name)
            .push(", ")
            .bind(now)
            .push(") ON CONFLICT (id) DO NOTHING");
        tx.execute(stmt).await?;
        let mut types = Rows::new(&[("name", Kind::Text)]);
        for name in CONTACT_TYPES {
            types.add([name.into()]);
        }
        let stmt = sql("INSERT INTO contact_types (business_id, name, created_at) SELECT ")
            .bind(id)
            .push(", b.name, ")
            .bind(now)
            .push(" FROM ")
            .rows(types)
            .push(" WHERE true ON CONFLICT (business_id, name) DO NOTHING");
        tx.execute(stmt).await?;
        tx.commit().await
    }
}

fn api_key(row: &Row) -> Result<ApiKey, Error> {
    Ok(ApiKey {
        id: row.id("id")?,
        business: row.text("business_id")?,
        name: row.text("name")?,
        scopes: row.text("scopes")?,
        created_at: row.time("created_at")?,
        expires_at: row.opt_time("expires_at")?,
        revoked_at: row.opt_time("revoked_at")?,
    })
}
