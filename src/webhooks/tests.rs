//! Which addresses are called, by name and by number.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::caller::{Call, Caller, Concerns, Refusal};
use super::settings::WebhookSettings;
use crate::domain::time::Timestamp;
use crate::domain::webhook::Secret;

fn settings(private: bool) -> WebhookSettings {
    WebhookSettings {
        allow_http: true,
        allow_private_addresses: private,
        connect_timeout_ms: 2_000,
        timeout_ms: 5_000,
        retry_initial_ms: 10,
        retry_max_ms: 100,
        give_up_after_days: 5,
        keep_days: 30,
    }
}

fn event<'a>(url: &'a str, secrets: &'a [Secret]) -> Call<'a> {
    Call {
        url,
        id: "msg_1",
        at: Timestamp::EPOCH,
        body: "{}".to_owned(),
        secrets,
    }
}

async fn call(settings: &WebhookSettings, url: &str) -> Result<(), Refusal> {
    let secrets = [Secret::new([1; 32])];
    let caller = Caller::new(settings).unwrap();
    caller.call(event(url, &secrets)).await
}

/// Gives every connection this answer and the number of its requests.
async fn server(answer: String) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut read = [0; 4096];
            if stream.read(&mut read).await.is_ok_and(|count| count > 0) {
                stream.write_all(answer.as_bytes()).await.ok();
            }
        }
    });
    (port, count)
}

fn answer(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

/// As if the name had been harmless when it was checked: the check that matters is made of what is
/// connected to.
#[tokio::test]
async fn a_name_that_leads_to_a_private_address_is_not_called() {
    let (port, count) = server(answer("200 OK")).await;
    let by_name = format!("http://localhost:{port}/");
    let secrets = [Secret::new([1; 32])];
    for (private, taken) in [(false, false), (true, true)] {
        let caller = Caller::new(&settings(private)).unwrap();
        let result = caller.post(&by_name, event(&by_name, &secrets)).await;
        assert_eq!(result.is_ok(), taken, "{result:?}");
        if let Err(refused) = result {
            let why = "its name leads to an address that is not public";
            assert_eq!(refused.text, why);
            assert_eq!(refused.concerns, Concerns::Endpoint);
        }
        assert_eq!(count.load(Ordering::SeqCst), usize::from(taken));
    }
    let by_number = format!("http://127.0.0.1:{port}/");
    let refused = call(&settings(false), &by_number).await.unwrap_err();
    assert!(refused.text.contains("not public"), "{}", refused.text);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert_eq!(call(&settings(true), &by_number).await, Ok(()));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (inner, count) = server(answer("200 OK")).await;
    let away = format!("302 Found\r\nlocation: http://127.0.0.1:{inner}/");
    let (port, _) = server(answer(&away)).await;
    let refused = call(&settings(true), &format!("http://127.0.0.1:{port}/")).await;
    assert_eq!(refused.unwrap_err().text, "it answered 302");
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_answer_without_end_is_cut_and_silence_has_an_end() {
    let endless = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n{}",
        "x".repeat(20 * 1024)
    );
    let (port, _) = server(endless).await;
    assert_eq!(
        call(&settings(true), &format!("http://127.0.0.1:{port}/")).await,
        Ok(())
    );
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut patient = settings(true);
    patient.timeout_ms = 200;
    let refused = call(&patient, &format!("http://127.0.0.1:{port}/")).await;
    assert_eq!(refused.unwrap_err().text, "it did not answer in time");
}

#[tokio::test]
async fn an_answer_says_whom_the_trouble_concerns() {
    for (status, concerns) in [
        ("400 Bad Request", Concerns::Event),
        ("404 Not Found", Concerns::Event),
        ("410 Gone", Concerns::Gone),
        ("429 Too Many Requests", Concerns::Endpoint),
        ("500 Internal Server Error", Concerns::Endpoint),
        ("301 Moved Permanently", Concerns::Endpoint),
    ] {
        let (port, _) = server(answer(status)).await;
        let refused = call(&settings(true), &format!("http://127.0.0.1:{port}/")).await;
        assert_eq!(refused.unwrap_err().concerns, concerns, "{status}");
    }
}

#[test]
fn each_limit_is_checked() {
    assert!(settings(false).validate().is_empty());
    let mut wrong = settings(false);
    (wrong.timeout_ms, wrong.connect_timeout_ms) = (60_001, 0);
    (wrong.retry_initial_ms, wrong.retry_max_ms) = (100, 10);
    (wrong.give_up_after_days, wrong.keep_days) = (0, 0);
    assert_eq!(wrong.validate().len(), 4, "{:?}", wrong.validate());
    wrong.give_up_after_days = 9;
    assert!(wrong.validate().last().unwrap().contains("keep_days"));
}
