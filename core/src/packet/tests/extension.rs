//! What pw_rpc lacks, between two that know the extension, and toward one that does not.

use core::time::Duration;

use headwater_proto::pw_rpc::{self, Extension};

use super::*;

use PacketType::{ClientExtension, Request, Response, ServerExtension, ServerStream};

/// A client and a server, and what passes between them.
struct Pair {
    client: Script,
    server: Script,
}

/// What was said on the way, and what either application was told.
#[derive(Debug, Default, PartialEq)]
struct Passed {
    packets: Vec<RpcPacket>,
    client: Vec<Event>,
    server: Vec<Event>,
}

impl Pair {
    fn new(client: ExtensionUse, server: ExtensionUse) -> Self {
        Self {
            client: Script::speaking(client),
            server: Script::speaking(server),
        }
    }

    fn agreed() -> Self {
        Self::new(ExtensionUse::Agreed, ExtensionUse::Agreed)
    }

    /// Hands everything over, until both are silent.
    fn pass(&mut self) -> Passed {
        let mut passed = Passed::default();
        loop {
            let (client, server) = (&mut self.client.endpoint, &mut self.server.endpoint);
            let mut said = one_way(client, server, &mut passed.packets, &mut passed.client);
            said |= one_way(server, client, &mut passed.packets, &mut passed.server);
            if !said {
                return passed;
            }
        }
    }

    /// A call that the client has started with these requests, which have arrived.
    fn called(&mut self, path: &str, requests: &[&'static str]) -> (CallKey, CallKey) {
        let key = self.client.call(path);
        for text in requests {
            self.client.send(key, message(text));
        }
        let passed = self.pass();
        let Some(Event::Opened { key: served, .. }) = passed.server.first() else {
            panic!("it arrives: {passed:?}");
        };
        (key, *served)
    }
}

fn one_way(
    from: &mut Endpoint,
    to: &mut Endpoint,
    packets: &mut Vec<RpcPacket>,
    events: &mut Vec<Event>,
) -> bool {
    let mut said = false;
    while let Some(output) = from.poll_output() {
        said = true;
        match output {
            Output::Transmit(packet) => {
                let input = Input::Packet(packet.to_bytes());
                to.handle(input, Time::ZERO);
                packets.push(packet);
            }
            Output::Event(event) => events.push(event),
        }
    }
    said
}

fn types(packets: &[RpcPacket]) -> Vec<i32> {
    packets.iter().map(|packet| packet.r#type).collect()
}

fn is(kind: PacketType) -> i32 {
    kind.into()
}

fn frames(events: &[Event]) -> Vec<Frame> {
    let frames = events.iter().filter_map(|event| match event {
        Event::Frame { frame, .. } => Some(frame.clone()),
        _ => None,
    });
    frames.collect()
}

/// All that a call carries on other transports arrives.
#[test]
fn s5_66_metadata_timeout_and_details_travel_in_the_extension() {
    for known in [ExtensionUse::Announce, ExtensionUse::Agreed] {
        let mut pair = Pair::new(known, known);
        let request = super::Request {
            metadata: metadata("authorization", "secret"),
            timeout: Some(Duration::from_millis(1500)),
            ..super::Request::new(UNARY, Shape::Unary)
        };
        let key = pair.client.endpoint.call(CHANNEL, request).expect("it can");
        pair.client.send(key, message("q"));
        pair.client.send(key, end());
        let passed = pair.pass();
        assert_eq!(types(&passed.packets), [is(Request)], "{known:?}");
        let expected = Opened {
            channel: CHANNEL,
            path: UNARY.into(),
            shape: Some(Shape::Unary),
            metadata: metadata("authorization", "secret"),
            timeout: Some(Duration::from_millis(1500)),
        };
        let Event::Opened {
            opened,
            key: served,
        } = &passed.server[0]
        else {
            panic!("it opens: {passed:?}");
        };
        assert_eq!(**opened, expected);
        assert_eq!(frames(&passed.server), [message("q"), end()]);
        assert!(!alloc::format!("{passed:?}").contains("secret"), "a log");

        let mut status = Status::new(Code::Unauthenticated, "why");
        status.details = Bytes::from_static(b"\x08\x10");
        let trailers = Trailers {
            outcome: Err(status),
            metadata: metadata("k", "trailing"),
        };
        let headers = Frame::Headers(metadata("k", "first"));
        pair.server.send(*served, headers.clone());
        pair.server.send(*served, message("r"));
        pair.server.send(*served, Frame::end(trailers.clone()));
        let passed = pair.pass();
        assert_eq!(types(&passed.packets), [is(Response)], "one packet");
        let expected = [headers, message("r"), Frame::end(trailers)];
        assert_eq!(frames(&passed.client), expected, "{known:?}");
    }
}

/// Every status, with its message, as the end of a call and as what resets it.
#[test]
fn s5_66_every_code_arrives() {
    for code in Code::ALL {
        let mut pair = Pair::agreed();
        let (_, served) = pair.called(BIDI, &[]);
        let trailers = Trailers::failed(Status::new(code, "why"));
        pair.server.send(served, Frame::end(trailers.clone()));
        let passed = pair.pass();
        assert_eq!(frames(&passed.client), [Frame::end(trailers)]);

        let (key, served) = pair.called(BIDI, &[]);
        pair.server.endpoint.reset(served, code);
        let reset = pair.pass();
        let Output::Event(expected) = closed(key.0, code, "", EndedBy::Peer) else {
            panic!("an event");
        };
        assert_eq!(reset.client, [expected]);

        let (key, served) = pair.called(BIDI, &[]);
        pair.client.endpoint.reset(key, code);
        let reset = pair.pass();
        let Output::Event(expected) = closed(served.0, code, "", EndedBy::Peer) else {
            panic!("an event");
        };
        assert_eq!(reset.server, [expected]);
    }
}

/// The parts of a call keep their order and number whatever goes into one packet: headers alone, an end alone, a message
/// with either.
#[test]
fn s5_66_parts_arrive_as_they_were_sent() {
    let headers = || Frame::Headers(metadata("k", "v"));
    let scripts: [&[Frame]; 6] = [
        &[end()],
        &[headers(), end()],
        &[headers(), message("a"), end()],
        &[headers(), message(""), message("b"), end()],
        &[headers(), message("a"), Frame::end(failed(Code::Aborted))],
        &[Frame::end(failed(Code::Aborted))],
    ];
    for (path, _) in METHODS {
        for script in scripts {
            for at_once in [true, false] {
                let mut pair = Pair::agreed();
                let (_, served) = pair.called(path, &["q"]);
                let mut got = Vec::new();
                for part in script {
                    if pair.server.endpoint.send(served, part.clone()).is_err() {
                        // Two messages, where the method has one: its call's own machine would not send them.
                        break;
                    }
                    if !at_once {
                        got.extend(frames(&pair.pass().client));
                    }
                }
                got.extend(frames(&pair.pass().client));
                assert_eq!(got, script[..got.len()], "{path}, at once: {at_once}");
                assert!(got.len() == script.len() || shape_of(path).one_response());
            }
        }
    }
}

/// A client says the end of its requests with the last of them.
#[test]
fn s5_66_half_close_travels_with_the_last_request() {
    let mut pair = Pair::agreed();
    let (key, _) = pair.called(BIDI, &["a"]);
    pair.client.send(key, message("b"));
    pair.client.send(key, message("c"));
    pair.client.send(key, end());
    let passed = pair.pass();
    assert_eq!(passed.packets.len(), 2, "{passed:?}");
    let expected = [message("b"), message("c"), end()];
    assert_eq!(frames(&passed.server), expected);
}

/// A peer that was not heard of is told in the first request that the extension is known, and it tells back.
#[test]
fn s5_66_both_announce_themselves() {
    let mut pair = Pair::new(ExtensionUse::Announce, ExtensionUse::Announce);
    let (client, server) = (&pair.client.endpoint, &pair.server.endpoint);
    assert_eq!(client.peer(CHANNEL), Some(PeerKind::Unknown));
    assert_eq!(server.peer(CHANNEL), Some(PeerKind::Unknown));
    let (_, served) = pair.called(BIDI, &["a"]);
    assert_eq!(pair.server.endpoint.peer(CHANNEL), Some(PeerKind::Extended));
    pair.server.send(served, message("r"));
    pair.pass();
    assert_eq!(pair.client.endpoint.peer(CHANNEL), Some(PeerKind::Extended));
}

/// A plain peer is told of the extension once, in a packet that it understands, and hears nothing of it again. It never gets
/// a packet of a type that it does not know. Calls of all shapes work in both directions.
#[test]
fn s5_66_a_plain_peer_is_not_disturbed() {
    for (client, server) in [
        (ExtensionUse::Announce, ExtensionUse::Never),
        (ExtensionUse::Never, ExtensionUse::Announce),
    ] {
        let mut pair = Pair::new(client, server);
        for (path, shape) in METHODS {
            for round in 0..2 {
                let request = super::Request {
                    metadata: metadata("k", "v"),
                    timeout: Some(Duration::from_secs(1)),
                    ..super::Request::new(path, shape)
                };
                let key = pair.client.endpoint.call(CHANNEL, request).expect("it can");
                pair.client.send(key, message("q"));
                pair.client.send(key, end());
                let up = pair.pass();
                let Event::Opened {
                    key: served,
                    opened,
                } = &up.server[0]
                else {
                    panic!("it opens: {up:?}");
                };
                assert!(opened.metadata.is_empty() && opened.timeout.is_none());
                assert_eq!(frames(&up.server), [message("q"), end()], "{path}");
                pair.server
                    .send(*served, Frame::Headers(metadata("k", "v")));
                pair.server.send(*served, message("r"));
                let consumed = Credit::message(1 << 20);
                pair.server.endpoint.consumed(*served, consumed);
                pair.server.send(*served, end());
                let down = pair.pass();
                pair.client.endpoint.consumed(key, consumed);
                let headers = Frame::Headers(Metadata::new());
                let expected = [headers, message("r"), end()];
                assert_eq!(frames(&down.client), expected, "{path}");
                for packet in up.packets.iter().chain(&down.packets) {
                    assert!(packet.r#type < 16, "{packet:?}");
                    let first = path == UNARY && round == 0;
                    let may_announce = first && packet.r#type == is(Request);
                    let extended = packet.extension.is_some();
                    assert!(!extended || may_announce, "{path} {packet:?}");
                }
            }
        }
        let kind = |script: &Script| script.endpoint.peer(CHANNEL);
        assert_eq!(kind(&pair.client), Some(PeerKind::Plain));
        assert_eq!(kind(&pair.server), Some(PeerKind::Plain));
    }
}

/// Who uses no extension does not hear one either.
#[test]
fn s5_66_an_extension_that_is_not_used_is_not_heard() {
    let mut script = Script::plain();
    let mut request = with_payload(packet(Request, UNARY, 5), "q");
    *request.extend() = Extension {
        timeout_nanos: Some(1),
        ..Extension::default()
    };
    let expected = [opened(0, UNARY), frame(0, message("q")), frame(0, end())];
    script.gives(request, &expected);
}

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

/// A compressed message is marked, and refused toward who would take it as it is.
#[test]
fn s5_66_compressed_messages_need_the_extension() {
    let compressed = || Frame::Compressed(Bytes::from_static(b"z"));
    let mut pair = Pair::agreed();
    let key = pair.client.call(UNARY);
    pair.client.send(key, compressed());
    pair.client.send(key, end());
    let passed = pair.pass();
    assert_eq!(frames(&passed.server), [compressed(), end()]);
    let Event::Opened { key: served, .. } = passed.server[0] else {
        panic!("it opens: {passed:?}");
    };
    pair.server.send(served, Frame::Headers(Metadata::new()));
    pair.server.send(served, compressed());
    pair.server.send(served, end());
    let expected = [Frame::Headers(Metadata::new()), compressed(), end()];
    assert_eq!(frames(&pair.pass().client), expected);

    for extension in [ExtensionUse::Announce, ExtensionUse::Never] {
        let mut script = Script::speaking(extension);
        let key = script.call(BIDI);
        let refused = script.endpoint.send(key, compressed());
        assert_eq!(refused, Err(SendError::Compressed));
        assert_eq!(SendError::Compressed.code(), Code::Unimplemented);
    }
}

/// A peer that says the path can be answered by who knows no methods; of others, and of a path that is not that of the ids,
/// nothing is known.
#[test]
fn a_method_that_is_not_registered_is_found_by_its_path() {
    let mut pair = Pair::agreed();
    let mut services = Services::new();
    services.accepts_unknown = true;
    pair.server.endpoint.set_services(Arc::new(services));
    let key = pair.client.call(UNKNOWN);
    pair.client.send(key, message("q"));
    let passed = pair.pass();
    let Event::Opened { opened, .. } = &passed.server[0] else {
        panic!("it opens: {passed:?}");
    };
    assert_eq!(&*opened.path, UNKNOWN);
    assert_eq!(opened.shape, None);
    assert_eq!(frames(&passed.server), [message("q")]);

    let server = &mut pair.server;
    let mut request = packet(Request, UNKNOWN, 99);
    for path in ["", UNARY, "\u{ff}"] {
        request.extend().path = Bytes::copy_from_slice(path.as_bytes());
        let outputs = server.handle(&request);
        let [Output::Transmit(answer)] = &outputs[..] else {
            panic!("one answer: {outputs:?}");
        };
        assert_eq!(answer.r#type, is(PacketType::ServerError));
        let code = answer.outcome().expect_err("an error").code;
        assert_eq!(code, Code::NotFound, "{path:?}");
    }
}

/// A peer that knows the extension is told at once, and learns of a call that was under way that no handler has seen it.
#[test]
fn a_server_that_drains_says_so() {
    let mut pair = Pair::agreed();
    let (_, served) = pair.called(BIDI, &[]);
    let crossing = pair.client.call(BIDI);
    pair.server.endpoint.drain();
    pair.server.endpoint.drain();
    let passed = pair.pass();
    let channel = CHANNEL;
    let [
        Event::GoingAway { channel: from },
        Event::Closed { key, closed },
    ] = &passed.client[..]
    else {
        panic!("both are told, each once: {passed:?}");
    };
    assert_eq!((*key, *from), (crossing, channel));
    assert_eq!(closed.status.code, Code::Unavailable);
    assert_eq!(closed.reached, Reached::Library, "it may be sent again");
    let request = super::Request::new(BIDI, Shape::Bidirectional);
    let called = pair.client.endpoint.call(CHANNEL, request);
    assert_eq!(called, Err(SendError::GoingAway));
    pair.server.send(served, end());
    assert_eq!(frames(&pair.pass().client), [end()], "it may finish");
}
