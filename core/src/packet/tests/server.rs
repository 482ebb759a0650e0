//! What a server does with a packet: the table of pw_rpc, row by row.

use super::*;

use PacketType::{ClientError, ClientRequestCompletion, ClientStream, Request, ServerStream};

/// S5-01: `DATA_LOSS`, and nothing is sent.
#[test]
fn s5_01_bytes_that_are_no_packet_are_rejected() {
    let mut script = Script::plain();
    let input = Input::Packet(Bytes::from_static(b"\xff\xff"));
    script.endpoint.handle(input, Time::ZERO);
    script.did(&[rejected(Rejection::Undecodable)]);
    assert_eq!(Rejection::Undecodable.code(), Some(Code::DataLoss));
}

/// S5-02: a channel, service or method of 0: `DATA_LOSS`, and nothing is sent.
#[test]
fn s5_02_a_packet_without_an_id_is_rejected() {
    let mut script = Script::plain();
    let whole = packet(Request, UNARY, 1);
    for broken in [
        RpcPacket {
            channel_id: 0,
            ..whole.clone()
        },
        RpcPacket {
            service_id: 0,
            ..whole.clone()
        },
        RpcPacket {
            method_id: 0,
            ..whole.clone()
        },
    ] {
        script.gives(broken, &[rejected(Rejection::NoId)]);
    }
    assert_eq!(Rejection::NoId.code(), Some(Code::DataLoss));
}

/// S5-03: `INVALID_ARGUMENT`, and nothing is sent.
#[test]
fn s5_03_a_server_rejects_what_is_for_a_client() {
    let config = EndpointConfig {
        role: Some(Role::Server),
        ..EndpointConfig::default()
    };
    let mut script = Script::new(config, ExtensionUse::Never);
    let packet = packet(ServerStream, BIDI, 1);
    script.gives(packet, &[rejected(Rejection::Role)]);
    assert_eq!(Rejection::Role.code(), Some(Code::InvalidArgument));
}

/// S5-04: `UNAVAILABLE`, and where nobody can be answered nothing is sent.
#[test]
fn s5_04_a_packet_of_an_unknown_channel_is_rejected() {
    let config = EndpointConfig {
        answers_unknown_channels: false,
        ..EndpointConfig::default()
    };
    let mut script = Script::new(config, ExtensionUse::Never);
    let elsewhere = RpcPacket {
        channel_id: 9,
        ..packet(Request, UNARY, 1)
    };
    script.gives(elsewhere, &[rejected(Rejection::NoChannel)]);
    assert_eq!(Rejection::NoChannel.code(), Some(Code::Unavailable));
}

/// S5-05 and S5-06: `NOT_FOUND` with the ids of the packet, but to an error, for errors must not go round for ever.
#[test]
fn s5_05_and_s5_06_an_unknown_method_is_not_found() {
    for path in [UNKNOWN, "/test.Other/Unary"] {
        let mut script = Script::plain();
        for kind in [Request, ClientStream, ClientRequestCompletion] {
            let not_found = server_error(path, 77, Code::NotFound);
            script.gives(packet(kind, path, 77), &[not_found]);
        }
        let error = with_status(packet(ClientError, path, 77), Code::Cancelled);
        script.gives(error, &[]);
    }
}

/// S5-07: the handler starts; a request of a method with one request has it in its payload.
#[test]
fn s5_07_a_request_starts_a_call() {
    for (path, shape) in METHODS {
        let mut script = Script::plain();
        let mut expected = Vec::from([opened(0, path)]);
        if shape.one_request() {
            expected.extend([frame(0, message("q")), frame(0, end())]);
        }
        let request = with_payload(packet(Request, path, 5), "q");
        script.gives(request, &expected);
    }
}

/// S5-07: an empty request is a request.
#[test]
fn s5_07_an_empty_payload_is_a_message() {
    let mut script = Script::plain();
    let expected = [opened(0, UNARY), frame(0, message("")), frame(0, end())];
    script.gives(packet(Request, UNARY, 5), &expected);
}

/// S5-08: the old call ends here with `CANCELLED`, its client hears nothing of it, and the new one starts.
#[test]
fn s5_08_the_same_request_again_replaces_the_call() {
    let mut script = Script::plain();
    let old = script.requested(BIDI, 5);
    let message = "the peer cancelled the call";
    let expected = [
        closed(old.0, Code::Cancelled, message, EndedBy::Peer),
        opened(old.0 + 1, BIDI),
    ];
    script.gives(packet(Request, BIDI, 5), &expected);
    let ended = script.endpoint.send(old, end());
    assert_eq!(ended, Err(SendError::Ended));
    assert_eq!(script.endpoint.server_calls(), 1, "one is left");
}

/// S5-09: with another id both run at once.
#[test]
fn s5_09_calls_of_one_method_run_at_once() {
    let mut script = Script::plain();
    let first = script.requested(BIDI, 5);
    let second = script.requested(BIDI, 6);
    let to = |call_id| with_payload(packet(ClientStream, BIDI, call_id), "m");
    script.gives(to(5), &[frame(first.0, message("m"))]);
    script.gives(to(6), &[frame(second.0, message("m"))]);
    for (key, call_id) in [(second, 6), (first, 5)] {
        script.send(key, message("r"));
        let sent = with_payload(packet(ServerStream, BIDI, call_id), "r");
        script.did(&[Output::Transmit(sent)]);
    }
}

/// S5-10 and S5-15: `FAILED_PRECONDITION`.
#[test]
fn s5_10_and_s5_15_what_belongs_to_no_call_is_answered() {
    let mut script = Script::plain();
    for kind in [ClientStream, ClientRequestCompletion] {
        let answer = server_error(BIDI, 5, Code::FailedPrecondition);
        script.gives(packet(kind, BIDI, 5), &[answer]);
    }
}

/// S5-11: `INVALID_ARGUMENT`, and the call goes on.
#[test]
fn s5_11_a_method_with_one_request_takes_no_stream() {
    for path in [UNARY, SERVER_STREAM] {
        let mut script = Script::plain();
        let key = script.requested(path, 5);
        let answer = server_error(path, 5, Code::InvalidArgument);
        script.gives(packet(ClientStream, path, 5), &[answer]);
        script.send(key, message("r"));
        assert_eq!(script.endpoint.finish(key, Trailers::ok()), Ok(()));
        let outputs = drain(&mut script.endpoint);
        assert!(!outputs.is_empty(), "{path}: the call went on");
    }
}

/// S5-12: `FAILED_PRECONDITION`.
#[test]
fn s5_12_nothing_follows_the_request_for_completion() {
    for path in [CLIENT_STREAM, BIDI] {
        let mut script = Script::plain();
        script.requested(path, 5);
        let completion = packet(ClientRequestCompletion, path, 5);
        script.gives(completion, &[frame(0, end())]);
        let answer = server_error(path, 5, Code::FailedPrecondition);
        script.gives(packet(ClientStream, path, 5), &[answer]);
    }
}

/// S5-13, S5-14 and S5-62: every message comes out, in order, also those that come before the application has looked at
/// the one before; pw_rpc's server drops them then.
#[test]
fn s5_13_s5_14_and_s5_62_messages_wait_for_the_application() {
    let mut script = Script::plain();
    script.requested(CLIENT_STREAM, 5);
    for text in ["a", "b", "c"] {
        let packet = with_payload(packet(ClientStream, CLIENT_STREAM, 5), text);
        let input = Input::Packet(packet.to_bytes());
        script.endpoint.handle(input, Time::ZERO);
    }
    let expected = ["a", "b", "c"].map(|text| frame(0, message(text)));
    script.did(&expected);
}

/// S5-16 and S5-17: the first time it is told, of any method; where the requests are a stream it ends them. The second time
/// is ignored.
#[test]
fn s5_16_and_s5_17_completion_is_told_once() {
    for (path, shape) in METHODS {
        let mut script = Script::plain();
        let key = script.requested(path, 5);
        let expected = match shape.one_request() {
            true => Output::Event(Event::CompletionRequested { key }),
            false => frame(key.0, end()),
        };
        let completion = packet(ClientRequestCompletion, path, 5);
        script.gives(completion.clone(), &[expected]);
        script.gives(completion, &[]);
        if !shape.one_response() {
            // The server may ignore it.
            script.send(key, message("r"));
            let sent = with_payload(packet(ServerStream, path, 5), "r");
            script.did(&[Output::Transmit(sent)]);
        }
    }
}

/// S5-18: the call is closed with that status, and nothing is sent, whatever the status.
#[test]
fn s5_18_a_client_error_closes_the_call() {
    for code in Code::ALL {
        let mut script = Script::plain();
        let key = script.requested(BIDI, 5);
        script.send(key, message("waits"));
        let error = with_status(packet(ClientError, BIDI, 5), code);
        script.gives(error, &[closed(key.0, code, "", EndedBy::Peer)]);
        assert_eq!(script.endpoint.calls(), 0, "{code}");
    }
}

/// S5-18: an error without an error is one as well.
#[test]
fn s5_18_a_client_error_without_a_status_closes_the_call() {
    let mut script = Script::plain();
    let key = script.requested(BIDI, 5);
    let cancelled = closed(key.0, Code::Cancelled, "", EndedBy::Peer);
    script.gives(packet(ClientError, BIDI, 5), &[cancelled]);
}

/// S5-19: ignored.
#[test]
fn s5_19_a_client_error_of_no_call_is_ignored() {
    let mut script = Script::plain();
    let error = with_status(packet(ClientError, BIDI, 5), Code::Cancelled);
    script.gives(error, &[]);
}

/// S5-20: 6, which once was a cancel, and every other type that is none: told, and else ignored.
#[test]
fn s5_20_unknown_types_are_told_and_ignored() {
    let mut script = Script::plain();
    let key = script.requested(BIDI, 5);
    for (number, call_id) in [(6, 5), (6, 9), (10, 5), (i32::MAX - 1, 5), (-2, 5)] {
        let mut packet = packet(Request, BIDI, call_id);
        packet.r#type = number;
        script.gives(packet, &[rejected(Rejection::UnknownType)]);
    }
    assert_eq!(Rejection::UnknownType.code(), None, "pw_rpc returns OK");
    script.send(key, message("r"));
    let sent = with_payload(packet(ServerStream, BIDI, 5), "r");
    script.did(&[Output::Transmit(sent)]);
}

/// However many packets belong to no call, so many answers wait at most.
#[test]
fn answers_to_a_flood_are_bounded() {
    let config = EndpointConfig {
        replies_max: 3,
        ..EndpointConfig::default()
    };
    let mut script = Script::new(config, ExtensionUse::Never);
    for _ in 0..100 {
        let packet = packet(ClientStream, BIDI, 5);
        let input = Input::Packet(packet.to_bytes());
        script.endpoint.handle(input, Time::ZERO);
    }
    let answer = || server_error(BIDI, 5, Code::FailedPrecondition);
    script.did(&[answer(), answer(), answer()]);
}
