//! Compression, message by message.

use headwater_rpc::{
    CallOptions, Compress, Encoding, Encodings, Status,
    stub::{Request, Sink},
};

use crate::protocol::BoolValue;

/// What the cases compress with.
const ENCODING: Encoding = Encoding::Gzip;

/// A request whose messages are compressed if this is true, and whose responses may be.
pub(crate) fn request<T>(request: Request<T>, compressed: Option<BoolValue>) -> Request<T> {
    let options = CallOptions {
        compression: encoding(compressed),
        accepted_encodings: Encodings::ALL,
        ..request.options
    };
    Request { options, ..request }
}

/// Has the responses of a call be compressed, unless a message says otherwise or the client does not take it.
///
/// # Errors
///
/// The call is over.
pub(crate) fn allow<T>(responses: &Sink<T>) -> Result<(), Status> {
    responses.set_compression(ENCODING)
}

/// Sends a message, compressed only if this is true and its call's messages are.
///
/// # Errors
///
/// As [`Sink::send`].
pub(crate) async fn send<T>(
    sink: &Sink<T>,
    message: T,
    compressed: Option<BoolValue>,
) -> Result<(), Status> {
    let compress = if is_true(compressed) {
        Compress::Auto
    } else {
        Compress::Never
    };
    sink.send_with(message, compress).await
}

fn encoding(compressed: Option<BoolValue>) -> Encoding {
    if is_true(compressed) {
        ENCODING
    } else {
        Encoding::Identity
    }
}

fn is_true(value: Option<BoolValue>) -> bool {
    value.is_some_and(|value| value.value)
}
