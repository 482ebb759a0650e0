//! One client connection's protocol state, apart from what the hub knows of it.

mod ack_ids;

pub use ack_ids::AckIds;
