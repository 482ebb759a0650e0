//! What a client does with a packet: the table of pw_rpc, row by row.

use super::*;

use PacketType::{Request, Response, ServerError, ServerStream};

/// S5-21: `DATA_LOSS`, and nothing is sent.
#[test]
fn s5_21_a_packet_that_cannot_be_read_is_rejected() {
    let mut script = Script::plain();
    let input = Input::Packet(Bytes::from_static(b"\x2a\x05x"));
    script.endpoint.handle(input, Time::ZERO);
    script.did(&[rejected(Rejection::Undecodable)]);
    let no_method = RpcPacket {
        method_id: 0,
        ..packet(Response, UNARY, 1)
    };
    script.gives(no_method, &[rejected(Rejection::NoId)]);
}

/// S5-22: `INVALID_ARGUMENT`, and nothing is sent.
#[test]
fn s5_22_a_client_rejects_what_is_for_a_server() {
    let config = EndpointConfig {
        role: Some(Role::Client),
        ..EndpointConfig::default()
    };
    let mut script = Script::new(config, ExtensionUse::Never);
    script.gives(packet(Request, UNARY, 1), &[rejected(Rejection::Role)]);
}

/// S5-23: `UNAVAILABLE`.
#[test]
fn s5_23_a_packet_of_an_unknown_channel_is_rejected() {
    let mut script = Script::plain();
    let elsewhere = RpcPacket {
        channel_id: 9,
        ..packet(Response, UNARY, 1)
    };
    script.gives(elsewhere, &[rejected(Rejection::NoChannel)]);
}

/// S5-24: `NOT_FOUND`; of an error nothing is said.
#[test]
fn s5_24_a_method_that_was_never_called_is_not_found() {
    let mut script = Script::plain();
    script.called(UNARY);
    for kind in [ServerStream, Response] {
        let not_found = client_error(BIDI, 1, Code::NotFound);
        script.gives(packet(kind, BIDI, 1), &[not_found]);
    }
    script.gives(packet(ServerError, BIDI, 1), &[]);
}

/// S5-25: `FAILED_PRECONDITION`, so that the server can stop.
#[test]
fn s5_25_a_stream_of_no_call_is_answered() {
    let mut script = Script::plain();
    script.called(BIDI);
    let answer = client_error(BIDI, 9, Code::FailedPrecondition);
    script.gives(packet(ServerStream, BIDI, 9), &[answer]);
}

/// S5-26: not answered, for the call is over at the server too.
#[test]
fn s5_26_a_response_of_no_call_is_ignored() {
    let mut script = Script::plain();
    script.called(BIDI);
    script.gives(packet(Response, BIDI, 9), &[]);
}

/// S5-27: it ends the call with its status; with the payload, where there is one response.
#[test]
fn s5_27_a_response_ends_the_call() {
    for (path, shape) in METHODS {
        for outcome in [Ok(()), Err(Status::new(Code::NotFound, ""))] {
            let mut script = Script::plain();
            let key = script.called(path);
            let mut response = packet(Response, path, 1);
            response.set_outcome(&outcome);
            let mut expected = Vec::new();
            if shape.one_response() {
                response = with_payload(response, "r");
                expected.extend([no_headers(key.0), frame(key.0, message("r"))]);
            }
            let metadata = Metadata::new();
            let ended = Frame::end(Trailers { outcome, metadata });
            expected.push(frame(key.0, ended));
            script.gives(response, &expected);
            assert_eq!(script.endpoint.calls(), 0, "{path}");
        }
    }
}

/// S5-27: a success has a response, also if it is empty; a failure without payload has none.
#[test]
fn s5_27_an_empty_payload_is_a_message_of_a_success() {
    let mut script = Script::plain();
    let key = script.called(UNARY).0;
    let expected = [no_headers(key), frame(key, message("")), frame(key, end())];
    script.gives(packet(Response, UNARY, 1), &expected);

    let key = script.called(UNARY).0;
    let response = with_status(packet(Response, UNARY, 2), Code::Aborted);
    let ended = Frame::end(failed(Code::Aborted));
    script.gives(response, &[frame(key, ended)]);
}

/// S5-28: it closes the call, and is never answered, whether there is a call or not.
#[test]
fn s5_28_a_server_error_closes_the_call_and_is_not_answered() {
    let mut script = Script::plain();
    let key = script.called(BIDI);
    let error = with_status(packet(ServerError, BIDI, 1), Code::Internal);
    let ended = closed(key.0, Code::Internal, "", EndedBy::Peer);
    script.gives(error.clone(), &[ended]);
    script.gives(error, &[]);
}

/// S5-29: `INVALID_ARGUMENT`, there and here.
#[test]
fn s5_29_a_method_with_one_response_takes_no_stream() {
    for path in [UNARY, CLIENT_STREAM] {
        let mut script = Script::plain();
        let key = script.called(path);
        let expected = [
            client_error(path, 1, Code::InvalidArgument),
            closed(
                key.0,
                Code::InvalidArgument,
                "the method has one response",
                EndedBy::Violation,
            ),
        ];
        script.gives(packet(ServerStream, path, 1), &expected);
    }
}

/// S5-30: who cannot decode a payload ends the call with `DATA_LOSS`, and the server is told.
#[test]
fn s5_30_an_undecodable_payload_is_told_as_data_loss() {
    let mut script = Script::plain();
    let key = script.called(BIDI);
    let stream = with_payload(packet(ServerStream, BIDI, 1), "?");
    let expected = [no_headers(key.0), frame(key.0, message("?"))];
    script.gives(stream, &expected);
    script.endpoint.reset(key, Code::DataLoss);
    script.did(&[client_error(BIDI, 1, Code::DataLoss)]);
    assert_eq!(script.endpoint.calls(), 0, "it is over here too");
}

/// S5-31: `UNKNOWN`.
#[test]
fn s5_31_an_unknown_status_is_unknown() {
    for number in [17, 200, u32::MAX] {
        let mut script = Script::plain();
        let key = script.called(BIDI);
        let mut response = packet(Response, BIDI, 1);
        response.status = number;
        let ended = Frame::end(failed(Code::Unknown));
        script.gives(response, &[frame(key.0, ended)]);
    }
}

/// S5-32: it is one of the stream, and the call goes on.
#[test]
fn s5_32_a_response_with_payload_of_an_old_server_stream_is_a_message() {
    let mut script = Script::plain();
    let key = script.called(SERVER_STREAM);
    let old = || with_payload(packet(Response, SERVER_STREAM, 1), "r");
    let expected = [no_headers(key.0), frame(key.0, message("r"))];
    script.gives(old(), &expected);
    script.gives(old(), &[frame(key.0, message("r"))]);
    let response = packet(Response, SERVER_STREAM, 1);
    script.gives(response, &[frame(key.0, end())]);
}

/// The counterpart of S5-20.
#[test]
fn unknown_types_are_told_and_ignored() {
    let mut script = Script::plain();
    script.called(BIDI);
    for (number, call_id) in [(3, 1), (3, 9), (11, 1), (i32::MAX, 1), (-1, 1)] {
        let mut packet = packet(Response, BIDI, call_id);
        packet.r#type = number;
        script.gives(packet, &[rejected(Rejection::UnknownType)]);
    }
    assert_eq!(script.endpoint.calls(), 1, "the call goes on");
}
