//! What both kinds of token share: form, signature, time and audience.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::Value;

use super::{AccessKeys, Endpoints};

/// The longest token that is looked at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// How far the clocks of signer and service may be apart, in seconds.
pub const CLOCK_SKEW_SECONDS: u64 = 60;

/// Whether a token with this `exp` is good no more, the skew given.
pub(super) const fn has_expired(expiry: u64, now_unix_seconds: u64) -> bool {
    now_unix_seconds >= expiry.saturating_add(CLOCK_SKEW_SECONDS)
}

/// Which rule a token broke. For the log: it holds nothing of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Longer than [`TOKEN_BYTES_MAX`]; it was not parsed.
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// Not three parts of base64url, of which two are JSON objects without duplicate names.
    #[error("the token is not a JWT: its {0} cannot be read")]
    Malformed(&'static str),
    /// The header names another algorithm than HS256.
    #[error("the token is not signed with HS256")]
    Algorithm,
    /// The header has `crit` (RFC 7515 section 4.1.11); this service knows no extension.
    #[error("the token demands an extension that is not known")]
    Critical,
    /// No access key fits the signature.
    #[error("the signature of the token fits no access key")]
    Signature,
    /// A claim that must be there is not.
    #[error("the token has no {0}")]
    Missing(&'static str),
    /// A claim has the wrong type or a value that is not allowed.
    #[error("the {0} of the token is not valid")]
    Claim(&'static str),
    /// `exp` has passed, clock skew included.
    #[error("the token has expired")]
    Expired,
    /// `nbf` has not come, clock skew included.
    #[error("the token is not valid yet")]
    NotYet,
    /// `aud` is for something else: another service, another hub, another use.
    #[error("the audience of the token is another")]
    Audience,
}

/// The claims of a token whose signature holds.
pub(super) struct Claims(BTreeMap<String, Value>);

impl Claims {
    pub(super) fn verify(token: &str, keys: &AccessKeys) -> Result<Self, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let (message, signature) = token
            .rsplit_once('.')
            .ok_or(TokenError::Malformed("form"))?;
        let (header, claims) = message
            .split_once('.')
            .ok_or(TokenError::Malformed("form"))?;

        check_header(&object(header, "header")?)?;
        if !keys.verify(signature, message) {
            return Err(TokenError::Signature);
        }
        Ok(Self(object(claims, "claims")?))
    }

    /// Takes `exp` and `nbf`, and gives `exp`. A token is good before `exp` and from `nbf` on, each moved by the skew.
    pub(super) fn check_time(&mut self, now_unix_seconds: u64) -> Result<u64, TokenError> {
        let expiry = self.seconds("exp")?.ok_or(TokenError::Missing("exp"))?;
        if has_expired(expiry, now_unix_seconds) {
            return Err(TokenError::Expired);
        }
        if let Some(start) = self.seconds("nbf")?
            && now_unix_seconds.saturating_add(CLOCK_SKEW_SECONDS) < start
        {
            return Err(TokenError::NotYet);
        }
        // When it was issued says nothing that these two do not.
        self.0.remove("iat");
        Ok(expiry)
    }

    /// Takes `aud`: one of its values must be an endpoint followed by `path`.
    pub(super) fn check_audience(
        &mut self,
        endpoints: &Endpoints<'_>,
        path: &str,
    ) -> Result<(), TokenError> {
        let audiences = self.strings("aud")?.ok_or(TokenError::Missing("aud"))?;
        if !audiences.iter().any(|aud| endpoints.has(aud, path)) {
            return Err(TokenError::Audience);
        }
        Ok(())
    }

    /// Takes a claim that is a string.
    pub(super) fn string(&mut self, name: &'static str) -> Result<Option<String>, TokenError> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(TokenError::Claim(name)),
        }
    }

    /// Takes a claim that is a string or an array of strings.
    pub(super) fn strings(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Vec<String>>, TokenError> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(vec![text])),
            Some(Value::Array(values)) => values
                .into_iter()
                .map(|value| match value {
                    Value::String(text) => Ok(text),
                    Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::Array(_)
                    | Value::Object(_) => Err(TokenError::Claim(name)),
                })
                .collect::<Result<_, _>>()
                .map(Some),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
                Err(TokenError::Claim(name))
            }
        }
    }

    /// What was not taken, every value as a list of strings.
    pub(super) fn rest(self) -> BTreeMap<String, Vec<String>> {
        let lists = self.0.into_iter();
        lists.map(|(name, value)| (name, texts(value))).collect()
    }

    /// Takes a `NumericDate` (RFC 7519 section 2). Fractions are dropped; what lies before 1970 is 0.
    fn seconds(&mut self, name: &'static str) -> Result<Option<u64>, TokenError> {
        let Some(value) = self.0.remove(name) else {
            return Ok(None);
        };
        let whole = value.as_u64();
        whole
            // Casts saturate, and JSON has no NaN.
            .or_else(|| value.as_f64().map(|seconds| seconds as u64))
            .map(Some)
            .ok_or(TokenError::Claim(name))
    }
}

fn texts(value: Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(values) => values.into_iter().map(text).collect(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            vec![text(value)]
        }
    }
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

fn check_header(header: &BTreeMap<String, Value>) -> Result<(), TokenError> {
    if header.get("alg").and_then(Value::as_str) != Some("HS256") {
        return Err(TokenError::Algorithm);
    }
    if header.contains_key("crit") {
        return Err(TokenError::Critical);
    }
    Ok(())
}

fn object(part: &str, name: &'static str) -> Result<BTreeMap<String, Value>, TokenError> {
    let json = BASE64URL
        .decode(part)
        .map_err(|_| TokenError::Malformed(name))?;
    let object: UniqueObject =
        serde_json::from_slice(&json).map_err(|_| TokenError::Malformed(name))?;
    Ok(object.0)
}

/// A JSON object whose names differ: of two that are the same, signer and verifier may each take another.
struct UniqueObject(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for UniqueObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueObjectVisitor)
    }
}

struct UniqueObjectVisitor;

impl<'de> Visitor<'de> for UniqueObjectVisitor {
    type Value = UniqueObject;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueObject, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a name comes twice"));
            }
        }
        Ok(UniqueObject(members))
    }
}
