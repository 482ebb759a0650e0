//! The rules of who is let in, each broken alone.

mod client;
mod mint;
mod upstream;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde_json::{Value, json};

use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const OTHER_KEY: &str = "fedcba9876543210fedcba9876543210";
const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const NOW: u64 = 1_800_000_000;

fn key() -> AccessKey {
    AccessKey::new(KEY).unwrap()
}

fn keys() -> AccessKeys {
    key().into()
}

/// A token of exactly this header and these claims.
fn token(header: &str, claims: &str, key: &AccessKey) -> String {
    let message = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(claims));
    let signature = key.sign(&message);
    format!("{message}.{signature}")
}

/// `claims` and then `changes`; a change to `null` takes the claim out.
fn changed(mut claims: Value, changes: Value) -> String {
    let (Value::Object(all), Value::Object(changes)) = (&mut claims, changes) else {
        panic!("claims are objects");
    };
    for (name, value) in changes {
        if value.is_null() {
            all.remove(&name);
        } else {
            all.insert(name, value);
        }
    }
    claims.to_string()
}

#[test]
fn r5_10_a_key_below_256_bits_is_refused() {
    assert_eq!(AccessKey::new("").unwrap_err(), InvalidAccessKey::TooShort);
    assert_eq!(
        AccessKey::new(&"k".repeat(31)).unwrap_err(),
        InvalidAccessKey::TooShort
    );
    assert!(AccessKey::new(&"k".repeat(32)).is_ok());
    let split = format!("{KEY};{KEY}");
    assert_eq!(
        AccessKey::new(&split).unwrap_err(),
        InvalidAccessKey::Semicolon
    );
}

#[test]
fn r5_38_debug_never_shows_a_key() {
    let keys = AccessKeys::new(key(), Some(AccessKey::new(OTHER_KEY).unwrap()));
    let text = format!("{keys:?} {:?}", keys.primary());
    assert!(text.contains("***"), "{text}");
    assert!(!text.contains(KEY) && !text.contains(OTHER_KEY), "{text}");
}

#[test]
fn an_audience_is_an_endpoint_and_the_path_and_nothing_else() {
    let public = [
        "https://Example.com/".to_owned(),
        "http://h:8080".to_owned(),
    ];
    let endpoints = Endpoints {
        public: &public,
        host: Some("127.0.0.1:9000"),
    };
    for audience in [
        "https://example.com/p",
        "HTTPS://EXAMPLE.COM/P",
        "http://h:8080/p",
        "http://127.0.0.1:9000/p",
        "https://127.0.0.1:9000/p",
    ] {
        assert!(endpoints.has(audience, "/p"), "{audience} is refused");
    }
    for audience in [
        "",
        "/p",
        "https://example.com",
        "https://example.com/p/",
        "https://example.com/pp",
        "https://example.com//p",
        "https://example.com/q/p",
        "https://example.com.evil/p",
        "https://evil-example.com/p",
        "http://example.com/p",
        "https://h:8080/p",
        "http://h/p",
        "ws://127.0.0.1:9000/p",
        "://127.0.0.1:9000/p",
        "127.0.0.1:9000/p",
        "http://127.0.0.1/p",
        "é/p",
    ] {
        assert!(!endpoints.has(audience, "/p"), "{audience} is accepted");
    }
    assert!(!Endpoints::default().has("/p", "/p"), "no endpoint at all");
    let empty = [String::new()];
    let endpoints = Endpoints {
        public: &empty,
        host: Some(""),
    };
    assert!(!endpoints.has("/p", "/p"), "an empty endpoint");
    assert!(!endpoints.has("http:///p", "/p"), "an empty host");
}
