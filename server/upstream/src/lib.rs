//! The SDK for the application side of Headwater.

mod answer;
mod back_off;
mod command;
mod context;
mod engine;
mod event;
mod handler;
mod hub;
mod mailbox;
mod payload;
pub mod testing;
mod token;

pub use answer::{Accept, Failure, Reject, Reply};
pub use back_off::BackOff;
pub use command::{Command, CommandError, Member, Members};
pub use context::Context;
pub use event::{ClientCertificate, Connect, Message};
pub use handler::Handler;
pub use hub::{Hub, Permission};
pub use payload::{DataType, Payload};

pub use async_trait::async_trait;
pub use headwater_core::link::upstream::AnswerError;
pub use headwater_proto::{Code, ConnectionString, Status, v1};
