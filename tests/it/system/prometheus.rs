//! A real Prometheus that scrapes programs of the tests and evaluates the alarms that are shipped.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::process::{Process, free_port};

pub(super) struct Prometheus {
    _process: Process,
    folder: tempfile::TempDir,
    base: String,
    http: reqwest::Client,
}

/// An address, and how many seconds an answer may take; so often it is asked.
pub(super) type Target = (SocketAddr, u64);

const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Every second, so that a test need not wait.
const SETTINGS: &str = "
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [alarms.yml]
scrape_configs:
  - job_name: sendtrail
    file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]
";

impl Prometheus {
    /// Scrapes these, with the alarms as they are but for `for:`, which is cut to nothing.
    pub(super) async fn start(targets: &[Target]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("prometheus.yml", SETTINGS);
        write("alarms.yml", &at_once(&alarms()));
        write("targets.json", &listed(targets));
        let port = free_port();
        let mut command = Command::new("prometheus");
        command
            .current_dir(folder.path())
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let process = Process::spawn(command).listening(port);
        let prometheus = Self {
            _process: process,
            folder,
            base: format!("http://127.0.0.1:{port}"),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        prometheus.until_ready().await;
        prometheus.until_scraped().await;
        prometheus
    }

    /// From now on these.
    pub(super) fn scrape(&self, targets: &[Target]) {
        // A reader must not see half of it.
        let path = |name: &str| self.folder.path().join(name);
        std::fs::write(path("targets.new"), listed(targets)).unwrap();
        std::fs::rename(path("targets.new"), path("targets.json")).unwrap();
    }

    async fn until_ready(&self) {
        let is_ready = async || {
            let answer = self.http.get(format!("{}/-/ready", self.base)).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        };
        while !is_ready().await {
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Before the first scrape nothing is known to be up.
    async fn until_scraped(&self) {
        while self.value("up == 1").await.is_none() || !self.alarms().await.is_empty() {
            sleep(POLL_INTERVAL).await;
        }
    }

    async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let url = format!("{}{path}", self.base);
        let url = reqwest::Url::parse_with_params(&url, query).unwrap();
        let answer = self.http.get(url).send().await.unwrap();
        let text = answer.text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["status"], "success", "{answer}");
        answer["data"].clone()
    }

    /// The value of an expression that gives one; nothing while it gives none.
    pub(super) async fn value(&self, expression: &str) -> Option<f64> {
        let data = self.ask("/api/v1/query", &[("query", expression)]).await;
        let text = data["result"][0]["value"][1].as_str()?;
        Some(text.parse().unwrap())
    }

    /// The alarms that fire or are about to, by name, with what they say.
    pub(super) async fn alarms(&self) -> Vec<(String, String)> {
        let data = self.ask("/api/v1/alerts", &[]).await;
        let alarms = data["alerts"].as_array().unwrap().iter();
        let told = alarms.map(|alarm| {
            let name = alarm["labels"]["alertname"].as_str().unwrap().to_owned();
            (name, alarm["annotations"].to_string())
        });
        told.collect()
    }

    /// Until every one of them has fired at some time; adds what fires beside them. What they say must
    /// be filled in.
    pub(super) async fn until_fired(
        &self,
        wanted: &BTreeSet<String>,
        fired: &mut BTreeSet<String>,
        at_most: Duration,
    ) {
        let started = Instant::now();
        while !wanted.is_subset(fired) {
            for (name, told) in self.alarms().await {
                let is_filled = !told.contains("<error") && !told.contains("no value");
                assert!(is_filled, "{name}: {told}");
                fired.insert(name);
            }
            let missing: Vec<_> = wanted.difference(fired).collect();
            assert!(started.elapsed() < at_most, "never fired: {missing:?}");
            sleep(POLL_INTERVAL).await;
        }
    }
}

/// For `file_sd_configs`.
fn listed(targets: &[Target]) -> String {
    let groups = targets.iter().map(|(address, seconds)| {
        let every = format!("{seconds}s");
        let labels = json!({"__scrape_interval__": every, "__scrape_timeout__": every});
        json!({"targets": [address.to_string()], "labels": labels})
    });
    json!(groups.collect::<Vec<_>>()).to_string()
}

/// The alarms as they are shipped.
fn alarms() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/prometheus/alarms.yml");
    std::fs::read_to_string(path).unwrap()
}

/// Their names.
pub(super) fn names() -> BTreeSet<String> {
    let text = alarms();
    let names = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

fn at_once(alarms: &str) -> String {
    let lines = alarms.lines().map(|line| match line.split_once("for: ") {
        Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 0s"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}
