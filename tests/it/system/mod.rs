//! The whole program: stories from the call to the status, kills, outages, several workers, hostile
//! feedback, the command line.

/// Declares each test for both databases: `async fn name(kind: Kind)` stands beside it.
macro_rules! on_both_databases {
    ($($test:ident),* $(,)?) => {$(
        mod $test {
            use crate::system::database::Kind;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                Box::pin(super::$test(Kind::Sqlite)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                Box::pin(super::$test(Kind::Postgres)).await;
            }
        }
    )*};
}

mod child;
mod database;
mod kill;
mod program;
mod sink;
mod workers;
