//! A self-hosted, embeddable Web PubSub service whose application side is one RPC stream.
//!
//! A [`Service`] holds hubs. Clients come in by WebSocket ([`Service::serve_clients`]); applications dial in over RPC
//! ([`Service::upstream_server`]) or sit in the same process ([`Service::connect_in_process`]) with the SDK of
//! `headwater-upstream`. The rules of a hub are in [`headwater_core::hub`]; this crate drives them under tokio.
//!
//! | module | what it drives |
//! |---|---|
//! | `hub` | a hub by turns under one lock; outboxes, links, timers |
//! | `channels` | push channels, each by turns under its own lock; one timer for all |
//! | `clients` | the handshake of a client, and its connection's reading task |
//! | `upstreams` | the reading task of a link, on one stream or in plain calls; the methods of management and of push channels |
//! | `state` | what those two reach: the hubs and channels of one service |
//! | [`auth`] | tokens |

pub mod auth;
mod channels;
mod clients;
mod clock;
mod config;
mod hub;
mod random;
mod service;
mod state;
mod timer;
mod upstreams;

pub use channels::ChannelsConfig;
pub use config::ServiceConfig;
pub use service::Service;
