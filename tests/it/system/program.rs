//! The program inside the test.

use sendtrail::app::{App, Overrides, Roles};
use sendtrail::config::Settings;

use super::child::Variables;
use super::client::Client;

pub(super) struct Program {
    pub(super) app: App,
    pub(super) client: Client,
}

impl Program {
    pub(super) async fn start(variables: &Variables) -> Self {
        Self::start_with(variables, Overrides::default()).await
    }

    pub(super) async fn start_with(variables: &Variables, overrides: Overrides) -> Self {
        let settings = Settings::load(None, Some(variables.iter().collect())).unwrap();
        let app = App::start_with(settings, Roles::ALL, overrides)
            .await
            .unwrap();
        let client = Client::with_new_key(app.address(), app.store()).await;
        Self { app, client }
    }

    /// Stops it, and sees that nothing was left unfinished.
    pub(super) async fn stop(self) {
        assert!(self.app.stop().await, "something was left unfinished");
    }
}
