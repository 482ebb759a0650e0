//! Metadata and status as HTTP headers, and back.

use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use headwater_core::call::Trailers;
use headwater_proto::{
    Code, Metadata, Status,
    grpc::{timeout, trailers},
    metadata::{self, MetadataError, Value},
};

/// The header with the time that the client gives a call.
const TIMEOUT: &str = "grpc-timeout";

const GRPC: &str = "application/grpc";

// Names and values that are made here cost nothing each time.
const STATUS: HeaderName = HeaderName::from_static(trailers::STATUS);
const MESSAGE: HeaderName = HeaderName::from_static(trailers::MESSAGE);
const DETAILS: HeaderName = HeaderName::from_static(trailers::DETAILS);
const STATUS_OK: HeaderValue = HeaderValue::from_static("0");

/// Appends metadata. The keys and values of [`Metadata`] are valid in HTTP.
pub fn append_metadata(metadata: &Metadata, headers: &mut HeaderMap) {
    for (key, value) in metadata.iter() {
        let name = HeaderName::from_bytes(key.as_bytes());
        let value = HeaderValue::try_from(value.to_wire());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
}

/// The metadata among the headers. What belongs to HTTP or gRPC is not metadata, and what no metadata can be is left out.
///
/// # Errors
///
/// The value of a `-bin` key is not base64.
pub fn to_metadata(headers: &HeaderMap) -> Result<Metadata, MetadataError> {
    let mut found = Metadata::new();
    for (name, value) in headers {
        let Ok(text) = value.to_str() else {
            continue;
        };
        let name = name.as_str();
        if metadata::is_reserved(name) {
            continue;
        }
        if let Err(MetadataError::Base64) = found.append_wire(name, text) {
            return Err(MetadataError::Base64);
        }
    }
    Ok(found)
}

/// The trailers that say how the call ended.
pub fn from_trailers(ended: &Trailers) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(1);
    append_trailers(ended, &mut headers);
    headers
}

/// Appends how the call ended; to the headers, if nothing came before.
pub fn append_trailers(ended: &Trailers, headers: &mut HeaderMap) {
    let number = match &ended.outcome {
        Ok(()) => STATUS_OK,
        Err(status) => HeaderValue::from(u16::from(status.code.number())),
    };
    headers.insert(STATUS, number);
    if let Err(status) = &ended.outcome {
        let message = HeaderValue::try_from(trailers::encode_message(&status.message));
        if let (false, Ok(message)) = (status.message.is_empty(), message) {
            headers.insert(MESSAGE, message);
        }
        let details = Value::Binary(status.details.clone()).to_wire();
        if let (false, Ok(details)) = (status.details.is_empty(), HeaderValue::try_from(details)) {
            headers.insert(DETAILS, details);
        }
    }
    append_metadata(&ended.metadata, headers);
}

/// How the call ended, by these headers or trailers; `None` if they do not say.
pub fn to_trailers(headers: &HeaderMap) -> Option<Trailers> {
    let number = headers.get(STATUS)?;
    let outcome = trailers::parse_status(number.to_str().unwrap_or_default());
    let outcome = outcome.map_err(|code| to_status(code, headers));
    // A status is not lost over metadata that cannot be read.
    let metadata = to_metadata(headers).unwrap_or_default();
    Some(Trailers { outcome, metadata })
}

fn to_status(code: Code, headers: &HeaderMap) -> Status {
    let message = headers.get(MESSAGE);
    let message = message.map(|text| trailers::decode_message(text.as_bytes()));
    let mut status = Status::new(code, message.unwrap_or_default());
    let details = headers.get(DETAILS);
    if let Some(text) = details.and_then(|text| text.to_str().ok()) {
        status.details = metadata::decode_binary(text).unwrap_or_default();
    }
    status
}

/// Appends the time that the client gives the call.
pub fn append_timeout(given: Duration, headers: &mut HeaderMap) {
    if let Ok(value) = HeaderValue::try_from(timeout::format(given)) {
        headers.insert(TIMEOUT, value);
    }
}

/// The time that the client gives the call.
///
/// # Errors
///
/// The header is there, and is none.
pub fn to_timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get(TIMEOUT) else {
        return Ok(None);
    };
    let parsed = value.to_str().ok().and_then(timeout::parse);
    let malformed = || Status::new(Code::Internal, "malformed grpc-timeout");
    parsed.map(Some).ok_or_else(malformed)
}

/// The content type of all that is sent.
pub const fn content_type() -> HeaderValue {
    HeaderValue::from_static(GRPC)
}

/// Whether the content type is gRPC's, with or without a name of the message format.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let rest = value.and_then(|value| value.strip_prefix(GRPC));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_survives_the_trailers() {
        let mut status = Status::new(Code::NotFound, "kein \u{1F4A7} da");
        status.details = vec![0, 255].into();
        let mut metadata = Metadata::new();
        metadata.append("k", "v").expect("valid");
        metadata.append_bytes("k-bin", vec![1, 2]).expect("valid");
        for outcome in [Ok(()), Err(status)] {
            let trailers = Trailers {
                outcome,
                metadata: metadata.clone(),
            };
            assert_eq!(to_trailers(&from_trailers(&trailers)), Some(trailers));
        }
    }

    #[test]
    fn only_grpc_is_grpc() {
        let cases = [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ];
        for (text, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(text));
            assert_eq!(is_grpc(&headers), expected, "{text}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }
}
