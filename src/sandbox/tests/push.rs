//! Push messages sent to the stand-ins of FCM and APNs, with good and bad credentials.

use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Client, Version};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{PATIENCE, Stage};

fn der(pem: &str) -> PrivatePkcs8KeyDer<'static> {
    PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encoded(header), encoded(claims))
}

fn client(http2: bool) -> Client {
    let client = Client::builder().timeout(PATIENCE).no_proxy();
    let client = if http2 {
        client.http2_prior_knowledge()
    } else {
        client
    };
    client.build().unwrap()
}

/// Google's account as a client has it.
struct Google {
    account: Value,
    pair: rsa::KeyPair,
    now: i64,
    base: String,
}

impl Google {
    fn of(stage: &Stage) -> Self {
        let credentials = stage.sandbox.credentials();
        let account = credentials.google_service_account.expose_secret();
        let account: Value = serde_json::from_str(account).unwrap();
        let pem = account["private_key"].as_str().unwrap();
        Self {
            pair: rsa::KeyPair::from_pkcs8(der(pem).secret_pkcs8_der()).unwrap(),
            account,
            now: stage.sandbox.provider.clock.now().as_millis() / 1_000,
            base: stage.sandbox.http_url(),
        }
    }

    fn claims(&self) -> Value {
        json!({
            "iss": self.account["client_email"],
            "scope": "https://www.googleapis.com/auth/firebase.messaging",
            "aud": self.account["token_uri"],
            "iat": self.now, "exp": self.now + 3_600,
        })
    }

    async fn token(&self, claims: &Value) -> (u16, Value) {
        let header = json!({"alg": "RS256", "kid": self.account["private_key_id"]});
        let text = unsigned(&header, claims);
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let random = SystemRandom::new();
        let signed = text.as_bytes();
        self.pair
            .sign(&RSA_PKCS1_SHA256, &random, signed, &mut signature)
            .unwrap();
        self.grant(&format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
            .await
    }

    async fn grant(&self, assertion: &str) -> (u16, Value) {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", assertion),
        ];
        let url = self.account["token_uri"].as_str().unwrap();
        let answer = client(false).post(url).form(&form).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn send(
        &self,
        project: &str,
        token: &str,
        body: &Value,
    ) -> Result<(u16, Value), reqwest::Error> {
        let url = format!("{}/v1/projects/{project}/messages:send", self.base);
        let call = client(false).post(url).bearer_auth(token).json(body);
        let answer = call.send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }
}

fn to(token: &str) -> Value {
    json!({"message": {"token": token, "notification": {"body": "x"}, "data": {"a": "b"}}})
}

#[tokio::test]
async fn a_token_is_given_for_a_claim_that_is_signed_recent_and_for_here() {
    let stage = Stage::set().await;
    let google = Google::of(&stage);
    let (status, given) = google.token(&google.claims()).await;
    assert_eq!((status, &given["expires_in"]), (200, &json!(3599)));
    let with = |name: &str, value: Value| {
        let mut claims = google.claims();
        claims[name] = value;
        claims
    };
    for claims in [
        with("iss", json!("other@example.com")),
        with("scope", json!("email")),
        with("aud", json!("https://oauth2.googleapis.com/token")),
        with("iat", json!(google.now - 7_200)),
        with("exp", json!(google.now + 86_400)),
        with("exp", json!(google.now - 600)),
    ] {
        let (status, refusal) = google.token(&claims).await;
        assert_eq!(
            (status, &refusal["error"]),
            (400, &json!("invalid_grant")),
            "{claims}"
        );
    }
    let header = json!({"alg": "none", "kid": google.account["private_key_id"]});
    let forged = format!("{}.", unsigned(&header, &google.claims()));
    assert_eq!(google.grant(&forged).await.0, 400);
    assert_eq!(stage.sandbox.logins().google_tokens, 1);
}

#[tokio::test]
async fn fcm_messages_go_as_the_end_of_their_token_says() {
    let stage = Stage::set().await;
    let google = Google::of(&stage);
    let (_, given) = google.token(&google.claims()).await;
    let token = given["access_token"].as_str().unwrap();
    let project = "sandbox-project";
    let code = |body: &Value| body["error"]["details"][0]["errorCode"].clone();
    for (target, status, expected) in [
        ("d:delivered", 200, Value::Null),
        ("d:disabled", 400, json!("INVALID_ARGUMENT")),
        ("d:unregistered", 404, json!("UNREGISTERED")),
        ("d:down", 503, json!("UNAVAILABLE")),
        ("d:throttled", 429, json!("QUOTA_EXCEEDED")),
        ("d:throttled", 429, json!("QUOTA_EXCEEDED")),
        ("d:throttled", 200, Value::Null),
    ] {
        let (found, body) = google.send(project, token, &to(target)).await.unwrap();
        assert_eq!((found, code(&body)), (status, expected), "{target}");
    }
    assert!(
        google
            .send(project, token, &to("d:lost-answer"))
            .await
            .is_err()
    );
    let check = json!({"validate_only": true, "message": {"topic": "x"}});
    assert_eq!(google.send(project, token, &check).await.unwrap().0, 200);

    let number = json!({"message": {"token": "d", "data": {"a": 12}}});
    let long = json!({"message": {"token": "d", "data": {"a": "x".repeat(4_096)}}});
    for (project, token, body, status) in [
        (project, "guess", to("d"), 401),
        ("other", token, to("d"), 404),
        (project, token, number, 400),
        (project, token, long, 400),
        (project, token, json!({"message": {}}), 400),
        (project, token, json!({}), 400),
    ] {
        assert_eq!(
            google.send(project, token, &body).await.unwrap().0,
            status,
            "{body}"
        );
    }
}

/// Apple's key as a client has it.
fn provider_token(stage: &Stage, claims: &Value, key_id: &str) -> String {
    let credentials = stage.sandbox.credentials();
    let der = der(credentials.apple_key.expose_secret());
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, der.secret_pkcs8_der()).unwrap();
    let text = unsigned(&json!({"alg": "ES256", "kid": key_id}), claims);
    let signature = pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

async fn push(
    stage: &Stage,
    device: &str,
    headers: &[(&str, &str)],
    body: String,
) -> Result<(u16, String), reqwest::Error> {
    let url = format!("{}/3/device/{device}", stage.sandbox.http_url());
    let mut call = client(true).post(url).body(body);
    for (name, value) in headers {
        call = call.header(*name, *value);
    }
    let answer = call.send().await?;
    assert_eq!(answer.version(), Version::HTTP_2);
    let status = answer.status().as_u16();
    let body: Value = serde_json::from_str(&answer.text().await?).unwrap_or_default();
    Ok((
        status,
        body["reason"].as_str().unwrap_or_default().to_owned(),
    ))
}

#[tokio::test]
async fn apns_messages_go_as_the_end_of_their_token_says() {
    let stage = Stage::set().await;
    let now = stage.sandbox.provider.clock.now();
    let seconds = now.as_millis() / 1_000;
    let claims = json!({"iss": "SANDBOXDEV", "iat": seconds});
    let token = format!("bearer {}", provider_token(&stage, &claims, "SANDBOXKEY"));
    let id = uuid::Uuid::new_v8([1; 16]).to_string();
    let good = [
        ("authorization", token.as_str()),
        ("apns-topic", "test.simulator.app"),
        ("apns-id", &id),
        ("apns-push-type", "alert"),
        ("apns-priority", "10"),
        ("apns-expiration", "1798794000"),
    ];
    let body = || r#"{"aps":{"alert":"x"}}"#.to_owned();
    for (device, status, reason) in [
        ("d-delivered", 200, ""),
        ("d-disabled", 400, "BadDeviceToken"),
        ("d-unregistered", 410, "Unregistered"),
        ("d-down", 503, "ServiceUnavailable"),
        ("d-throttled", 429, "TooManyRequests"),
        ("d-throttled", 429, "TooManyRequests"),
        ("d-throttled", 200, ""),
    ] {
        let found = push(&stage, device, &good, body()).await.unwrap();
        assert_eq!(found, (status, reason.to_owned()), "{device}");
    }
    assert!(push(&stage, "d-lost-answer", &good, body()).await.is_err());

    let old = json!({"iss": "SANDBOXDEV", "iat": seconds - 3_700});
    let old = format!("bearer {}", provider_token(&stage, &old, "SANDBOXKEY"));
    let foreign = format!("bearer {}", provider_token(&stage, &claims, "OTHERKEY00"));
    let other_team = json!({"iss": "OTHERTEAM0", "iat": seconds});
    let other_team = format!(
        "bearer {}",
        provider_token(&stage, &other_team, "SANDBOXKEY")
    );
    for (index, value, status, reason) in [
        (0, "bearer x", 403, "InvalidProviderToken"),
        (0, "x", 403, "MissingProviderToken"),
        (0, &old, 403, "ExpiredProviderToken"),
        (0, &foreign, 403, "InvalidProviderToken"),
        (0, &other_team, 403, "InvalidProviderToken"),
        (1, "com.example.other", 400, "TopicDisallowed"),
        (2, "x", 400, "BadMessageId"),
        (3, "x", 400, "InvalidPushType"),
        (4, "x", 400, "BadPriority"),
        (5, "x", 400, "BadExpirationDate"),
    ] {
        let mut headers = good;
        headers[index].1 = value;
        let found = push(&stage, "d", &headers, body()).await.unwrap();
        assert_eq!(found, (status, reason.to_owned()), "{:?}", headers[index].0);
    }
    let empty = push(&stage, "d", &good, "{}".to_owned()).await.unwrap();
    assert_eq!(empty, (400, "PayloadEmpty".to_owned()));
    let long = format!(r#"{{"aps":{{"alert":"{}"}}}}"#, "x".repeat(4_096));
    let long = push(&stage, "d", &good, long).await.unwrap();
    assert_eq!(long, (413, "PayloadTooLarge".to_owned()));
    assert_eq!(stage.sandbox.logins().apple_tokens, 1);
}

#[tokio::test]
async fn apns_speaks_http2_only_and_gives_the_id_back() {
    let stage = Stage::set().await;
    let url = format!("{}/3/device/d", stage.sandbox.http_url());
    let answer = client(false).post(&url).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 505);
    let id = uuid::Uuid::new_v8([2; 16]).to_string();
    let call = client(true).post(&url).header("apns-id", &id);
    let answer = call.timeout(Duration::from_secs(5)).send().await.unwrap();
    assert_eq!(answer.headers()["apns-id"], id.as_str());
}
