//! Signed SNS messages while a worker on the same database sends as fast as it can: how long does SNS
//! wait for its answer, when it gives up after 15 seconds?

use std::sync::Arc;

use anyhow::{Context as _, ensure};

use crate::database::{Database, Kind};
use crate::fill::{self, Fill};
use crate::http_load;
use crate::process::{Server, Sink};
use crate::report::{Figure, Report, Target, per_second, percentile};
use crate::rig::Rig;
use crate::sns::Signer;
use crate::webhooks::CONNECTIONS;

const CLIENTS: usize = 1_000;
const TEXT: usize = 2_000;
/// SNS waits 15 s for an answer and then counts the delivery as failed (Amazon SNS, "Fanout to HTTP/S
/// endpoints").
const P99_MILLIS_MAX: f64 = 15_000.0;
const SENT_BEFORE: usize = 1_000;

pub(crate) async fn measure(rig: &Rig, kind: Kind) -> anyhow::Result<Report> {
    let (messages, emails) = (rig.sizes.beside, rig.sizes.beside_emails);
    let certificate = rig.folder().join("certificate.pem");
    let signer = Signer::generate(rig.clock.clone(), &certificate)?;
    let database = Database::fresh(rig, kind, "beside").await?;
    let store = database.store(rig).await?;
    let fill = Fill {
        clients: CLIENTS,
        text_bytes: TEXT,
        send_at: None,
    };
    let ids = fill::enqueue(&store, messages, fill).await?;
    fill::mark_sent(&store, &rig.clock).await?;
    fill::enqueue(&store, emails, fill).await?;
    store.close().await;
    let requests = Arc::new(signer.deliveries(&ids).await?);

    let sink = Sink::start().await?;
    let certificate = certificate.to_str().context("an unreadable path")?;
    let webhook = Server::floor(&["webhook", certificate, &database.url]).await?;
    let mut raw = database.raw().await?;
    let worker = Server::sendtrail(&database.url, "worker", Some(sink.port)).await?;
    let before = loop {
        let sent = raw.sent().await?;
        if sent >= messages + SENT_BEFORE {
            break sent;
        }
    };
    let answered = http_load::run(webhook.address, CONNECTIONS, &requests, 200).await?;
    let after = raw.sent().await?;
    drop(worker);
    ensure!(
        after < messages + emails,
        "the worker came to the end of its {emails} emails"
    );
    drop(raw);
    database.discard(rig).await?;

    let mut report = Report::new(format!(
        "beside, {}: {messages} signed SES Delivery events over {CONNECTIONS} connections while a \
         worker sends",
        kind.label()
    ));
    let millis = |share| percentile(&answered.millis, share);
    report.add(&Figure {
        what: "from a message to its answer, p99",
        value: millis(0.99),
        unit: "ms",
        floor: None,
        target: Target::AtMost(P99_MILLIS_MAX),
        cost: format!("p50 {:.0} ms, longest {:.0} ms", millis(0.5), millis(1.0)),
    });
    let rate = per_second(messages, answered.took);
    report.plain("verified and committed", rate, "messages/s", "");
    let rate = per_second(after - before, answered.took);
    report.plain("sent meanwhile", rate, "emails/s", "");
    Ok(report)
}
