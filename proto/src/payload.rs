//! Payloads, between `headwater.v1` and the client subprotocols.

use crate::{
    Code, Status,
    subprotocol::{DataType, Payload},
    v1,
};

impl TryFrom<v1::Payload> for Payload {
    type Error = Status;

    /// Checks that the bytes are what their type says, because they are written into messages as they are.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidArgument`] if [`Payload::check`] finds something wrong.
    fn try_from(payload: v1::Payload) -> Result<Self, Status> {
        let data_type = match payload.r#type() {
            v1::DataType::Text => DataType::Text,
            v1::DataType::Json => DataType::Json,
            v1::DataType::Binary | v1::DataType::Unspecified => DataType::Binary,
            v1::DataType::Protobuf => DataType::Protobuf,
        };
        let payload = Self {
            data_type,
            data: payload.data,
        };
        match payload.check() {
            Ok(()) => Ok(payload),
            Err(reason) => Err(Status::new(Code::InvalidArgument, reason)),
        }
    }
}

impl From<Payload> for v1::Payload {
    fn from(payload: Payload) -> Self {
        let data_type = match payload.data_type {
            DataType::Text => v1::DataType::Text,
            DataType::Json => v1::DataType::Json,
            DataType::Binary => v1::DataType::Binary,
            DataType::Protobuf => v1::DataType::Protobuf,
        };
        Self {
            r#type: data_type.into(),
            data: payload.data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_wire(data_type: v1::DataType, data: &'static [u8]) -> Result<Payload, Status> {
        v1::Payload {
            r#type: data_type.into(),
            data: bytes::Bytes::from_static(data),
        }
        .try_into()
    }

    #[test]
    fn what_an_application_mislabels_is_refused() {
        let text = from_wire(v1::DataType::Text, b"\xff").expect_err("not UTF-8");
        assert_eq!(text.code, Code::InvalidArgument);
        for bad in [&b"{"[..], b"1 2", b"", b"\xff", b"nul"] {
            let json = from_wire(v1::DataType::Json, bad);
            assert!(json.is_err(), "{bad:?} is not one JSON value");
        }
        let nested = |depth| ["[".repeat(depth), "]".repeat(depth)].concat();
        let from_json = |json: alloc::string::String| {
            Payload::try_from(v1::Payload {
                r#type: v1::DataType::Json.into(),
                data: json.into(),
            })
        };
        assert!(from_json(nested(128)).is_ok());
        assert!(from_json(nested(129)).is_err(), "too deep for receivers");
    }

    #[test]
    fn a_payload_survives_the_way_there_and_back() {
        for (data_type, data) in [
            (v1::DataType::Text, &b"hi"[..]),
            (v1::DataType::Json, b" {\"a\": [1]}"),
            (v1::DataType::Binary, b"\xff\x00"),
            (v1::DataType::Protobuf, b"\x0a\x00"),
        ] {
            let payload = from_wire(data_type, data).expect("well labelled");
            let back = v1::Payload::from(payload);
            assert_eq!((back.r#type(), &back.data[..]), (data_type, data));
        }
        let untyped = from_wire(v1::DataType::Unspecified, b"x").expect("taken as binary");
        assert_eq!(untyped.data_type, DataType::Binary);
    }
}
