//! Messages that go and come together.

use headwater_proto::pw_rpc::StreamId;

use super::*;

use PacketType::{ClientStream, Request as Requested, Response, ServerStream};

fn id(path: &str, from_server: bool, call_id: u32) -> StreamId {
    StreamId {
        from_server,
        channel_id: CHANNEL,
        method: MethodId::of_path(path).expect("a path"),
        call_id,
    }
}

fn texts(texts: &[&'static str]) -> Run {
    run(texts.iter().map(|text| Bytes::from_static(text.as_bytes())))
}

/// A server whose client has the extension and has opened [`BIDI`], and has got the beginning of the responses.
fn answering(config: EndpointConfig) -> (Script, CallKey) {
    let mut server = Script::new(config, ExtensionUse::Agreed);
    let key = server.requested(BIDI, 1);
    server.send(key, Frame::Headers(Metadata::new()));
    assert_eq!(drain(&mut server.endpoint).len(), 1, "the beginning");
    (server, key)
}

#[test]
fn a_run_goes_at_once_and_its_last_message_with_the_end() {
    let (mut server, key) = answering(EndpointConfig::default());
    let mut run = texts(&["one", "two", "three"]);
    assert_eq!(server.endpoint.send_run(key, &mut run), Ok(()));
    assert!(run.is_empty(), "there is room for all");
    server.send(key, Frame::end(Trailers::ok()));
    let mut last = with_payload(packet(Response, BIDI, 1), "three");
    last.extend().has_message = true;
    let together = Output::TransmitRun {
        id: id(BIDI, true, 1),
        run: texts(&["one", "two"]),
    };
    server.did(&[together, sent(last)]);
    assert_eq!(server.endpoint.calls(), 0, "it has ended");
}

#[test]
fn credit_cuts_a_run() {
    let (mut server, key) = answering(EndpointConfig::default());
    let long = Bytes::from_static(&[0; 40 << 10]);
    let mut all = run([long.clone(), long.clone(), long.clone()]);
    assert_eq!(server.endpoint.send_run(key, &mut all), Ok(()));
    server.did(&[Output::TransmitRun {
        id: id(BIDI, true, 1),
        run: run([long.clone(), long.clone()]),
    }]);
    let mut grant = packet(PacketType::ClientExtension, BIDI, 1);
    grant.extend().credit = Some(headwater_proto::pw_rpc::Credit {
        messages: 0,
        bytes: 20 << 10,
    });
    let rest = Output::TransmitRun {
        id: id(BIDI, true, 1),
        run: run([long]),
    };
    server.gives(grant, &[rest]);
}

#[test]
fn what_the_queue_has_no_room_for_is_left() {
    let config = EndpointConfig {
        send_queue: Credit {
            messages: 2,
            bytes: 100,
        },
        ..EndpointConfig::default()
    };
    let (mut server, key) = answering(config);
    let mut run = texts(&["one", "two", "three"]);
    assert_eq!(server.endpoint.send_run(key, &mut run), Ok(()));
    assert_eq!(run, texts(&["three"]));
    let together = Output::TransmitRun {
        id: id(BIDI, true, 1),
        run: texts(&["one", "two"]),
    };
    server.did(&[together, Output::Event(Event::Writable { key })]);
    let over = server.endpoint.send_run(CallKey(99), &mut run);
    assert_eq!(over, Err(SendError::Ended), "there is no such call");
}

#[test]
fn a_run_keeps_the_rules_of_messages() {
    let config = ChannelConfig {
        extension: ExtensionUse::Agreed,
        packet_bytes_max: 60,
    };
    let mut client = Endpoint::new(EndpointConfig::default(), Arc::default());
    client.open_channel(CHANNEL, config).expect("it is new");
    let call = |client: &mut Endpoint, path| {
        let request = Request::new(path, shape_of(path));
        client.call(CHANNEL, request).expect("it can call")
    };
    let unary = call(&mut client, UNARY);
    let two = client.send_run(unary, &mut texts(&["one", "two"]));
    assert_eq!(two, Err(SendError::Misuse), "the method has one request");
    assert_eq!(client.send_run(unary, &mut texts(&["one"])), Ok(()));
    let another = client.send_run(unary, &mut texts(&["two"]));
    assert_eq!(another, Err(SendError::Misuse));
    let bidi = call(&mut client, BIDI);
    let mut large = texts(&["small", "more than sixty less forty-eight"]);
    assert_eq!(client.send_run(bidi, &mut large), Err(SendError::TooLarge));
    assert_eq!(large.credit().messages, 2, "nothing was taken");
    assert_eq!(client.send(bidi, end()), Ok(()));
    let late = client.send_run(bidi, &mut texts(&["one"]));
    assert_eq!(late, Err(SendError::Misuse), "after the end");
}

/// What the packets of these, come at once, lead to.
fn arrive(script: &mut Script, packets: &[RpcPacket]) -> Vec<Output> {
    let mut arrivals = Arrivals::default();
    for packet in packets {
        arrivals.push(&packet.to_bytes());
    }
    for input in arrivals.drain() {
        script.endpoint.handle(input, Time::ZERO);
    }
    drain(&mut script.endpoint)
}

#[test]
fn messages_of_one_call_come_together() {
    let mut server = Script::speaking(ExtensionUse::Agreed);
    let stream = |call_id, text| with_payload(packet(ClientStream, BIDI, call_id), text);
    let mut open = packet(Requested, BIDI, 1);
    open.extend();
    let outputs = arrive(
        &mut server,
        &[
            open,
            stream(1, "one"),
            stream(1, "two"),
            stream(9, "of no call"),
            stream(1, "three"),
        ],
    );
    let came = |texts: Run| {
        let key = CallKey(0);
        Output::Event(Event::Run { key, run: texts })
    };
    let [open, one, two, Output::Transmit(refused)] = &outputs[..] else {
        panic!("answers come last: {outputs:?}");
    };
    assert!(matches!(open, Output::Event(Event::Opened { .. })));
    assert_eq!(*one, came(texts(&["one", "two"])));
    assert_eq!(*two, came(texts(&["three"])));
    assert_eq!(refused.r#type(), PacketType::ServerError);
}

/// The window counts what comes together as if it had come one by one.
#[test]
fn a_run_beyond_the_window_ends_the_call_where_its_messages_would() {
    let plain = ExtensionUse::Never;
    let window = EndpointConfig::default().receive_window.messages;
    let stream = with_payload(packet(ClientStream, BIDI, 1), "m");
    let count = |outputs: &[Output]| {
        let mut count = 0;
        for output in outputs {
            if let Output::Event(Event::Run { run, .. }) = output {
                count += run.credit().messages;
            } else if let Output::Event(Event::Frame { .. }) = output {
                count += 1;
            }
        }
        count
    };
    let mut server = Script::speaking(plain);
    server.requested(BIDI, 1);
    let outputs = arrive(&mut server, &alloc::vec![stream; window + 1]);
    assert_eq!(count(&outputs), window);
    let is_closed = |output: &Output| {
        matches!(output, Output::Event(Event::Closed { closed, .. })
            if closed.status.code == Code::ResourceExhausted)
    };
    assert!(outputs.iter().any(is_closed), "too many");
}

#[test]
fn responses_of_a_client_that_has_heard_nothing_begin_with_headers() {
    let mut client = Script::plain();
    client.called(SERVER_STREAM);
    let stream = |text| with_payload(packet(ServerStream, SERVER_STREAM, 1), text);
    let outputs = arrive(&mut client, &[stream("one"), stream("two")]);
    let expected = [
        no_headers(0),
        frame(0, message("one")),
        frame(0, message("two")),
    ];
    assert_eq!(outputs, expected);
    let outputs = arrive(&mut client, &[stream("three")]);
    let key = CallKey(0);
    let run = texts(&["three"]);
    assert_eq!(outputs, [Output::Event(Event::Run { key, run })]);
}
