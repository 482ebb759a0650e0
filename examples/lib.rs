//! What several examples share.

pub mod chat_app;

/// The code in the README compiles and does what is said there.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// The code in the guide compiles.
#[cfg(doctest)]
#[doc = include_str!("../docs/src/rpc.md")]
#[doc = include_str!("../docs/src/wps_rpc.md")]
#[doc = include_str!("../docs/src/push_channel.md")]
#[doc = include_str!("../docs/src/stubs.md")]
#[doc = include_str!("../docs/src/calls.md")]
#[doc = include_str!("../docs/src/policies.md")]
#[doc = include_str!("../docs/src/interceptors.md")]
#[doc = include_str!("../docs/src/transports.md")]
#[doc = include_str!("../docs/src/pw_rpc.md")]
#[doc = include_str!("../docs/src/zrpc.md")]
#[doc = include_str!("../docs/src/connections.md")]
#[doc = include_str!("../docs/src/compression.md")]
#[doc = include_str!("../docs/src/services.md")]
pub struct Guide;
