//! A client and a server, any verbs in any order, any delay on the way.

use alloc::{
    collections::{BTreeMap, VecDeque},
    format,
};

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// One side calls a method of the other.
    Call {
        side: usize,
        method: usize,
    },
    /// One side sends the next message of one of its calls.
    Send {
        side: usize,
        call: usize,
    },
    /// One side sends the next messages of one of its calls together.
    SendRun {
        side: usize,
        call: usize,
        messages: usize,
    },
    /// One side ends what it sends in one of its calls.
    End {
        side: usize,
        call: usize,
        ok: bool,
    },
    Cancel {
        side: usize,
        call: usize,
    },
    Abandon {
        side: usize,
        call: usize,
    },
    /// One side's application takes what came in one of its calls.
    Consume {
        side: usize,
        call: usize,
    },
    /// So many packets arrive at one side, each by itself or all at once.
    Arrive {
        side: usize,
        packets: usize,
        at_once: bool,
    },
}

fn steps() -> impl Strategy<Value = Step> {
    let side = || 0..2_usize;
    let call = || 0..5_usize;
    prop_oneof![
        2 => (side(), 0..METHODS.len()).prop_map(|(side, method)| Step::Call { side, method }),
        16 => (side(), call()).prop_map(|(side, call)| Step::Send { side, call }),
        4 => (side(), call(), 1..5_usize)
            .prop_map(|(side, call, messages)| Step::SendRun { side, call, messages }),
        3 => (side(), call(), any::<bool>()).prop_map(|(side, call, ok)| Step::End { side, call, ok }),
        1 => (side(), call()).prop_map(|(side, call)| Step::Cancel { side, call }),
        1 => (side(), call()).prop_map(|(side, call)| Step::Abandon { side, call }),
        4 => (side(), call()).prop_map(|(side, call)| Step::Consume { side, call }),
        12 => (side(), 0..6_usize, any::<bool>())
            .prop_map(|(side, packets, at_once)| Step::Arrive { side, packets, at_once }),
    ]
}

/// One call, as its application sees it.
#[derive(Debug)]
struct Seen {
    role: Role,
    shape: Shape,
    sent: usize,
    /// Frames of the peer, and the call that its messages name.
    received: usize,
    names: Option<u64>,
    unread: Credit,
    /// The end was handed in. A server's call is over when it has gone; until then it may yet be closed.
    end_sent: bool,
    /// A verb has given it up.
    left: bool,
    /// The peer, or what lies between, has.
    over: bool,
}

impl Seen {
    fn new(role: Role, shape: Shape) -> Self {
        Self {
            role,
            shape,
            sent: 0,
            received: 0,
            names: None,
            unread: Credit::default(),
            end_sent: false,
            left: false,
            over: false,
        }
    }

    fn sends_one(&self) -> bool {
        match self.role {
            Role::Client => self.shape.one_request(),
            Role::Server => self.shape.one_response(),
        }
    }
}

struct Side {
    endpoint: Endpoint,
    calls: BTreeMap<CallKey, Seen>,
    /// What is on the way to it.
    arriving: VecDeque<Bytes>,
    plain: bool,
}

/// What a call says for the nth time.
fn text(key: CallKey, count: usize) -> Bytes {
    let mut text = format!("{} {} ", key.0, count).into_bytes();
    text.resize(BYTES, b'.');
    text.into()
}

/// Of a message: a few use up the credit that there is at the beginning.
const BYTES: usize = 20_000;

impl Side {
    fn new(extension: ExtensionUse) -> Self {
        let Script { endpoint } = Script::speaking(extension);
        Self {
            endpoint,
            calls: BTreeMap::new(),
            arriving: VecDeque::new(),
            plain: extension == ExtensionUse::Never,
        }
    }

    fn pick(&mut self, index: usize) -> Option<(CallKey, &mut Seen)> {
        let count = self.calls.len().max(1);
        let mut calls = self.calls.iter_mut();
        calls.nth(index % count).map(|(key, seen)| (*key, seen))
    }

    /// A message names the call of who sends it, and counts.
    fn send(&mut self, index: usize) -> Result<(), TestCaseError> {
        let Some((key, seen)) = self.pick(index) else {
            return Ok(());
        };
        if seen.end_sent || (seen.sends_one() && seen.sent > 0) {
            return Ok(());
        }
        let text = text(key, seen.sent);
        let is_over = seen.left || seen.over;
        let result = self.endpoint.send(key, Frame::Message(text));
        match result {
            Ok(()) => {
                prop_assert!(!is_over, "{key:?} is over");
                self.pick(index).expect("it is there").1.sent += 1;
            }
            Err(SendError::Ended) => prop_assert!(is_over, "{key:?} is not over"),
            Err(SendError::Blocked) => prop_assert!(!self.endpoint.is_writable(key)),
            Err(error) => prop_assert!(false, "{error}"),
        }
        Ok(())
    }

    fn send_run(&mut self, index: usize, messages: usize) -> Result<(), TestCaseError> {
        let Some((key, seen)) = self.pick(index) else {
            return Ok(());
        };
        if seen.end_sent || seen.sends_one() {
            return self.send(index);
        }
        let texts = (seen.sent..).map(|count| text(key, count));
        let is_over = seen.left || seen.over;
        let mut run = run(texts.take(messages));
        let result = self.endpoint.send_run(key, &mut run);
        let expected = match is_over {
            true => Err(SendError::Ended),
            false => Ok(()),
        };
        prop_assert_eq!(result, expected);
        if !run.is_empty() && !is_over {
            prop_assert!(!self.endpoint.is_writable(key));
        }
        let sent = messages - run.credit().messages;
        self.pick(index).expect("it is there").1.sent += sent;
        Ok(())
    }

    fn end(&mut self, index: usize, ok: bool) -> Result<(), TestCaseError> {
        let Some((key, seen)) = self.pick(index) else {
            return Ok(());
        };
        let incomplete = seen.sends_one() && seen.sent == 0;
        if seen.end_sent || (incomplete && (ok || seen.role == Role::Client)) {
            return Ok(());
        }
        seen.end_sent = true;
        let is_over = seen.left || seen.over;
        let trailers = match ok || seen.role == Role::Client {
            true => Trailers::ok(),
            false => failed(Code::Aborted),
        };
        let result = self.endpoint.send(key, Frame::end(trailers));
        let expected = match is_over {
            true => Err(SendError::Ended),
            false => Ok(()),
        };
        prop_assert_eq!(result, expected);
        Ok(())
    }

    fn leave(&mut self, index: usize, abandon: bool) {
        let Some((key, seen)) = self.pick(index) else {
            return;
        };
        match abandon {
            true if seen.role == Role::Server => {}
            true => {
                seen.left = true;
                self.endpoint.abandon(key);
            }
            false => {
                seen.left = true;
                self.endpoint.cancel(key);
            }
        }
    }

    fn consume(&mut self, index: usize) {
        if let Some((key, seen)) = self.pick(index) {
            let unread = core::mem::take(&mut seen.unread);
            self.endpoint.consumed(key, unread);
        }
    }

    fn arrive(&mut self, packets: usize, at_once: bool) {
        if at_once {
            let count = packets.min(self.arriving.len());
            let mut arrivals = Arrivals::default();
            for packet in self.arriving.drain(..count) {
                arrivals.push(&packet);
            }
            for input in arrivals.drain() {
                self.endpoint.handle(input, Time::ZERO);
            }
            return;
        }
        for _ in 0..packets {
            if let Some(bytes) = self.arriving.pop_front() {
                self.endpoint.handle(Input::Packet(bytes), Time::ZERO);
            }
        }
    }

    /// Does what it says, and checks what its application is told.
    fn drain(&mut self, to: &mut VecDeque<Bytes>, to_plain: bool) -> Result<(), TestCaseError> {
        while let Some(output) = self.endpoint.poll_output() {
            let event = match output {
                Output::Transmit(packet) => {
                    prop_assert!(
                        packet.r#type < 16 || !(to_plain || self.plain),
                        "{packet:?}"
                    );
                    to.push_back(packet.to_bytes());
                    continue;
                }
                Output::TransmitRun { id, run } => {
                    for message in run.into_messages() {
                        let mut packet = id.packet();
                        packet.payload = message;
                        to.push_back(packet.to_bytes());
                    }
                    continue;
                }
                Output::Event(event) => event,
            };
            self.told(event)?;
        }
        prop_assert_eq!(self.endpoint.poll_timeout(), None);
        Ok(())
    }

    fn told(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Opened { key, opened } => {
                let shape = opened.shape.expect("it is registered");
                let before = self.calls.insert(key, Seen::new(Role::Server, shape));
                prop_assert!(before.is_none(), "{key:?} came twice");
            }
            Event::Frame { key, frame } => self.frame(key, frame)?,
            Event::Run { key, run } => {
                for message in run.into_messages() {
                    self.frame(key, Frame::Message(message))?;
                }
            }
            Event::CompletionRequested { key } | Event::Writable { key } => {
                prop_assert!(self.calls.contains_key(&key));
            }
            Event::Closed { key, closed } => {
                let seen = self.calls.get_mut(&key).expect("a call that is known");
                prop_assert!(!seen.over && !seen.left, "{key:?} ended twice");
                seen.over = true;
                let code = closed.status.code;
                let expected = [
                    Code::Cancelled,
                    Code::FailedPrecondition,
                    Code::ResourceExhausted,
                ];
                prop_assert!(expected.contains(&code), "{closed:?}");
            }
            Event::GoingAway { .. } => prop_assert!(false, "nobody drains"),
            Event::Rejected(rejection) => prop_assert!(false, "{rejection:?}"),
        }
        Ok(())
    }

    fn frame(&mut self, key: CallKey, frame: Frame) -> Result<(), TestCaseError> {
        let seen = self.calls.get_mut(&key).expect("a call that is known");
        prop_assert!(!seen.over && !seen.left, "{key:?} had ended");
        match frame {
            Frame::Message(bytes) => {
                let text = str::from_utf8(&bytes).expect("text");
                let mut numbers = text.split(' ').map(|number| number.parse::<u64>().ok());
                let (name, count) = (numbers.next().flatten(), numbers.next().flatten());
                prop_assert_eq!(count, Some(seen.received as u64), "in order, all, once");
                prop_assert!(seen.names.is_none() || seen.names == name, "one call");
                seen.names = name;
                seen.received += 1;
                seen.unread.messages += 1;
                seen.unread.bytes += bytes.len();
                let window = EndpointConfig::default().receive_window;
                prop_assert!(seen.unread.bytes < window.bytes + BYTES);
            }
            Frame::Headers(_) => prop_assert!(seen.role == Role::Client && seen.received == 0),
            Frame::End(_) => seen.over = seen.role == Role::Client,
            Frame::Compressed(_) => prop_assert!(false, "none was sent"),
        }
        Ok(())
    }
}

fn act(sides: &mut [Side; 2], step: &Step) -> Result<(), TestCaseError> {
    match *step {
        Step::Call { side, method } => {
            let (path, shape) = METHODS[method];
            let side = &mut sides[side];
            let request = Request::new(path, shape);
            let key = side.endpoint.call(CHANNEL, request).expect("it can call");
            side.calls.insert(key, Seen::new(Role::Client, shape));
        }
        Step::Send { side, call } => sides[side].send(call)?,
        Step::SendRun {
            side,
            call,
            messages,
        } => sides[side].send_run(call, messages)?,
        Step::End { side, call, ok } => sides[side].end(call, ok)?,
        Step::Cancel { side, call } => sides[side].leave(call, false),
        Step::Abandon { side, call } => sides[side].leave(call, true),
        Step::Consume { side, call } => sides[side].consume(call),
        Step::Arrive {
            side,
            packets,
            at_once,
        } => sides[side].arrive(packets, at_once),
    }
    let [one, other] = sides;
    let (one_plain, other_plain) = (one.plain, other.plain);
    one.drain(&mut other.arriving, other_plain)?;
    other.drain(&mut one.arriving, one_plain)
}

/// What was sent in calls that go on at both ends has come.
fn all_arrived(from: &Side, to: &Side) -> Result<(), TestCaseError> {
    let runs = |seen: &&Seen| !seen.left && !seen.over;
    for (key, seen) in &to.calls {
        let sender = seen.names.and_then(|key| from.calls.get(&CallKey(key)));
        if let (Some(sender), Some(seen)) = (sender.filter(runs), Some(seen).filter(runs)) {
            prop_assert_eq!(seen.received, sender.sent, "{:?} {:?}", key, seen);
        }
    }
    Ok(())
}

fn speaking() -> impl Strategy<Value = [ExtensionUse; 2]> {
    use ExtensionUse::{Agreed, Announce, Never};
    prop::sample::select(alloc::vec![
        [Agreed, Agreed],
        [Announce, Announce],
        [Announce, Never],
        [Never, Announce],
        [Never, Never],
    ])
}

proptest! {
    /// Both sides call each other on one channel. Messages arrive in order, whole and once, in the call that they were
    /// sent in; a call ends once, and last; nothing is sent that a plain peer does not know; no call is left behind.
    #[test]
    fn calls_keep_their_order_and_end_once(
        extensions in speaking(),
        script in prop::collection::vec(steps(), 0..150),
    ) {
        let mut sides = extensions.map(Side::new);
        for step in &script {
            act(&mut sides, step)?;
        }
        // Then all is taken, and given up.
        for _ in 0..4 {
            for side in 0..2 {
                for call in 0..sides[side].calls.len() {
                    act(&mut sides, &Step::Consume { side, call })?;
                }
                act(&mut sides, &Step::Arrive { side, packets: 10_000, at_once: side == 0 })?;
            }
        }
        for (from, to) in [(0, 1), (1, 0)] {
            all_arrived(&sides[from], &sides[to])?;
        }
        for side in 0..2 {
            for call in 0..sides[side].calls.len() {
                let is_server = sides[side].pick(call).is_some_and(|(_, seen)| seen.role == Role::Server);
                if is_server {
                    act(&mut sides, &Step::Cancel { side, call })?;
                } else {
                    act(&mut sides, &Step::Abandon { side, call })?;
                }
            }
        }
        for _ in 0..4 {
            for side in 0..2 {
                act(&mut sides, &Step::Arrive { side, packets: 10_000, at_once: side == 0 })?;
            }
        }
        for side in &sides {
            prop_assert_eq!(side.endpoint.calls(), 0, "a call is left behind");
            prop_assert_eq!(side.endpoint.server_calls(), 0);
        }
    }
}
