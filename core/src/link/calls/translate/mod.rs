//! Between `headwater.v1` and `WpsRpc`: pure functions, both ways.
//!
//! What is said of one is said of the other, field by field; what only one of them has is left out, and stands at the
//! function that leaves it out.

mod acks;
mod commands;
mod events;
mod payloads;
mod register;

#[cfg(test)]
mod tests;

pub use acks::{AckRequest, ack_request, connect_answer, message_answer};
pub use commands::Method;
pub use events::{event, streaming_request};
pub use payloads::{message, payload};
pub use register::{register, register_message};

use headwater_proto::{v1, wps_rpc};

fn error(status: v1::Status) -> wps_rpc::Error {
    wps_rpc::Error {
        code: status.code,
        message: status.message,
    }
}

fn status(error: wps_rpc::Error) -> v1::Status {
    v1::Status {
        code: error.code,
        message: error.message,
    }
}
