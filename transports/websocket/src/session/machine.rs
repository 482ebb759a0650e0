//! The calls of a socket: between pw_rpc's machine and what drives the calls.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use headwater_core::{
    Time,
    call::Credit,
    packet::{
        CallKey, ChannelConfig, Endpoint, EndpointConfig, Event, ExtensionUse, INITIAL_WINDOW,
        Input, Opened, Output, PeerKind, Role, SendError,
    },
};
use headwater_proto::pw_rpc::PacketType;
use headwater_rpc::{Closed, Frame, HandlerLimit, Reached};
use tokio::time::Instant;

use super::{
    Desk, Line, Over, Piece, SessionConfig, Side, UNWRITTEN_BYTES,
    begin::unsendable,
    call::{Call, Said},
    leaving::Leaving,
};

/// The one channel of a socket that this side has dialled.
pub(super) const CHANNEL: u32 = 1;

/// What of a call may be received and not read, for this many bytes. Small messages cost more than their bytes.
pub(crate) const fn window(bytes: usize) -> Credit {
    let bytes = if bytes < INITIAL_WINDOW.bytes {
        INITIAL_WINDOW.bytes
    } else {
        bytes
    };
    Credit {
        messages: bytes / 256,
        bytes,
    }
}

pub(super) struct Machine {
    pub(super) side: Side,
    pub(super) desk: Arc<Desk>,
    pub(super) endpoint: Endpoint,
    pub(super) window: Credit,
    pub(super) calls: BTreeMap<CallKey, Call>,
    /// Calls that the peer has opened, and nobody has taken yet.
    pub(super) fresh: Vec<(CallKey, Box<Opened>)>,
    /// As many as calls may be open: the machine's bound is of calls, and a cancelled one is none.
    pub(super) handlers: HandlerLimit,
    /// Calls for which something came.
    pub(super) touched: Vec<CallKey>,
    /// Calls that were ended here and are not done.
    leaving: Leaving,
    /// The one that was ended last.
    ended: Option<CallKey>,
    /// Calls to be looked at.
    pub(super) queue: VecDeque<CallKey>,
    rung: Vec<u64>,
    /// Bytes that were pushed since all was written.
    unwritten: usize,
    /// Of these, bytes of errors.
    replies: usize,
    pub(super) is_draining: bool,
}

impl Machine {
    pub(super) fn new(side: Side, desk: Arc<Desk>, config: &SessionConfig) -> Self {
        let window = window(config.call_window_bytes);
        let bounds = EndpointConfig {
            role: side.role(),
            calls_max: config.calls_max,
            method_calls_max: config.method_calls_max.unwrap_or(usize::MAX),
            receive_window: window,
            ..EndpointConfig::default()
        };
        let mut endpoint = Endpoint::new(bounds, Arc::default());
        let channel = ChannelConfig {
            extension: match config.is_extended {
                true => ExtensionUse::Agreed,
                false => ExtensionUse::Announce,
            },
            ..ChannelConfig::default()
        };
        // An endpoint that is new takes its first channel, and its first default.
        let _ = match side.is_dialled {
            true => endpoint.open_channel(CHANNEL, channel),
            false => endpoint.open_default(channel),
        };
        Self {
            side,
            desk,
            endpoint,
            window,
            calls: BTreeMap::new(),
            fresh: Vec::new(),
            handlers: match config.method_calls_max {
                Some(of_method) => HandlerLimit::with_methods(config.calls_max, of_method),
                None => HandlerLimit::new(config.calls_max),
            },
            touched: Vec::new(),
            leaving: Leaving::default(),
            ended: None,
            queue: VecDeque::new(),
            rung: Vec::new(),
            unwritten: 0,
            replies: 0,
            is_draining: false,
        }
    }

    pub(super) const fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// How many calls are open.
    pub(super) fn calls(&self) -> usize {
        self.calls.len().max(self.endpoint.calls())
    }

    /// Bytes of errors that wait to be written.
    pub(super) const fn replies_unwritten(&self) -> usize {
        self.replies
    }

    /// All that was pushed is with the system.
    pub(super) const fn written(&mut self) {
        self.unwritten = 0;
        self.replies = 0;
    }

    /// Whether calls are to be looked at for which there was no room.
    pub(super) fn has_work(&self) -> bool {
        !self.queue.is_empty() && self.unwritten < UNWRITTEN_BYTES
    }

    /// Server: refuses new calls from now on. An accepting end makes none either.
    pub(super) fn drain(&mut self) {
        self.is_draining = true;
        self.endpoint.drain();
        if let Some(client) = &self.side.client
            && !self.side.is_dialled
        {
            client.shared.close("this side is going away");
        }
    }

    /// A dialling end that takes no calls any more serves none either: the socket ends with those that are open.
    fn follow_client(&mut self) {
        if !self.side.is_dialled || self.side.server.is_none() || self.is_draining {
            return;
        }
        if let Some(client) = &self.side.client
            && client.shared.is_closed()
        {
            self.drain();
        }
    }

    /// Whether no calls are taken any more and the last one has ended.
    pub(super) fn is_done(&self) -> bool {
        let takes_none = match &self.side.client {
            Some(client) if self.side.is_dialled => client.shared.is_closed(),
            Some(_) | None => self.is_draining,
        };
        takes_none && self.calls() == 0
    }

    /// What the peer is told then.
    pub(super) const fn farewell(&self) -> (u16, &'static str) {
        match self.side.is_dialled {
            true => (1000, ""),
            false => (1001, "the server is going away"),
        }
    }

    /// Takes in what came.
    pub(super) fn receive(
        &mut self,
        line: &mut impl Line,
        inputs: impl ExactSizeIterator<Item = Input>,
    ) {
        if inputs.len() == 0 {
            return;
        }
        self.update_services();
        for input in inputs {
            // The time of a call is kept by its own machine, so this one is not told it.
            self.endpoint.handle(input, Time::ZERO);
            self.drain_outputs(line);
        }
    }

    /// Has the machine know what the server has now.
    pub(super) fn update_services(&mut self) {
        if let Some(server) = &mut self.side.server
            && let Some(services) = server.new_services()
        {
            self.endpoint.set_services(services);
        }
    }

    /// Hands on what came, and takes what is to be sent, as far as there is room for it.
    pub(super) fn work(&mut self, line: &mut impl Line) {
        self.follow_client();
        self.open_calls();
        self.begin_unrequested();
        self.accept_calls();
        self.deliver();
        self.desk.take(&mut self.rung);
        self.queue.extend(self.rung.drain(..).map(CallKey));
        self.drain_outputs(line);
        while self.unwritten < UNWRITTEN_BYTES {
            let Some(key) = self.queue.pop_front() else {
                break;
            };
            self.look_at(key);
            self.drain_outputs(line);
            self.note_ended();
        }
    }

    /// Watches over a call that was ended, if not all of it could go.
    fn note_ended(&mut self) {
        if let Some(key) = self.ended.take()
            && let Some(bound) = self.unread_timeout()
        {
            self.leaving.add(key, &self.endpoint, bound);
        }
    }

    fn unread_timeout(&self) -> Option<Duration> {
        self.side.server.as_ref()?.acceptor.unread_timeout()
    }

    /// When [`Machine::give_up_unread`] may have something to do.
    pub(super) const fn gives_up_at(&self) -> Option<Instant> {
        self.leaving.next()
    }

    /// Gives up calls that were ended, and that their clients take nothing of.
    pub(super) fn give_up_unread(&mut self) {
        if self.leaving.next().is_some()
            && let Some(bound) = self.unread_timeout()
        {
            self.leaving.look(&mut self.endpoint, bound);
        }
    }

    fn drain_outputs(&mut self, line: &mut impl Line) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit(packet) => {
                    let bytes = line.push(&packet);
                    self.unwritten += bytes;
                    let kind = packet.r#type();
                    if matches!(kind, PacketType::ServerError | PacketType::ClientError) {
                        self.replies += bytes;
                    }
                }
                Output::TransmitRun { id, run } => self.unwritten += line.push_run(&id, run),
                Output::Event(event) => self.on_event(event),
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Opened { key, opened } => self.opened(key, opened),
            Event::Frame { key, frame } => self.came(key, Piece::Frame(frame)),
            Event::Run { key, run } => self.came(key, Piece::Run(run)),
            Event::Closed { key, closed } => {
                // If nobody has taken it yet, nobody will.
                if let Some(call) = self.calls.remove(&key) {
                    call.close(*closed);
                }
            }
            Event::Writable { key } => self.queue.push_back(key),
            Event::GoingAway { .. } => {
                if let Some(client) = &self.side.client {
                    client.shared.close("the server is going away");
                }
            }
            Event::Rejected(rejection) => tracing::debug!(?rejection, "a packet was ignored"),
            // A hint only; and what a later machine may tell beside it.
            Event::CompletionRequested { .. } | _ => {}
        }
    }

    fn came(&mut self, key: CallKey, came: Piece) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let is_end = matches!(came, Piece::Frame(Frame::End(_)));
        let is_last = is_end && call.role == Role::Client;
        if call.incoming.is_empty() {
            self.touched.push(key);
        }
        call.incoming.push(came);
        if is_last && let Some(mut call) = self.calls.remove(&key) {
            call.deliver();
        }
    }

    /// Gives the calls what came for them.
    fn deliver(&mut self) {
        for key in self.touched.drain(..) {
            let Some(call) = self.calls.get_mut(&key) else {
                continue;
            };
            let unwanted = call.deliver();
            if unwanted != Credit::default() {
                self.endpoint.consumed(key, unwanted);
            }
        }
    }

    /// Sees to what a call's receiver did, and to what it sends.
    fn look_at(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        call.answer();
        let looked = call.mailbox.look();
        let is_unwanted = looked.is_dropped && call.role == Role::Client;
        // Also nothing would tell the peer of the whole window, which a short call never needs.
        if looked.taken != Credit::default() {
            self.endpoint.consumed(key, looked.taken);
        }
        let sent = self.send_held(key).and_then(|()| self.send_more(key));
        if let Err(error) = sent {
            return self.fail(key, error);
        }
        if is_unwanted {
            self.endpoint.cancel(key);
            self.calls.remove(&key);
        }
    }

    /// Takes what a call sends, if there is room for it.
    fn send_more(&mut self, key: CallKey) -> Result<(), SendError> {
        let Some(call) = self.calls.get_mut(&key) else {
            return Ok(());
        };
        let has_room = call.held.is_empty() && self.endpoint.is_writable(key);
        match call.pull(has_room) {
            Said::Pieces => {
                // For what it has next, once this is on its way.
                self.queue.push_back(key);
                self.send_held(key)
            }
            Said::Reset(code) => {
                self.endpoint.reset(key, code);
                self.calls.remove(&key);
                Ok(())
            }
            Said::Nothing => Ok(()),
        }
    }

    /// Sends what was taken, as far as the machine takes it.
    fn send_held(&mut self, key: CallKey) -> Result<(), SendError> {
        let Some(call) = self.calls.get_mut(&key) else {
            return Ok(());
        };
        let role = call.role;
        while let Some(piece) = call.held.pop_front() {
            if piece.credit().messages > 0 && !self.endpoint.is_writable(key) {
                // The machine tells when it is.
                call.held.push_front(piece);
                return Ok(());
            }
            match piece {
                Piece::Run(mut run) => {
                    self.endpoint.send_run(key, &mut run)?;
                    call.progressed();
                    if !run.is_empty() {
                        call.held.push_front(Piece::Run(run));
                    }
                }
                Piece::Frame(frame) => {
                    let is_last = matches!(frame, Frame::End(_));
                    self.endpoint.send(key, frame)?;
                    call.progressed();
                    if is_last && role == Role::Server {
                        // What waits in the machine needs nobody, but to be given up some time.
                        self.ended = Some(key);
                        self.calls.remove(&key);
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends a call that cannot be carried on.
    fn fail(&mut self, key: CallKey, error: SendError) {
        if error == SendError::Ended {
            // The machine has told, or will.
            return;
        }
        let closed = unsendable(error, "");
        self.endpoint.reset(key, closed.status.code);
        if let Some(call) = self.calls.remove(&key) {
            call.close(closed);
        }
    }

    /// Ends all calls, because the socket is over.
    pub(super) fn close(&mut self, over: &Over) {
        // Only a peer of ours is known to have answered all that it has begun.
        let is_untouched = over.in_peace && self.endpoint.peer(CHANNEL) == Some(PeerKind::Extended);
        let closed = Closed::broken(&over.why);
        for (key, call) in std::mem::take(&mut self.calls) {
            let reached = match self.endpoint.is_sent(key) {
                false => Reached::Nothing,
                true if is_untouched => Reached::Library,
                true => Reached::Handler,
            };
            call.close(closed.clone().having_reached(reached));
        }
        if let Some(client) = &self.side.client {
            for opening in client.shared.end(&over.why) {
                let closed = closed.clone().having_reached(Reached::Nothing);
                opening.mailbox.close(closed);
            }
        }
    }
}

impl Drop for Machine {
    /// Nobody waits for ever, however a session ends.
    fn drop(&mut self) {
        self.close(&Over::gone("the connection was dropped"));
    }
}
