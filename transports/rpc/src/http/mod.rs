//! What the transports over HTTP have in common: metadata and status as headers, and the messages of a body.
//!
//! The gRPC wire format is the same on HTTP/2 (`PROTOCOL-HTTP2.md`) and HTTP/3 (gRFC G2); what differs is how a stream
//! ends, and each transport says that itself.

mod age;
mod alt_svc;
mod fallback;
pub mod headers;
mod messages;
mod moving;
pub mod request;
pub mod response;
mod unsendable;

pub use age::jittered;
pub use alt_svc::{AltSvc, Alternatives};
pub use fallback::{Fallback, FallbackConfig};
pub use messages::{Messages, Part, Source};
pub use unsendable::Unsendable;
