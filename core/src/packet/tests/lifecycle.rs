//! How calls begin, go on and end, toward a plain peer.

use super::*;

use PacketType::{
    ClientError, ClientRequestCompletion, ClientStream, Request, Response, ServerStream,
};

/// S5-40: the packets that a client sends in each of the four shapes.
#[test]
fn s5_40_a_client_says_each_shape_in_its_packets() {
    for (path, shape) in METHODS {
        let mut script = Script::plain();
        let key = script.call(path);
        if shape.one_request() {
            script.did(&[]);
            script.send(key, message("q"));
            script.send(key, end());
            let request = with_payload(packet(Request, path, 1), "q");
            script.did(&[sent(request)]);
        } else {
            script.did(&[sent(packet(Request, path, 1))]);
            for text in ["a", "b"] {
                script.send(key, message(text));
            }
            script.send(key, end());
            script.did(&[
                sent(with_payload(packet(ClientStream, path, 1), "a")),
                sent(with_payload(packet(ClientStream, path, 1), "b")),
                sent(packet(ClientRequestCompletion, path, 1)),
            ]);
        }
        let late = script.endpoint.send(key, message("late"));
        assert_eq!(late, Err(SendError::Misuse), "{path}: after the end");
    }
}

/// S5-40: the packets that a server sends in each of the four shapes.
#[test]
fn s5_40_a_server_says_each_shape_in_its_packets() {
    for (path, shape) in METHODS {
        let mut script = Script::plain();
        let key = script.requested(path, 7);
        script.send(key, Frame::Headers(metadata("k", "not said")));
        script.send(key, message("r"));
        if shape.one_response() {
            script.did(&[]);
            let second = script.endpoint.send(key, message("s"));
            assert_eq!(second, Err(SendError::Misuse), "{path}: one response");
        } else {
            let stream = with_payload(packet(ServerStream, path, 7), "r");
            script.did(&[sent(stream)]);
        }
        script.send(key, end());
        let response = packet(Response, path, 7);
        let response = match shape.one_response() {
            true => with_payload(response, "r"),
            false => response,
        };
        script.did(&[sent(response)]);
        assert_eq!(script.endpoint.calls(), 0, "{path}: it is over");
    }
}

/// S5-40: a failure has its status, and the response that was sent before, if any.
#[test]
fn s5_40_a_failed_call_ends_with_its_status() {
    for (path, _) in METHODS {
        let mut script = Script::plain();
        let key = script.requested(path, 7);
        let finished = script.endpoint.finish(key, failed(Code::OutOfRange));
        assert_eq!(finished, Ok(()));
        let response = with_status(packet(Response, path, 7), Code::OutOfRange);
        script.did(&[sent(response)]);
    }
}

/// S5-41: the server is done before the client has completed its stream: the response ends the call.
#[test]
fn s5_41_a_server_may_finish_early() {
    let mut server = Script::plain();
    let key = server.requested(CLIENT_STREAM, 1);
    server.send(key, message("enough"));
    server.send(key, end());
    let response = || with_payload(packet(Response, CLIENT_STREAM, 1), "enough");
    server.did(&[sent(response())]);
    let late = server_error(CLIENT_STREAM, 1, Code::FailedPrecondition);
    server.gives(packet(ClientStream, CLIENT_STREAM, 1), &[late]);

    let mut client = Script::plain();
    let key = client.called(CLIENT_STREAM);
    client.send(key, message("more"));
    let input = Input::Packet(response().to_bytes());
    client.endpoint.handle(input, Time::ZERO);
    client.did(&[
        no_headers(key.0),
        frame(key.0, message("enough")),
        frame(key.0, end()),
    ]);
    let late = client.endpoint.send(key, end());
    assert_eq!(late, Err(SendError::Ended));
}

/// S5-42: the server is told with CLIENT_ERROR and `CANCELLED`, and sends no answer.
#[test]
fn s5_42_a_cancel_is_a_client_error() {
    let mut client = Script::plain();
    let key = client.called(BIDI);
    client.send(key, message("void"));
    client.endpoint.cancel(key);
    client.did(&[client_error(BIDI, 1, Code::Cancelled)]);
    client.endpoint.cancel(key);
    client.did(&[]);

    let mut server = Script::plain();
    let key = server.requested(BIDI, 1);
    let error = with_status(packet(ClientError, BIDI, 1), Code::Cancelled);
    server.gives(error, &[closed(key.0, Code::Cancelled, "", EndedBy::Peer)]);
}

/// S5-43: a unary call whose request has not gone is cancelled without a packet; one that was answered at once is over,
/// and cannot be cancelled any more.
#[test]
fn s5_43_a_unary_call_may_be_over_before_it_is_cancelled() {
    let mut script = Script::plain();
    let unsent = script.call(UNARY);
    script.send(unsent, message("q"));
    assert!(!script.endpoint.is_sent(unsent));
    script.endpoint.cancel(unsent);
    script.did(&[]);

    let key = script.called(UNARY);
    assert!(script.endpoint.is_sent(key));
    script.handle(&packet(Response, UNARY, 2));
    script.endpoint.cancel(key);
    script.did(&[]);
}

/// S5-44 and S5-45: it is over here without a cancel; where requests are a stream they end. What comes later is answered
/// with `FAILED_PRECONDITION`.
#[test]
fn s5_44_and_s5_45_an_abandoned_call_is_not_cancelled() {
    for (path, shape) in METHODS {
        let mut script = Script::plain();
        let key = script.called(path);
        script.endpoint.abandon(key);
        if shape.one_request() {
            script.did(&[]);
        } else {
            script.did(&[sent(packet(ClientRequestCompletion, path, 1))]);
        }
        assert_eq!(script.endpoint.calls(), 0);
        let answer = client_error(path, 1, Code::FailedPrecondition);
        script.gives(packet(ServerStream, path, 1), &[answer]);
    }
}

/// S5-44: the end of the requests is not said twice.
#[test]
fn s5_44_an_abandoned_call_that_has_completed_sends_nothing() {
    let mut script = Script::plain();
    let key = script.called(BIDI);
    script.send(key, end());
    drain(&mut script.endpoint);
    script.endpoint.abandon(key);
    script.did(&[]);
}

/// S5-45: dropping is a visible choice: each of the ways to leave a call is a verb with packets of its own.
#[test]
fn s5_45_leaving_a_call_is_a_choice() {
    let mut script = Script::plain();
    let served = script.requested(BIDI, 9);
    let (first, second) = (script.called(BIDI), script.called(BIDI));
    script.endpoint.abandon(served);
    script.did(&[]);
    assert_eq!(script.endpoint.finish(served, Trailers::ok()), Ok(()));
    script.did(&[sent(packet(Response, BIDI, 9))]);
    script.endpoint.abandon(first);
    script.did(&[sent(packet(ClientRequestCompletion, BIDI, 1))]);
    script.endpoint.cancel(second);
    script.did(&[client_error(BIDI, 2, Code::Cancelled)]);
}

/// S5-46: an output that does not work keeps the call open for `try_finish`, and not for `finish`.
#[test]
fn s5_46_try_finish_keeps_the_call_if_its_packet_cannot_leave() {
    let channel = CHANNEL;
    let mut script = Script::plain();
    let key = script.requested(BIDI, 5);
    let other = script.requested(BIDI, 6);
    let fails = Input::OutputFailed { channel };
    script.endpoint.handle(fails, Time::ZERO);
    let finished = script.endpoint.try_finish(key, Trailers::ok());
    assert_eq!(finished, Err(SendError::Output));
    let finished = script.endpoint.finish(other, Trailers::ok());
    assert_eq!(finished, Err(SendError::Output));
    script.did(&[]);
    assert_eq!(script.endpoint.calls(), 1, "one was kept");

    let works = Input::OutputWorks { channel };
    script.endpoint.handle(works, Time::ZERO);
    assert_eq!(script.endpoint.try_finish(key, Trailers::ok()), Ok(()));
    script.did(&[sent(packet(Response, BIDI, 5))]);
    assert_eq!(script.endpoint.calls(), 0);
}

/// S5-46: what waited while the output failed goes when it works again, in order.
#[test]
fn s5_46_nothing_is_lost_while_an_output_fails() {
    let channel = CHANNEL;
    let mut script = Script::plain();
    let key = script.requested(BIDI, 5);
    script.send(key, message("a"));
    script.send(key, message("b"));
    let fails = Input::OutputFailed { channel };
    script.endpoint.handle(fails, Time::ZERO);
    script.did(&[]);
    assert_eq!(script.endpoint.poll_timeout(), None, "nothing to be done");
    let works = Input::OutputWorks { channel };
    script.endpoint.handle(works, Time::ZERO);
    let stream = |text| sent(with_payload(packet(ServerStream, BIDI, 5), text));
    script.did(&[stream("a"), stream("b")]);
}

/// S5-46: nothing at all leaves while the output fails, not even what ends a call.
#[test]
fn s5_46_a_call_that_is_given_up_while_the_output_fails_is_only_forgotten() {
    let channel = CHANNEL;
    let mut script = Script::plain();
    let served = script.requested(BIDI, 5);
    let called = script.called(BIDI);
    let fails = Input::OutputFailed { channel };
    script.endpoint.handle(fails, Time::ZERO);
    script.endpoint.cancel(called);
    script.endpoint.reset(served, Code::Internal);
    script.gives(packet(ClientStream, BIDI, 5), &[]);
    assert_eq!(script.endpoint.calls(), 0);
    let works = Input::OutputWorks { channel };
    script.endpoint.handle(works, Time::ZERO);
    script.did(&[]);
}

/// S5-47: what a write returns: OK, or in which way it failed.
#[test]
fn s5_47_a_write_returns_what_pw_rpc_returns() {
    let mut endpoint = Endpoint::new(EndpointConfig::default(), Arc::new(services()));
    let config = ChannelConfig {
        extension: ExtensionUse::Never,
        packet_bytes_max: 60,
    };
    endpoint.open_channel(CHANNEL, config).expect("it is new");
    let mut script = Script { endpoint };
    let key = script.called(BIDI);
    let endpoint = &mut script.endpoint;
    let large = || Frame::Message(Bytes::from_static(&[0; 13]));
    let code = |result: Result<(), SendError>| result.map_err(SendError::code);
    let called = |endpoint: &mut Endpoint, channel| {
        let request = super::Request::new(BIDI, Shape::Bidirectional);
        code(endpoint.call(channel, request).map(drop))
    };

    assert_eq!(code(endpoint.send(key, message("fits"))), Ok(()));
    assert_eq!(code(endpoint.send(key, large())), Err(Code::Internal));
    assert_eq!(called(endpoint, 9), Err(Code::Unavailable));
    let channel = CHANNEL;
    endpoint.handle(Input::OutputFailed { channel }, Time::ZERO);
    assert_eq!(code(endpoint.send(key, message("m"))), Err(Code::Unknown));
    assert_eq!(called(endpoint, CHANNEL), Err(Code::Unknown));
    endpoint.handle(Input::OutputWorks { channel }, Time::ZERO);
    assert_eq!(code(endpoint.send(key, message("m"))), Ok(()));
    endpoint.cancel(key);
    let ended = endpoint.send(key, message("m"));
    assert_eq!(code(ended), Err(Code::FailedPrecondition));
}

/// S5-47: a queue that is full is said, and when it is half empty again, too.
#[test]
fn s5_47_what_waits_in_a_call_is_bounded() {
    let config = EndpointConfig {
        send_queue: Credit {
            messages: 4,
            bytes: 100,
        },
        ..EndpointConfig::default()
    };
    let mut script = Script::new(config, ExtensionUse::Never);
    let key = script.requested(BIDI, 5);
    for _ in 0..4 {
        assert!(script.endpoint.is_writable(key));
        script.send(key, message("m"));
    }
    assert!(!script.endpoint.is_writable(key));
    let blocked = script.endpoint.send(key, message("m"));
    assert_eq!(blocked, Err(SendError::Blocked));
    assert_eq!(
        script.endpoint.poll_timeout().map(|due| due.why),
        Some(Why::Drain)
    );
    let outputs = drain(&mut script.endpoint);
    let writable = Output::Event(Event::Writable { key });
    let place = outputs.iter().position(|output| *output == writable);
    assert_eq!(place, Some(2), "after two of four: {outputs:?}");
    assert_eq!(outputs.len(), 5, "all went, and it was said once");
    assert!(script.endpoint.is_writable(key));
}

/// S5-48: ids grow by one, wrap, skip 0 and skip those of calls that run; the server echoes them (S5-40).
#[test]
fn s5_48_call_ids_wrap_and_skip_0() {
    const LAST: u32 = (1 << 21) - 1;
    let config = EndpointConfig {
        first_call_id: LAST - 1,
        ..EndpointConfig::default()
    };
    let mut script = Script::new(config, ExtensionUse::Never);
    for id in [LAST - 1, LAST, 1, 2] {
        script.call(BIDI);
        script.did(&[sent(packet(Request, BIDI, id))]);
    }
    let config = EndpointConfig {
        first_call_id: 0,
        ..EndpointConfig::default()
    };
    let mut script = Script::new(config, ExtensionUse::Never);
    script.call(BIDI);
    script.did(&[sent(packet(Request, BIDI, 1))]);
}

/// S5-48: a call that lives through a whole round keeps its id.
#[test]
fn s5_48_the_id_of_a_call_that_runs_is_not_given_again() {
    const LAST: u32 = (1 << 21) - 1;
    let config = EndpointConfig {
        first_call_id: LAST,
        ..EndpointConfig::default()
    };
    let mut script = Script::new(config, ExtensionUse::Never);
    script.call(BIDI);
    script.call(BIDI);
    drain(&mut script.endpoint);
    // As after a whole round.
    script.endpoint.next_call_id = LAST;
    script.call(BIDI);
    script.did(&[sent(packet(Request, BIDI, 2))]);
}

/// S5-68: a client ends a server stream with CLIENT_ERROR, as the code does; not with CLIENT_STREAM, as one page says.
#[test]
fn s5_68_a_client_ends_a_server_stream_with_an_error() {
    let mut client = Script::plain();
    let key = client.called(SERVER_STREAM);
    client.endpoint.cancel(key);
    client.did(&[client_error(SERVER_STREAM, 1, Code::Cancelled)]);

    let mut server = Script::plain();
    let key = server.requested(SERVER_STREAM, 1);
    let wrong = with_status(packet(ClientStream, SERVER_STREAM, 1), Code::Cancelled);
    let answer = server_error(SERVER_STREAM, 1, Code::InvalidArgument);
    server.gives(wrong, &[answer]);
    server.send(key, message("it goes on"));
    assert_eq!(drain(&mut server.endpoint).len(), 1);
}

/// Verbs of a call that is over, or never was, do nothing.
#[test]
fn a_call_that_is_over_takes_nothing() {
    let mut script = Script::plain();
    let over = script.called(BIDI);
    script.endpoint.cancel(over);
    drain(&mut script.endpoint);
    for key in [over, CallKey(99)] {
        script.endpoint.cancel(key);
        script.endpoint.abandon(key);
        script.endpoint.consumed(key, Credit::message(1));
        assert!(!script.endpoint.is_writable(key));
        assert!(!script.endpoint.is_sent(key));
        let verbs = [
            script.endpoint.send(key, message("m")),
            script.endpoint.finish(key, Trailers::ok()),
            script.endpoint.try_finish(key, Trailers::ok()),
        ];
        assert_eq!(verbs, [Err(SendError::Ended); 3]);
        script.did(&[]);
    }
}

/// The verbs of the other side, and frames where none may be.
#[test]
fn what_a_call_does_not_allow_is_misuse() {
    let mut script = Script::plain();
    let called = script.called(BIDI);
    let served = script.requested(BIDI, 9);
    let headers = || Frame::Headers(Metadata::new());
    let endpoint = &mut script.endpoint;
    assert_eq!(endpoint.send(served, message("r")), Ok(()));
    let results = [
        endpoint.send(called, headers()),
        endpoint.finish(called, Trailers::ok()),
        endpoint.send(served, headers()),
        endpoint
            .call(CHANNEL, super::Request::new("no path", Shape::Unary))
            .map(drop),
    ];
    assert_eq!(results, [Err(SendError::Misuse); 4]);
}
