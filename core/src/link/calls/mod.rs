//! The link in plain calls, `/WpsRpc/…`: one server stream of events, and a unary call for each answer and each command.
//!
//! It is another mapping of the same types: events, acks, commands and results are those of `headwater.v1`, translated to
//! and from `headwater/wps_rpc.proto`, which states the contract.
//!
//! - [`service`]: the service's end.
//! - [`translate`]: between the two, both ways, for both ends.
//! - [`upstream`]: the application's end.

pub mod service;
pub mod translate;
pub mod upstream;

/// The path of the call whose response is the stream of events.
pub const REGISTER: &str = "/WpsRpc/register";

/// The header of its response that names the registration.
pub const REGISTRATION: &str = "headwater-registration";

/// The path of the call that answers a connect.
pub const ACK_CONNECT: &str = "/WpsRpc/ackConnect";

/// The path of the call that answers a message.
pub const ACK_MESSAGE: &str = "/WpsRpc/ackMessage";
