use alloc::{borrow::Cow, string::String, vec::Vec};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::subprotocol::{
    DataType, Malformed, Metadata, Operation, Payload, Request, check_metadata,
    event_name_is_valid, group_name_is_valid, payload::json_depth_is_valid,
};
use crate::websocket::MessageKind;

/// How long a message may ask to be kept, in seconds.
const TTL_SECONDS_MAX: i64 = 300;

/// Every property of every request. Flat, because a tagged enum would copy `data` into a tree.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    ack_id: Option<u64>,
    group: Option<String>,
    event: Option<String>,
    #[serde(borrow)]
    data_type: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    no_echo: Option<bool>,
    metadata: Option<Metadata>,
    ttl_seconds: Option<i64>,
    stream: Option<IgnoredAny>,
}

/// A string that is copied only if it has escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads `null` as a value too, where an `Option` alone would take it for nothing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[derive(Clone, Copy)]
enum Kind {
    JoinGroup,
    LeaveGroup,
    SendToGroup,
    Event,
    Ping,
    SequenceAck,
    Unsupported,
}

/// The names of requests, matched without regard to case.
const KINDS: [(&str, Kind); 13] = [
    ("sendToGroup", Kind::SendToGroup),
    ("event", Kind::Event),
    ("joinGroup", Kind::JoinGroup),
    ("leaveGroup", Kind::LeaveGroup),
    ("ping", Kind::Ping),
    ("sequenceAck", Kind::SequenceAck),
    ("invoke", Kind::Unsupported),
    ("cancelInvocation", Kind::Unsupported),
    ("streamData", Kind::Unsupported),
    ("streamEnd", Kind::Unsupported),
    ("setGroupState", Kind::Unsupported),
    ("subscribeGroupState", Kind::Unsupported),
    ("unsubscribeGroupState", Kind::Unsupported),
];

pub(in crate::subprotocol) fn decode(
    frame: MessageKind,
    bytes: Bytes,
) -> Result<Request, Malformed> {
    if frame == MessageKind::Binary {
        return Err(Malformed::frame("this subprotocol has no binary frames"));
    }
    let text =
        core::str::from_utf8(&bytes).map_err(|_| Malformed::content("the text is not UTF-8"))?;
    let message: Message<'_> = serde_json::from_str(text).map_err(Malformed::json)?;
    let (name, kind) = KINDS
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(&message.kind.0))
        .ok_or_else(|| Malformed::content("the type of the request is unknown"))?;

    let ack_id = message.ack_id;
    let operation = match kind {
        Kind::JoinGroup => of_group(message.group, |group| Operation::JoinGroup { group })?,
        Kind::LeaveGroup => of_group(message.group, |group| Operation::LeaveGroup { group })?,
        Kind::SendToGroup if message.stream.is_some() => Operation::Unsupported { kind: "stream" },
        Kind::SendToGroup => send_to_group(message, &bytes)?,
        Kind::Event => event(message, &bytes)?,
        Kind::Unsupported => Operation::Unsupported { kind: name },
        // Never acked, whatever they carry.
        Kind::Ping => return Ok(Request::unacked(Operation::Ping)),
        Kind::SequenceAck => return Ok(Request::unacked(Operation::Nothing)),
    };
    Ok(Request { ack_id, operation })
}

fn of_group(
    group: Option<String>,
    operation: fn(String) -> Operation,
) -> Result<Operation, Malformed> {
    let group = group.ok_or_else(|| Malformed::content("the group is missing"))?;
    if !group_name_is_valid(&group) {
        return Ok(INVALID_GROUP);
    }
    Ok(operation(group))
}

fn send_to_group(message: Message<'_>, bytes: &Bytes) -> Result<Operation, Malformed> {
    let payload = payload(&message, bytes)?;
    let group = message
        .group
        .ok_or_else(|| Malformed::content("the group is missing"))?;
    if !group_name_is_valid(&group) {
        return Ok(INVALID_GROUP);
    }
    if let Some(seconds) = message.ttl_seconds
        && !(0..=TTL_SECONDS_MAX).contains(&seconds)
    {
        return Ok(invalid("ttlSeconds is not between 0 and 300"));
    }
    let metadata = message.metadata.unwrap_or_default();
    if let Err(reason) = check_metadata(&metadata) {
        return Ok(invalid(reason));
    }
    Ok(Operation::SendToGroup {
        group,
        payload,
        no_echo: message.no_echo.unwrap_or(false),
        metadata,
    })
}

fn event(message: Message<'_>, bytes: &Bytes) -> Result<Operation, Malformed> {
    let payload = payload(&message, bytes)?;
    let name = message
        .event
        .ok_or_else(|| Malformed::content("the event is missing"))?;
    if !event_name_is_valid(&name) {
        return Ok(invalid("the name of the event is not valid"));
    }
    let metadata = message.metadata.unwrap_or_default();
    if let Err(reason) = check_metadata(&metadata) {
        return Ok(invalid(reason));
    }
    Ok(Operation::Event {
        name,
        payload,
        metadata,
    })
}

const INVALID_GROUP: Operation = invalid("the name of the group is not valid");

const fn invalid(reason: &'static str) -> Operation {
    Operation::Invalid { reason }
}

fn payload(message: &Message<'_>, bytes: &Bytes) -> Result<Payload, Malformed> {
    let data_type = data_type(message.data_type.as_ref())?;
    let Some(raw) = message.data else {
        // Metadata alone stands for empty text.
        if message.metadata.as_ref().is_some_and(|all| !all.is_empty()) {
            return Ok(Payload {
                data_type: DataType::Text,
                data: Bytes::new(),
            });
        }
        return Err(Malformed::content("the data is missing"));
    };
    let data = match data_type {
        DataType::Json => json(raw.get(), bytes)?,
        DataType::Text => string(raw.get(), bytes)?,
        DataType::Binary | DataType::Protobuf => base64(&string(raw.get(), bytes)?)?,
    };
    Ok(Payload { data_type, data })
}

fn data_type(name: Option<&Text<'_>>) -> Result<DataType, Malformed> {
    let Some(Text(name)) = name else {
        return Ok(DataType::Json);
    };
    [
        DataType::Json,
        DataType::Text,
        DataType::Binary,
        DataType::Protobuf,
    ]
    .into_iter()
    .find(|data_type| data_type.name().eq_ignore_ascii_case(name))
    .ok_or_else(|| Malformed::content("the dataType is unknown"))
}

fn json(raw: &str, bytes: &Bytes) -> Result<Bytes, Malformed> {
    if !json_depth_is_valid(raw) {
        return Err(Malformed::content("the data nests too deeply"));
    }
    Ok(bytes.slice_ref(raw.as_bytes()))
}

/// The content of a JSON string: shared with the message unless it has escapes.
fn string(raw: &str, bytes: &Bytes) -> Result<Bytes, Malformed> {
    let content = raw
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .ok_or_else(|| Malformed::content("the data is not a string"))?;
    if !content.contains('\\') {
        return Ok(bytes.slice_ref(content.as_bytes()));
    }
    let content: String = serde_json::from_str(raw).map_err(Malformed::json)?;
    Ok(content.into())
}

fn base64(text: &[u8]) -> Result<Bytes, Malformed> {
    let bytes: Vec<u8> = BASE64
        .decode(text)
        .map_err(|_| Malformed::content("the data is not base64"))?;
    Ok(bytes.into())
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
