//! Sending many entries again: what a filter would send, and the run that sends it.

use axum::Extension;
use axum::extract::{Form, Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use uuid::Uuid;

use super::Pages;
use super::asked::Asked;
use super::history::line;
use crate::api::fates::{self, prospect};
use crate::domain::order::Order;
use crate::domain::role::Sight;
use crate::store::history::Filter;
use crate::store::resend_runs::{self, NewRun};
use crate::web::staff::{Notice, Visitor};
use crate::web::{self, Preview, Prospect, Run, RunState};

/// Entries that the preview shows.
const SHOWN: usize = 10;
/// Runs before that it names.
const RUNS: usize = 10;

#[derive(Deserialize)]
pub(super) struct Given {
    #[serde(default)]
    id: String,
}

pub(super) async fn preview(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    RawQuery(query): RawQuery,
) -> Result<Response, Notice> {
    answer(&pages, &visitor, &Asked::read(query.as_deref())).await
}

pub(super) async fn begin(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    RawQuery(query): RawQuery,
    Form(given): Form<Given>,
) -> Result<Response, Notice> {
    let asked = Asked::read(query.as_deref());
    let sight = visitor.account.sight();
    let (Ok(id), Ok(filter)) = (Uuid::try_parse(&given.id), asked.strictly(sight.clone())) else {
        return answer(&pages, &visitor, &asked).await;
    };
    let found = look(&pages, &visitor, filter).await?;
    if !asked.chooses() || found.resendable == 0 {
        return answer(&pages, &visitor, &asked).await;
    }
    let account = &visitor.account;
    let order = Order {
        query: asked.query(),
        sight,
        by: None,
    };
    let causes = pages.store.own_causes(&account.business, &asked.causes);
    let run = NewRun {
        id,
        business: &account.business,
        account: account.id,
        staff_id: &account.staff_id,
        filter: order.to_json(),
        total: found.matching,
        causes: &causes.await?,
        by: &account.name,
    };
    pages.store.begin_resend_run(run).await?;
    Ok(Redirect::to(&format!("/resend/{id}")).into_response())
}

pub(super) async fn progress(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    request: HeaderMap,
) -> Result<Response, Notice> {
    let id = Uuid::try_parse(&id).map_err(|_not_an_id| Notice::NotFound)?;
    let business = &visitor.account.business;
    let run = pages.store.resend_run(business, id).await?;
    let run = run.filter(|run| may_see(&visitor, run));
    let run = run.ok_or(Notice::NotFound)?;
    let page = web::render_run(&visitor.head(""), &shown(&run))?;
    Ok(web::html(&request, page))
}

pub(super) async fn stop(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Result<Response, Notice> {
    let id = Uuid::try_parse(&id).map_err(|_not_an_id| Notice::NotFound)?;
    let business = &visitor.account.business;
    let run = pages.store.resend_run(business, id).await?;
    let run = run.filter(|run| may_see(&visitor, run));
    run.ok_or(Notice::NotFound)?;
    // One that is at its end already shows so.
    let by = &visitor.account.staff_id;
    pages.store.stop_resend_run(business, id, by).await?;
    Ok(Redirect::to(&format!("/resend/{id}")).into_response())
}

async fn answer(pages: &Pages, visitor: &Visitor, asked: &Asked) -> Result<Response, Notice> {
    let (mut status, mut refused) = (StatusCode::OK, None);
    let mut found = fates::Prospect::default();
    match asked.strictly(visitor.account.sight()) {
        Ok(_) if !asked.chooses() => {}
        Ok(filter) => found = look(pages, visitor, filter).await?,
        Err(why) => {
            status = StatusCode::UNPROCESSABLE_ENTITY;
            refused = Some(why);
        }
    }
    let business = &visitor.account.business;
    let runs = pages.store.resend_runs(business, RUNS).await?;
    let view = Preview {
        head: visitor.head(""),
        id: pages.clock.new_uuid(pages.clock.now()).to_string(),
        query: asked.query(),
        refused,
        counts: Prospect {
            matching: found.matching,
            more: found.more,
            resendable: found.resendable,
            again: found.again,
            suppressed: found.suppressed,
            not_resendable: found.not_resendable,
        },
        lines: found.newest.iter().map(line).collect(),
        runs: runs
            .iter()
            .filter(|run| may_see(visitor, run))
            .map(shown)
            .collect(),
    };
    let page = web::html(&HeaderMap::new(), web::render_preview(&view)?);
    Ok((status, page).into_response())
}

/// What a run would do that began now.
async fn look(pages: &Pages, visitor: &Visitor, filter: Filter) -> Result<fates::Prospect, Notice> {
    let filter = Filter {
        open_at: Some(pages.clock.now()),
        ..filter
    };
    let business = &visitor.account.business;
    Ok(prospect(&pages.store, business, filter, SHOWN).await?)
}

/// Whether a run may be looked at and stopped: one's own, and by whoever sees all clients.
fn may_see(visitor: &Visitor, run: &resend_runs::Run) -> bool {
    run.account == visitor.account.id || visitor.account.sight() == Sight::All
}

fn shown(run: &resend_runs::Run) -> Run {
    let state = match (run.finished_at, run.stopped_at) {
        (None, None) => RunState::Running,
        (None, Some(_)) => RunState::Stopping,
        (Some(_), Some(_)) => RunState::Stopped,
        (Some(_), None) => RunState::Done,
    };
    Run {
        id: run.id.to_string(),
        user: run.user.clone(),
        begun: run.created_at,
        state,
        total: run.total,
        sent: run.sent,
        left_out: run.left_out,
        stopped: run.stopped_at.zip(run.stopped_by.clone()),
    }
}
