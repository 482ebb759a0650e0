//! Credit: how a sender is held back, and what is done about a peer that knows none.

use headwater_proto::pw_rpc;

use super::{pair::*, *};

use PacketType::{ClientExtension, Request, ServerExtension, ServerStream};

/// A sender stops where the credit ends, and goes on with what it is granted, which is half of the window at once.
#[test]
fn s5_66_credit_holds_a_sender_back() {
    let mut pair = Pair::agreed();
    let (key, served) = pair.called(SERVER_STREAM, &["q"]);
    let window = INITIAL_WINDOW.messages;
    for _ in 0..window {
        pair.server.send(served, message("m"));
    }
    let passed = pair.pass();
    pair.server.send(served, message("later"));
    assert_eq!(pair.pass(), Passed::default(), "no credit");
    let messages = |passed: &Passed| {
        let frames = frames(&passed.client);
        let is_message = |frame: &&Frame| matches!(frame, Frame::Message(_));
        frames.iter().filter(is_message).count()
    };
    assert_eq!(messages(&passed), window);

    let endpoint = &mut pair.client.endpoint;
    endpoint.consumed(key, Credit::message(1));
    let passed = pair.pass();
    let grant = &passed.packets[0];
    assert_eq!(grant.r#type, is(ClientExtension), "{passed:?}");
    let granted = grant.extension.as_ref().and_then(|more| more.credit);
    let default = EndpointConfig::default().receive_window;
    let expected = pw_rpc::Credit {
        // The whole window, less what it may send from the start, and the one that was consumed.
        messages: (default.messages - INITIAL_WINDOW.messages + 1) as u32,
        bytes: (default.bytes - INITIAL_WINDOW.bytes + 1) as u64,
    };
    assert_eq!(granted, Some(expected));
    assert_eq!(messages(&passed), 1, "the one that waited");
    pair.client.endpoint.consumed(key, Credit::message(1));
    assert_eq!(pair.pass(), Passed::default(), "not yet half of the window");
}

/// The same from client to server, in bytes: the last message may be larger than what is left.
#[test]
fn s5_66_credit_counts_bytes() {
    let mut pair = Pair::agreed();
    let (key, served) = pair.called(BIDI, &["q"]);
    let kib = || Frame::Message(Bytes::from_static(&[0; 40 << 10]));
    for _ in 0..3 {
        pair.client.send(key, kib());
    }
    pair.client.send(key, end());
    let passed = pair.pass();
    assert_eq!(frames(&passed.server), [kib(), kib()], "80 of 64 KiB");
    let consumed = Credit {
        messages: 3,
        bytes: (80 << 10) + 1,
    };
    pair.server.endpoint.consumed(served, consumed);
    let passed = pair.pass();
    assert_eq!(passed.packets[0].r#type, is(ServerExtension));
    assert_eq!(frames(&passed.server), [kib(), end()]);
}

/// What cannot be granted while nothing leaves is granted then.
#[test]
fn s5_66_credit_is_not_lost_while_an_output_fails() {
    let channel = CHANNEL;
    let mut pair = Pair::agreed();
    let (_, served) = pair.called(BIDI, &["q"]);
    let server = &mut pair.server.endpoint;
    server.handle(Input::OutputFailed { channel }, Time::ZERO);
    server.consumed(served, Credit::message(1));
    assert_eq!(pair.pass(), Passed::default());
    let works = Input::OutputWorks { channel };
    pair.server.endpoint.handle(works, Time::ZERO);
    assert_eq!(types(&pair.pass().packets), [is(ServerExtension)]);
}

/// What is granted before the request has gone would find no call at the server, and be missing from the window for good.
/// So it is granted after it, and all that the server sends arrives.
#[test]
fn s5_66_credit_is_not_granted_ahead_of_the_request() {
    let channel = CHANNEL;
    for name in ["consumed", "the output works again"] {
        let mut pair = Pair::agreed();
        let key = pair.client.call(SERVER_STREAM);
        let client = &mut pair.client.endpoint;
        if name == "consumed" {
            client.consumed(key, Credit::default());
        } else {
            client.handle(Input::OutputFailed { channel }, Time::ZERO);
            client.handle(Input::OutputWorks { channel }, Time::ZERO);
        }
        let passed = pair.pass();
        assert_eq!(types(&passed.packets), [is(Request)], "{name}");
        let Event::Opened { key: served, .. } = passed.server[0] else {
            panic!("it opens: {passed:?}");
        };
        assert_whole_window(&mut pair, key, served, name);
    }
}

/// A server that began anew may answer a call whose request has not gone. The call that the request opens has its own
/// credit, and gets none for those responses.
#[test]
fn s5_66_credit_of_unrequested_responses_is_not_that_of_the_request() {
    let mut pair = Pair::new(ExtensionUse::Announce, ExtensionUse::Announce);
    let key = pair.client.call(SERVER_STREAM);
    let server = &mut pair.server.endpoint;
    let before = server.respond_unrequested(CHANNEL, SERVER_STREAM);
    let before = before.expect("it is registered");
    pair.server.send(before, message("unrequested"));
    let came = frames(&pair.pass().client);
    assert_eq!(came.last(), Some(&message("unrequested")));
    let consumed = Credit::message("unrequested".len());
    pair.client.endpoint.consumed(key, consumed);
    assert_eq!(pair.pass(), Passed::default(), "the request has not gone");

    pair.client.send(key, message("q"));
    let passed = pair.pass();
    let [Event::Closed { .. }, Event::Opened { key: served, .. }, ..] = passed.server[..] else {
        panic!("it takes the place of the other: {passed:?}");
    };
    assert_whole_window(&mut pair, key, served, "unrequested");
}

/// Responses use up the credit that there is at the beginning; when they are consumed, the rest of the window is granted.
#[track_caller]
fn assert_whole_window(pair: &mut Pair, key: CallKey, served: CallKey, name: &str) {
    for _ in 0..INITIAL_WINDOW.messages {
        pair.server.send(served, message("m"));
    }
    pair.pass();
    pair.server.send(served, message("later"));
    assert_eq!(pair.pass(), Passed::default(), "{name}: no credit");
    let consumed = INITIAL_WINDOW.messages;
    let credit = Credit {
        messages: consumed,
        bytes: consumed,
    };
    pair.client.endpoint.consumed(key, credit);
    let passed = pair.pass();
    assert_eq!(frames(&passed.client), [message("later")], "{name}");
    let grant = passed.packets[0].extension.as_ref();
    let granted = grant.and_then(|more| more.credit);
    let window = EndpointConfig::default().receive_window;
    let expected = pw_rpc::Credit {
        messages: window.messages as u32,
        bytes: (window.bytes - INITIAL_WINDOW.bytes + consumed) as u64,
    };
    assert_eq!(granted, Some(expected), "{name}");
}

/// The end needs no credit.
#[test]
fn s5_66_a_status_passes_without_credit() {
    let mut pair = Pair::agreed();
    let (key, served) = pair.called(SERVER_STREAM, &["q"]);
    for _ in 0..INITIAL_WINDOW.messages {
        pair.server.send(served, message("m"));
    }
    pair.pass();
    let trailers = failed(Code::Aborted);
    pair.server.send(served, Frame::end(trailers.clone()));
    let passed = pair.pass();
    let Output::Event(ended) = frame(key.0, Frame::end(trailers)) else {
        panic!("an event");
    };
    assert_eq!(passed.client, [ended]);
}

/// Toward a plain peer nothing is held back, and it is never sent credit.
#[test]
fn s5_66_a_plain_peer_knows_no_credit() {
    let mut script = Script::speaking(ExtensionUse::Announce);
    let key = script.requested(SERVER_STREAM, 5);
    let many = INITIAL_WINDOW.messages + 50;
    for _ in 0..many {
        script.send(key, message("m"));
        assert_eq!(drain(&mut script.endpoint).len(), 1);
    }
    let all = Credit {
        messages: 1 << 20,
        bytes: 1 << 30,
    };
    script.endpoint.consumed(key, all);
    script.did(&[]);
}

/// A peer without credit that sends more than fits: the call ends with `RESOURCE_EXHAUSTED`, on either side, and others go
/// on.
#[test]
fn s5_66_the_overflow_of_a_plain_peer_is_resource_exhausted() {
    let config = EndpointConfig {
        receive_window: INITIAL_WINDOW,
        ..EndpointConfig::default()
    };
    let mut script = Script::new(config, ExtensionUse::Announce);
    let other = script.requested(BIDI, 6);
    let served = script.requested(BIDI, 5);
    let called = script.called(BIDI);
    let up = with_payload(packet(PacketType::ClientStream, BIDI, 5), "m");
    let down = with_payload(packet(ServerStream, BIDI, 1), "m");
    for round in 0..INITIAL_WINDOW.messages {
        script.gives(up.clone(), &[frame(served.0, message("m"))]);
        let outputs = script.handle(&down);
        assert_eq!(outputs.last(), Some(&frame(called.0, message("m"))));
        if round == 0 {
            // What is consumed makes room.
            for key in [served, called] {
                script.endpoint.consumed(key, Credit::message(1));
            }
        }
    }
    script.handle(&up);
    script.handle(&down);
    let overflow = |key: CallKey| {
        let message = "more messages than credit";
        closed(key.0, Code::ResourceExhausted, message, EndedBy::Violation)
    };
    let told = server_error(BIDI, 5, Code::ResourceExhausted);
    script.gives(up, &[told, overflow(served)]);
    // pw_rpc lists no such error of a client.
    let told = client_error(BIDI, 1, Code::Cancelled);
    script.gives(down, &[told, overflow(called)]);
    let up = with_payload(packet(PacketType::ClientStream, BIDI, 6), "m");
    script.gives(up, &[frame(other.0, message("m"))]);
}
