use super::*;

const HUB: &str = "chat";
const HOST: Endpoints<'_> = Endpoints {
    public: &[],
    host: Some("localhost:8080"),
};

fn claims(changes: Value) -> String {
    let valid = json!({"aud": "http://localhost:8080/client/hubs/chat", "exp": NOW + 600});
    changed(valid, changes)
}

fn verify_at(token: &str, now: u64) -> Result<ClientToken, TokenError> {
    ClientToken::verify(token, &keys(), HUB, &HOST, now)
}

fn verify(changes: Value) -> Result<ClientToken, TokenError> {
    verify_at(&token(HS256, &claims(changes), &key()), NOW)
}

fn refused(changes: Value) -> TokenError {
    match verify(changes.clone()) {
        Ok(token) => panic!("{changes} is accepted: {token:?}"),
        Err(error) => error,
    }
}

#[test]
fn a_token_of_another_implementation_is_understood() {
    // Made with Python's hmac and json modules.
    let token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJhdWQiOiAiaHR0cDovL2xvY2FsaG9zdDo4MDgwL2NsaWVudC9odWJzL2NoYXQiLCAiaWF0IjogMTAwMCwgImV4cCI6IDQ2MDAsICJzdWIiOiAiYW5uIiwgInJvbGUiOiBbIndlYnB1YnN1Yi5zZW5kVG9Hcm91cCJdLCAid2VicHVic3ViLmdyb3VwIjogWyJnIl19.xyrJsyj-KB8J0wsDLGOGRqk5ycsTYIkMlbQgt8lDZK0";
    let expected = ClientToken {
        user_id: Some("ann".into()),
        roles: vec!["webpubsub.sendToGroup".into()],
        groups: vec!["g".into()],
        claims: [].into(),
        expires_at_unix_seconds: 4600,
    };
    assert_eq!(verify_at(token, 2000), Ok(expected));
}

#[test]
fn r5_1_only_hs256_is_accepted() {
    let claims = claims(json!({}));
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None","typ":"JWT"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"HS384"}"#,
        r#"{"alg":"HS512"}"#,
        // Signed by HS256 with our key all the same.
        r#"{"alg":"RS256"}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":null}"#,
        "{}",
    ] {
        let token = token(header, &claims, &key());
        assert_eq!(
            verify_at(&token, NOW),
            Err(TokenError::Algorithm),
            "{header}"
        );
    }
    let unsigned = format!(
        "{}.{}.",
        BASE64URL.encode(r#"{"alg":"none"}"#),
        BASE64URL.encode(&claims)
    );
    assert_eq!(verify_at(&unsigned, NOW), Err(TokenError::Algorithm));
    let bare = format!("{}.{}.", BASE64URL.encode(HS256), BASE64URL.encode(&claims));
    assert_eq!(verify_at(&bare, NOW), Err(TokenError::Signature));
}

#[test]
fn r5_1_an_unknown_crit_is_refused() {
    for header in [
        r#"{"alg":"HS256","crit":["exp"]}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","crit":[]}"#,
    ] {
        let token = token(header, &claims(json!({})), &key());
        assert_eq!(
            verify_at(&token, NOW),
            Err(TokenError::Critical),
            "{header}"
        );
    }
}

#[test]
fn r5_1_a_forged_token_is_refused() {
    let valid = token(HS256, &claims(json!({})), &key());
    assert!(verify_at(&valid, NOW).is_ok());

    let other = token(
        HS256,
        &claims(json!({})),
        &AccessKey::new(OTHER_KEY).unwrap(),
    );
    assert_eq!(verify_at(&other, NOW), Err(TokenError::Signature));

    let (message, signature) = valid.rsplit_once('.').unwrap();
    let (header, _) = message.split_once('.').unwrap();
    let promoted = BASE64URL.encode(claims(json!({"sub": "admin"})));
    let swapped = format!("{header}.{promoted}.{signature}");
    assert_eq!(verify_at(&swapped, NOW), Err(TokenError::Signature));

    let cut = &valid[..valid.len() - 1];
    assert_eq!(verify_at(cut, NOW), Err(TokenError::Signature));
    let longer = format!("{valid}A");
    assert_eq!(verify_at(&longer, NOW), Err(TokenError::Signature));
}

#[test]
fn r5_2_exp_is_required_and_has_60_seconds_of_skew() {
    assert_eq!(refused(json!({"exp": null})), TokenError::Missing("exp"));
    let token = token(HS256, &claims(json!({"exp": NOW})), &key());
    assert!(verify_at(&token, NOW + 59).is_ok(), "one second before");
    assert_eq!(verify_at(&token, NOW + 60), Err(TokenError::Expired));
    assert_eq!(verify_at(&token, NOW + 61), Err(TokenError::Expired));
    assert_eq!(verify_at(&token, u64::MAX), Err(TokenError::Expired));
}

#[test]
fn r5_2_nbf_is_honoured_with_60_seconds_of_skew() {
    let token = token(HS256, &claims(json!({"nbf": NOW})), &key());
    assert_eq!(verify_at(&token, NOW - 61), Err(TokenError::NotYet));
    assert!(verify_at(&token, NOW - 60).is_ok(), "the very second");
    assert!(verify_at(&token, NOW - 59).is_ok(), "one second after");
    assert_eq!(verify_at(&token, 0), Err(TokenError::NotYet));
}

#[test]
fn r5_2_times_are_numbers() {
    for exp in [json!("1"), json!(true), json!([NOW]), json!({})] {
        assert_eq!(
            refused(json!({"exp": exp})),
            TokenError::Claim("exp"),
            "{exp}"
        );
    }
    assert_eq!(refused(json!({"nbf": "1"})), TokenError::Claim("nbf"));
    assert_eq!(refused(json!({"exp": -1})), TokenError::Expired);
    assert_eq!(refused(json!({"exp": 0})), TokenError::Expired);
    assert!(verify(json!({"exp": NOW as f64 + 0.5, "nbf": -5})).is_ok());
    let forever = verify(json!({"exp": u64::MAX})).unwrap();
    assert_eq!(forever.expires_at_unix_seconds, u64::MAX);
    assert!(verify(json!({"exp": 1e300})).is_ok());
}

#[test]
fn r5_3_aud_is_exactly_the_url_of_the_hub() {
    for aud in [
        json!("http://localhost:8080/client/hubs/chat"),
        json!("https://LOCALHOST:8080/Client/Hubs/CHAT"),
        json!([
            "http://elsewhere/client/hubs/chat",
            "http://localhost:8080/client/hubs/chat"
        ]),
    ] {
        assert!(verify(json!({"aud": aud})).is_ok(), "{aud} is refused");
    }
    for aud in [
        json!("http://localhost:8080/client/hubs/other"),
        json!("http://localhost:8080/client/hubs/cha"),
        json!("http://localhost:8080/client/hubs/chat2"),
        json!("http://localhost:8080/client/hubs/chat/"),
        json!("http://localhost:8080/client/hubs/"),
        json!("http://localhost:8080"),
        json!("http://localhost:8081/client/hubs/chat"),
        json!("ws://localhost:8080/client/hubs/chat"),
        json!("http://localhost:8080/upstream"),
        json!("http://elsewhere/client/hubs/chat"),
        json!(""),
        json!([]),
    ] {
        assert_eq!(refused(json!({"aud": aud})), TokenError::Audience, "{aud}");
    }
    assert_eq!(refused(json!({"aud": null})), TokenError::Missing("aud"));
    assert_eq!(refused(json!({"aud": 1})), TokenError::Claim("aud"));
}

#[test]
fn r5_4_the_user_has_three_names() {
    let uri = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier";
    for name in ["sub", "nameid", uri] {
        let token = verify(json!({name: "ann"})).unwrap();
        assert_eq!(token.user_id.as_deref(), Some("ann"), "{name}");
        assert!(token.claims.is_empty(), "{name} is no claim beside");
    }
    let both = verify(json!({"sub": "ann", "nameid": "bob"})).unwrap();
    assert_eq!(both.user_id.as_deref(), Some("ann"));
    assert_eq!(both.claims["nameid"], ["bob"]);
    assert_eq!(verify(json!({})).unwrap().user_id, None);
    assert_eq!(verify(json!({"sub": ""})).unwrap().user_id, None);
}

#[test]
fn r5_4_one_role_or_group_may_stand_alone() {
    let one = verify(json!({"role": "r", "webpubsub.group": "g"})).unwrap();
    assert_eq!(
        (one.roles, one.groups),
        (vec!["r".into()], vec!["g".into()])
    );
    let two = verify(json!({"role": ["r", "s"], "webpubsub.group": ["g", "ü"]})).unwrap();
    assert_eq!(two.roles, ["r", "s"]);
    assert_eq!(two.groups, ["g", "ü"]);
}

#[test]
fn r5_4_claims_have_their_types_and_lengths() {
    let many = vec!["x"; 1001];
    for (changes, error) in [
        (json!({"sub": 1}), "sub"),
        (json!({"sub": ["ann"]}), "sub"),
        (json!({"nameid": false}), "nameid"),
        (json!({"sub": "u".repeat(1025)}), "user id"),
        (json!({"sub": "a\nb"}), "user id"),
        (json!({"role": 1}), "role"),
        (json!({"role": ["r", 1]}), "role"),
        (json!({"role": "r".repeat(1101)}), "role"),
        (json!({"role": many}), "role"),
        (json!({"webpubsub.group": {}}), "webpubsub.group"),
        (json!({"webpubsub.group": [""]}), "webpubsub.group"),
        (
            json!({"webpubsub.group": "g".repeat(1025)}),
            "webpubsub.group",
        ),
        (json!({"webpubsub.group": many}), "webpubsub.group"),
    ] {
        assert_eq!(refused(changes), TokenError::Claim(error));
    }
    let long = json!({"sub": "ü".repeat(1024), "role": vec!["r"; 1000]});
    assert!(verify(long).is_ok(), "the very limits");
}

#[test]
fn r5_4_duplicate_names_are_refused() {
    let twice = r#"{"aud":"http://localhost:8080/client/hubs/chat","exp":1800000600,"sub":"a","\u0073ub":"b"}"#;
    let token_twice = token(HS256, twice, &key());
    assert_eq!(
        verify_at(&token_twice, NOW),
        Err(TokenError::Malformed("claims"))
    );
    let header = r#"{"alg":"HS256","alg":"HS256"}"#;
    let token_header = token(header, &claims(json!({})), &key());
    assert_eq!(
        verify_at(&token_header, NOW),
        Err(TokenError::Malformed("header"))
    );
}

#[test]
fn other_claims_are_lists_of_strings() {
    let token = verify(json!({
        "iat": 1, "nbf": 1, "jti": "j", "n": 7, "b": true, "mixed": ["a", 1, null], "o": {"x": [1]}, "empty": [],
    }))
    .unwrap();
    let expected: [(&str, &[&str]); 6] = [
        ("b", &["true"]),
        ("empty", &[]),
        ("jti", &["j"]),
        ("mixed", &["a", "1", "null"]),
        ("n", &["7"]),
        ("o", &[r#"{"x":[1]}"#]),
    ];
    let read: Vec<_> = token.claims.iter().collect();
    assert_eq!(read.len(), expected.len(), "{read:?}");
    for ((name, values), (expected_name, expected_values)) in read.into_iter().zip(expected) {
        assert_eq!(name, expected_name);
        assert_eq!(values, expected_values, "{name}");
    }
}

#[test]
fn r5_5_either_key_is_good_and_rotation_drops_nobody() {
    let other = || AccessKey::new(OTHER_KEY).unwrap();
    let of_key = token(HS256, &claims(json!({})), &key());
    let of_other = token(HS256, &claims(json!({})), &other());
    let good = |keys: &AccessKeys, token: &str| {
        ClientToken::verify(token, keys, HUB, &HOST, NOW).map(|_| ())
    };

    let both = AccessKeys::new(key(), Some(other()));
    assert_eq!(
        (good(&both, &of_key), good(&both, &of_other)),
        (Ok(()), Ok(()))
    );
    let swapped = AccessKeys::new(other(), Some(key()));
    assert_eq!(
        (good(&swapped, &of_key), good(&swapped, &of_other)),
        (Ok(()), Ok(()))
    );
    let rotated = AccessKeys::new(other(), None);
    assert_eq!(good(&rotated, &of_key), Err(TokenError::Signature));
    assert_eq!(good(&rotated, &of_other), Ok(()));
}

#[test]
fn r5_5_a_kid_is_nothing_to_look_up() {
    let header = r#"{"alg":"HS256","kid":"../../etc/passwd","jku":"http://evil/"}"#;
    assert!(verify_at(&token(header, &claims(json!({})), &key()), NOW).is_ok());
}

#[test]
fn r5_6_errors_hold_nothing_of_the_token() {
    let secret = "s3cret";
    let tokens = [
        secret.to_owned(),
        token(&format!(r#"{{"alg":"{secret}"}}"#), "{}", &key()),
        token(HS256, &format!(r#"{{"{secret}""#), &key()),
        token(HS256, &claims(json!({"sub": [secret]})), &key()),
        token(HS256, &claims(json!({"aud": secret})), &key()),
    ];
    for token in tokens {
        let error = verify_at(&token, NOW).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains(secret) && !text.contains(&token), "{text}");
    }
}

#[test]
fn r5_9_an_oversized_token_is_refused_before_it_is_parsed() {
    let fitting = "x".repeat(TOKEN_BYTES_MAX);
    assert_eq!(verify_at(&fitting, NOW), Err(TokenError::Malformed("form")));
    let valid = token(
        HS256,
        &claims(json!({"x": "x".repeat(TOKEN_BYTES_MAX)})),
        &key(),
    );
    assert_eq!(verify_at(&valid, NOW), Err(TokenError::TooLong));
}

#[test]
fn what_is_no_token_is_refused() {
    let encoded = |text: &str| BASE64URL.encode(text);
    let valid = token(HS256, &claims(json!({})), &key());
    let padded = valid.replacen('.', "=.", 1);
    for (token, part) in [
        (String::new(), "form"),
        ("a".into(), "form"),
        ("a.b".into(), "form"),
        ("..".into(), "header"),
        ("é.é.é".into(), "header"),
        (padded, "header"),
        (format!("{}.a.b", encoded("[]")), "header"),
        (format!("{}.a.b", encoded("{")), "header"),
        (token(HS256, "[]", &key()), "claims"),
        (token(HS256, "{} {}", &key()), "claims"),
        (
            token(HS256, &format!(r#"{{"a":{}"#, "[".repeat(5000)), &key()),
            "claims",
        ),
    ] {
        assert_eq!(
            verify_at(&token, NOW),
            Err(TokenError::Malformed(part)),
            "{token}"
        );
    }
    let four = format!("{valid}.{}", &valid[valid.len() - 43..]);
    assert_eq!(verify_at(&four, NOW), Err(TokenError::Signature));
}
