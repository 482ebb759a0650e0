//! What clients and the application say.

use alloc::{string::String, vec::Vec};

use bytes::Bytes;
use headwater_proto::{
    Code, Status,
    v1::{DataType, Payload},
    wps_rpc::{Message, message::Data},
};

/// The payload as a message. Bytes of no stated type are binary.
///
/// # Errors
///
/// [`Code::InvalidArgument`] for text or JSON that is not UTF-8.
pub fn message(payload: Payload) -> Result<Message, Status> {
    let data = match payload.r#type() {
        DataType::Text => Data::TextData(text(payload.data)?),
        DataType::Json => Data::JsonData(text(payload.data)?),
        DataType::Binary | DataType::Unspecified => Data::BinaryData(payload.data),
        DataType::Protobuf => Data::ProtobufData(payload.data),
    };
    Ok(Message { data: Some(data) })
}

/// The message as a payload. `None` for one that says nothing, which is not one that says something empty.
pub fn payload(message: Message) -> Option<Payload> {
    let (data_type, data) = match message.data? {
        Data::TextData(text) => (DataType::Text, text.into()),
        Data::JsonData(json) => (DataType::Json, json.into()),
        Data::BinaryData(bytes) => (DataType::Binary, bytes),
        Data::ProtobufData(bytes) => (DataType::Protobuf, bytes),
    };
    Some(Payload {
        r#type: data_type.into(),
        data,
    })
}

fn text(data: Bytes) -> Result<String, Status> {
    let not_text = |_| Status::new(Code::InvalidArgument, "the payload is not UTF-8");
    String::from_utf8(Vec::from(data)).map_err(not_text)
}
