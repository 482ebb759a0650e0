//! The machine of one endpoint: what its application asks of it, and what comes out.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};
use core::mem;

use headwater_proto::{
    Code, Status,
    pw_rpc::{MethodId, OPEN_CALL_ID, PacketType, RpcPacket},
};

use super::{
    call::{Address, Opening, PacketCall},
    channels::Channels,
    config::{ChannelConfig, EndpointConfig, PeerKind, Role},
    parts::{CallKey, ChannelError, Input, Output, Request, SendError},
    run::Run,
    services::Services,
};
use crate::{
    call::{Credit, Frame, Shape, Trailers},
    time::{Deadline, Time, Why},
};

/// The largest id that a client gives a call: three bytes on the wire.
pub(super) const CALL_ID_MAX: u32 = (1 << 21) - 1;
/// What of a packet is not message: the fields of pw_rpc at their largest, and the flags of the extension.
const PACKET_OVERHEAD_BYTES: usize = 48;

/// One end of what carries packets. See the [module](super).
#[derive(Debug)]
pub struct Endpoint {
    pub(super) config: EndpointConfig,
    pub(super) services: Arc<Services>,
    /// The latest time that was told.
    now: Time,
    pub(super) channels: Channels,
    pub(super) calls: BTreeMap<CallKey, PacketCall>,
    pub(super) index: BTreeMap<Address, CallKey>,
    /// Methods that this client has called or waited for.
    pub(super) known: BTreeSet<MethodId>,
    pub(super) next_key: u64,
    pub(super) next_call_id: u32,
    pub(super) server_calls: usize,
    /// New calls of the peer are refused.
    pub(super) draining: bool,
    /// Calls that may have something to send, each once.
    pub(super) ready: VecDeque<CallKey>,
    pub(super) outputs: VecDeque<Output>,
    /// Answers to packets that belong to no call. Behind the outputs, before what calls send.
    pub(super) replies: VecDeque<RpcPacket>,
}

impl Endpoint {
    /// An endpoint without channels. Its peer can call `services`.
    pub fn new(config: EndpointConfig, services: Arc<Services>) -> Self {
        Self {
            channels: Channels::new(config.channels_max),
            next_call_id: config.first_call_id.clamp(1, CALL_ID_MAX),
            config,
            services,
            now: Time::ZERO,
            calls: BTreeMap::new(),
            index: BTreeMap::new(),
            known: BTreeSet::new(),
            next_key: 0,
            server_calls: 0,
            draining: false,
            ready: VecDeque::new(),
            outputs: VecDeque::new(),
            replies: VecDeque::new(),
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, input: Input, now: Time) {
        self.now = self.now.max(now);
        match input {
            Input::Packet(bytes) => self.receive(bytes),
            Input::Run { id, run } => self.receive_run(id, run),
            Input::OutputFailed { channel } => {
                if let Some(channel) = self.channels.get_mut(channel) {
                    channel.output_works = false;
                }
            }
            Input::OutputWorks { channel } => self.output_works(channel),
            Input::Closed(closed) => self.closed(&closed),
            Input::Timeout => {}
        }
    }

    /// The next thing to do, or `None` if there is nothing. What a call sends is decided here, as late as can be: a message
    /// and the end behind it go in one packet if both are there.
    pub fn poll_output(&mut self) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            if let Some(reply) = self.replies.pop_front() {
                return Some(Output::Transmit(reply));
            }
            let key = self.ready.pop_front()?;
            if let Some(output) = self.next_of(key) {
                return Some(output);
            }
        }
    }

    /// When to call [`Endpoint::handle`] with [`Input::Timeout`]: at once while outputs wait, and else never. The time of a
    /// call is kept by its own machine.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if self.outputs.is_empty() && self.replies.is_empty() && self.ready.is_empty() {
            return None;
        }
        Some(Deadline {
            at: self.now,
            why: Why::Drain,
        })
    }

    /// Opens a channel. (`OpenChannel` of pw_rpc.)
    ///
    /// # Errors
    ///
    /// It is 0 or open already, or there are too many.
    pub fn open_channel(&mut self, id: u32, config: ChannelConfig) -> Result<(), ChannelError> {
        self.channels.open(id, config)
    }

    /// From now on every channel that is named and not open is opened like this. (The default channel output of pw_rpc.)
    ///
    /// # Errors
    ///
    /// `AlreadyExists`: that was said before.
    pub fn open_default(&mut self, config: ChannelConfig) -> Result<(), ChannelError> {
        self.channels.set_default(config)
    }

    /// Ends all calls of a channel with `ABORTED`, here and at the peer, and forgets the channel. (`CloseChannel` of pw_rpc,
    /// which does not tell the peer.)
    ///
    /// # Errors
    ///
    /// `NotFound`: it is not open.
    pub fn close_channel(&mut self, id: u32) -> Result<(), ChannelError> {
        if self.channels.get(id).is_none() {
            return Err(ChannelError::NotFound);
        }
        self.abort_where("the channel was closed", |call| call.address.channel == id);
        self.channels.close(id)
    }

    /// What is known of the peer of a channel; `None` if it is not open.
    pub fn peer(&self, channel: u32) -> Option<PeerKind> {
        self.channels.get(channel).map(|channel| channel.peer)
    }

    /// Exchanges what the peer can call. Calls of methods that are gone end with `ABORTED`, here and at the peer.
    pub fn set_services(&mut self, services: Arc<Services>) {
        self.services = Arc::clone(&services);
        self.abort_where("the service was unregistered", |call| {
            call.registered && services.get(call.address.method).is_none()
        });
    }

    /// Refuses new calls of the peer from now on, with `UNAVAILABLE`. A peer that knows the extension is told.
    pub fn drain(&mut self) {
        if mem::replace(&mut self.draining, true) {
            return;
        }
        for (id, channel) in self.channels.iter() {
            if channel.peer != PeerKind::Extended || self.config.role == Some(Role::Client) {
                continue;
            }
            if !channel.output_works {
                continue;
            }
            let mut packet = RpcPacket {
                r#type: PacketType::ServerExtension.into(),
                channel_id: id,
                ..RpcPacket::default()
            };
            packet.extend().going_away = true;
            self.outputs.push_back(Output::Transmit(packet));
        }
    }

    /// How many calls run, of either role.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// How many of them the peer has started.
    pub const fn server_calls(&self) -> usize {
        self.server_calls
    }

    /// Starts a call. Its request goes with the next outputs, or, if a plain peer has to get the one message with it, when
    /// that was sent.
    ///
    /// # Errors
    ///
    /// `NoChannel`, `Output`, `GoingAway`; `Misuse`: the path is none, or this endpoint is no client.
    pub fn call(&mut self, channel: u32, request: Request) -> Result<CallKey, SendError> {
        let mut address = self.client_address(channel, &request.path)?;
        let reached = self.reach(channel)?;
        if !reached.output_works {
            return Err(SendError::Output);
        }
        if reached.going_away {
            return Err(SendError::GoingAway);
        }
        address.call_id = self.allocate_call_id(address);
        let mut call = PacketCall::new(address, request.shape, self.config.receive_window);
        call.opening = Some(Opening {
            path: request.path,
            metadata: request.metadata,
            timeout: request.timeout,
        });
        let key = self.insert(call);
        self.list(key);
        Ok(key)
    }

    /// Client: waits for responses that nobody requested, without sending a packet. The call is that of the first packet
    /// that comes for this method and belongs to no other call. (`open` of pw_rpc.)
    ///
    /// # Errors
    ///
    /// `NoChannel`; `Misuse`: the path is none, one such call waits already, or this endpoint is no client.
    pub fn await_unrequested(
        &mut self,
        channel: u32,
        path: &str,
        shape: Shape,
    ) -> Result<CallKey, SendError> {
        let address = self.client_address(channel, path)?;
        self.reach(channel)?;
        self.open_unrequested(address, shape)
    }

    /// Server: begins a call that nobody requested, as after a restart. It sends as any other call does, and belongs to
    /// whatever call of this method the client has.
    ///
    /// # Errors
    ///
    /// `NoChannel`; `Misuse`: the method is not registered, one such call runs already, or this endpoint is no server.
    pub fn respond_unrequested(&mut self, channel: u32, path: &str) -> Result<CallKey, SendError> {
        let method = MethodId::of_path(path).ok_or(SendError::Misuse)?;
        let shape = match self.services.get(method) {
            Some(registered) if self.config.role != Some(Role::Client) => registered.shape,
            Some(_) | None => return Err(SendError::Misuse),
        };
        self.reach(channel)?;
        let address = Address {
            role: Role::Server,
            channel,
            method,
            call_id: OPEN_CALL_ID,
        };
        let key = self.open_unrequested(address, shape)?;
        if let Some(call) = self.calls.get_mut(&key) {
            call.registered = true;
        }
        Ok(key)
    }

    /// Sends a frame. A client's [`Frame::End`] says that no requests follow, and a server's ends the call.
    ///
    /// # Errors
    ///
    /// See [`SendError`]. `Blocked` comes only for messages.
    pub fn send(&mut self, key: CallKey, frame: Frame) -> Result<(), SendError> {
        let call = self.calls.get_mut(&key).ok_or(SendError::Ended)?;
        let channel = self.channels.get(call.address.channel);
        let channel = channel.ok_or(SendError::NoChannel)?;
        if !channel.output_works {
            return Err(SendError::Output);
        }
        let packet_bytes = frame.credit().bytes.saturating_add(PACKET_OVERHEAD_BYTES);
        if frame.credit().messages > 0 && packet_bytes > channel.config.packet_bytes_max {
            return Err(SendError::TooLarge);
        }
        call.push(frame, channel.peer, self.config.send_queue)?;
        self.list(key);
        Ok(())
    }

    /// Sends messages from the front of a run, up to the first that the queue has no room for. What is left goes when
    /// [`super::Event::Writable`] has come.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::send`], but never `Blocked`. Then nothing was taken.
    pub fn send_run(&mut self, key: CallKey, run: &mut Run) -> Result<(), SendError> {
        let call = self.calls.get_mut(&key).ok_or(SendError::Ended)?;
        let channel = self.channels.get(call.address.channel);
        let channel = channel.ok_or(SendError::NoChannel)?;
        if !channel.output_works {
            return Err(SendError::Output);
        }
        let packet_bytes_max = channel.config.packet_bytes_max;
        let is_too_large =
            |message: &[u8]| message.len().saturating_add(PACKET_OVERHEAD_BYTES) > packet_bytes_max;
        if packet_bytes_max < usize::MAX && run.messages().any(is_too_large) {
            return Err(SendError::TooLarge);
        }
        call.push_run(run, self.config.send_queue)?;
        self.list(key);
        Ok(())
    }

    /// Server: ends the call, also if what carries its packets does not work: then the peer will not know. (`Finish` of
    /// pw_rpc.)
    ///
    /// # Errors
    ///
    /// As [`Endpoint::send`]. With `Output` the call is over all the same.
    pub fn finish(&mut self, key: CallKey, trailers: Trailers) -> Result<(), SendError> {
        let result = self.try_finish(key, trailers);
        if result == Err(SendError::Output) {
            self.remove(key);
        }
        result
    }

    /// Server: ends the call, unless what carries its packets does not work. (`TryFinish` of pw_rpc.)
    ///
    /// # Errors
    ///
    /// As [`Endpoint::send`].
    pub fn try_finish(&mut self, key: CallKey, trailers: Trailers) -> Result<(), SendError> {
        match self.calls.get(&key).map(|call| call.address.role) {
            Some(Role::Server) => self.send(key, Frame::end(trailers)),
            Some(Role::Client) => Err(SendError::Misuse),
            None => Err(SendError::Ended),
        }
    }

    /// Client: gives the call up, and tells the server with `CANCELLED`. What waits to be sent is void. Does nothing if the
    /// call is over.
    pub fn cancel(&mut self, key: CallKey) {
        self.reset(key, Code::Cancelled);
    }

    /// Gives the call up for this reason, and tells the peer; a plain one as far as pw_rpc has a word for it. What waits to
    /// be sent is void, and if nothing of the call has gone, nothing goes. Does nothing if the call is over.
    pub fn reset(&mut self, key: CallKey, code: Code) {
        self.give_up(key, &Status::new(code, ""));
    }

    /// Client: forgets the call without a word, but that no requests follow. What the server goes on to send is answered
    /// with `FAILED_PRECONDITION`, which ends it. (`Abandon` of pw_rpc.) Does nothing if the call is over, or a server's.
    pub fn abandon(&mut self, key: CallKey) {
        if self.calls.get(&key).map(|call| call.address.role) != Some(Role::Client) {
            return;
        }
        let Some(call) = self.remove(key) else {
            return;
        };
        let streams = !call.shape.one_request();
        if call.known_to_peer && streams && !call.has_ended() {
            let packet = call.address.packet(PacketType::ClientRequestCompletion);
            self.transmit(packet);
        }
    }

    /// Says that the application is done with this much of what came in a call, so that the peer may send more. Never
    /// counts as more than what came. A call whose request has not gone is granted nothing.
    pub fn consumed(&mut self, key: CallKey, credit: Credit) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let channel = self.channels.get(call.address.channel);
        let counts = channel.is_some_and(|channel| channel.peer == PeerKind::Extended);
        let counts = counts && call.may_grant();
        call.receive_credit.consume(credit, counts);
        self.grant(key);
    }

    /// Whether the call takes a message. If not, [`super::Event::Writable`] follows when it does again, unless it ends.
    pub fn is_writable(&mut self, key: CallKey) -> bool {
        let bound = self.config.send_queue;
        let call = self.calls.get_mut(&key);
        call.is_some_and(|call| call.check_writable(bound))
    }

    /// How much of a call waits to be sent, for the peer's credit or for what carries the packets. `None` if the call is over,
    /// as a server's is once its last packet has gone among the outputs.
    pub fn unsent(&self, key: CallKey) -> Option<Credit> {
        self.calls.get(&key).map(PacketCall::unsent)
    }

    /// Whether anything of a call has gone among the outputs, or has come. A call that ends before is nothing to the peer.
    pub fn is_sent(&self, key: CallKey) -> bool {
        let call = self.calls.get(&key);
        call.is_some_and(|call| call.known_to_peer)
    }
}
