//! What one message says of its compression, and how one message is sent.

use headwater_rpc::{
    Status,
    stub::{Messages, Sink},
};

use crate::protocol::BoolValue;

pub(crate) fn allow<T>(_responses: &Sink<T>) {}

pub(crate) async fn send<T>(
    sink: &Sink<T>,
    message: T,
    _compressed: Option<BoolValue>,
) -> Result<(), Status> {
    sink.send(message).await
}

pub(crate) fn was_compressed<T>(_messages: &Messages<T>) -> bool {
    false
}

pub(crate) fn request<T>(
    request: headwater_rpc::stub::Request<T>,
    _compressed: Option<BoolValue>,
) -> headwater_rpc::stub::Request<T> {
    request
}
