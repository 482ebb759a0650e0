//! The SDK for the application side of Headwater.
//!
//! An application implements [`Handler`] and runs an [`Upstream`], which dials the service (the application needs no open
//! port), registers for one hub, and holds one link: events come in, answers and commands go out, in order. [`Hub`] is the
//! handle for commands, inside handlers and outside. [`testing`] runs a handler without a service. [`channel`] is for
//! applications that submit messages to push channels or consume them.
//!
//! ```no_run
//! use headwater_upstream::{
//!     Accept, Connect, Context, Failure, Handler, Message, Reject, Reply, Upstream, UpstreamConfig, async_trait,
//! };
//!
//! struct Chat;
//!
//! #[async_trait]
//! impl Handler for Chat {
//!     async fn connect(&self, _: &Context, connect: Connect) -> Result<Accept, Reject> {
//!         let user = connect.query_value("user").ok_or(Reject::unauthenticated("who are you?"))?;
//!         Ok(Accept { user_id: Some(user.into()), groups: vec!["lobby".into()], ..Accept::default() })
//!     }
//!
//!     async fn message(&self, context: &Context, message: Message) -> Result<Reply, Failure> {
//!         context.hub().send_to_group("lobby", message.payload);
//!         Ok(Reply::empty())
//!     }
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = UpstreamConfig {
//!     hub: "chat".into(),
//!     connection_string: Some("Endpoint=http://127.0.0.1:8080;AccessKey=…;Version=1.0;".parse()?),
//!     ..UpstreamConfig::default()
//! };
//! Upstream::new(config, Chat)?.run().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Order
//!
//! The handlers of one connection run one after the other; those of different connections run beside each other, all in
//! the task that runs the upstream. Answers and commands take effect in the order in which they were given: a command
//! that a handler gives takes effect before the answer that it returns; after [`Context::reply`], which answers at once,
//! it takes effect after the answer. With [`Mapping::Calls`], answers and commands race each other.
//!
//! # When the link breaks
//!
//! The upstream dials again, with [`BackOff`]. Handlers that run go on, and their answers are lost with the link; commands
//! without a result end as [`CommandError::Unknown`], and new ones as [`CommandError::NotRegistered`] until the next
//! registration is up.
//!
//! This crate will never open a port, and runs no task for an event.

mod answer;
mod calls;
pub mod channel;
mod command;
mod config;
mod context;
mod engine;
mod event;
mod handler;
mod hub;
mod mailbox;
mod payload;
mod session;
pub mod testing;
mod token;
mod upstream;
mod wire;

pub use answer::{Accept, Failure, Reject, Reply};
pub use command::{Command, CommandError, Member, Members};
pub use config::{ConfigError, Events, Mapping, UpstreamConfig};
pub use context::Context;
pub use event::{ClientCertificate, Connect, Message};
pub use handler::Handler;
pub use headwater_core::BackOff;
pub use hub::{Hub, Permission};
pub use payload::{DataType, Payload};

pub use upstream::{RunError, Upstream};

pub use async_trait::async_trait;
pub use headwater_core::link::upstream::AnswerError;
pub use headwater_proto::{Code, ConnectionString, Status, v1};
