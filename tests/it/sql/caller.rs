//! An application with a database connection of its own.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use sqlx::postgres::{PgConnection, PgDatabaseError};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::support::db::TestDb;

pub(super) struct Caller {
    connection: PgConnection,
}

/// Pointer and detail.
pub(crate) type Errors = BTreeSet<(String, String)>;

/// How a call was refused.
#[derive(Debug, PartialEq)]
pub(super) struct Refused {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) errors: Errors,
}

impl Caller {
    pub(super) async fn connect(db: &TestDb) -> Self {
        Self::at(&db.url).await
    }

    pub(super) async fn at(url: &str) -> Self {
        let connection = PgConnection::connect(url).await.unwrap();
        Self { connection }
    }

    pub(super) async fn run(&mut self, sql: &str) {
        self.try_run(sql).await.unwrap();
    }

    pub(super) async fn try_run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        sql.execute(&mut self.connection).await.map(drop)
    }

    /// One row of one JSON value.
    pub(super) async fn json(&mut self, sql: &str) -> Json {
        let query = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()));
        query.fetch_one(&mut self.connection).await.unwrap()
    }

    pub(super) async fn enqueue(&mut self, body: &Json) -> Result<Json, Refused> {
        self.enqueue_text(&body.to_string()).await
    }

    /// A body exactly as it is written.
    pub(super) async fn enqueue_text(&mut self, body: &str) -> Result<Json, Refused> {
        let query = sqlx::query_scalar("SELECT sendtrail_enqueue($1::text::jsonb)");
        let answer = query.bind(body).fetch_one(&mut self.connection).await;
        answer.map_err(|error| Refused::of(&error))
    }

    pub(super) async fn enqueue_for(
        &mut self,
        business: &str,
        body: &Json,
    ) -> Result<Json, Refused> {
        let query = sqlx::query_scalar("SELECT sendtrail_enqueue($1, business => $2)");
        let query = query.bind(body).bind(business);
        let answer = query.fetch_one(&mut self.connection).await;
        answer.map_err(|error| Refused::of(&error))
    }
}

impl Refused {
    fn of(error: &sqlx::Error) -> Self {
        let error = error
            .as_database_error()
            .unwrap_or_else(|| panic!("{error}"));
        let error = error.downcast_ref::<PgDatabaseError>();
        let detail = error.detail().unwrap_or("[]");
        let errors: Vec<Json> = serde_json::from_str(detail).unwrap_or_default();
        Self {
            code: error.code().to_owned(),
            message: error.message().to_owned(),
            errors: errors.iter().map(pair).collect(),
        }
    }
}

fn pair(error: &Json) -> (String, String) {
    let text = |name: &str| error[name].as_str().unwrap().to_owned();
    (text("pointer"), text("detail"))
}

pub(super) fn id(answer: &Json) -> &str {
    answer["id"].as_str().unwrap()
}
