use super::*;

fn verify(changes: Value) -> Result<UpstreamToken, TokenError> {
    let valid = json!({"aud": "http://localhost:8080/upstream", "exp": NOW + 600});
    verify_at(&token(HS256, &changed(valid, changes), &key()), NOW)
}

fn verify_at(token: &str, now: u64) -> Result<UpstreamToken, TokenError> {
    let public = ["http://localhost:8080".to_owned()];
    let endpoints = Endpoints {
        public: &public,
        host: None,
    };
    UpstreamToken::verify(token, &keys(), &endpoints, now)
}

#[test]
fn r5_27_the_hub_claim_binds() {
    let free = verify(json!({})).unwrap();
    assert_eq!(free.hubs(), None);
    assert!(free.allows("anything"));
    assert_eq!(free.expires_at_unix_seconds(), NOW + 600);

    let one = verify(json!({"hub": "Chat"})).unwrap();
    assert!(one.allows("chat") && one.allows("CHAT"));
    assert!(!one.allows("chat2") && !one.allows("cha") && !one.allows(""));

    let two = verify(json!({"hub": ["a", "b"]})).unwrap();
    assert!(two.allows("a") && two.allows("b") && !two.allows("c"));

    let none = verify(json!({"hub": []})).unwrap();
    assert!(!none.allows("a"), "bound to no hub at all");

    for hub in [
        json!(1),
        json!({}),
        json!("*"),
        json!(["a", ""]),
        json!(["a", 1]),
    ] {
        assert_eq!(
            verify(json!({"hub": hub})),
            Err(TokenError::Claim("hub")),
            "{hub}"
        );
    }
}

/// S3-20: per-channel permission.
#[test]
fn s3_20_the_channel_claim_binds_to_channels_and_away_from_hubs() {
    let free = verify(json!({})).unwrap();
    assert!(free.allows_channel("anything") && free.allows_channel(""));

    let one = verify(json!({"channel": "Site 7"})).unwrap();
    assert!(one.allows_channel("Site 7"));
    assert!(!one.allows_channel("site 7") && !one.allows_channel(""));
    assert!(!one.allows("chat"), "it names no hub");

    let hub = verify(json!({"hub": "chat"})).unwrap();
    assert!(
        hub.allows("chat") && !hub.allows_channel("chat"),
        "it names no channel"
    );

    let both = verify(json!({"hub": "chat", "channel": ["a", ""]})).unwrap();
    assert!(both.allows("chat") && both.allows_channel("a") && both.allows_channel(""));
    assert!(!both.allows("a") && !both.allows_channel("chat"));

    let none = verify(json!({"channel": []})).unwrap();
    assert!(!none.allows_channel(""), "bound to no channel at all");

    for channel in [json!(1), json!({}), json!(["a", 1]), json!("c".repeat(257))] {
        assert_eq!(
            verify(json!({"channel": channel})),
            Err(TokenError::Claim("channel")),
            "{channel}"
        );
    }
}

#[test]
fn r5_2_exp_is_required_and_has_60_seconds_of_skew() {
    assert_eq!(
        verify(json!({"exp": null})),
        Err(TokenError::Missing("exp"))
    );
    assert!(
        verify(json!({"exp": NOW - 59})).is_ok(),
        "one second before"
    );
    assert_eq!(verify(json!({"exp": NOW - 60})), Err(TokenError::Expired));
    assert_eq!(verify(json!({"exp": NOW - 61})), Err(TokenError::Expired));
    assert!(verify(json!({"nbf": NOW + 60})).is_ok(), "the very second");
    assert_eq!(verify(json!({"nbf": NOW + 61})), Err(TokenError::NotYet));
}

#[test]
fn r5_3_a_client_token_is_no_upstream_token() {
    for aud in [
        "http://localhost:8080/client/hubs/chat",
        "http://localhost:8080/client/hubs/upstream",
        "http://localhost:8080",
        "http://localhost:8080/upstream/",
        "http://localhost:8080/upstreams",
        "http://elsewhere/upstream",
    ] {
        assert_eq!(
            verify(json!({"aud": aud})),
            Err(TokenError::Audience),
            "{aud}"
        );
    }
}

#[test]
fn r5_3_a_host_header_with_a_path_turns_no_client_token_into_an_upstream_token() {
    let claims = json!({"aud": "http://h/client/hubs/upstream", "exp": NOW + 600}).to_string();
    let client = token(HS256, &claims, &key());
    let endpoints = Endpoints {
        public: &[],
        host: Some("h/client/hubs"),
    };
    let refused = UpstreamToken::verify(&client, &keys(), &endpoints, NOW);
    assert_eq!(refused, Err(TokenError::Audience));
}

#[test]
fn r5_1_only_hs256_with_an_access_key_is_accepted() {
    let claims = json!({"aud": "http://localhost:8080/upstream", "exp": NOW + 600}).to_string();
    let none = token(r#"{"alg":"none"}"#, &claims, &key());
    assert_eq!(verify_at(&none, NOW), Err(TokenError::Algorithm));
    let forged = token(HS256, &claims, &AccessKey::new(OTHER_KEY).unwrap());
    assert_eq!(verify_at(&forged, NOW), Err(TokenError::Signature));
}
