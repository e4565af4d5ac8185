//! `sendtrail demo`: everything on one machine, to watch it work. A fresh database in a folder of
//! its own, sandbox providers, sample clients, traffic that keeps arriving.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::{demo_clients, demo_traffic, say, serve};
use crate::api::auth;
use crate::app::{self, App, Roles};
use crate::clock::Clock;
use crate::config::{Environment, Settings};
use crate::store::keys::NewApiKey;

/// Between the steps of a story: slow enough to watch, and for an open to pass as a person's.
const STEP_MS: u64 = 3_200;

pub(super) async fn run(mut settings: Settings) -> anyhow::Result<ExitCode> {
    let folder = fresh_folder()?;
    let database = folder.join("demo.sqlite");
    settings.environment = Environment::Development;
    settings.database.url = format!("sqlite:{}", database.display()).into();
    settings.sandbox.enabled = true;
    settings.sandbox.latency_ms = STEP_MS;
    settings.web.sample_staff = true;
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
    let traffic = tokio::spawn(demo_traffic::run(app.address(), key));
    serve::until_told_to_stop().await?;
    traffic.abort();
    say("stopping");
    app.stop().await;
    std::fs::remove_dir_all(&folder).ok();
    Ok(ExitCode::SUCCESS)
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
