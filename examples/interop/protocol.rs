//! The protocols of the services: messages, clients and services.

#![allow(
    unreachable_pub,
    unnameable_types,
    dead_code,
    reason = "generated, and an example exports nothing"
)]

headwater_rpc::include_proto!("grpc.testing");

/// The services of pw_rpc itself.
pub(crate) mod pigweed {
    headwater_rpc::include_proto!("pw.rpc");
}
