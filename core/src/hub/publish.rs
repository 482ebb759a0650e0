//! Encodes what is published, once for each protocol, and gathers what goes the same way into one shared run.
//!
//! What a turn publishes to one audience in a row becomes one run of bytes. A run ends when something else has to stay in
//! order with it: another audience, a change of membership, what a single connection is told. Only the acks and pongs of
//! what a client itself asked for are gathered beside it and follow it, so a client that asks for acks does not cut the
//! run at each message.

use alloc::{collections::VecDeque, sync::Arc, vec::Vec};

use headwater_proto::subprotocol::{Protocol, Response};

use super::{
    ConnectionKey, Output,
    audience::{Receiver, Receivers},
};
use crate::outbox::Run;

/// A run that grows past this is ended, so that no outbox holds one huge piece.
const RUN_BYTES_MAX: usize = 128 << 10;

/// Which set of connections a run goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AudienceKey {
    Everyone,
    Group(Arc<str>),
    User(Arc<str>),
}

/// How what one connection is told stands to what is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// After what was published before, and before what is published next.
    Strict,
    /// After what was published before.
    After,
}

/// The runs that are open in this turn.
#[derive(Debug)]
pub(super) struct Publisher<C> {
    run: Option<OpenRun<C>>,
    direct: Option<Direct<C>>,
}

#[derive(Debug)]
struct OpenRun<C> {
    audience: AudienceKey,
    excluded: Vec<ConnectionKey>,
    parts: Vec<Part<C>>,
}

#[derive(Debug)]
struct Part<C> {
    protocol: Protocol,
    to: Arc<[Receiver<C>]>,
    frames: Frames,
}

#[derive(Debug)]
struct Direct<C> {
    key: ConnectionKey,
    to: C,
    frames: Frames,
    /// What is published next must come after it.
    is_strict: bool,
}

#[derive(Debug, Default)]
struct Frames {
    bytes: Vec<u8>,
    messages: u32,
}

impl Frames {
    fn add(&mut self, protocol: Protocol, response: &Response<'_>) {
        let before = self.bytes.len();
        protocol.encode(response, &mut self.bytes);
        self.messages += u32::from(self.bytes.len() > before);
    }

    fn into_run(self) -> Option<Run> {
        (self.messages > 0).then(|| Run {
            bytes: self.bytes.into(),
            messages: self.messages,
        })
    }
}

impl<C: Clone> Publisher<C> {
    pub(super) const fn new() -> Self {
        Self {
            run: None,
            direct: None,
        }
    }

    /// Whether the open run goes to just these; if so [`Publisher::publish`] continues it.
    pub(super) fn continues(&self, audience: &AudienceKey, excluded: &[ConnectionKey]) -> bool {
        let direct_first = self.direct.as_ref().is_some_and(|direct| direct.is_strict);
        let same = |run: &OpenRun<C>| run.audience == *audience && run.excluded == excluded;
        !direct_first && self.run.as_ref().is_some_and(same)
    }

    /// Opens a run for these receivers; what was open ends.
    pub(super) fn open<L>(
        &mut self,
        audience: AudienceKey,
        excluded: Vec<ConnectionKey>,
        receivers: &[Receivers<C>],
        outputs: &mut VecDeque<Output<C, L>>,
    ) {
        self.end_all(outputs);
        let part = |receivers: &Receivers<C>| Part {
            protocol: receivers.protocol,
            to: Arc::clone(&receivers.list),
            frames: Frames::default(),
        };
        self.run = Some(OpenRun {
            audience,
            excluded,
            parts: receivers.iter().map(part).collect(),
        });
    }

    /// Adds to the open run.
    pub(super) fn publish<L>(
        &mut self,
        response: &Response<'_>,
        outputs: &mut VecDeque<Output<C, L>>,
    ) {
        let Some(run) = &mut self.run else { return };
        let mut longest = 0;
        for part in &mut run.parts {
            part.frames.add(part.protocol, response);
            longest = longest.max(part.frames.bytes.len());
        }
        if longest > RUN_BYTES_MAX {
            self.end_run(outputs);
        }
    }

    /// Tells one connection something.
    pub(super) fn tell<L>(
        &mut self,
        (key, protocol, to): (ConnectionKey, Protocol, &C),
        response: &Response<'_>,
        order: Order,
        outputs: &mut VecDeque<Output<C, L>>,
    ) {
        if order == Order::Strict {
            self.end_run(outputs);
        }
        if self.direct.as_ref().is_some_and(|direct| direct.key != key) {
            self.end_all(outputs);
        }
        let new = || Direct {
            key,
            to: to.clone(),
            frames: Frames::default(),
            is_strict: false,
        };
        let direct = self.direct.get_or_insert_with(new);
        direct.frames.add(protocol, response);
        direct.is_strict |= order == Order::Strict;
    }

    /// Ends what is open: the run, then what follows it.
    pub(super) fn end_all<L>(&mut self, outputs: &mut VecDeque<Output<C, L>>) {
        self.end_run(outputs);
        let Some(direct) = self.direct.take() else {
            return;
        };
        if let Some(run) = direct.frames.into_run() {
            outputs.push_back(Output::Send { to: direct.to, run });
        }
    }

    fn end_run<L>(&mut self, outputs: &mut VecDeque<Output<C, L>>) {
        let Some(open) = self.run.take() else { return };
        let excluded: Arc<[ConnectionKey]> = open.excluded.into();
        for part in open.parts {
            let Some(run) = part.frames.into_run() else {
                continue;
            };
            outputs.push_back(Output::Deliver {
                to: part.to,
                excluded: Arc::clone(&excluded),
                run,
            });
        }
    }
}
