//! Signed SNS messages on 256 connections: verified, kept and applied before they are answered.

use std::sync::Arc;

use anyhow::{Context as _, ensure};

use crate::database::{Database, Kind};
use crate::fill::{self, Fill};
use crate::process::Server;
use crate::report::{Figure, Report, Target};
use crate::rig::Rig;
use crate::rounds::{Load, Rounds};
use crate::sns::Signer;

pub(crate) const CONNECTIONS: usize = 256;
const CLIENTS: usize = 1_000;
const TEXT: usize = 500;
const LEAST: f64 = 0.3;
/// So many times fewer messages are enough where each has a transaction of its own; signing them
/// beforehand takes longer than sending them.
const FEWER: usize = 8;

/// What each server did.
#[derive(Default)]
struct Measured {
    ours: Rounds,
    verify: Rounds,
    echo: Rounds,
    commit_each: Rounds,
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
    let ids = fill::enqueue(&store, rounds * (messages + messages / FEWER), fill).await?;
    fill::mark_sent(&store, &rig.clock).await?;
    store.close().await;
    let requests = signer.deliveries(&ids).await?;

    let mut measured = Measured::default();
    let certificate = certificate.to_str().context("an unreadable path")?;
    measured
        .run(&database, certificate, requests, messages)
        .await?;
    let delivered = "SELECT CAST(COUNT(*) AS bigint) FROM delivery_facts \
                     WHERE delivered_at IS NOT NULL";
    let delivered = database.raw().await?.number(delivered).await?;
    ensure!(
        usize::try_from(delivered)? == ids.len(),
        "{delivered} of {} applied",
        ids.len()
    );
    database.discard(rig).await?;
    Ok(measured.report(kind, messages))
}

impl Measured {
    async fn run(
        &mut self,
        database: &Database,
        certificate: &str,
        mut requests: Vec<Vec<u8>>,
        messages: usize,
    ) -> anyhow::Result<()> {
        let webhook = Server::floor(&["webhook", certificate, &database.url]).await?;
        let commit_each = Server::floor(&["commit-each", certificate, &database.url]).await?;
        let verify = Server::floor(&["verify", certificate]).await?;
        let echo = Server::floor(&["echo", "200"]).await?;
        while !requests.is_empty() {
            let mut next = |count| {
                let requests = requests.split_off(requests.len().saturating_sub(count));
                let requests = Arc::new(requests);
                Load {
                    requests,
                    each: 1,
                    connections: CONNECTIONS,
                    expected: 200,
                }
            };
            let (first, second) = (next(messages), next(messages / FEWER));
            self.echo.run(&echo, database, &first).await?;
            self.verify.run(&verify, database, &first).await?;
            self.ours.run(&webhook, database, &first).await?;
            self.commit_each
                .run(&commit_each, database, &second)
                .await?;
        }
        Ok(())
    }

    fn report(&self, kind: Kind, messages: usize) -> Report {
        let mut report = Report::new(format!(
            "webhooks, {}: {messages} signed SES Delivery events over {CONNECTIONS} connections",
            kind.label()
        ));
        let figure = |name, floor: &Rounds, target, cost| Figure {
            what: "sendtrail: verified and committed",
            value: self.ours.median(),
            unit: "messages/s",
            floor: Some((name, floor.median())),
            target,
            cost,
        };
        let cost = self.ours.cost(Some(kind));
        report.add(&figure(
            "verify-only",
            &self.verify,
            Target::TimesFloor(LEAST),
            cost,
        ));
        report.add(&figure(
            "commit-each",
            &self.commit_each,
            Target::None,
            String::new(),
        ));
        let mut floor = |what, rounds: &Rounds, commits_to| {
            report.plain(what, rounds.median(), "messages/s", rounds.cost(commits_to));
        };
        floor("floor: verified only", &self.verify, None);
        floor("floor: bare HTTP", &self.echo, None);
        floor(
            "floor: verified, one transaction each",
            &self.commit_each,
            Some(kind),
        );
        report
    }
}
