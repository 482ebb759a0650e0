//! The client's end, dialled by tokio-tungstenite.

mod channel;
mod config;
mod connection;
mod connector;
mod line;
mod serving;
mod shared;
mod socket;

pub use channel::WebSocketClient;
pub use config::{Subprotocol, WebSocketClientConfig};
pub use connector::WebSocketConnector;
pub use serving::DialledServer;
pub(crate) use shared::Shared;
