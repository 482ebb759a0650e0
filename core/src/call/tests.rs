//! The machine against exact lists of outputs.

use alloc::boxed::Box;
use alloc::{vec, vec::Vec};
use core::time::Duration;

use bytes::Bytes;
use headwater_proto::{Code, Metadata, Status};

use super::{
    table::{Half, Part},
    *,
};
use crate::time::{Deadline, Time, Why};

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u32) -> Time {
    Time::ZERO + SECOND * seconds
}

fn drain(call: &mut Call) -> Vec<Output> {
    core::iter::from_fn(|| call.poll_output()).collect()
}

fn message(text: &'static str) -> Frame {
    Frame::Message(Bytes::from_static(text.as_bytes()))
}

fn event_message(text: &'static str) -> Output {
    Output::Event(Event::Message(Bytes::from_static(text.as_bytes())))
}

fn ended(trailers: Trailers, by: EndedBy) -> Output {
    Output::Event(Event::Ended(Box::new(Ended { trailers, by })))
}

fn failed(violation: Violation) -> Trailers {
    Trailers::failed(violation.status())
}

fn with_timeout() -> CallConfig {
    CallConfig {
        timeout: Some(SECOND),
        ..CallConfig::default()
    }
}

fn shaped(shape: Shape) -> CallConfig {
    CallConfig {
        shape,
        ..CallConfig::default()
    }
}

/// After `Ended`: no output, no deadline, verbs return `Ended`, whatever else happens.
fn assert_over(call: &mut Call) {
    let inputs = [
        Input::Frame(Frame::Headers(Metadata::new())),
        Input::Frame(message("late")),
        Input::Frame(Frame::end(Trailers::ok())),
        Input::Credit(Credit::message(1)),
        Input::Closed(Closed::cancelled(Code::Cancelled)),
        Input::Timeout,
    ];
    for input in inputs {
        call.handle(input.clone(), at(1_000));
        assert_eq!(call.poll_output(), None, "after the end, {input:?}");
    }
    call.cancel(Status::new(Code::Cancelled, ""));
    call.consumed(Credit::message(1));
    let verbs = [
        call.send_headers(Metadata::new()),
        call.send(Bytes::new()),
        call.half_close(),
        call.finish(Trailers::ok()),
    ];
    assert_eq!(verbs, [Err(SendError::Ended); 4]);
    assert_eq!(call.poll_output(), None);
    assert_eq!(call.poll_timeout(), None);
    assert!(call.is_ended());
}

/// A client whose responses stand in this state, and a server whose requests do.
fn inbound_in(half: Half) -> Call {
    let mut call = Call::client(&CallConfig::default(), Time::ZERO);
    match half {
        Half::Idle => {}
        Half::Open => call.handle(Input::Frame(Frame::Headers(Metadata::new())), at(0)),
        Half::Closed => {
            call = Call::server(&CallConfig::default(), Time::ZERO);
            call.handle(Input::Frame(Frame::end(Trailers::ok())), at(0));
        }
    }
    drain(&mut call);
    call
}

/// S4-09: each state and part, through the machine: what the table allows is an event, what it forbids ends the call.
#[test]
fn s4_09_a_part_that_the_table_forbids_ends_the_call_once() {
    for half in Half::ALL {
        for part in Part::ALL {
            let mut call = inbound_in(half);
            let frame = match part {
                Part::Headers => Frame::Headers(Metadata::new()),
                Part::Message => message("m"),
                Part::End => Frame::end(Trailers::ok()),
            };
            call.handle(Input::Frame(frame), at(0));
            let outputs = drain(&mut call);
            let violated =
                outputs.contains(&ended(failed(Violation::Part(part)), EndedBy::Violation));
            let legal = table::next(half, part).is_some();
            assert_eq!(violated, !legal, "{half:?} {part:?} gave {outputs:?}");
            if violated {
                assert_eq!(
                    outputs.len(),
                    2,
                    "the peer is told, then Ended: {outputs:?}"
                );
                assert_over(&mut call);
            }
        }
    }
}

/// S4-08: at most one metadata in a request, first. The request's own opens the stream, so any further one is a second.
#[test]
fn s4_08_a_second_metadata_is_rejected() {
    let mut call = Call::server(&CallConfig::default(), Time::ZERO);
    call.handle(Input::Frame(Frame::Headers(Metadata::new())), at(0));
    let trailers = failed(Violation::Part(Part::Headers));
    let told = Output::Transmit(Frame::end(trailers.clone()));
    assert_eq!(
        drain(&mut call),
        [told, ended(trailers, EndedBy::Violation)]
    );
    assert_over(&mut call);
}

/// S4-09: the legal sequences of responses.
#[test]
fn s4_09_legal_responses_end_with_their_status() {
    let refused = Trailers::failed(Status::new(Code::NotFound, "no"));
    let headers = || Frame::Headers(Metadata::new());
    let sequences = [
        vec![Frame::end(refused.clone())],
        vec![Frame::end(Trailers::ok())],
        vec![headers(), Frame::end(Trailers::ok())],
        vec![headers(), message("1"), message("2"), Frame::end(refused)],
    ];
    for frames in sequences {
        let mut call = Call::client(&CallConfig::default(), Time::ZERO);
        call.half_close().expect("nothing was sent");
        drain(&mut call);
        for frame in &frames {
            call.handle(Input::Frame(frame.clone()), at(0));
        }
        let expected: Vec<_> = frames
            .into_iter()
            .map(|frame| match frame {
                Frame::Headers(metadata) => Output::Event(Event::Headers(metadata)),
                Frame::Message(bytes) => Output::Event(Event::Message(bytes)),
                Frame::Compressed(_) => unreachable!("no sequence has one"),
                Frame::End(trailers) => ended(*trailers, EndedBy::Status),
            })
            .collect();
        assert_eq!(drain(&mut call), expected);
        assert_over(&mut call);
    }
}

#[test]
fn a_server_sends_headers_by_itself_and_ends_once() {
    let mut call = Call::server(&CallConfig::default(), Time::ZERO);
    call.send(Bytes::from_static(b"m")).expect("room");
    assert_eq!(call.send_headers(Metadata::new()), Err(SendError::Misuse));
    call.finish(Trailers::ok()).expect("open");
    let expected = [
        Output::Transmit(Frame::Headers(Metadata::new())),
        Output::Transmit(message("m")),
        Output::Transmit(Frame::end(Trailers::ok())),
        ended(Trailers::ok(), EndedBy::Status),
    ];
    assert_eq!(drain(&mut call), expected);
    assert_over(&mut call);
}

#[test]
fn an_end_without_a_status_is_never_ok() {
    let mut call = inbound_in(Half::Open);
    call.handle(Input::Closed(Closed::without_status()), at(0));
    let expected = [
        Output::Reset(Code::Internal),
        ended(failed(Violation::NoStatus), EndedBy::Violation),
    ];
    assert_eq!(drain(&mut call), expected);
    assert_over(&mut call);
}

#[test]
fn the_deadline_fires_on_both_sides_and_the_peer_is_told() {
    let status = Status::new(Code::DeadlineExceeded, "the deadline passed");
    let trailers = Trailers::failed(status);
    let end = Output::Transmit(Frame::end(trailers.clone()));
    let sides = [
        (
            Call::client(&with_timeout(), at(1)),
            Output::Reset(Code::Cancelled),
        ),
        (Call::server(&with_timeout(), at(1)), end),
    ];
    for (mut call, told) in sides {
        let due = Deadline {
            at: at(2),
            why: Why::CallDeadline,
        };
        assert_eq!(call.poll_timeout(), Some(due));
        call.handle(Input::Timeout, at(2).since_start_minus(1));
        assert_eq!(call.poll_output(), None, "not before its time");
        call.handle(Input::Timeout, at(2));
        assert_eq!(
            drain(&mut call),
            [told, ended(trailers.clone(), EndedBy::Deadline)]
        );
        assert_over(&mut call);
    }
}

trait Minus {
    fn since_start_minus(self, nanos: u64) -> Time;
}

impl Minus for Time {
    fn since_start_minus(self, nanos: u64) -> Time {
        Self::after_start(self.since_start() - Duration::from_nanos(nanos))
    }
}

#[test]
fn what_comes_at_the_deadline_comes_too_late() {
    let mut call = Call::client(&with_timeout(), Time::ZERO);
    call.handle(Input::Frame(Frame::end(Trailers::ok())), at(1));
    let outputs = drain(&mut call);
    let Some(Output::Event(Event::Ended(end))) = outputs.last() else {
        panic!("the call must have ended: {outputs:?}");
    };
    assert_eq!(end.by, EndedBy::Deadline);
}

#[test]
fn waiting_outputs_ask_for_the_driver_at_once() {
    let mut call = Call::client(&with_timeout(), at(3));
    call.send(Bytes::new()).expect("room");
    let why = call.poll_timeout().map(|due| (due.at, due.why));
    assert_eq!(why, Some((at(3), Why::Drain)));
}

#[test]
fn a_cancel_reaches_the_peer_and_ends_the_call() {
    let mut call = Call::client(&CallConfig::default(), Time::ZERO);
    let status = Status::new(Code::Cancelled, "enough");
    call.cancel(status.clone());
    call.cancel(status.clone());
    let expected = [
        Output::Reset(Code::Cancelled),
        ended(Trailers::failed(status), EndedBy::Local),
    ];
    assert_eq!(drain(&mut call), expected);
    assert_over(&mut call);
}

#[test]
fn a_peers_cancel_ends_the_handler_with_its_reason() {
    let mut call = Call::server(&CallConfig::default(), Time::ZERO);
    let closed = Closed::cancelled(Code::Cancelled);
    call.handle(Input::Closed(closed.clone()), at(0));
    let end = ended(Trailers::failed(closed.status), EndedBy::Peer);
    assert_eq!(drain(&mut call), [end], "there is nobody left to tell");
    assert_over(&mut call);
}

#[test]
fn a_client_that_is_lost_has_cancelled_as_far_as_the_handler_knows() {
    let mut call = Call::server(&CallConfig::default(), Time::ZERO);
    call.handle(Input::Closed(Closed::broken("the socket is gone")), at(0));
    let status = Closed::cancelled(Code::Cancelled).status;
    let end = ended(Trailers::failed(status), EndedBy::Transport);
    assert_eq!(drain(&mut call), [end]);
}

#[test]
fn a_server_with_messages_waiting_resets_at_the_deadline() {
    let mut call = Call::server(&with_timeout(), Time::ZERO);
    call.send(Bytes::from_static(b"waits")).expect("room");
    drain(&mut call);
    call.handle(Input::Timeout, at(1));
    assert_eq!(call.poll_output(), Some(Output::Reset(Code::Cancelled)));
}

#[test]
fn the_window_blocks_and_opens_again_at_half() {
    let config = CallConfig {
        send_window: Credit {
            messages: 4,
            bytes: 100,
        },
        ..CallConfig::default()
    };
    let mut call = Call::client(&config, Time::ZERO);
    for _ in 0..4 {
        call.send(Bytes::from_static(b"m")).expect("room for four");
    }
    assert_eq!(call.send(Bytes::new()), Err(SendError::Blocked));
    drain(&mut call);
    call.handle(Input::Credit(Credit::message(1)), at(0));
    assert_eq!(
        call.poll_output(),
        None,
        "three of four are still in flight"
    );
    call.handle(Input::Credit(Credit::message(1)), at(0));
    assert_eq!(drain(&mut call), [Output::Event(Event::Writable)]);
    call.send(Bytes::from_static(&[0; 97]))
        .expect("fits in bytes");
    assert_eq!(
        call.send(Bytes::from_static(b"ab")),
        Err(SendError::Blocked),
        "bytes count too"
    );
}

#[test]
fn a_message_over_the_window_goes_when_nothing_is_in_flight() {
    let config = CallConfig {
        send_window: Credit {
            messages: 4,
            bytes: 2,
        },
        ..CallConfig::default()
    };
    let mut call = Call::client(&config, Time::ZERO);
    call.send(Bytes::from_static(b"large"))
        .expect("the window is unused");
    assert_eq!(call.send(Bytes::from_static(b"x")), Err(SendError::Blocked));
}

#[test]
fn a_peer_without_credit_is_ended_and_consuming_grants_more() {
    let config = CallConfig {
        receive_window: Some(Credit {
            messages: 2,
            bytes: 100,
        }),
        ..CallConfig::default()
    };
    let mut call = Call::server(&config, Time::ZERO);
    call.handle(Input::Frame(message("1")), at(0));
    call.handle(Input::Frame(message("2")), at(0));
    call.consumed(Credit::message(1));
    let expected = [
        event_message("1"),
        event_message("2"),
        Output::Credit(Credit::message(1)),
    ];
    assert_eq!(drain(&mut call), expected);
    call.handle(Input::Frame(message("3")), at(0));
    assert_eq!(drain(&mut call), [event_message("3")]);
    call.handle(Input::Frame(message("4")), at(0));
    let trailers = failed(Violation::Credit);
    let told = Output::Transmit(Frame::end(trailers.clone()));
    assert_eq!(
        drain(&mut call),
        [told, ended(trailers, EndedBy::Violation)]
    );
}

#[test]
fn a_message_over_the_limit_is_refused_both_ways() {
    let config = CallConfig {
        send_message_bytes_max: 1,
        receive_message_bytes_max: 1,
        ..CallConfig::default()
    };
    let mut call = Call::server(&config, Time::ZERO);
    assert_eq!(
        call.send(Bytes::from_static(b"ab")),
        Err(SendError::TooLarge)
    );
    call.handle(Input::Frame(message("ab")), at(0));
    let told = call.poll_output();
    let Some(Output::Transmit(Frame::End(trailers))) = told else {
        panic!("the client must hear why, got {told:?}");
    };
    assert_eq!(
        trailers.outcome.map_err(|status| status.code),
        Err(Code::ResourceExhausted)
    );
}

#[test]
fn no_limit_lets_a_message_through_whose_length_has_no_four_bytes() {
    let config = CallConfig {
        send_message_bytes_max: usize::MAX,
        ..CallConfig::default()
    };
    let mut call = Call::client(&config, Time::ZERO);
    assert_eq!(call.check_send(4080 << 20, 1), Ok(()));
    assert_eq!(
        call.check_send((4080 << 20) + 1, 1),
        Err(SendError::TooLarge),
        "compressed, it could take 4 GiB"
    );
}

#[test]
fn unary_counts_messages_on_both_sides() {
    let config = shaped(Shape::Unary);
    let mut client = Call::client(&config, Time::ZERO);
    assert_eq!(
        client.half_close(),
        Err(SendError::Misuse),
        "no request yet"
    );
    client.send(Bytes::new()).expect("the one request");
    assert_eq!(client.send(Bytes::new()), Err(SendError::Misuse));
    client.half_close().expect("complete");
    drain(&mut client);
    client.handle(Input::Frame(Frame::Headers(Metadata::new())), at(0));
    client.handle(Input::Frame(Frame::end(Trailers::ok())), at(0));
    let end = ended(failed(Violation::Count), EndedBy::Violation);
    assert_eq!(
        drain(&mut client).last(),
        Some(&end),
        "OK without a response"
    );

    let mut server = Call::server(&config, Time::ZERO);
    assert_eq!(server.finish(Trailers::ok()), Err(SendError::Misuse));
    server.handle(Input::Frame(Frame::end(Trailers::ok())), at(0));
    let end = ended(failed(Violation::Count), EndedBy::Violation);
    assert_eq!(drain(&mut server).last(), Some(&end), "no request");

    let mut server = Call::server(&config, Time::ZERO);
    server.handle(Input::Frame(message("1")), at(0));
    server.handle(Input::Frame(message("2")), at(0));
    assert_eq!(
        drain(&mut server).last(),
        Some(&ended(failed(Violation::Count), EndedBy::Violation))
    );
    let code = Violation::Count.status().code;
    assert_eq!(code, Code::Unimplemented, "gRPC's statuscodes.md");
}

#[test]
fn a_status_before_the_half_close_stops_the_requests() {
    let mut call = Call::client(&CallConfig::default(), Time::ZERO);
    call.handle(Input::Frame(Frame::end(Trailers::ok())), at(0));
    let expected = [
        Output::Reset(Code::Cancelled),
        ended(Trailers::ok(), EndedBy::Status),
    ];
    assert_eq!(drain(&mut call), expected);
}
