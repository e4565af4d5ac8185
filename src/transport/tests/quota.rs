//! What SES tells of the account's quota, and what is made of it when it does not.

use serde_json::json;

use super::fake_http::{Answer, FakeHttp, answer};
use super::{clock, email_settings};
use crate::domain::outcome::Trouble;
use crate::transport::{
    NoQuota, Quota, Ses, SesSettings, Smtp, SmtpSettings, SnsSettings, Transport,
};

async fn quota(answer: Answer) -> Result<Quota, NoQuota> {
    let server = FakeHttp::start(vec![answer]).await;
    let settings = SesSettings {
        endpoint_url: Some(server.url.clone()),
        region: Some("us-east-1".to_owned()),
        access_key_id: Some("AKIDEXAMPLE".into()),
        secret_access_key: Some("secret".into()),
        connect_timeout_ms: 1_000,
        timeout_ms: 2_000,
        ..SesSettings::default()
    };
    let ses = Ses::new(&settings, &email_settings(), clock()).await;
    let quota = Transport::Ses(ses.unwrap()).quota().await;
    let requests = server.requests().await;
    assert!(requests[0].starts_with("GET /v2/email/account "));
    quota
}

fn account(per_second: f64, per_day: f64) -> Answer {
    let account = json!({
        "SendingEnabled": true,
        "SendQuota": {"Max24HourSend": per_day, "MaxSendRate": per_second, "SentLast24Hours": 12.0},
    });
    let json = "content-type: application/json\r\n";
    answer(200, json, &account.to_string())
}

fn refused(code: &str) -> Answer {
    let headers = format!("x-amzn-errortype: {code}\r\ncontent-type: application/json\r\n");
    answer(403, &headers, "{\"message\":\"no\"}")
}

#[tokio::test]
async fn the_quota_of_an_account_is_read() {
    let told = quota(account(14.0, 50_000.0)).await.unwrap();
    let expected = Quota {
        per_second: 14.0,
        per_day: Some(50_000.0),
        sent_today: 12.0,
    };
    assert_eq!(told, expected);
    let unlimited = quota(account(80.0, -1.0)).await.unwrap();
    assert_eq!(unlimited.per_day, None);
}

#[tokio::test]
async fn not_to_be_allowed_to_ask_is_no_trouble_and_all_else_is() {
    for code in ["AccessDeniedException", "AccessDenied"] {
        assert_eq!(quota(refused(code)).await, Err(NoQuota::Denied));
    }
    for answer in [
        refused("UnrecognizedClientException"),
        answer(500, "", ""),
        answer(200, "content-type: application/json\r\n", "{}"),
        account(0.0, 0.0),
        Answer::Close,
    ] {
        let quota = quota(answer).await;
        assert!(
            matches!(quota, Err(NoQuota::Trouble(Trouble { .. }))),
            "{quota:?}"
        );
    }
}

#[tokio::test]
async fn other_providers_tell_nobody() {
    let settings = SmtpSettings {
        url: Some("smtp://127.0.0.1:1?tls=none".into()),
        ..SmtpSettings::default()
    };
    let smtp = Smtp::new(&settings, &email_settings(), clock()).unwrap();
    let quota = Transport::Smtp(smtp).quota().await;
    assert_eq!(quota, Err(NoQuota::NeverTold));
}

#[test]
fn rates_out_of_bounds_or_order_are_named() {
    let keys = |max, initial| -> Vec<&'static str> {
        let sns = SnsSettings {
            sms_max_per_second: max,
            sms_initial_per_second: initial,
            push_max_per_second: max,
            push_initial_per_second: initial,
            ..SnsSettings::default()
        };
        let ses = SesSettings {
            max_per_second: max,
            initial_per_second: initial,
            ..SesSettings::default()
        };
        let smtp = SmtpSettings {
            url: Some("smtp://127.0.0.1:1?tls=none".into()),
            max_per_second: max,
            initial_per_second: initial,
            ..SmtpSettings::default()
        };
        let problems = [sns.validate(), ses.validate(), smtp.validate()];
        problems.into_iter().flatten().map(|p| p.key).collect()
    };
    assert!(keys(None, None).is_empty());
    assert!(keys(Some(0.1), None).is_empty());
    assert!(keys(Some(14.0), Some(14.0)).is_empty());
    let initial = [
        "sms_initial_per_second",
        "push_initial_per_second",
        "initial_per_second",
        "initial_per_second",
    ];
    assert_eq!(keys(Some(1.0), Some(2.0)), initial);
    let max = [
        "sms_max_per_second",
        "push_max_per_second",
        "max_per_second",
        "max_per_second",
    ];
    for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 2e6] {
        assert_eq!(keys(Some(wrong), None), max, "{wrong}");
    }
}
