//! Calls that nobody requested, and the ids that stand for any call.

use headwater_proto::pw_rpc::{LEGACY_OPEN_CALL_ID, OPEN_CALL_ID};

use super::*;

use PacketType::{ClientStream, Request, Response, ServerStream};

/// S5-49 and S5-52: a server begins a call without a request, under the open id; one at a time and method. The client
/// that waits for it hears it.
#[test]
fn s5_49_and_s5_52_a_server_answers_what_nobody_asked() {
    let mut server = Script::plain();
    let respond = |script: &mut Script, path| script.endpoint.respond_unrequested(CHANNEL, path);
    let key = respond(&mut server, SERVER_STREAM).expect("it can");
    let again = respond(&mut server, SERVER_STREAM);
    assert_eq!(again, Err(SendError::Misuse), "one at a time");
    let unknown = respond(&mut server, UNKNOWN);
    assert_eq!(unknown, Err(SendError::Misuse), "not registered");
    server.send(key, message("r"));
    server.send(key, end());
    let stream = || with_payload(packet(ServerStream, SERVER_STREAM, OPEN_CALL_ID), "r");
    let response = || packet(Response, SERVER_STREAM, OPEN_CALL_ID);
    server.did(&[sent(stream()), sent(response())]);
    respond(&mut server, SERVER_STREAM).expect("the other is over");

    let mut client = Script::plain();
    let wait = |script: &mut Script| {
        let shape = Shape::ServerStreaming;
        script
            .endpoint
            .await_unrequested(CHANNEL, SERVER_STREAM, shape)
    };
    let key = wait(&mut client).expect("it can");
    client.did(&[]);
    assert_eq!(wait(&mut client), Err(SendError::Misuse), "one at a time");
    let expected = [no_headers(key.0), frame(key.0, message("r"))];
    client.gives(stream(), &expected);
    client.gives(response(), &[frame(key.0, end())]);
}

/// S5-50: 0 and 0xFFFFFFFF both stand for any call of the channel, service and method.
#[test]
fn s5_50_both_open_ids_find_any_call_of_the_method() {
    for open in [OPEN_CALL_ID, LEGACY_OPEN_CALL_ID] {
        // An old server against a new client.
        let mut client = Script::plain();
        client.called(CLIENT_STREAM);
        let key = client.called(SERVER_STREAM);
        let stream = with_payload(packet(ServerStream, SERVER_STREAM, open), "r");
        let expected = [no_headers(key.0), frame(key.0, message("r"))];
        client.gives(stream, &expected);
        let response = packet(Response, SERVER_STREAM, open);
        client.gives(response, &[frame(key.0, end())]);

        // An old client against a new server.
        let mut server = Script::plain();
        let key = server.requested(BIDI, open);
        let stream = with_payload(packet(ClientStream, BIDI, open), "m");
        server.gives(stream, &[frame(key.0, message("m"))]);
        server.send(key, message("r"));
        let echoed = with_payload(packet(ServerStream, BIDI, open), "r");
        server.did(&[sent(echoed)]);
    }
}

/// S5-50: on another method or channel it finds none.
#[test]
fn s5_50_an_open_id_finds_no_call_of_another_method() {
    let mut client = Script::plain();
    client.called(SERVER_STREAM);
    client.called(BIDI);
    client.endpoint.cancel(CallKey(1));
    drain(&mut client.endpoint);
    let answer = client_error(BIDI, OPEN_CALL_ID, Code::FailedPrecondition);
    let stream = packet(ServerStream, BIDI, OPEN_CALL_ID);
    client.gives(stream, &[answer]);
}

/// S5-52: of a call that the peer knows nothing of nothing is said, for its id would mean any other call of the method.
#[test]
fn s5_52_giving_up_an_unheard_open_call_ends_no_other() {
    let mut script = Script::plain();
    let waits = script
        .endpoint
        .await_unrequested(CHANNEL, BIDI, Shape::Bidirectional)
        .expect("it can");
    let responds = script
        .endpoint
        .respond_unrequested(CHANNEL, BIDI)
        .expect("it can");
    for key in [waits, responds] {
        assert!(!script.endpoint.is_sent(key));
        script.endpoint.reset(key, Code::Aborted);
        script.did(&[]);
    }
    let waits = script
        .endpoint
        .await_unrequested(CHANNEL, BIDI, Shape::Bidirectional)
        .expect("it can");
    script.endpoint.abandon(waits);
    script.did(&[]);

    // Once it was heard of, it is given up like any other.
    let waits = script
        .endpoint
        .await_unrequested(CHANNEL, BIDI, Shape::Bidirectional)
        .expect("it can");
    script.handle(&packet(ServerStream, BIDI, OPEN_CALL_ID));
    script.endpoint.cancel(waits);
    script.did(&[client_error(BIDI, OPEN_CALL_ID, Code::Cancelled)]);
}

/// S5-51: a call with an open id has that of the first packet from then on.
#[test]
fn s5_51_an_open_call_takes_over_the_id_of_the_first_packet() {
    let mut client = Script::plain();
    let key = client
        .endpoint
        .await_unrequested(CHANNEL, BIDI, Shape::Bidirectional)
        .expect("it can");
    let stream = |id| with_payload(packet(ServerStream, BIDI, id), "r");
    let expected = [no_headers(key.0), frame(key.0, message("r"))];
    client.gives(stream(33), &expected);
    let other = client_error(BIDI, 34, Code::FailedPrecondition);
    client.gives(stream(34), &[other]);
    client.endpoint.cancel(key);
    client.did(&[client_error(BIDI, 33, Code::Cancelled)]);

    let mut server = Script::plain();
    let key = server
        .endpoint
        .respond_unrequested(CHANNEL, BIDI)
        .expect("it can");
    let stream = with_payload(packet(ClientStream, BIDI, 44), "m");
    server.gives(stream, &[frame(key.0, message("m"))]);
    server.send(key, message("r"));
    let stream = with_payload(packet(ServerStream, BIDI, 44), "r");
    server.did(&[sent(stream)]);
}

/// S5-51 and S5-52: a request ends the call that nobody requested, for there is one handler for a call (S5-08).
#[test]
fn s5_51_and_s5_52_a_request_replaces_the_open_call() {
    let mut server = Script::plain();
    let open = server
        .endpoint
        .respond_unrequested(CHANNEL, BIDI)
        .expect("it can");
    let message = "the peer cancelled the call";
    let expected = [
        closed(open.0, Code::Cancelled, message, EndedBy::Peer),
        opened(open.0 + 1, BIDI),
    ];
    server.gives(packet(Request, BIDI, 5), &expected);
}

/// S5-52: the client's call is from before the server restarted; what the new server writes without a request reaches it.
#[test]
fn s5_52_a_restarted_server_answers_a_call_from_before() {
    let mut client = Script::plain();
    let key = client.called(CLIENT_STREAM);
    let mut restarted = Script::plain();
    let answer = restarted
        .endpoint
        .respond_unrequested(CHANNEL, CLIENT_STREAM)
        .expect("it can");
    restarted.send(answer, message("from before"));
    restarted.send(answer, end());
    let outputs = drain(&mut restarted.endpoint);
    let [Output::Transmit(response)] = &outputs[..] else {
        panic!("one packet: {outputs:?}");
    };
    let expected = [
        no_headers(key.0),
        frame(key.0, message("from before")),
        frame(key.0, end()),
    ];
    client.gives(response.clone(), &expected);
    client.gives(response.clone(), &[]);
}
