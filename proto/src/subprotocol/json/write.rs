use alloc::vec::Vec;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use crate::subprotocol::{AckError, DataType, Metadata, Payload, Response};
use crate::websocket::{MessageKind, begin_message, finish_message};

pub(in crate::subprotocol) fn encode(response: &Response<'_>, out: &mut Vec<u8>) {
    let mark = begin_message(out);
    message(response, out);
    finish_message(MessageKind::Text, mark, out);
}

fn message(response: &Response<'_>, out: &mut Vec<u8>) {
    match *response {
        Response::Connected {
            connection_id,
            user_id,
        } => connected(connection_id, user_id, out),
        Response::Disconnected { reason } => {
            raw(r#"{"type":"system","event":"disconnected","message":"#, out);
            string(reason, out);
        }
        Response::Ack { ack_id, outcome } => ack(ack_id, outcome, out),
        Response::Pong => raw(r#"{"type":"pong""#, out),
        Response::GroupMessage {
            group,
            from_user_id,
            payload,
            metadata,
        } => {
            raw(r#"{"type":"message","from":"group","group":"#, out);
            string(group, out);
            if let Some(user_id) = from_user_id {
                raw(r#","fromUserId":"#, out);
                string(user_id, out);
            }
            content(payload, metadata, out);
        }
        Response::ServerMessage { payload, metadata } => {
            raw(r#"{"type":"message","from":"server""#, out);
            content(payload, metadata, out);
        }
    }
    out.push(b'}');
}

fn connected(connection_id: &str, user_id: Option<&str>, out: &mut Vec<u8>) {
    raw(r#"{"type":"system","event":"connected","userId":"#, out);
    match user_id {
        Some(user_id) => string(user_id, out),
        None => raw("null", out),
    }
    raw(r#","connectionId":"#, out);
    string(connection_id, out);
}

fn ack(ack_id: u64, outcome: Result<(), AckError<'_>>, out: &mut Vec<u8>) {
    raw(r#"{"type":"ack","ackId":"#, out);
    integer(ack_id, out);
    match outcome {
        Ok(()) => raw(r#","success":true"#, out),
        Err(error) => {
            raw(r#","success":false,"error":{"name":"#, out);
            string(error.name.as_str(), out);
            raw(r#","message":"#, out);
            string(error.message, out);
            out.push(b'}');
        }
    }
}

fn content(payload: &Payload, metadata: &Metadata, out: &mut Vec<u8>) {
    raw(r#","dataType":""#, out);
    raw(payload.data_type.name(), out);
    raw(r#"","data":"#, out);
    match payload.data_type {
        DataType::Json => out.extend_from_slice(&payload.data),
        DataType::Text => escaped(&payload.data, out),
        DataType::Binary | DataType::Protobuf => base64(&payload.data, out),
    }
    if metadata.is_empty() {
        return;
    }
    raw(r#","metadata":"#, out);
    let mut before = b'{';
    for (name, value) in metadata {
        out.push(before);
        string(name, out);
        out.push(b':');
        string(value, out);
        before = b',';
    }
    out.push(b'}');
}

fn raw(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
}

fn string(text: &str, out: &mut Vec<u8>) {
    escaped(text.as_bytes(), out);
}

/// UTF-8 as a JSON string: only what RFC 8259 section 7 requires is escaped.
fn escaped(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| needs_escape(byte)) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let byte = tail[0];
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(br"\n"),
            b'\r' => out.extend_from_slice(br"\r"),
            b'\t' => out.extend_from_slice(br"\t"),
            _ => {
                out.extend_from_slice(br"\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 0xf)]);
            }
        }
        rest = &tail[1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

const fn needs_escape(byte: u8) -> bool {
    matches!(byte, 0..=0x1f | b'"' | b'\\')
}

fn integer(mut value: u64, out: &mut Vec<u8>) {
    let start = out.len();
    loop {
        out.push(b'0' + (value % 10) as u8);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out[start..].reverse();
}

fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    // The size of a `Vec` is at most `isize::MAX`, so four thirds of it fit a `usize`.
    out.resize(start + bytes.len().div_ceil(3) * 4, b'=');
    let written = BASE64.encode_slice(bytes, &mut out[start..]);
    debug_assert_eq!(written, Ok(out.len() - start));
    out.push(b'"');
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
