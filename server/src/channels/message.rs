//! A message as it lies in a channel: what is pushed for it, ready to be sent.

use std::time::Duration;

use bytes::Bytes;
use headwater_proto::push_channel::{MessageReply, SubmitRequest};
use prost::Message as _;

/// A message on its way into a channel.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(super) message: Pushed,
    /// How long it may wait; `None` is as long as the channel says.
    pub(super) expires_after: Option<Duration>,
}

impl Submission {
    pub(crate) fn new(request: SubmitRequest) -> Self {
        let expires_after = match request.expires_after_ms {
            0 => None,
            after => Some(Duration::from_millis(after)),
        };
        let message = Pushed::new(request);
        Self {
            message,
            expires_after,
        }
    }
}

/// The bytes of a [`MessageReply`] but for its offset, which the channel gives.
#[derive(Debug)]
pub(super) struct Pushed(Vec<u8>);

/// What an offset takes at most: a tag of two bytes, and ten.
const OFFSET_BYTES_MAX: usize = 12;

impl Pushed {
    /// In the form in which it was submitted: what has no e-mail, header, text or time is of the first version, and has a
    /// message alone.
    fn new(request: SubmitRequest) -> Self {
        let SubmitRequest {
            channel: _,
            message,
            email,
            header,
            text,
            time,
            expires_after_ms: _,
        } = request;
        let reply = MessageReply {
            message,
            email,
            header,
            text,
            time,
            offset: 0,
            redelivered: false,
        };
        let mut bytes = Vec::with_capacity(reply.encoded_len() + OFFSET_BYTES_MAX);
        append(&reply, &mut bytes);
        Self(bytes)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn at(mut self, offset: u64) -> Bytes {
        let offset = MessageReply {
            offset,
            ..MessageReply::default()
        };
        append(&offset, &mut self.0);
        self.0.into()
    }

    /// The same message, marked as redelivered.
    pub(super) fn again(message: &Bytes) -> Bytes {
        let redelivered = MessageReply {
            redelivered: true,
            ..MessageReply::default()
        };
        let mut bytes = Vec::with_capacity(message.len() + redelivered.encoded_len());
        bytes.extend_from_slice(message);
        append(&redelivered, &mut bytes);
        bytes.into()
    }
}

/// Parts of a message that follow one another are the message (Protocol Buffers, "Last One Wins").
fn append(part: &MessageReply, bytes: &mut Vec<u8>) {
    part.encode(bytes).expect("a Vec grows as needed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_21_a_message_keeps_its_form_and_has_its_place() {
        let request = SubmitRequest {
            channel: "c".into(),
            message: "ann".into(),
            email: "ann@example.org".into(),
            header: "greeting".into(),
            text: "hello".into(),
            time: "noon".into(),
            expires_after_ms: 5,
        };
        let expected = MessageReply {
            message: "ann".into(),
            email: "ann@example.org".into(),
            header: "greeting".into(),
            text: "hello".into(),
            time: "noon".into(),
            offset: 300,
            redelivered: false,
        };
        let message = Pushed::new(request).at(300);
        let decode = |bytes: Bytes| MessageReply::decode(bytes).expect("whole");
        assert_eq!(decode(message.clone()), expected);
        let again = MessageReply {
            redelivered: true,
            ..expected
        };
        assert_eq!(decode(Pushed::again(&message)), again);
    }
}
