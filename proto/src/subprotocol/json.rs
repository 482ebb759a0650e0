use super::*;
pub(super) const NAME: &str = "json.webpubsub.azure.v1";
pub(super) fn decode(_kind: MessageKind, _message: Bytes) -> Result<Request, Malformed> {
    Ok(Request {
        ack_id: None,
        operation: Operation::Nothing,
    })
}
pub(super) fn encode(_response: &Response<'_>, _out: &mut Vec<u8>) {}
