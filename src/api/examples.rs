//! Examples of bodies, for the document. A test sends each of them.

use serde_json::{Value as Json, json};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::{OpenApi, RefOr};

/// Puts them beside the schemas of the bodies.
pub(super) fn add(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let operations = [
            ("POST", &mut item.post),
            ("PUT", &mut item.put),
            ("PATCH", &mut item.patch),
            ("DELETE", &mut item.delete),
        ];
        for (method, operation) in operations {
            let body = operation.as_mut().and_then(|it| it.request_body.as_mut());
            let example = of(method, path);
            if let (Some(RefOr::T(body)), Some(example)) = (body, example) {
                show(body, &example);
            }
        }
    }
}

fn show(body: &mut RequestBody, example: &Json) {
    for content in body.content.values_mut() {
        if let RefOr::T(content) = content {
            content.example = Some(example.clone());
        }
    }
}

/// The body of a call as an application may send it.
fn of(method: &str, path: &str) -> Option<Json> {
    let body = match (method, path) {
        ("POST", "/v1/notifications") => json!({
            "client": {"id": "C-1001", "name": "Ana Ruiz", "email": "ana@example.com"},
            "method": "email",
            "type": "Booking confirmation",
            "content": {"subject": "See you on Monday", "text": "Dear Ana, see you on Monday at ten."},
            "idempotency_key": "booking-8812-confirmation",
        }),
        ("POST", "/v1/notifications/{id}/resend") => {
            json!({"to": "ana.ruiz@example.com", "staff_id": "S-7"})
        }
        ("POST", "/v1/notifications/{id}/decide") => json!({"action": "resend", "staff_id": "S-7"}),
        ("POST", "/v1/notifications/{id}/events") => json!({"kind": "opened", "id": "app-event-1"}),
        ("POST", "/v1/clients") => json!({
            "id": "C-1001", "name": "Ana Ruiz", "email": "ana@example.com", "phone": "+14155550123",
        }),
        ("PATCH", "/v1/clients/{id}") => json!({"phone": "+14155550199"}),
        ("POST", "/v1/clients/{id}/contact-log") => json!({
            "date": "2026-01-05T10:30:00Z", "method": "phone", "channel": "Inbound",
            "contact_type": "Message Center", "description": "Asked for another time.",
            "staff_id": "S-7",
        }),
        ("PATCH", "/v1/contact-log/{id}") => {
            json!({"description": "Asked for another time, on Monday.", "staff_id": "S-7"})
        }
        ("POST", "/v1/tasks") => json!({
            "client": "C-1001", "title": "Call back", "due_at": "2027-01-04T09:00:00Z", "assignee": "S-7",
        }),
        ("POST", "/v1/suppressions") => json!({
            "method": "email", "address": "ana@example.com", "reason": "staff",
            "note": "She asked on the phone.", "staff_id": "S-7",
        }),
        ("DELETE", "/v1/suppressions") => json!({
            "method": "email", "address": "ana@example.com", "note": "She asked for them again.",
        }),
        ("POST", "/v1/webhooks") => json!({
            "url": "https://example.com/webhooks",
            "events": ["notification.bounced", "notification.opened"],
        }),
        ("PATCH", "/v1/tasks/{id}") => json!({"done": true, "staff_id": "S-7"}),
        ("POST", "/v1/webhooks/{id}/replay") => json!({"from": "2027-01-01T00:00:00Z"}),
        ("PUT", "/v1/templates/{name}") => json!({
            "method": "email", "type": "Booking confirmation",
            "subject": "See you on {{ day }}", "text": "Dear {{ name }}, see you on {{ day }}.",
        }),
        ("PATCH", "/v1/business") => json!({"email_from": "Bookings <bookings@example.com>"}),
        ("POST", "/v1/providers/{method}/pause" | "/v1/providers/{method}/{provider}/pause") => {
            json!({"reason": "The provider asked for an hour."})
        }
        _ => return None,
    };
    Some(body)
}
