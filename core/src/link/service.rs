//! The service's end of a link: checks and translates the frames of one upstream.
//!
//! Registrations, windows and lanes live in the [hub](crate::hub), which answers through the same call. This machine
//! holds what belongs to the link itself: that `register` comes first and in time, the one numbering of acks and
//! commands, and how many results an upstream may leave unconfirmed.
//!
//! A frame that this service does not know is counted and skipped; one that cannot be decoded ends the link.

use alloc::{
    boxed::Box,
    collections::{BTreeSet, VecDeque},
    string::String,
};
use core::time::Duration;

use bytes::Bytes;
use headwater_proto::{
    Code, Status,
    subprotocol::hub_name,
    v1::{self, service_frame::Frame, upstream_frame::Frame as UpstreamFrame},
};
use prost::Message as _;

use crate::{Deadline, Time, Why};

/// The longest `app` of a `register`.
const APP_CHARS_MAX: usize = 128;
/// The longest `app_version` of a `register`.
const APP_VERSION_CHARS_MAX: usize = 256;

/// The bounds of the service's end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkConfig {
    /// Within which `register` must come. Default: 10 s.
    pub register_timeout: Duration,
    /// Commands whose results the upstream has not confirmed; one more is refused. Default: 1024.
    pub commands_max: usize,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            register_timeout: Duration::from_secs(10),
            commands_max: 1024,
        }
    }
}

/// What happens to a link.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A message of the call: one encoded `UpstreamFrame`.
    Message(Bytes),
    /// The upstream has no more to say: it leaves.
    HalfClosed,
    /// The time of [`ServiceLink::poll_timeout`] has come.
    Timeout,
}

/// What to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Check the credential for this hub, then tell the hub. Comes once, before anything that is for the hub.
    Register(Box<v1::Register>),
    /// Tell the hub.
    Ack(Box<v1::Ack>),
    /// Tell the hub.
    Command(Box<v1::Command>),
    /// Tell the hub.
    Settled(v1::Settled),
    /// Tell the hub.
    Drain,
    /// Check this token; end the link if it is not good.
    Authenticate(String),
    /// Send a frame to the upstream.
    Transmit(Box<Frame>),
    /// End the call so. Comes once, and last.
    End(Result<(), Status>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Registering { until: Time },
    Live,
    Ended,
}

/// The machine. See the [module](self).
#[derive(Debug)]
pub struct ServiceLink {
    config: LinkConfig,
    state: State,
    /// Of acks and commands alike.
    last_seq: u64,
    unconfirmed: BTreeSet<u64>,
    skipped: u64,
    outputs: VecDeque<Output>,
}

impl ServiceLink {
    /// The end of a call that has just come.
    pub fn new(config: LinkConfig, now: Time) -> Self {
        Self {
            config,
            state: State::Registering {
                until: now + config.register_timeout,
            },
            last_seq: 0,
            unconfirmed: BTreeSet::new(),
            skipped: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Takes what happened. Nothing comes of it after the end.
    pub fn handle(&mut self, input: Input, now: Time) {
        match (self.state, input) {
            (State::Ended, _) => {}
            (_, Input::HalfClosed) => self.end(Ok(())),
            (State::Registering { until }, Input::Timeout) if now >= until => {
                self.end(Err(Status::new(
                    Code::DeadlineExceeded,
                    "no register came in time",
                )));
            }
            (_, Input::Timeout) => {}
            (_, Input::Message(bytes)) => match v1::UpstreamFrame::decode(bytes) {
                Ok(frame) => self.frame(frame.frame),
                Err(_) => self.end(Err(Status::new(
                    Code::InvalidArgument,
                    "a frame could not be decoded",
                ))),
            },
        }
    }

    /// What to do next; `None` when drained.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to say [`Input::Timeout`].
    pub fn poll_timeout(&self) -> Option<Deadline> {
        match self.state {
            State::Registering { until } => Some(Deadline {
                at: until,
                why: Why::Register,
            }),
            State::Live | State::Ended => None,
        }
    }

    /// Frames that this service did not know, or that came out of place.
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    fn frame(&mut self, frame: Option<UpstreamFrame>) {
        let Some(frame) = frame else {
            self.skipped += 1;
            return;
        };
        if matches!(self.state, State::Registering { .. }) {
            return self.register(frame);
        }
        match frame {
            UpstreamFrame::Register(_) => self.skipped += 1,
            UpstreamFrame::Ack(ack) => self.ack(ack),
            UpstreamFrame::Command(command) => self.command(command),
            UpstreamFrame::Settled(settled) => self.outputs.push_back(Output::Settled(settled)),
            UpstreamFrame::ResultsThrough(through) => {
                self.unconfirmed = self.unconfirmed.split_off(&through.seq.saturating_add(1));
            }
            UpstreamFrame::Authenticate(fresh) => {
                self.outputs.push_back(Output::Authenticate(fresh.token))
            }
            UpstreamFrame::Drain(_) => self.outputs.push_back(Output::Drain),
        }
    }

    fn register(&mut self, frame: UpstreamFrame) {
        let UpstreamFrame::Register(register) = frame else {
            return self.end(Err(Status::new(
                Code::FailedPrecondition,
                "the first frame must be register",
            )));
        };
        if let Err(status) = check(&register) {
            return self.end(Err(status));
        }
        self.state = State::Live;
        self.outputs.push_back(Output::Register(register));
    }

    fn ack(&mut self, ack: Box<v1::Ack>) {
        match self.take_seq(ack.seq) {
            Ok(()) => self.outputs.push_back(Output::Ack(ack)),
            Err(status) => {
                let refused = v1::Refused {
                    seq: ack.seq,
                    status: Some(status.into()),
                };
                self.transmit(Frame::Refused(refused));
            }
        }
    }

    fn command(&mut self, command: Box<v1::Command>) {
        match self.take_command(command.seq) {
            Ok(()) => self.outputs.push_back(Output::Command(command)),
            Err(status) => {
                let result = v1::Result {
                    seq: command.seq,
                    status: Some(status.into()),
                    value: None,
                };
                self.transmit(Frame::Result(result));
            }
        }
    }

    fn take_command(&mut self, seq: u64) -> Result<(), Status> {
        self.take_seq(seq)?;
        if self.unconfirmed.len() >= self.config.commands_max {
            return Err(Status::new(
                Code::ResourceExhausted,
                "too many results are unconfirmed",
            ));
        }
        self.unconfirmed.insert(seq);
        Ok(())
    }

    fn take_seq(&mut self, seq: u64) -> Result<(), Status> {
        if seq <= self.last_seq {
            return Err(Status::new(Code::AlreadyExists, "this seq was used before"));
        }
        if seq - self.last_seq > 1 {
            return Err(Status::new(Code::OutOfRange, "this seq skips numbers"));
        }
        self.last_seq = seq;
        Ok(())
    }

    fn transmit(&mut self, frame: Frame) {
        self.outputs.push_back(Output::Transmit(frame.into()));
    }

    fn end(&mut self, outcome: Result<(), Status>) {
        self.state = State::Ended;
        self.outputs.push_back(Output::End(outcome));
    }
}

/// Whether a registration says what it has to, and no more than is kept of it.
pub(super) fn check(register: &v1::Register) -> Result<(), Status> {
    let refused = |message| Err(Status::new(Code::InvalidArgument, message));
    if hub_name(&register.hub).is_none_or(|name| name != register.hub) {
        return refused("register names no valid, lower-case hub");
    }
    // Both are kept for as long as the hub lives, and stand in logs.
    if register.app.chars().count() > APP_CHARS_MAX
        || register.app_version.chars().count() > APP_VERSION_CHARS_MAX
    {
        return refused("register has an app over 128 or an app_version over 256 characters");
    }
    Ok(())
}

#[cfg(test)]
#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "any other output is a failure of the test"
)]
mod tests {
    use alloc::{vec, vec::Vec};

    use super::*;

    fn message(frame: UpstreamFrame) -> Input {
        Input::Message(
            v1::UpstreamFrame { frame: Some(frame) }
                .encode_to_vec()
                .into(),
        )
    }

    fn register(hub: &str) -> UpstreamFrame {
        UpstreamFrame::Register(Box::new(v1::Register {
            hub: hub.into(),
            ..Default::default()
        }))
    }

    fn command(seq: u64) -> UpstreamFrame {
        UpstreamFrame::Command(Box::new(v1::Command {
            seq,
            ..Default::default()
        }))
    }

    fn ack(seq: u64) -> UpstreamFrame {
        UpstreamFrame::Ack(Box::new(v1::Ack {
            seq,
            ..Default::default()
        }))
    }

    fn live() -> ServiceLink {
        let mut link = ServiceLink::new(
            LinkConfig {
                commands_max: 2,
                ..Default::default()
            },
            Time::ZERO,
        );
        link.handle(message(register("chat")), Time::ZERO);
        drain(&mut link);
        link
    }

    fn drain(link: &mut ServiceLink) -> Vec<Output> {
        core::iter::from_fn(|| link.poll_output()).collect()
    }

    /// How an ack or a command was taken: its seq, and the code if it was refused.
    fn outcomes(link: &mut ServiceLink) -> Vec<(u64, Option<i32>)> {
        let outcome = |output| match output {
            Output::Ack(ack) => (ack.seq, None),
            Output::Command(command) => (command.seq, None),
            Output::Transmit(frame) => match *frame {
                Frame::Refused(refused) => (refused.seq, refused.status.map(|status| status.code)),
                Frame::Result(result) => (result.seq, result.status.map(|status| status.code)),
                other => panic!("neither ack nor command: {other:?}"),
            },
            other => panic!("neither ack nor command: {other:?}"),
        };
        drain(link).into_iter().map(outcome).collect()
    }

    fn code(code: Code) -> Option<i32> {
        Some(code.number().into())
    }

    fn end_code(link: &mut ServiceLink) -> Code {
        let Some(Output::End(Err(status))) = drain(link).pop() else {
            panic!("the link has not ended badly")
        };
        status.code
    }

    #[test]
    fn register_comes_first_and_once() {
        let mut link = ServiceLink::new(LinkConfig::default(), Time::ZERO);
        link.handle(message(register("chat")), Time::ZERO);
        assert!(
            matches!(&drain(&mut link)[..], [Output::Register(register)] if register.hub == "chat")
        );
        link.handle(message(register("chat")), Time::ZERO);
        assert_eq!((drain(&mut link), link.skipped()), (vec![], 1));

        let mut other = ServiceLink::new(LinkConfig::default(), Time::ZERO);
        other.handle(message(ack(1)), Time::ZERO);
        assert_eq!(end_code(&mut other), Code::FailedPrecondition);
    }

    #[test]
    fn a_hub_that_is_not_a_lower_case_name_is_refused() {
        for hub in ["", "Chat", "1chat", "a b", "a/b"] {
            let mut link = ServiceLink::new(LinkConfig::default(), Time::ZERO);
            link.handle(message(register(hub)), Time::ZERO);
            assert_eq!(end_code(&mut link), Code::InvalidArgument, "hub {hub:?}");
        }
    }

    #[test]
    fn an_app_or_a_version_that_is_too_long_is_refused() {
        // Characters count, not bytes.
        for (app, version, refused) in [(128, 256, false), (129, 0, true), (0, 257, true)] {
            let mut link = ServiceLink::new(LinkConfig::default(), Time::ZERO);
            let register = v1::Register {
                hub: "chat".into(),
                app: "ä".repeat(app),
                app_version: "ä".repeat(version),
                ..Default::default()
            };
            let register = UpstreamFrame::Register(register.into());
            link.handle(message(register), Time::ZERO);
            if refused {
                assert_eq!(
                    end_code(&mut link),
                    Code::InvalidArgument,
                    "{app} {version}"
                );
            } else {
                let outputs = drain(&mut link);
                assert!(matches!(outputs[..], [Output::Register(_)]), "{outputs:?}");
            }
        }
    }

    #[test]
    fn an_upstream_that_does_not_register_is_dropped_after_ten_seconds() {
        let mut link = ServiceLink::new(LinkConfig::default(), Time::ZERO);
        let deadline = link.poll_timeout().expect("it waits for register");
        assert_eq!(
            deadline,
            Deadline {
                at: Time::ZERO + Duration::from_secs(10),
                why: Why::Register
            }
        );
        link.handle(Input::Timeout, Time::ZERO + Duration::from_millis(9_999));
        assert_eq!(drain(&mut link), vec![], "a millisecond early");
        link.handle(Input::Timeout, deadline.at);
        assert_eq!(end_code(&mut link), Code::DeadlineExceeded);
        assert_eq!(link.poll_timeout(), None);
    }

    #[test]
    fn acks_and_commands_share_one_numbering_without_holes() {
        let mut link = live();
        for frame in [ack(1), command(2), ack(2), ack(4), command(3), ack(0)] {
            link.handle(message(frame), Time::ZERO);
        }
        let taken = outcomes(&mut link);
        let repeated = code(Code::AlreadyExists);
        let skips = code(Code::OutOfRange);
        assert_eq!(
            taken,
            [
                (1, None),
                (2, None),
                (2, repeated),
                (4, skips),
                (3, None),
                (0, repeated)
            ]
        );
    }

    #[test]
    fn s1_27_a_command_beyond_the_window_is_refused_until_results_are_confirmed() {
        let mut link = live();
        for seq in 1..=3 {
            link.handle(message(command(seq)), Time::ZERO);
        }
        assert_eq!(
            outcomes(&mut link),
            [(1, None), (2, None), (3, code(Code::ResourceExhausted))]
        );
        let through = UpstreamFrame::ResultsThrough(v1::ResultsThrough { seq: 1 });
        link.handle(message(through), Time::ZERO);
        link.handle(message(command(4)), Time::ZERO);
        assert_eq!(outcomes(&mut link), [(4, None)]);
    }

    #[test]
    fn s1_19_a_frame_that_is_not_known_is_counted_and_skipped() {
        let mut link = live();
        // Field 99, length-delimited, two bytes: a frame of a later version.
        link.handle(
            Input::Message(Bytes::from_static(b"\x9a\x06\x02hi")),
            Time::ZERO,
        );
        link.handle(message(ack(1)), Time::ZERO);
        assert_eq!((outcomes(&mut link), link.skipped()), (vec![(1, None)], 1));
    }

    #[test]
    fn a_frame_that_cannot_be_decoded_ends_the_link_and_nothing_follows() {
        let mut link = live();
        link.handle(
            Input::Message(Bytes::from_static(b"\xff\xff\xff")),
            Time::ZERO,
        );
        link.handle(message(ack(1)), Time::ZERO);
        link.handle(Input::HalfClosed, Time::ZERO);
        assert_eq!(end_code(&mut link), Code::InvalidArgument);
    }

    #[test]
    fn an_upstream_that_closes_its_half_has_left_cleanly() {
        let mut link = live();
        link.handle(Input::HalfClosed, Time::ZERO);
        assert_eq!(drain(&mut link), vec![Output::End(Ok(()))]);
    }
}
