//! The life of one WebSocket: its task reads, and tells the hub what it found in turns.

use std::sync::Arc;

use bytes::Bytes;
use headwater_core::{
    hub::{Admission, Input},
    outbox::{Pushed, Run},
    session::{self, Session, SessionConfig},
};
use headwater_proto::websocket::Incoming;
use headwater_websocket::{ReadError, Reader, Socket};
use tokio::time::sleep_until;

use crate::hub::{Client, HubDriver, HubInput};

/// Runs a connection to its end.
pub(super) async fn run(
    hub: Arc<HubDriver>,
    client: Arc<Client>,
    socket: Socket,
    admission: Admission,
    config: SessionConfig,
) {
    let Socket { reader, writer } = socket;
    client.open(writer, admission.protocol);
    let session = Session::new(
        admission.protocol,
        admission.simple_mode,
        config,
        hub.clock().now(),
    );
    hub.turn([Input::Opened(client.key())]);
    let connection = Connection {
        hub,
        client,
        session,
        paused: false,
        dropped: false,
    };
    connection.read(reader).await;
}

/// What the reading task owns.
struct Connection {
    hub: Arc<HubDriver>,
    client: Arc<Client>,
    session: Session,
    paused: bool,
    dropped: bool,
}

impl Drop for Connection {
    /// However the task ends, the hub hears of it; it ignores what it knows.
    fn drop(&mut self) {
        let reason = "the connection was lost".into();
        self.hub.turn([Input::Gone {
            key: self.client.key(),
            reason,
        }]);
        self.client.shut_down();
    }
}

impl Connection {
    async fn read(mut self, mut reader: Reader) {
        let clock = self.hub.clock();
        let wake = sleep_until(clock.instant(clock.now()));
        tokio::pin!(wake);
        while !self.dropped {
            // The timer is moved only when it rings, or when it would ring too late: not for each message.
            if let Some(deadline) = self.session.poll_timeout() {
                let at = clock.instant(deadline.at);
                if wake.is_elapsed() || at < wake.deadline() {
                    wake.as_mut().reset(at);
                }
            }
            let timed = self.session.poll_timeout().is_some();
            let mut turn = Vec::new();
            let closed = self.client.is_closed();
            tokio::select! {
                biased;
                () = self.client.signalled() => self.signalled(),
                read = read(&mut reader, &mut turn, closed), if closed || !self.paused => self.found(turn, read),
                () = &mut wake, if timed => self.tell([session::Input::Timeout]),
            }
        }
    }

    fn signalled(&mut self) {
        let paused = self.client.is_paused();
        if paused != self.paused {
            self.paused = paused;
            self.tell([session::Input::Paused(paused)]);
        }
        if self.client.is_closed() {
            self.tell([session::Input::Closed]);
        }
    }

    fn found(&mut self, turn: Vec<Incoming>, read: Result<(), ReadError>) {
        let end = match read {
            Ok(()) => None,
            Err(ReadError::Violation(violation)) => Some(session::Input::Violation(violation)),
            Err(_) => Some(session::Input::Lost),
        };
        self.tell(turn.into_iter().map(session::Input::Incoming).chain(end));
    }

    /// Hands in what was found together, and does what comes of it in one turn of the hub.
    fn tell(&mut self, found: impl IntoIterator<Item = session::Input>) {
        let now = self.hub.clock().now();
        for input in found {
            self.session.handle(input, now);
        }
        let mut inputs: Vec<HubInput> = Vec::new();
        let mut last_words = None;
        while let Some(output) = self.session.poll_output() {
            match output {
                session::Output::Request(request) => {
                    inputs.push(Input::Request(self.client.key(), request))
                }
                session::Output::Transmit(bytes) => self.transmit(bytes),
                session::Output::End { reason, last } => {
                    inputs.push(Input::Gone {
                        key: self.client.key(),
                        reason,
                    });
                    last_words = Some(last);
                }
                session::Output::Drop => self.dropped = true,
            }
        }
        if !inputs.is_empty() {
            self.hub.turn(inputs);
        }
        if let Some(last) = last_words
            && self.client.finish_with(last)
        {
            self.hub.flush(Arc::clone(&self.client));
        }
    }

    fn transmit(&self, bytes: Bytes) {
        if self
            .client
            .push(Run { bytes, messages: 1 }, self.hub.outbox_limits())
            == Pushed::Dirty
        {
            self.hub.flush(Arc::clone(&self.client));
        }
    }
}

/// Reads what comes; after the last words only until the end of the stream.
async fn read(
    reader: &mut Reader,
    turn: &mut Vec<Incoming>,
    closed: bool,
) -> Result<(), ReadError> {
    if closed {
        reader.drain().await;
        return Err(ReadError::Ended);
    }
    reader.read_turn(turn).await
}
