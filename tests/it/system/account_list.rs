//! The suppression list of the SES account, shown and shortened beside our own.

use reqwest::Method;
use serde_json::{Value, json};

use super::child::Variables;
use super::client::Client;
use super::program::Program;
use crate::support::db::{TestDb, both};

both!(
    an_address_is_taken_off_the_list_of_ses_with_the_local_entry_and_that_is_on_record,
    without_ses_there_is_no_such_list,
);

const LIST: &str = "/v1/suppressions/ses";
const ADDRESS: &str = "suppressed@simulator.test";

async fn admin(program: &Program) -> Client {
    Client::with_key_for("admin", program.app.address(), program.app.store()).await
}

async fn json_at(client: &Client, path: &str) -> Value {
    let (status, body) = client.get(path).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

async fn an_address_is_taken_off_the_list_of_ses_with_the_local_entry_and_that_is_on_record(
    db: &TestDb,
) {
    let program = Program::start(&Variables::of(db).sandbox()).await;
    let admin = admin(&program).await;
    let first = json_at(&admin, &format!("{LIST}?limit=2")).await;
    assert_eq!(first["suppressions"][0]["reason"], "complaint", "{first}");
    let path = format!("{LIST}?limit=2&cursor={}", first["next"].as_str().unwrap());
    let second = json_at(&admin, &path).await;
    assert_eq!(
        second["suppressions"].as_array().unwrap().len(),
        1,
        "{second}"
    );
    assert_eq!(second["next"], Value::Null);
    let one = json_at(&admin, &format!("{LIST}?address=Suppressed@simulator.test")).await;
    assert_eq!(one["suppressions"][0]["address"], ADDRESS);
    let (status, _) = program.client.get(LIST).await;
    assert_eq!(status, 403, "an application's key");

    // The bounce that SES reports puts it on our own list.
    let id = program
        .client
        .enqueue(&[
            json!({"client": "C-1", "method": "email", "to": ADDRESS, "type": "Reminder",
            "content": {"subject": "Hello", "text": "See you"}}),
        ])
        .await
        .remove(0);
    program
        .client
        .until(&id, |entry| entry["status"] == "Bounced")
        .await;
    let body = json!({"method": "email", "address": ADDRESS, "ses": true, "staff_id": "S-7",
        "note": "the mailbox works again"});
    let lift = || admin.ask(Method::DELETE, "/v1/suppressions", Some(&body));
    let (status, answer) = lift().await.unwrap();
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["ses"], true, "{answer}");
    assert_eq!(answer["lifted"].as_array().unwrap().len(), 1, "{answer}");
    let one = json_at(&admin, &format!("{LIST}?address={ADDRESS}")).await;
    assert_eq!(one["suppressions"], json!([]));
    let (status, _) = lift().await.unwrap();
    assert_eq!(status, 404, "it is on neither list");

    let lifted = json_at(
        &admin,
        &format!("/v1/suppressions?lifted=true&address={ADDRESS}"),
    )
    .await;
    let sources: Vec<&str> = lifted["suppressions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["lifted"]["staff_id"] == "S-7")
        .map(|entry| entry["source"].as_str().unwrap())
        .collect();
    assert_eq!(
        sources,
        ["ses", "ses"],
        "the local one and that of the account: {lifted}"
    );
    program.stop().await;
}

async fn without_ses_there_is_no_such_list(db: &TestDb) {
    let variables = Variables::of(db).sandbox().with("EMAIL__PROVIDERS", "smtp");
    let program = Program::start(&variables).await;
    let (status, body) = admin(&program).await.get(LIST).await;
    assert_eq!(status, 409, "{body}");
    program.stop().await;
}
