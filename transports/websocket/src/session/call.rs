//! One call, as its session holds it.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use headwater_core::{
    call::Credit,
    packet::{CallKey, Role},
};
use headwater_rpc::{Closed, Code, Encoded, EndedBy, Outbound, Pulled, ResetWatch};

use super::{
    bell::Bell,
    mailbox::Mailbox,
    piece::{Piece, pieces},
};

pub(super) struct Call {
    /// What this side is in it.
    pub(super) role: Role,
    bell: Arc<Bell>,
    waker: Waker,
    pub(super) mailbox: Arc<Mailbox>,
    /// What came, and is not in the mailbox yet.
    pub(super) incoming: Vec<Piece>,
    /// What the call sends, until all of it was taken, and none of that is held.
    outbound: Option<Sending>,
    /// What was taken and waits for room.
    pub(super) held: VecDeque<Piece>,
}

struct Sending {
    outbound: Outbound,
    reset: ResetWatch,
}

/// What a call has to say next.
pub(super) enum Said {
    /// Something was appended to what is held.
    Pieces,
    /// The call was reset on this side.
    Reset(Code),
    /// Nothing, before its bell rings again.
    Nothing,
}

impl Call {
    pub(super) fn new(key: CallKey, role: Role, bell: Arc<Bell>, mailbox: Arc<Mailbox>) -> Self {
        bell.name(key.0);
        Self {
            role,
            waker: bell.waker(),
            bell,
            mailbox,
            incoming: Vec::new(),
            outbound: None,
            held: VecDeque::new(),
        }
    }

    pub(super) fn send_from(&mut self, outbound: Outbound) {
        let reset = outbound.reset_watch();
        self.outbound = Some(Sending { outbound, reset });
    }

    /// The bell is heard: what rings from here on counts again.
    pub(super) fn answer(&self) {
        self.bell.answer();
    }

    /// Takes what the call sends, if there is room for it; or else looks only if the call is over.
    pub(super) fn pull(&mut self, has_room: bool) -> Said {
        let Some(sending) = &mut self.outbound else {
            return Said::Nothing;
        };
        let mut cx = Context::from_waker(&self.waker);
        if !has_room && sending.reset.poll_reset(&mut cx).is_pending() {
            return Said::Nothing;
        }
        let mut encoded = Encoded::default();
        match sending.outbound.poll_encoded(&mut cx, &mut encoded) {
            Poll::Ready(Pulled::Frames) => {
                pieces(encoded, |piece| self.held.push_back(piece));
                Said::Pieces
            }
            Poll::Ready(Pulled::Reset(code)) => Said::Reset(code),
            // Its end is among what is held, and given up.
            Poll::Ready(Pulled::Done) if !has_room => Said::Reset(Code::Cancelled),
            Poll::Ready(Pulled::Done) => {
                self.outbound = None;
                Said::Nothing
            }
            Poll::Pending => Said::Nothing,
        }
    }

    /// The machine has taken something of what is held.
    pub(super) fn progressed(&mut self) {
        if let Some(sending) = &mut self.outbound {
            sending.reset.progressed();
        }
    }

    /// Nothing more comes, and nothing more is taken.
    pub(super) fn close(mut self, closed: Closed) {
        self.deliver();
        if closed.by == EndedBy::Transport
            && let Some(sending) = &mut self.outbound
        {
            // At a client this does nothing. Of a server's call, dropping it says the rest: the client has cancelled.
            sending
                .outbound
                .close(Closed::broken("the connection was lost"));
        }
        self.mailbox.close(closed);
    }

    /// Gives the receiver what came, and says how much of it nobody wants.
    pub(super) fn deliver(&mut self) -> Credit {
        if self.incoming.is_empty() {
            return Credit::default();
        }
        self.mailbox.deliver(&mut self.incoming)
    }
}
