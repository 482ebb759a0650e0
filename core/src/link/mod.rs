//! The link between the service and an application: one bidirectional call, `headwater.v1.Upstream/Link`.
//!
//! Events flow to the application; its acks and commands flow back in one ordered lane with one numbering. Both ends are
//! machines; this module holds what they share.
//!
//! - [`calls`]: the same in plain calls, `/WpsRpc/…`.
//! - [`service`]: the service's end.
//! - [`upstream`]: the application's end.

pub mod calls;
pub mod service;
pub mod upstream;

/// How many events an upstream holds unsettled if its `register` does not say.
pub const WINDOW_EVENTS_DEFAULT: u32 = 1024;

/// How many bytes of events an upstream holds unsettled if its `register` does not say: 16 MiB.
pub const WINDOW_BYTES_DEFAULT: u64 = 16 << 20;

/// How many events a hub lets one upstream hold unsettled, whatever its `register` says: what its call has to carry at most
/// is then known.
pub const WINDOW_EVENTS_MAX: u32 = 1 << 15;

/// How many bytes of events a hub lets one upstream hold unsettled, whatever its `register` says: 32 MiB.
pub const WINDOW_BYTES_MAX: u64 = 32 << 20;
