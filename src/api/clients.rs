//! `/v1/clients`: the cards of clients, made, shown and changed.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::auth::{Caller, Scope};
use super::fields::{Errors, Fields};
use super::history::{ClientId, no_such_client};
use super::intake::{ID_LENGTH_MAX, NAME_LENGTH_MAX};
use super::problem::{Kind, Problem};
use super::schemas::{ClientBody, ClientChangesBody};
use super::{Shared, body};
use crate::domain::method::Method;
use crate::domain::time::Timestamp;
use crate::store::clients::{Change, Changes, Client};

pub(super) const NAMES: [&str; 7] = [
    "id",
    "name",
    "email",
    "phone",
    "location",
    "staff_id",
    "deactivated",
];
pub(super) const CHANGE_NAMES: [&str; 7] = [
    "name",
    "email",
    "phone",
    "location",
    "staff_id",
    "deactivated",
    "hold",
];

/// A client's card.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Client)]
pub(super) struct ClientJson {
    /// The application's id of the client.
    #[schema(example = "C-1001")]
    id: String,
    name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    /// Staff who see clients by location see those of their own.
    location: Option<String>,
    /// The staff member whose client it is.
    staff_id: Option<String>,
    /// Nothing is sent to a deactivated client.
    deactivated: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    deactivated_at: Option<Timestamp>,
    /// The law wants it kept: it is neither deleted with time nor erased.
    hold: bool,
    /// Since when nothing personal is kept of the client.
    #[schema(value_type = Option<String>, format = DateTime)]
    erased_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Client> for ClientJson {
    fn from(client: Client) -> Self {
        Self {
            id: client.id,
            name: client.name,
            email: client.email,
            phone: client.phone,
            location: client.location,
            staff_id: client.staff_id,
            deactivated: client.deactivated_at.is_some(),
            deactivated_at: client.deactivated_at,
            hold: client.hold,
            erased_at: client.erased_at,
            created_at: client.created_at,
        }
    }
}

/// Makes a client's card. An enqueue makes one by itself for a client that has none.
#[utoipa::path(
    post, path = "/v1/clients", tag = "clients", request_body = ClientBody,
    responses(
        (status = 201, description = "Made.", body = ClientJson),
        (status = 400, description = "The body is not JSON."),
        (status = 409, description = "There is a client with this id."),
        (status = 413, description = "The body is too large."),
        (status = 415, description = "The body is not declared as JSON."),
        (status = 422, description = "Fields are wrong; nothing was changed."),
    ),
)]
pub(super) async fn add(
    State(shared): State<Shared>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let business = caller.allowed(Scope::Enqueue)?;
    let body = body::required(request).await?;
    let mut errors = Errors::default();
    let read = Fields::open(&body, String::new(), &NAMES, &mut errors).and_then(|mut fields| {
        fields.require(&["id"]);
        let id = fields.id("id", ID_LENGTH_MAX);
        let changes = changes(&mut fields, &body);
        Some((id?, changes))
    });
    let (id, card) = errors.unless_any(read).map_err(Problem::invalid)?;
    let added = shared.api.store.add_client(business, &id, &card);
    let client = added.await?.ok_or_else(|| {
        Problem::new(
            Kind::Conflict,
            "There is a client with this id; change it with PATCH.",
        )
    })?;
    Ok((StatusCode::CREATED, Json(ClientJson::from(client))).into_response())
}

/// A client's card.
#[utoipa::path(
    get, path = "/v1/clients/{id}", tag = "clients",
    params(("id" = String, Path, description = "The application's id of the client.")),
    responses(
        (status = 200, description = "The card.", body = ClientJson),
        (status = 404, description = "The business has no such client."),
    ),
)]
pub(super) async fn show(
    State(shared): State<Shared>,
    caller: Caller,
    ClientId(id): ClientId,
) -> Result<Json<ClientJson>, Problem> {
    let business = caller.allowed(Scope::Read)?;
    let found = shared.api.store.client(business, &id).await?;
    let client = found.ok_or_else(no_such_client)?;
    Ok(Json(client.into()))
}

/// Changes a client's card. What is absent stays; null empties a field (RFC 7396). A deactivated
/// client is sent nothing, what waits already included. A hold needs a key with the scope `admin`.
#[utoipa::path(
    patch, path = "/v1/clients/{id}", tag = "clients",
    params(("id" = String, Path, description = "The application's id of the client.")),
    request_body = ClientChangesBody,
    responses(
        (status = 200, description = "The card as it is now.", body = ClientJson),
        (status = 400, description = "The body is not JSON."),
        (status = 404, description = "The business has no such client."),
        (status = 413, description = "The body is too large."),
        (status = 415, description = "The body is not declared as JSON."),
        (status = 422, description = "Fields are wrong; nothing was changed."),
    ),
)]
pub(super) async fn change(
    State(shared): State<Shared>,
    caller: Caller,
    ClientId(id): ClientId,
    request: Request,
) -> Result<Json<ClientJson>, Problem> {
    let business = caller.allowed(Scope::Enqueue)?;
    let body = body::required(request).await?;
    let mut errors = Errors::default();
    let read = Fields::open(&body, String::new(), &CHANGE_NAMES, &mut errors)
        .map(|mut fields| changes(&mut fields, &body));
    let changes = errors.unless_any(read).map_err(Problem::invalid)?;
    if changes.hold.is_some() {
        caller.allowed(Scope::Admin)?;
    }
    let card = shared.api.store.change_client(business, &id, &changes);
    let client = card.await?.ok_or_else(no_such_client)?;
    Ok(Json(client.into()))
}

fn changes(fields: &mut Fields<'_, '_>, body: &Value) -> Changes {
    let change = |name: &str, value: Option<String>| match (body.get(name), value) {
        (None, _) => Change::Keep,
        (Some(_), Some(value)) => Change::To(value),
        // Null; what is wrong is noted.
        (Some(_), None) => Change::Empty,
    };
    let name = fields.line("name", NAME_LENGTH_MAX);
    let email = given(fields, "email", Method::Email);
    let phone = given(fields, "phone", Method::Sms);
    let location = fields.line("location", NAME_LENGTH_MAX);
    let staff_id = fields.line("staff_id", ID_LENGTH_MAX);
    Changes {
        name: change("name", name),
        email: change("email", email),
        phone: change("phone", phone),
        location: change("location", location),
        staff_id: change("staff_id", staff_id),
        deactivated: fields.flag("deactivated"),
        hold: fields.flag("hold"),
    }
}

fn given(fields: &mut Fields<'_, '_>, name: &str, method: Method) -> Option<String> {
    fields.get(name)?;
    let address = fields.address(name, method)?;
    Some(address.as_str().to_owned())
}
