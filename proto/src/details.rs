//! Rich error details: what programs are told of a failure beside its code (`google/rpc/status.proto`).

use alloc::{format, string::String, vec::Vec};

use bytes::Bytes;
use prost::Message;

use crate::{Code, Status};

const TYPE_PREFIX: &str = "type.googleapis.com/";

/// One detail: a message of any type, as `google.protobuf.Any` carries it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Detail {
    /// The type, such as `type.googleapis.com/google.rpc.RetryInfo`.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The encoded message.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RichStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

impl Detail {
    /// A detail of the type of this full name, such as `google.rpc.RetryInfo`.
    pub fn new(type_name: &str, value: impl Into<Bytes>) -> Self {
        Self {
            type_url: format!("{TYPE_PREFIX}{type_name}"),
            value: value.into(),
        }
    }

    /// The full name of the type, without what stands before the last slash.
    pub fn type_name(&self) -> &str {
        let slash = self.type_url.rfind('/').map_or(0, |slash| slash + 1);
        &self.type_url[slash..]
    }
}

impl Status {
    /// The same with these details, in place of those that it has.
    #[must_use]
    pub fn with_details(mut self, details: impl IntoIterator<Item = Detail>) -> Self {
        let rich = RichStatus {
            code: i32::from(self.code.number()),
            message: self.message.clone(),
            details: details.into_iter().collect(),
        };
        self.details = rich.encode_to_vec().into();
        self
    }

    /// The details that came with it, in order; none, if there are none.
    ///
    /// # Errors
    ///
    /// `INTERNAL`: what came is no `google.rpc.Status`.
    pub fn rich_details(&self) -> Result<Vec<Detail>, Self> {
        let undecodable = |_| Self::new(Code::Internal, "the details of a status are undecodable");
        let rich = RichStatus::decode(self.details.clone()).map_err(undecodable)?;
        Ok(rich.details)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn details_round_trip_in_googles_encoding() {
        let detail = Detail::new("a.B", vec![1, 2]);
        let status = Status::new(Code::NotFound, "m").with_details([detail.clone()]);
        let mut expected = vec![8, 5, 18, 1, b'm', 26, 29, 10, 23];
        expected.extend(b"type.googleapis.com/a.B");
        expected.extend([18, 2, 1, 2]);
        assert_eq!(status.details, expected);
        assert_eq!(status.rich_details(), Ok(vec![detail]));
        assert_eq!(Status::new(Code::NotFound, "m").rich_details(), Ok(vec![]));
    }

    #[test]
    fn a_detail_knows_its_type_and_bad_bytes_are_refused() {
        assert_eq!(Detail::new("a.B", vec![]).type_name(), "a.B");
        let bare = Detail {
            type_url: "bare".into(),
            value: Bytes::new(),
        };
        assert_eq!(bare.type_name(), "bare");
        let mut status = Status::new(Code::Aborted, "");
        status.details = Bytes::from_static(&[255]);
        let error = status.rich_details().expect_err("no status");
        assert_eq!(error.code, Code::Internal);
    }
}
