//! `sendtrail failures resend`: a whole group of failures sent again.

use std::process::ExitCode;

use anyhow::Context as _;
use indicatif::ProgressBar;
use uuid::Uuid;

use super::by::By;
use super::failures::no_such;
use super::progress::{INTERRUPTED, bar, listen};
use super::{say, tell};
use crate::api::fates::prospect;
use crate::api::{preview_json, run_json};
use crate::app::Resending;
use crate::clock::Clock;
use crate::domain::order::Order;
use crate::domain::role::Sight;
use crate::store::Store;
use crate::store::history::Filter;
use crate::store::resend_runs::{NO_ACCOUNT, NewRun, Run};

/// Marks that are set together.
const MARKED: usize = 500;

#[derive(Debug, clap::Args)]
pub(super) struct Resend {
    /// The id of the cause, as `sendtrail failures` lists it.
    #[arg(required_unless_present = "run")]
    cause: Option<Uuid>,
    #[arg(long, default_value = "default")]
    business: String,
    /// Say what would be sent, and send nothing.
    #[arg(long)]
    dry_run: bool,
    /// Go on with a run that was begun before.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["cause", "dry_run", "by"])]
    run: Option<Uuid>,
    #[command(flatten)]
    by: By,
    /// The run, or what it would do, as one JSON object, as `POST /v1/failures/resend` answers.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(store: &Store, clock: &Clock, asked: Resend) -> anyhow::Result<ExitCode> {
    let business = asked.business.as_str();
    let id = match (asked.run, asked.cause) {
        (Some(run), _) => run,
        (None, Some(cause)) => match begin(store, clock, cause, &asked).await? {
            Some(run) => run,
            None => return Ok(ExitCode::SUCCESS),
        },
        (None, None) => anyhow::bail!("name a cause, or a run with --run"),
    };
    work(store, business, id, asked.json).await
}

/// Tells what would be sent and begins a run; none where nothing is to be sent.
async fn begin(
    store: &Store,
    clock: &Clock,
    cause: Uuid,
    asked: &Resend,
) -> anyhow::Result<Option<Uuid>> {
    let (business, by) = (asked.business.as_str(), asked.by.name()?);
    let known = store.cause(business, cause).await?;
    known.with_context(|| no_such(cause))?;
    let filter = Filter {
        causes: vec![cause],
        open_at: Some(clock.now()),
        ..Filter::default()
    };
    let found = prospect(store, business, filter, 0).await?;
    let more = if found.more { " and more" } else { "" };
    tell(format_args!(
        "{}{more} failed and are open: {} will be sent again; left out: {} sent again before, \
         {} suppressed, {} that cannot be sent again",
        found.matching, found.resendable, found.again, found.suppressed, found.not_resendable
    ));
    if asked.dry_run || found.resendable == 0 {
        if asked.json {
            say(preview_json(&[cause], &found, asked.dry_run));
        } else if !asked.dry_run {
            say("there is nothing to send again");
        }
        return Ok(None);
    }
    let id = clock.new_uuid(clock.now());
    let order = Order {
        query: format!("cause={cause}"),
        sight: Sight::All,
        by: Some(by.clone()),
    };
    let new = NewRun {
        id,
        business,
        account: NO_ACCOUNT,
        staff_id: "",
        filter: order.to_json(),
        total: found.matching,
        causes: &[cause],
        by: &by,
    };
    store.begin_resend_run(new).await?;
    Ok(Some(id))
}

/// Works at a run to its end, beside others that may.
async fn work(store: &Store, business: &str, id: Uuid, as_json: bool) -> anyhow::Result<ExitCode> {
    let told = listen();
    let resending = Resending::of(store);
    let mut shown: Option<ProgressBar> = None;
    loop {
        let run = resending.go_on(business, id).await?;
        let run = run.with_context(|| format!("the business has no run {id}"))?;
        let done = run.sent + run.left_out;
        let bar = shown.get_or_insert_with(|| {
            bar(Some(run.total), "{bar:30} {pos} of {len}  {per_sec}  {eta}")
        });
        bar.set_length(run.total.max(done));
        bar.set_position(done);
        if run.finished_at.is_some() {
            bar.finish_and_clear();
            while store.mark_resent(MARKED).await? >= MARKED {}
            if as_json {
                say(run_json(run));
            } else {
                say(end(&run));
            }
            return Ok(ExitCode::SUCCESS);
        }
        if told.is_cancelled() {
            bar.finish_and_clear();
            tell(format_args!(
                "{done} of {} are done. Where `sendtrail serve` runs, the run goes on by itself. Go on \
                 here: sendtrail failures resend --run {id} --business {business}. End it: sendtrail \
                 failures stop {id} --business {business}.",
                run.total
            ));
            if as_json {
                say(run_json(run));
            }
            return Ok(ExitCode::from(INTERRUPTED));
        }
    }
}

fn end(run: &Run) -> String {
    let stopped = if run.stopped_at.is_some() {
        "; it was stopped"
    } else {
        ""
    };
    format!(
        "{} sent again, {} left out{stopped} (run {})",
        run.sent, run.left_out, run.id
    )
}
