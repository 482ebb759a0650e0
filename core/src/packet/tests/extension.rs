//! What pw_rpc lacks, between two that know the extension, and toward one that does not.

use core::time::Duration;

use headwater_proto::pw_rpc::Extension;

use super::{pair::*, *};

use PacketType::{Request, Response};

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

/// Only the first packet of a server says that it knows the extension; those that follow cost no byte for it.
#[test]
fn s5_66_messages_after_the_first_are_plain_packets() {
    let mut pair = Pair::agreed();
    let (_, served) = pair.called(BIDI, &["q"]);
    pair.server.send(served, Frame::Headers(metadata("k", "v")));
    for text in ["a", "b", "c"] {
        pair.server.send(served, message(text));
    }
    let passed = pair.pass();
    let extended = passed.packets.iter().map(|it| it.extension.is_some());
    assert_eq!(extended.collect::<Vec<_>>(), [true, false, false]);
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

/// Metadata over the limit, or that are none: the call ends, and the handler never sees it; at the end of a call the status
/// counts more.
#[test]
fn metadata_are_bounded_before_they_are_read() {
    let max = EndpointConfig::default().metadata_bytes_max;
    let large = Bytes::from(alloc::vec![b'v'; max + 1]);
    let broken = Bytes::from_static(b"\x0a\x05k");
    // Five bytes each, which are held in many times that.
    let many = Bytes::from(b"\x0a\x03\x0a\x01k".repeat(max / 33 + 1));
    assert!(many.len() < max / 4, "its bytes are few");
    let cases = [
        (large, Code::ResourceExhausted),
        (many, Code::ResourceExhausted),
        (broken, Code::Internal),
    ];
    for (headers, code) in cases {
        let mut script = Script::speaking(ExtensionUse::Agreed);
        let mut request = packet(Request, BIDI, 5);
        request.extend().headers = Some(headers.clone());
        let outputs = script.handle(&request);
        let [Output::Transmit(answer)] = &outputs[..] else {
            panic!("an answer and no call: {outputs:?}");
        };
        assert_eq!(answer.outcome().expect_err("an error").code, code);

        let key = script.called(BIDI);
        let mut stream = packet(PacketType::ServerStream, BIDI, 1);
        stream.extend().headers = Some(headers.clone());
        let outputs = script.handle(&stream);
        let [
            Output::Transmit(told),
            Output::Event(Event::Closed { closed, .. }),
        ] = &outputs[..]
        else {
            panic!("it ends on both sides: {outputs:?}");
        };
        assert_eq!(told.r#type, is(PacketType::ClientError));
        assert_eq!(closed.status.code, code, "{key:?}");

        let key = script.called(BIDI);
        let mut response = packet(Response, BIDI, 2);
        response.extend().trailers = headers;
        script.gives(response, &[frame(key.0, end())]);
    }
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
