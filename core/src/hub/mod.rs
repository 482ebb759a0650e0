//! One hub: its connections, users, groups and permissions, its upstreams, and the events that wait for their answer.
//!
//! A hub is single-threaded and holds no lock. The driver feeds it by *turns*: under one lock it hands in all that one
//! read found, drains the outputs, and appends the runs to the receivers' outboxes, so that the order of the hub is the
//! order everywhere. Reading before and writing after happen outside the lock.
//!
//! `C` and `L` are the driver's handles of a connection and of a link: the hub clones them into its outputs and never looks
//! inside. The names ([`ConnectionKey`], [`LinkKey`]) and the unguessable ids are minted by the driver.
//!
//! | who | says | hears |
//! |---|---|---|
//! | a client | [`Input::Connect`], [`Input::Opened`], [`Input::Request`], [`Input::Gone`] | [`Output::Admit`], [`Output::Refuse`], [`Output::Send`], [`Output::Deliver`], [`Output::Close`] |
//! | an upstream | [`Input::Register`] … [`Input::LinkEnded`] | [`Output::Link`], [`Output::EndLink`] |
//! | a producer without a link | [`Hub::command`] | its result |

mod ack_ids;
mod admission;
mod answers;
mod audience;
mod client;
mod commands;
mod connection;
mod deadlines;
mod events;
mod lane;
mod leaving;
mod links;
mod members;
mod names;
mod permission;
mod publish;
mod queries;
mod registration;
mod upstreams;

use alloc::{boxed::Box, collections::VecDeque, string::String, sync::Arc};
use core::time::Duration;

use bytes::Bytes;
use headwater_proto::{
    Status,
    subprotocol::{Protocol, Request},
    v1::{self, service_frame::Frame},
};

pub use self::{
    answers::STATE_BYTES_MAX,
    audience::Receiver,
    connection::{ConnectionKey, NewConnection, SimpleMode},
    names::hub_of,
    permission::Permission,
    upstreams::LinkKey,
};
use self::{
    events::Events, leaving::Closing, members::Members, publish::Publisher, upstreams::Upstreams,
};
use crate::{Deadline, Time, Why, hash::Hasher, outbox::Run};

/// What a hub is told at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubConfig {
    /// The name of the hub, lower-cased.
    pub name: String,
    /// Names this life of the service; told to upstreams.
    pub epoch: String,
    /// Seeds the hashes of the maps and the choice of upstream. Secret, lest strangers make maps slow.
    pub seed: u64,
    /// Refuse clients while no upstream has answered their `connect`, even before one ever registered. Default: `false`.
    pub require_connect: bool,
    /// How long a client waits for the answer to its `connect`. Default: 30 s.
    pub connect_timeout: Duration,
    /// How long a client waits for the answer to its message. Default: 30 s.
    pub message_timeout: Duration,
    /// How long a notice waits for an upstream while none is there; then it is dropped. Default: 30 s.
    pub notice_timeout: Duration,
    /// Bytes of events that may wait for an upstream, over all connections; past it a new message fails at once and a
    /// new client is refused. Notices of connections that are there may pass it: two each at most.
    /// Default: 64 MiB.
    pub waiting_bytes_max: usize,
    /// Groups of one connection; one more is refused. Default: 1000.
    pub groups_per_connection_max: usize,
    /// Told to upstreams: commands whose results they have not confirmed. Default: 1024.
    pub commands_max: u32,
    /// Told to upstreams: the largest frame, in bytes. Default: 4 MiB.
    pub frame_bytes_max: u64,
}

impl HubConfig {
    /// The defaults, for a hub of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            epoch: String::new(),
            seed: 0,
            require_connect: false,
            connect_timeout: Duration::from_secs(30),
            message_timeout: Duration::from_secs(30),
            notice_timeout: Duration::from_secs(30),
            waiting_bytes_max: 64 << 20,
            groups_per_connection_max: 1000,
            commands_max: 1024,
            frame_bytes_max: 4 << 20,
        }
    }
}

/// What happens to a hub.
#[derive(Debug, Clone, PartialEq)]
pub enum Input<C, L> {
    /// A client with a good token wants to connect. Answered by [`Output::Admit`] or [`Output::Refuse`].
    Connect {
        /// Its name from now on.
        key: ConnectionKey,
        /// The driver's handle.
        handle: C,
        /// What is known of it.
        new: Box<NewConnection>,
    },
    /// The WebSocket of an admitted client is open.
    Opened(ConnectionKey),
    /// An open client asks for something.
    Request(ConnectionKey, Request),
    /// The client has gone, at whatever stage. Ignored for a connection that has ended already.
    Gone {
        /// Which.
        key: ConnectionKey,
        /// Why, as the application is told.
        reason: String,
    },
    /// An authenticated upstream registers. Answered by `registered` or by [`Output::EndLink`].
    Register {
        /// The name of its link from now on.
        link: LinkKey,
        /// The driver's handle.
        handle: L,
        /// What it says.
        register: Box<v1::Register>,
        /// An unguessable name for the registration.
        registration: String,
        /// An unguessable proof for a later resume.
        resume_token: Bytes,
    },
    /// An upstream answers an event.
    Ack(LinkKey, Box<v1::Ack>),
    /// An upstream commands something.
    Command(LinkKey, Box<v1::Command>),
    /// An upstream is done with events.
    Settled(LinkKey, v1::Settled),
    /// An upstream wants nothing new.
    Drain(LinkKey),
    /// A link is no more. Ignored for a link that has ended already.
    LinkEnded(LinkKey),
    /// The time of [`Hub::poll_timeout`] has come.
    Timeout,
}

/// How a client is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// What `Sec-WebSocket-Protocol` answers; `None` leaves it out.
    pub subprotocol: Option<String>,
    /// How its messages are read and written.
    pub protocol: Protocol,
    /// What simple frames are.
    pub simple_mode: SimpleMode,
}

/// What the driver has to do, in this order.
///
/// A client or link that the driver reported gone may be named once more by what came before in the same turn: to be
/// dropped.
#[derive(Debug, Clone, PartialEq)]
pub enum Output<C, L> {
    /// Let the client in: upgrade to WebSocket, then say [`Input::Opened`].
    Admit {
        /// Whom.
        to: C,
        /// How.
        admission: Box<Admission>,
    },
    /// Refuse the client; the connection has ended.
    Refuse {
        /// Whom.
        to: C,
        /// Why: see `Reject` in `upstream.proto` for the HTTP status.
        status: Status,
    },
    /// Append to one outbox.
    Send {
        /// Whose.
        to: C,
        /// What.
        run: Run,
    },
    /// Append to the outboxes of all these.
    Deliver {
        /// Whose: a shared list.
        to: Arc<[Receiver<C>]>,
        /// Who is left out; ascending, nobody twice.
        excluded: Arc<[ConnectionKey]>,
        /// What.
        run: Run,
    },
    /// Close the WebSocket once its outbox is written; the connection has ended.
    Close {
        /// Whose.
        to: C,
        /// The WebSocket close code.
        code: u16,
        /// What the close frame says.
        reason: String,
    },
    /// Read no more from this client: its events wait for the upstream.
    Pause(C),
    /// Read from this client again.
    Resume(C),
    /// Send a frame to an upstream.
    Link {
        /// To which.
        to: L,
        /// What.
        frame: Box<Frame>,
    },
    /// End the call of a link; the link has ended.
    EndLink {
        /// Which.
        to: L,
        /// How.
        outcome: Result<(), Status>,
    },
}

/// The machine of one hub. See the [module](self).
#[derive(Debug)]
pub struct Hub<C, L> {
    config: HubConfig,
    members: Members<C>,
    upstreams: Upstreams<L>,
    events: Events,
    publisher: Publisher<C>,
    outputs: VecDeque<Output<C, L>>,
    closing: Option<Closing>,
    /// Of the latest input.
    now: Time,
}

impl<C: Clone, L: Clone> Hub<C, L> {
    /// A hub without connections.
    pub fn new(config: HubConfig) -> Self {
        let hasher = Hasher::new(config.seed);
        Self {
            members: Members::new(hasher),
            upstreams: Upstreams::new(hasher, config.require_connect),
            events: Events::new(hasher),
            publisher: Publisher::new(),
            outputs: VecDeque::new(),
            closing: None,
            now: Time::ZERO,
            config,
        }
    }

    /// Takes what happened. Drain [`Hub::poll_output`] afterwards; several inputs may go before.
    ///
    /// What has fallen due by `now` fails first, so an answer that comes with its deadline or later is late even if
    /// the driver was too busy to say [`Input::Timeout`].
    ///
    /// # Panics
    ///
    /// If the driver uses a key twice: its own bug.
    pub fn handle(&mut self, input: Input<C, L>, now: Time) {
        self.advance(now);
        match input {
            Input::Connect { key, handle, new } => self.connect(key, handle, *new),
            Input::Opened(key) => self.opened(key),
            Input::Request(key, request) => self.request(key, request),
            Input::Gone { key, reason } => self.depart(key, reason),
            Input::Register {
                link,
                handle,
                register,
                registration,
                resume_token,
            } => {
                self.register(link, handle, *register, registration, resume_token);
            }
            Input::Ack(link, ack) => self.ack(link, *ack),
            Input::Command(link, command) => self.link_command(link, *command),
            Input::Settled(link, settled) => self.settled(link, &settled),
            Input::Drain(link) => self.drain_link(link),
            Input::LinkEnded(link) => self.link_ended(link),
            Input::Timeout => {}
        }
    }

    /// What has fallen due by `now` fails.
    fn advance(&mut self, now: Time) {
        self.now = now;
        self.expire();
    }

    /// What to do next; `None` when drained.
    pub fn poll_output(&mut self) -> Option<Output<C, L>> {
        if self.outputs.is_empty() {
            self.publisher.end_all(&mut self.outputs);
            self.dismiss_upstreams();
        }
        self.outputs.pop_front()
    }

    /// When to say [`Input::Timeout`].
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.events.next_deadline().map(|at| Deadline {
            at,
            why: Why::EventAnswer,
        })
    }

    /// Whether no event is under way or waiting, and no connection is there.
    pub fn is_idle(&self) -> bool {
        self.members.is_empty()
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.members.open()
    }

    /// Upstreams that are registered.
    pub fn registrations(&self) -> usize {
        self.upstreams.len()
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.config.name
    }
}
