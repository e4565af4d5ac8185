//! The example in Rust of `docs/integrate.md`.

use std::time::Duration;

use serde_json::{Value, json};

pub(super) async fn enqueue(base: &str, key: &str) -> Result<Value, reqwest::Error> {
    let http = reqwest::Client::builder()
        .timeout(Duration::from_secs(30))
        .build()?;
    let body = json!({
        "client": {"id": "C-1001", "name": "Ana Ruiz"},
        "method": "email",
        "to": "opened@simulator.test",
        "type": "Booking confirmation",
        "content": {"subject": "See you on Monday", "text": "Dear Ana, see you on Monday at ten."},
        "idempotency_key": "rust-8812-confirmation",
    });
    let request = http
        .post(format!("{base}/v1/notifications"))
        .bearer_auth(key)
        .json(&body);
    let sent: Value = request.send().await?.error_for_status()?.json().await?;
    let id = sent["id"].as_str().unwrap_or_default();
    loop {
        let request = http
            .get(format!("{base}/v1/notifications/{id}"))
            .bearer_auth(key);
        let entry: Value = request.send().await?.error_for_status()?.json().await?;
        if entry["status"] != "Awaiting Send" {
            return Ok(entry);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
