use std::time::Duration;

use super::*;

fn token_of(url: &str) -> &str {
    url.split_once("?access_token=").unwrap().1
}

#[test]
fn a_minted_client_url_is_accepted() {
    let roles = [
        "webpubsub.joinLeaveGroup".to_owned(),
        "webpubsub.sendToGroup.a.b".to_owned(),
    ];
    let groups = ["g".to_owned()];
    let grant = ClientGrant {
        user_id: Some("ann \"ü\""),
        roles: &roles,
        groups: &groups,
        lifetime: Duration::from_secs(60),
        ..ClientGrant::new("Chat")
    };
    for (endpoint, prefix) in [
        (
            "http://localhost:8080",
            "ws://localhost:8080/client/hubs/chat?access_token=",
        ),
        (
            "http://localhost:8080/",
            "ws://localhost:8080/client/hubs/chat?access_token=",
        ),
        (
            "https://localhost:8080",
            "wss://localhost:8080/client/hubs/chat?access_token=",
        ),
    ] {
        let url = client_url(endpoint, &key(), &grant, NOW).unwrap();
        assert!(url.starts_with(prefix), "{url}");
        assert_eq!(
            client_url(endpoint, &key(), &grant, NOW).unwrap(),
            url,
            "deterministic"
        );
        let endpoints = Endpoints {
            public: &[],
            host: Some("localhost:8080"),
        };
        let token = ClientToken::verify(token_of(&url), &keys(), "chat", &endpoints, NOW).unwrap();
        let expected = ClientToken {
            user_id: Some("ann \"ü\"".into()),
            roles: roles.to_vec(),
            groups: groups.to_vec(),
            claims: [].into(),
            expires_at_unix_seconds: NOW + 60,
        };
        assert_eq!(token, expected);
    }
}

#[test]
fn a_minted_token_is_good_for_other_implementations() {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
    let url = client_url("http://h", &key(), &ClientGrant::new("chat"), NOW).unwrap();
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_exp = false;
    validation.set_audience(&["http://h/client/hubs/chat"]);
    let secret = DecodingKey::from_secret(KEY.as_bytes());
    let decoded = decode::<Value>(token_of(&url), &secret, &validation).unwrap();
    let expected = json!({"aud": "http://h/client/hubs/chat", "iat": NOW, "exp": NOW + 3600});
    assert_eq!(decoded.claims, expected, "what is not granted is left out");
}

#[test]
fn a_minted_upstream_token_is_accepted_and_bound() {
    let public = ["http://h:1".to_owned()];
    let endpoints = Endpoints {
        public: &public,
        host: None,
    };
    let mint = |hubs: &[&str]| {
        let token =
            upstream_token("http://h:1/", &key(), hubs, Duration::from_secs(60), NOW).unwrap();
        UpstreamToken::verify(&token, &keys(), &endpoints, NOW).unwrap()
    };
    assert_eq!(mint(&[]).hubs(), None);
    let bound = mint(&["A", "b"]);
    assert!(bound.allows("a") && bound.allows("b") && !bound.allows("c"));
    assert_eq!(bound.expires_at_unix_seconds(), NOW + 60);
}

#[test]
fn a_minted_channel_token_is_accepted_and_bound() {
    let public = ["http://h:1".to_owned()];
    let endpoints = Endpoints {
        public: &public,
        host: None,
    };
    let mint = |channels: &[&str]| {
        let lifetime = Duration::from_secs(60);
        let token = channel_token("http://h:1/", &key(), channels, lifetime, NOW).unwrap();
        UpstreamToken::verify(&token, &keys(), &endpoints, NOW).unwrap()
    };
    let free = mint(&[]);
    assert!(free.allows_channel("any") && free.allows("any"));
    let bound = mint(&["A", ""]);
    assert!(bound.allows_channel("A") && bound.allows_channel(""));
    assert!(!bound.allows_channel("a") && !bound.allows("a"));
}

#[test]
fn nothing_is_minted_that_would_be_refused() {
    let url = |endpoint, grant| client_url(endpoint, &key(), &grant, NOW);
    for endpoint in ["h", "ws://h", "ftp://h", ""] {
        assert_eq!(
            url(endpoint, ClientGrant::new("h")),
            Err(MintError::Endpoint),
            "{endpoint}"
        );
    }
    assert_eq!(
        url("http://h", ClientGrant::new("a b")),
        Err(MintError::Hub)
    );
    let groups = [" ".to_owned()];
    let grant = ClientGrant {
        groups: &groups,
        ..ClientGrant::new("h")
    };
    assert_eq!(url("http://h", grant), Err(MintError::Group));
    let token = upstream_token("http://h", &key(), &["*"], Duration::from_secs(1), NOW);
    assert_eq!(token, Err(MintError::Hub));
    let long = "c".repeat(257);
    let token = channel_token("http://h", &key(), &[&long], Duration::from_secs(1), NOW);
    assert_eq!(token, Err(MintError::Channel));
}
