//! The gRPC wire format, as far as HTTP does not do it: message framing, status trailers, `grpc-timeout`.
//!
//! Source: gRPC's `PROTOCOL-HTTP2.md`. HTTP/3 uses the same (gRFC G2).

mod chunks;
pub mod framing;
pub mod timeout;
pub mod trailers;

pub use chunks::Chunks;
pub use framing::{Deframer, FramingError, Message};
