//! Signed SNS messages on 256 connections: verified, kept and applied before they are answered.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::database::{Database, Kind};
use crate::fill::{self, Fill};
use crate::http_load;
use crate::process::Server;
use crate::report::{Figure, Report, Target, cpu_each, median, per_second};
use crate::rig::Rig;
use crate::sns::Signer;

const CONNECTIONS: usize = 256;
const CLIENTS: usize = 1_000;
const TEXT: usize = 500;
const LEAST: f64 = 0.3;

/// The rounds of one server.
#[derive(Default)]
struct Rounds {
    rates: Vec<f64>,
    server: Duration,
    database: Duration,
}

impl Rounds {
    async fn run(
        &mut self,
        server: &Server,
        database: &Database,
        requests: Vec<Vec<u8>>,
    ) -> anyhow::Result<()> {
        let requests = Arc::new(requests);
        let (server_before, database_before) = (server.cpu()?, database.server_cpu()?);
        let took = http_load::run(server.address, CONNECTIONS, &requests, 200).await?;
        self.rates.push(per_second(requests.len(), took));
        self.server = server.cpu()?.saturating_sub(server_before);
        self.database = database.server_cpu()?.saturating_sub(database_before);
        Ok(())
    }

    fn median(&self) -> f64 {
        median(&self.rates)
    }
}

pub(crate) async fn measure(rig: &Rig, kind: Kind) -> anyhow::Result<Report> {
    let (rounds, messages) = (rig.sizes.rounds, rig.sizes.webhooks);
    let certificate = rig.folder().join("certificate.pem");
    let signer = Signer::generate(rig.clock.clone(), &certificate)?;
    let database = Database::fresh(rig, kind, "webhooks").await?;
    let store = database.store(rig).await?;
    let fill = Fill {
        clients: CLIENTS,
        text_bytes: TEXT,
        send_at: None,
    };
    // A round of ours and one of commit-each each need messages that were not seen before.
    let ids = fill::enqueue(&store, rounds * messages * 2, fill).await?;
    fill::mark_sent(&store, &rig.clock).await?;
    store.close().await;
    let requests = signer.deliveries(&ids).await?;

    let certificate = certificate.to_str().context("an unreadable path")?;
    let webhook = Server::floor(&["webhook", certificate, &database.url]).await?;
    let commit_each = Server::floor(&["commit-each", certificate, &database.url]).await?;
    let verify = Server::floor(&["verify", certificate]).await?;
    let echo = Server::floor(&["echo", "200"]).await?;
    let (mut ours, mut each) = (Rounds::default(), Rounds::default());
    let (mut verified, mut echoed) = (Rounds::default(), Rounds::default());
    for round in requests.chunks(messages * 2) {
        let (first, second) = round.split_at(messages);
        echoed.run(&echo, &database, first.to_vec()).await?;
        verified.run(&verify, &database, first.to_vec()).await?;
        ours.run(&webhook, &database, first.to_vec()).await?;
        each.run(&commit_each, &database, second.to_vec()).await?;
    }
    drop([webhook, commit_each, verify, echo]);
    let delivered = "SELECT CAST(COUNT(*) AS bigint) FROM delivery_facts \
                     WHERE delivered_at IS NOT NULL";
    let delivered = database.raw().await?.number(delivered).await?;
    ensure!(
        usize::try_from(delivered)? == ids.len(),
        "{delivered} of {} applied",
        ids.len()
    );
    database.discard(rig).await?;

    let cost = |rounds: &Rounds, commits: bool| {
        let server = cpu_each("server", rounds.server, messages);
        if commits && kind == Kind::Postgres {
            return format!(
                "{server}, {}",
                cpu_each("database", rounds.database, messages)
            );
        }
        server
    };
    let mut report = Report::new(format!(
        "webhooks, {}: {messages} signed SES Delivery events over {CONNECTIONS} connections",
        kind.label()
    ));
    let figure = |name, floor: &Rounds, target, cost| Figure {
        what: "sendtrail: verified and committed",
        value: ours.median(),
        unit: "messages/s",
        floor: Some((name, floor.median())),
        target,
        cost,
    };
    report.add(&figure(
        "verify-only",
        &verified,
        Target::TimesFloor(LEAST),
        cost(&ours, true),
    ));
    report.add(&figure("commit-each", &each, Target::None, String::new()));
    let mut floor = |what, rounds: &Rounds, commits| {
        report.plain(what, rounds.median(), "messages/s", cost(rounds, commits));
    };
    floor("floor: verify-only", &verified, false);
    floor("floor: bare HTTP", &echoed, false);
    floor("floor: verified, one transaction each", &each, true);
    Ok(report)
}
