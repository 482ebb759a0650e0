use super::*;
pub(super) fn decode(_kind: MessageKind, _message: Bytes) -> Request {
    Request {
        ack_id: None,
        operation: Operation::Nothing,
    }
}
pub(super) fn encode(_response: &Response<'_>, _out: &mut Vec<u8>) {}
