//! The client's end: the handshake is tokio-tungstenite's, and the frames after it are read and written by our own codec.

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
