//! Which columns of a contact history a member sees.

use axum::Extension;
use axum::extract::{Form, State};
use axum::response::{IntoResponse as _, Redirect, Response};

use super::Pages;
use crate::domain::column::Column;
use crate::web::staff::{self, Notice, Visitor};

pub(super) async fn choose(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Form(given): Form<Vec<(String, String)>>,
) -> Result<Response, Notice> {
    let is_shown = |column: &Column| {
        let mut fields = given.iter();
        fields.any(|(name, value)| name == "show" && value == column.as_str())
    };
    let all = Column::ALL.into_iter();
    let hidden: Vec<Column> = all
        .filter(|column| column.may_be_hidden() && !is_shown(column))
        .collect();
    let account = visitor.account.id;
    pages.store.hide_columns(account, &hidden).await?;
    let back = given.iter().find(|(name, _)| name == "back");
    let back = staff::place(back.map(|(_, back)| back.as_str()));
    Ok(Redirect::to(back).into_response())
}
