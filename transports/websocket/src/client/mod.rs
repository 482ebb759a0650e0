//! The client's end, dialled by tokio-tungstenite.

mod config;
mod connection;
mod connector;
mod line;
mod shared;
mod single;
mod socket;

pub use config::{Subprotocol, WebSocketClientConfig};
pub use connector::WebSocketConnector;
pub(crate) use shared::Shared;
pub use single::WebSocketClient;
