//! What `sendtrail demo` shows, from outside.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::child::{Variables, signal, start};
use super::client::Client;
use crate::support::process::free_port;

const TIMEOUT: Duration = Duration::from_secs(30);

/// The entries of a list, once there is one.
async fn some(client: &Client, path: &str, list: &str) -> Vec<Value> {
    let started = Instant::now();
    loop {
        let (status, text) = client.get(path).await;
        assert_eq!(status, 200, "{path}: {text}");
        let told: Value = serde_json::from_str(&text).unwrap();
        match told[list].as_array() {
            Some(found) if !found.is_empty() => return found.clone(),
            _ => assert!(started.elapsed() < TIMEOUT, "{path}: {text}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_shows_every_page_something_and_a_second_business() {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let variables = Variables::default().with("HTTP__LISTEN", &address.to_string());
    let mut child = start(&variables, &["demo"]);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    let mut key = || {
        let line = lines.find(|line| line.trim_start().starts_with("API key"));
        line.unwrap().split_whitespace().last().unwrap().to_owned()
    };
    let (first, second) = (Client::new(address, &key()), key());
    let second = Client::new(address, &second);

    let tasks = some(&first, "/v1/tasks", "tasks").await;
    assert_eq!(tasks[0]["client_id"], "C-1001", "{tasks:?}");
    let inbound = some(&first, "/v1/history?channel=Inbound", "entries").await;
    let methods: Vec<&Value> = inbound.iter().map(|entry| &entry["method"]).collect();
    assert!(methods.contains(&&Value::from("sms")), "{methods:?}");
    assert!(methods.contains(&&Value::from("phone")), "{methods:?}");
    let visits = some(&first, "/v1/history?method=in_person", "entries").await;
    assert_eq!(visits[0]["user"], "No Staff");
    let templates = some(&first, "/v1/templates", "templates").await;
    let name = templates[0]["name"].as_str().unwrap();
    let started = Instant::now();
    let mut filled = false;
    while !filled {
        assert!(started.elapsed() < TIMEOUT, "none is made of {name}");
        for entry in some(&first, "/v1/history?limit=200", "entries").await {
            let entry = first.entry(entry["id"].as_str().unwrap()).await;
            filled |= entry["template"]["name"] == name;
        }
    }

    let theirs = some(&second, "/v1/history", "entries").await;
    assert_eq!(theirs.len(), 1, "{theirs:?}");
    assert_eq!(theirs[0]["client_id"], "L-1001");
    assert!(signal("TERM", child.id()));
    assert!(child.wait().unwrap().success());
}
