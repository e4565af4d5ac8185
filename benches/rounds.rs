//! The rounds of one load at one server: rates, and the CPU time that all of them took.

use std::sync::Arc;
use std::time::Duration;

use crate::database::{Database, Kind};
use crate::http_load;
use crate::process::Server;
use crate::report::{cpu_each, median, per_second};

/// What is sent in one round.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) requests: Arc<Vec<Vec<u8>>>,
    /// Items in one request.
    pub(crate) each: usize,
    pub(crate) connections: usize,
    /// The status of every answer.
    pub(crate) expected: u16,
}

#[derive(Debug, Default)]
pub(crate) struct Rounds {
    rates: Vec<f64>,
    items: usize,
    server: Duration,
    database: Duration,
}

impl Rounds {
    pub(crate) async fn run(
        &mut self,
        server: &Server,
        database: &Database,
        load: &Load,
    ) -> anyhow::Result<()> {
        let (server_before, database_before) = (server.cpu()?, database.server_cpu()?);
        let answered = http_load::run(
            server.address,
            load.connections,
            &load.requests,
            load.expected,
        )
        .await?;
        let items = load.requests.len() * load.each;
        self.items += items;
        self.rates.push(per_second(items, answered.took));
        self.server += server.cpu()?.saturating_sub(server_before);
        self.database += database.server_cpu()?.saturating_sub(database_before);
        Ok(())
    }

    /// Items a second.
    pub(crate) fn median(&self) -> f64 {
        median(&self.rates)
    }

    /// CPU time of one item in the server and, where it commits, in a database of its own.
    pub(crate) fn cost(&self, commits_to: Option<Kind>) -> String {
        let mut cost = cpu_each("server", self.server, self.items);
        if commits_to == Some(Kind::Postgres) {
            cost = format!(
                "{cost}, {}",
                cpu_each("database", self.database, self.items)
            );
        }
        cost
    }
}
