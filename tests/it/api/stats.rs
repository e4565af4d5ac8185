//! `GET /v1/stats` and `/v1/brakes`: of the business of the key.

use sendtrail::domain::brake::Rules;
use sendtrail::domain::event::What;
use serde_json::json;

use crate::support::api::TestApi;

#[tokio::test]
async fn what_was_enqueued_and_sent_is_told_by_bin_and_by_provider_and_what_waits_by_lane() {
    let api = TestApi::start().await;
    api.enqueue(json!({})).await;
    api.work_sent().await;
    api.enqueue(json!({"priority": "bulk"})).await;
    let told = api.get("/v1/stats?range=1h").await.json();
    assert_eq!(
        (&told["range"], &told["bin_seconds"]),
        (&json!("1h"), &json!(60))
    );
    let series = told["series"].as_array().unwrap();
    assert_eq!(series.len(), 60);
    for counts in [&told["totals"], &series[59]] {
        assert_eq!(
            (&counts["enqueued"], &counts["sent"]),
            (&json!(2), &json!(1)),
            "{told}"
        );
        assert_eq!(counts["bounced"], 0);
    }
    let providers = told["by_provider"].as_array().unwrap();
    let sent = providers.iter().find(|it| it["sent"] == 1).unwrap();
    assert_eq!(sent["method"], "email");
    assert!(sent["provider"].is_string(), "{told}");
    assert!(told["time_to_send"]["p95"].is_number(), "{told}");
    assert!(told["time_to_deliver"]["p95"].is_null(), "{told}");
    let queues = json!([{"method": "email", "priority": "bulk", "waiting": 1,
        "oldest_due_at": told["queues"][0]["oldest_due_at"], "oldest_age_seconds": 0}]);
    assert_eq!(told["queues"], queues);
    let other = api.new_key("other", "read").await;
    let told = api.ask("GET", "/v1/stats", Some(&other), None).await.json();
    assert_eq!(
        (&told["range"], &told["totals"]["sent"]),
        (&json!("24h"), &json!(0))
    );
    assert_eq!(told["queues"], json!([]));
    let answer = api.get("/v1/stats?range=1y&colour=red").await;
    assert_eq!(answer.status, 422);
    let pointers: Vec<String> = answer.errors().into_iter().map(|(at, _)| at).collect();
    assert_eq!(pointers, ["/range", "/colour"]);
}

#[tokio::test]
async fn a_brake_is_told_and_lifted_with_a_reason_that_is_kept() {
    let api = TestApi::start().await;
    let rules = Rules {
        enabled: true,
        volume_min: 1,
        bounce_warn: 0.05,
        bounce_hold: 0.10,
        complaint_warn: 0.001,
        complaint_hold: 0.005,
    };
    let id = api.enqueue(json!({})).await;
    api.work_sent().await;
    let complained = What::Complained {
        feedback_type: None,
    };
    api.report(&id, "2027-01-01T09:00:30Z", complained).await;
    while api.store.fold_flow().await.unwrap() {}
    assert_eq!(api.store.judge_brakes(&rules).await.unwrap().len(), 1);
    let told = api.get("/v1/brakes").await.json();
    assert_eq!(told["brakes"][0]["state"], "ok", "{told}");
    let held = &told["brakes"][1];
    assert_eq!(
        (&held["kind"], &held["state"]),
        (&json!("complaint"), &json!("held"))
    );
    assert_eq!((&held["sent"], &held["returned"]), (&json!(1), &json!(1)));
    let lift = "/v1/brakes/complaint/lift";
    let answer = api.post(lift, &json!({})).await;
    assert_eq!(answer.status, 422);
    let reason = json!({"reason": "the list is cleaned"});
    for changed in [true, false] {
        let answer = api.post(lift, &reason).await.json();
        assert_eq!(answer, json!({"kind": "complaint", "changed": changed}));
    }
    assert_eq!(api.post("/v1/brakes/speed/lift", &reason).await.status, 404);
    let told = api.get("/v1/brakes").await.json();
    assert_eq!(told["brakes"][1]["state"], "ok");
    assert_eq!(told["changes"][0]["reason"], "the list is cleaned");
    assert!(
        told["changes"][0]["by"]
            .as_str()
            .unwrap()
            .starts_with("API key")
    );
}
