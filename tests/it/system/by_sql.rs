//! From `sendtrail_enqueue` in an application's transaction to the receiving mail server.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use super::child::Variables;
use super::program::Program;
use super::queue::{all_done, statuses};
use super::sink::Sink;
use crate::support::db::on_postgres;

const TIMEOUT: Duration = Duration::from_mins(1);
/// How often the worker looks by itself: far longer than a notice may take.
const POLL_MS: u64 = 30_000;

/// Nothing but the notice can have woken the worker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_transaction_enqueued_is_sent_as_soon_as_it_commits() {
    on_postgres(async |db| {
        let sink = Sink::start(Duration::ZERO).await;
        let poll = POLL_MS.to_string();
        let variables = Variables::of(db).through(&sink).with("DELIVERY__POLL_MS", &poll);
        let program = Program::start(&variables).await;
        // It has looked once, and listens.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut application = PgConnection::connect(&db.url).await.unwrap();
        for (number, end) in ["ROLLBACK", "COMMIT", "COMMIT"].into_iter().enumerate() {
            let body = json!({"client": {"id": "C-1", "email": "ana@example.com"}, "method": "email",
                "type": end, "content": {"subject": format!("{end} {number}"), "text": "Hello"}});
            let statement = format!(
                "BEGIN; SELECT sendtrail_enqueue('{body}'); SELECT pg_sleep(0.2); {end}"
            );
            let statement = sqlx::raw_sql(AssertSqlSafe(statement));
            statement.execute(&mut application).await.unwrap();
            let committed = Instant::now();
            sink.until(number, TIMEOUT).await;
            println!("{end}: {number} received {:?} later", committed.elapsed());
            assert!(committed.elapsed() < Duration::from_millis(POLL_MS / 2));
        }
        all_done(db, TIMEOUT).await;
        assert_eq!(sink.count(), 2, "what was rolled back is not sent");
        assert_eq!(statuses(db).await, ["Sent 2"]);
        program.stop().await;
    })
    .await;
}
