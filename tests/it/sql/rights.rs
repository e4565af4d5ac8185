//! What a role needs that may enqueue, and what it cannot do.

use serde_json::json;

use super::caller::Caller;
use crate::support::api::email;
use crate::support::db::{TestDb, on_postgres};

/// Roles belong to the whole cluster, so each test has one of its own name.
struct Role {
    name: String,
}

impl Role {
    async fn new(caller: &mut Caller) -> Self {
        let name = format!("app_{}", uuid::Uuid::new_v8(rand::random()).simple());
        caller.run(&format!("CREATE ROLE {name}")).await;
        Self { name }
    }

    async fn drop(self, db: &TestDb) {
        let name = &self.name;
        let sql = format!("DROP OWNED BY {name}; DROP ROLE {name}");
        Caller::connect(db).await.run(&sql).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_needs_the_right_to_execute_and_no_other() {
    on_postgres(async |db| {
        let mut caller = Caller::connect(db).await;
        let role = Role::new(&mut caller).await;
        let name = &role.name;
        caller.run(&format!("SET ROLE {name}")).await;
        let refused = caller.enqueue(&email(json!({}))).await.unwrap_err();
        assert_eq!(refused.code, "42501", "not without the right");

        caller.run("RESET ROLE").await;
        let grant = format!("GRANT EXECUTE ON FUNCTION sendtrail_enqueue TO {name}");
        caller.run(&grant).await;
        caller.run(&format!("SET ROLE {name}")).await;
        caller.enqueue(&email(json!({}))).await.unwrap();
        for forbidden in [
            "SELECT * FROM clients",
            "SELECT * FROM contact_history",
            "INSERT INTO jobs SELECT * FROM jobs",
            "SELECT sendtrail_admit('{}', '{}', 'default', now())",
            "SELECT sendtrail_uuid(now(), 1)",
        ] {
            let error = caller.try_run(forbidden).await.unwrap_err();
            let code = error
                .as_database_error()
                .unwrap()
                .code()
                .unwrap()
                .into_owned();
            assert_eq!(code, "42501", "{forbidden}");
        }
        caller.run("RESET ROLE").await;
        role.drop(db).await;
        assert_eq!(db.count("jobs").await, 1);
    })
    .await;
}

/// The function has its owner's rights: nothing that the caller makes may stand in for its parts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_search_path_changes_nothing() {
    on_postgres(async |db| {
        let mut caller = Caller::connect(db).await;
        let role = Role::new(&mut caller).await;
        let name = &role.name;
        caller
            .run(&format!(
                "GRANT EXECUTE ON FUNCTION sendtrail_enqueue TO {name};
                 CREATE SCHEMA {name} AUTHORIZATION {name};
                 SET ROLE {name};
                 SET search_path = {name}, pg_temp, public;
                 SET standard_conforming_strings = off;
                 CREATE TEMP TABLE businesses AS SELECT text 'nobody' AS id;
                 CREATE TEMP TABLE jobs (id uuid);
                 CREATE TABLE {name}.clients (uid uuid);
                 CREATE FUNCTION {name}.sendtrail_trim(text) RETURNS text LANGUAGE sql AS $$SELECT 'hacked'$$;
                 CREATE FUNCTION {name}.btrim(text, text) RETURNS text LANGUAGE sql AS $$SELECT 'hacked'$$;
                 CREATE FUNCTION {name}.now_is(text) RETURNS text LANGUAGE sql AS $$SELECT 'hacked'$$"
            ))
            .await;
        caller.enqueue(&email(json!({"type": "T", "to": "josé@exämple.com"}))).await.unwrap();
        let refused = caller.enqueue_for("nobody", &email(json!({}))).await.unwrap_err();
        assert_eq!(refused.code, "ST404");
        caller.run("RESET ROLE").await;
        role.drop(db).await;
        assert_eq!(db.texts("SELECT type FROM public.contact_log").await, ["T"]);
        assert_eq!(db.count("public.jobs").await, 1);
    })
    .await;
}
