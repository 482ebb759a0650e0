//! Many calls over one channel of messages, as pw_rpc (Pigweed) does it.
//!
//! An [`Endpoint`] is one end of what carries packets: a WebSocket, a serial line. It is client and server at once, on the
//! same channels, and any pw_rpc client or server is its peer. It gives each call a [`CallKey`], puts what the call sends
//! into packets, and takes what it receives out of them. Which frame a call may send when, its time limit and its number of
//! messages are for the call's own machine ([`crate::call`]).
//!
//! A driver hands in each message that comes ([`Input::Packet`]) and writes each [`Output::Transmit`]. One for which every
//! message counts does so with many at once ([`Run`]): it hands in what [`Arrivals`] makes of
//! all that came, sends with [`Endpoint::send_run`], and writes each [`Output::TransmitRun`].
//!
//! - **What pw_rpc lacks** is in the extension of [`headwater_proto::pw_rpc`]: metadata, messages of statuses, time limits,
//!   compression, credit. A peer that does not know it is not disturbed ([`PeerKind`]).
//! - **Sending.** Frames wait in the call until there is credit; toward a plain peer there is none to wait for, and what
//!   carries the packets has to hold them back. [`Endpoint::is_writable`] and [`Event::Writable`] bound what waits.
//! - **Receiving.** The application has to take what comes, and says so with [`Endpoint::consumed`]. A peer with the
//!   extension keeps to what it was granted. Of any other peer a call that brings more than the window ends with
//!   `RESOURCE_EXHAUSTED`.
//! - **Ending.** A client's call ends with [`crate::call::Frame::End`] or [`Event::Closed`], one of the two and once. A
//!   server's ends with the [`crate::call::Frame::End`] that it sends, or with [`Event::Closed`]. A verb that ends a call
//!   brings no event, but those that wait already are still given. After the end, verbs do nothing or return
//!   [`SendError::Ended`].
//! - A call that is dropped is not ended: there is [`Endpoint::cancel`], [`Endpoint::abandon`] and [`Endpoint::finish`] to
//!   choose from.
//!
//! ```
//! use std::sync::Arc;
//! use headwater_core::{Time, call::{Frame, Shape, Trailers}, packet::*};
//! use headwater_proto::Metadata;
//!
//! let mut services = Services::new();
//! services.add(Method::new("/pw.rpc.EchoService/Echo", Shape::Unary)).unwrap();
//! let mut server = Endpoint::new(EndpointConfig::default(), Arc::new(services));
//! let mut client = Endpoint::new(EndpointConfig::default(), Arc::default());
//! server.open_channel(1, ChannelConfig::default()).unwrap();
//! client.open_channel(1, ChannelConfig::default()).unwrap();
//! /// Hands what one says to the other, and gives what the other's application is told.
//! fn pass(from: &mut Endpoint, to: &mut Endpoint) -> Vec<Event> {
//!     let mut events = Vec::new();
//!     while let Some(Output::Transmit(packet)) = from.poll_output() {
//!         to.handle(Input::Packet(packet.to_bytes()), Time::ZERO);
//!         while let Some(Output::Event(event)) = to.poll_output() {
//!             events.push(event);
//!         }
//!     }
//!     events
//! }
//!
//! let key = client.call(1, Request::new("/pw.rpc.EchoService/Echo", Shape::Unary)).unwrap();
//! client.send(key, Frame::Message("ping".into())).unwrap();
//! client.send(key, Frame::end(Trailers::ok())).unwrap();
//! let events = pass(&mut client, &mut server);
//! let [Event::Opened { key: call, .. }, Event::Frame { frame: Frame::Message(ping), .. }, _end] = &events[..] else {
//!     panic!("one packet brings all of a unary request: {events:?}")
//! };
//! server.send(*call, Frame::Headers(Metadata::new())).unwrap();
//! server.send(*call, Frame::Message(ping.clone())).unwrap();
//! server.finish(*call, Trailers::ok()).unwrap();
//! let events = pass(&mut server, &mut client);
//! assert_eq!(events[1..], [
//!     Event::Frame { key, frame: Frame::Message("ping".into()) },
//!     Event::Frame { key, frame: Frame::end(Trailers::ok()) },
//! ]);
//! ```

mod arrivals;
mod call;
mod calls;
mod channels;
mod client;
mod config;
mod credit;
mod endpoint;
mod parts;
mod receive;
mod run;
mod server;
mod services;
#[cfg(test)]
mod tests;

pub use arrivals::Arrivals;
pub use config::{ChannelConfig, EndpointConfig, ExtensionUse, INITIAL_WINDOW, PeerKind, Role};
pub use endpoint::Endpoint;
pub use parts::{
    CallKey, ChannelError, Event, Input, Opened, Output, Rejection, Request, SendError,
};
pub use run::Run;
pub use services::{AddError, Method, Services};
