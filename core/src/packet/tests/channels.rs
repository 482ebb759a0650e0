//! Channels: how they come and go, and which packets find one.

use super::*;

use PacketType::{ClientError, ClientStream, Response, ServerError, ServerStream};

fn on(channel_id: u32, packet: RpcPacket) -> RpcPacket {
    RpcPacket {
        channel_id,
        ..packet
    }
}

fn answer(channel_id: u32, packet: RpcPacket, code: Code) -> Output {
    Output::Transmit(with_status(on(channel_id, packet), code))
}

fn plain() -> ChannelConfig {
    ChannelConfig {
        extension: ExtensionUse::Never,
        ..ChannelConfig::default()
    }
}

/// S5-53: 0 is no channel, whoever asks.
#[test]
fn s5_53_channel_0_is_never_legal() {
    let mut script = Script::plain();
    let opened = script.endpoint.open_channel(0, plain());
    assert_eq!(opened, Err(ChannelError::Unassigned));
    assert_eq!(script.endpoint.open_default(plain()), Ok(()));
    let called = script.endpoint.call(0, Request::new(UNARY, Shape::Unary));
    assert_eq!(called, Err(SendError::Misuse));
    let nowhere = on(0, packet(PacketType::Request, UNARY, 1));
    script.gives(nowhere, &[rejected(Rejection::NoId)]);
}

/// S5-53: calls of two channels with the same ids are two.
#[test]
fn s5_53_channels_do_not_mix() {
    let mut script = Script::plain();
    script.endpoint.open_channel(2, plain()).expect("it is new");
    let first = script.requested(BIDI, 5);
    let outputs = script.handle(&on(2, packet(PacketType::Request, BIDI, 5)));
    assert_eq!(outputs.len(), 1, "it opens, and ends no other: {outputs:?}");
    let stream = on(2, with_payload(packet(ClientStream, BIDI, 5), "m"));
    script.gives(stream, &[frame(first.0 + 1, message("m"))]);
}

/// S5-54: OK, `ALREADY_EXISTS`, `RESOURCE_EXHAUSTED`.
#[test]
fn s5_54_a_channel_is_opened_once_and_not_without_bound() {
    let config = EndpointConfig {
        channels_max: 2,
        ..EndpointConfig::default()
    };
    let mut script = Script::new(config, ExtensionUse::Never);
    let mut open = |id| script.endpoint.open_channel(id, plain());
    assert_eq!(open(CHANNEL), Err(ChannelError::AlreadyExists));
    assert_eq!(open(2), Ok(()));
    assert_eq!(open(3), Err(ChannelError::ResourceExhausted));
}

/// S5-54: the default takes every id that is not open, for both roles, and is set once.
#[test]
fn s5_54_the_default_takes_all_unknown_channels() {
    let mut script = Script::plain();
    assert_eq!(script.endpoint.open_default(plain()), Ok(()));
    let again = script.endpoint.open_default(plain());
    assert_eq!(again, Err(ChannelError::AlreadyExists));
    assert_eq!(script.endpoint.peer(200), None);
    let outputs = script.handle(&on(200, packet(PacketType::Request, BIDI, 5)));
    assert!(
        matches!(outputs[..], [Output::Event(Event::Opened { .. })]),
        "{outputs:?}"
    );
    assert_eq!(script.endpoint.peer(200), Some(PeerKind::Plain));
    let request = Request::new(BIDI, Shape::Bidirectional);
    script.endpoint.call(300, request).expect("it can call");
    let request = on(300, packet(PacketType::Request, BIDI, 1));
    script.did(&[Output::Transmit(request)]);
}

/// S5-55: a peer that waits for a channel that is not there is told `UNAVAILABLE`, and `RESOURCE_EXHAUSTED` if there are too
/// many; pw_rpc's own code leaves it waiting. What is no question has no answer.
#[test]
fn s5_55_who_asks_on_an_unknown_channel_is_answered() {
    let mut script = Script::plain();
    let table = [
        (PacketType::Request, Some(ServerError)),
        (ClientStream, Some(ServerError)),
        (PacketType::ClientRequestCompletion, Some(ServerError)),
        (ClientError, None),
        (ServerStream, Some(ClientError)),
        (Response, None),
        (ServerError, None),
    ];
    for (kind, answered) in table {
        let reply = answered.map(|kind| answer(9, packet(kind, BIDI, 5), Code::Unavailable));
        let expected: Vec<_> = [rejected(Rejection::NoChannel)]
            .into_iter()
            .chain(reply)
            .collect();
        script.gives(on(9, packet(kind, BIDI, 5)), &expected);
    }

    let config = EndpointConfig {
        channels_max: 1,
        ..EndpointConfig::default()
    };
    let mut script = Script::new(config, ExtensionUse::Never);
    assert_eq!(script.endpoint.open_default(plain()), Ok(()));
    let expected = [
        rejected(Rejection::NoChannel),
        answer(9, packet(ServerError, BIDI, 5), Code::ResourceExhausted),
    ];
    script.gives(on(9, packet(PacketType::Request, BIDI, 5)), &expected);
}

/// S5-56: `NOT_FOUND` if it is not open; calls end with `ABORTED`, and the peer, which pw_rpc leaves waiting, is told first.
#[test]
fn s5_56_closing_a_channel_aborts_its_calls_on_both_sides() {
    let mut script = Script::plain();
    script.endpoint.open_channel(2, plain()).expect("it is new");
    let unknown = script.endpoint.close_channel(9);
    assert_eq!(unknown, Err(ChannelError::NotFound));
    let served = script.requested(BIDI, 5);
    let called = script.called(BIDI);
    let other = script
        .endpoint
        .call(2, Request::new(BIDI, Shape::Bidirectional))
        .expect("it can call");
    drain(&mut script.endpoint);
    assert_eq!(script.endpoint.close_channel(CHANNEL), Ok(()));
    let aborted = |key: CallKey| {
        let message = "the channel was closed";
        closed(key.0, Code::Aborted, message, EndedBy::Local)
    };
    script.did(&[
        server_error(BIDI, 5, Code::Aborted),
        aborted(served),
        client_error(BIDI, 1, Code::Aborted),
        aborted(called),
    ]);
    assert_eq!(script.endpoint.calls(), 1, "{other:?} runs on");
    let again = script.endpoint.close_channel(CHANNEL);
    assert_eq!(again, Err(ChannelError::NotFound));
    assert_eq!(script.endpoint.open_channel(CHANNEL, plain()), Ok(()));
}

/// S5-58: ids belong to one endpoint: two connections use the same without knowing of each other.
#[test]
fn s5_58_channel_ids_belong_to_one_connection() {
    let mut one = Script::plain();
    let mut other = Script::plain();
    let first = one.requested(BIDI, 5);
    let second = other.requested(BIDI, 5);
    assert_eq!(first, second, "the same ids, and different calls");
    other.endpoint.close_channel(CHANNEL).expect("it is open");
    one.send(first, message("r"));
    let sent = with_payload(packet(ServerStream, BIDI, 5), "r");
    one.did(&[Output::Transmit(sent)]);
}

/// S5-61: client and server on one channel, with the same method and the same call id.
#[test]
fn s5_61_both_roles_share_a_channel() {
    let mut script = Script::plain();
    let called = script.called(BIDI);
    let served = script.requested(BIDI, 1);
    let to_server = with_payload(packet(ClientStream, BIDI, 1), "up");
    script.gives(to_server, &[frame(served.0, message("up"))]);
    let to_client = with_payload(packet(ServerStream, BIDI, 1), "down");
    let expected = [no_headers(called.0), frame(called.0, message("down"))];
    script.gives(to_client, &expected);
    script.endpoint.cancel(called);
    script.did(&[client_error(BIDI, 1, Code::Cancelled)]);
    script.send(served, message("r"));
    let sent = with_payload(packet(ServerStream, BIDI, 1), "r");
    script.did(&[Output::Transmit(sent)]);
}

/// What carries the packets is gone: every call is told, and whether it may have come to the peer.
#[test]
fn a_connection_that_is_gone_ends_every_call() {
    let mut script = Script::plain();
    let served = script.requested(BIDI, 5);
    let called = script.called(BIDI);
    let unsent = script.call(UNARY);
    let gone = Closed::broken("gone");
    let input = Input::Closed(gone.clone());
    script.endpoint.handle(input, Time::ZERO);
    let ended = |key, reached| {
        let closed = Box::new(gone.clone().having_reached(reached));
        Output::Event(Event::Closed { key, closed })
    };
    script.did(&[
        ended(served, Reached::Handler),
        ended(called, Reached::Handler),
        ended(unsent, Reached::Nothing),
    ]);
    assert_eq!(script.endpoint.calls(), 0);
    let request = Request::new(UNARY, Shape::Unary);
    let called = script.endpoint.call(CHANNEL, request);
    assert_eq!(called, Err(SendError::NoChannel));
}
