//! `sendtrail demo`: everything on one machine, to watch it work. A fresh database in a folder of
//! its own, sandbox providers, sample clients, traffic that keeps arriving.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use super::{demo_clients, demo_samples, demo_traffic, say, serve};
use crate::api::auth;
use crate::app::{self, App, Roles};
use crate::clock::Clock;
use crate::config::{Environment, Settings};
use crate::store::keys::NewApiKey;

/// Between the steps of a story: slow enough to watch, and for an open to pass as a person's.
const STEP_MS: u64 = 3_200;

/// Every story of trouble is told often, and none is a reason to hold the demo's bulk email.
const BRAKES_VOLUME_MIN: i64 = 1_000_000_000;

pub(super) async fn run(mut settings: Settings) -> anyhow::Result<ExitCode> {
    let folder = fresh_folder()?;
    prepare(&mut settings, &folder);
    let app = App::start(settings, Roles::ALL).await.context(
        "the demo could not start; if its address is taken, choose another with \
         SENDTRAIL__HTTP__LISTEN=127.0.0.1:8026",
    )?;
    let (key, digest) = auth::new_key();
    let scopes = "enqueue,read,admin";
    let new = NewApiKey {
        business: "default",
        name: "demo",
        digest: &digest,
        scopes,
        expires_at: None,
    };
    app.store().add_key(new).await?;
    demo_clients::make(app.store()).await?;
    introduce(app.address(), &key, app::SAMPLE_PASSWORD);
    let samples = tokio::spawn(demo_samples::run(app.store().clone(), app.address()));
    let traffic = tokio::spawn(demo_traffic::run(app.address(), key));
    serve::until_told_to_stop().await?;
    samples.abort();
    traffic.abort();
    say("stopping");
    app.stop().await;
    std::fs::remove_dir_all(&folder).ok();
    Ok(ExitCode::SUCCESS)
}

fn prepare(settings: &mut Settings, folder: &Path) {
    let database = folder.join("demo.sqlite");
    settings.environment = Environment::Development;
    settings.database.url = format!("sqlite:{}", database.display()).into();
    settings.sandbox.enabled = true;
    settings.sandbox.latency_ms = STEP_MS;
    settings.web.sample_staff = true;
    settings.brakes.volume_min = BRAKES_VOLUME_MIN;
}

fn fresh_folder() -> anyhow::Result<PathBuf> {
    let clock = Clock::system();
    let name = format!("sendtrail-demo-{}", clock.new_uuid(clock.now()).simple());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    Ok(folder)
}

fn introduce(address: SocketAddr, key: &str, password: &str) {
    say(format_args!(
        "
sendtrail demo: SQLite, sandbox providers, nothing leaves this machine. Ctrl-C ends it.

  Watch      http://{address}/ (choose a member of the sample staff)
  Sign-in    admin@demo.example, password {password}
  API key    {key}

Try:

  export KEY={key}
  curl http://{address}/v1/notifications -H \"Authorization: Bearer $KEY\" \\
    -H 'Content-Type: application/json' -d '{{
      \"client\": {{\"id\": \"C-1\", \"name\": \"Ana Ruiz\"}}, \"method\": \"email\",
      \"to\": \"opened-then-bounced@simulator.test\", \"type\": \"Booking confirmation\",
      \"content\": {{\"subject\": \"See you on Monday\", \"html\": \"<p>See you on Monday.</p>\"}}}}'
  curl \"http://{address}/v1/history?status=Bounced\" -H \"Authorization: Bearer $KEY\"

Other stories: delivered@ opened@ clicked@ bounced@ mailbox-full@ suppressed@ complained@ rejected@
throttled@ lost-answer@ early@ late@ duplicate@ shuffled@ down@simulator.test
"
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::brake::{Count, Kind, State};

    #[test]
    fn what_bounces_in_the_demo_trips_no_brake() {
        let none = std::collections::HashMap::new();
        let mut settings = Settings::load(None, Some(none)).unwrap();
        prepare(&mut settings, Path::new("/nowhere"));
        // A day of it, of which a third comes back.
        let count = Count {
            sent: 100_000,
            returned: 33_000,
        };
        for kind in [Kind::Bounce, Kind::Complaint] {
            let judged = settings.brakes.judge(kind, count, State::Ok);
            assert_eq!(judged, State::Ok, "{kind:?}");
        }
    }
}
