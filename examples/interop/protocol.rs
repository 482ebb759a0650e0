//! The protocol of the interop cases: messages, clients and services.

#![allow(
    unreachable_pub,
    unnameable_types,
    dead_code,
    reason = "generated, and an example exports nothing"
)]

headwater_rpc::include_proto!("grpc.testing");
