//! Sets of encodings, and the machine against exact lists of outputs.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use super::*;
use crate::{
    call::{
        Call, CallConfig, Credit, Ended, EndedBy, Event, Frame, Input, Output, SendError, Shape,
    },
    time::Time,
};

const NOW: Time = Time::ZERO;

fn config(send_encoding: Encoding, accepted_encodings: Encodings) -> CallConfig {
    CallConfig {
        send_encoding,
        accepted_encodings,
        ..CallConfig::default()
    }
}

fn only(encoding: Encoding) -> Encodings {
    Encodings::NONE.with(encoding)
}

fn metadata(entries: &[(&str, &str)]) -> Metadata {
    let mut metadata = Metadata::new();
    for (key, value) in entries {
        metadata.append(*key, *value).expect("valid");
    }
    metadata
}

/// A server that has taken in the headers of a request, and those as the application sees them.
fn requested(config: &CallConfig, headers: &[(&str, &str)]) -> (Call, Metadata) {
    let mut call = Call::server(config, NOW);
    let mut headers = metadata(headers);
    call.requested(&mut headers);
    (call, headers)
}

/// A client that has taken in the headers of a response, and what it said of them.
fn responded(accepted: Encodings, headers: &[(&str, &str)]) -> (Call, Vec<Output>) {
    let mut call = Call::client(&config(Encoding::Identity, accepted), NOW);
    call.handle(Input::Frame(Frame::Headers(metadata(headers))), NOW);
    let outputs = drain(&mut call);
    (call, outputs)
}

fn drain(call: &mut Call) -> Vec<Output> {
    core::iter::from_fn(|| call.poll_output()).collect()
}

fn ended(violation: Violation) -> Output {
    let trailers = Trailers::failed(violation.status());
    let by = EndedBy::Violation;
    Output::Event(Event::Ended(Box::new(Ended { trailers, by })))
}

fn decompressed(text: &'static str, sent_bytes: usize) -> Input {
    Input::Decompressed {
        message: Ok(Bytes::from_static(text.as_bytes())),
        sent_bytes,
    }
}

#[test]
fn a_list_keeps_what_is_known() {
    let set = Encodings::from_list("identity, gzip ,br,zstd");
    assert_eq!(set, only(Encoding::Gzip).with(Encoding::Zstd));
    assert_eq!(set.to_string(), "identity,gzip,zstd");
    assert!(!set.contains(Encoding::Deflate));
    assert_eq!(Encodings::from_list(""), Encodings::NONE);
    let all = Encoding::ALL
        .into_iter()
        .fold(Encodings::NONE, Encodings::with);
    assert_eq!(all, Encodings::ALL, "every encoding has its own place");
}

#[test]
fn every_name_is_read_back() {
    for encoding in Encoding::ALL {
        assert_eq!(Encoding::from_name(encoding.name()), Some(encoding));
    }
    assert_eq!(Encoding::from_name("br"), None);
}

#[test]
fn a_client_says_only_what_is_to_be_said() {
    let cases = [
        (config(Encoding::Identity, Encodings::NONE), metadata(&[])),
        (
            config(Encoding::Zstd, Encodings::NONE),
            metadata(&[("grpc-encoding", "zstd")]),
        ),
        (
            config(Encoding::Identity, only(Encoding::Gzip)),
            metadata(&[("grpc-accept-encoding", "identity,gzip")]),
        ),
    ];
    for (config, expected) in cases {
        let mut said = metadata(&[("grpc-encoding", "br"), ("grpc-accept-encoding", "br")]);
        Call::client(&config, NOW).announce(&mut said);
        assert_eq!(said, expected, "{config:?}");
    }
}

/// S4-67: what a server sends in, by what the client takes and the server would.
#[test]
fn s4_67_a_server_answers_in_what_the_client_takes() {
    let accept = "grpc-accept-encoding";
    let cases: [(&[(&str, &str)], Encoding); 5] = [
        (&[], Encoding::Identity),
        (&[(accept, "identity,gzip")], Encoding::Gzip),
        (&[(accept, "deflate,br")], Encoding::Identity),
        // What a client sends in, it need not take.
        (&[("grpc-encoding", "gzip")], Encoding::Identity),
        (
            &[
                ("grpc-encoding", "zstd"),
                (accept, "gzip"),
                ("key", "value"),
            ],
            Encoding::Gzip,
        ),
    ];
    for (headers, expected) in cases {
        let (mut call, seen) = requested(&config(Encoding::Gzip, Encodings::ALL), headers);
        let own: Vec<_> = headers.iter().filter(|(key, _)| *key == "key").collect();
        assert_eq!(seen.len(), own.len(), "gRPC's own are taken out: {seen:?}");
        assert_eq!(call.send_encoding(), expected, "{headers:?}");
        call.send_headers(Metadata::new()).expect("open");
        let mut said = Metadata::new();
        if expected != Encoding::Identity {
            said = metadata(&[("grpc-encoding", expected.name())]);
        }
        if !headers.is_empty() {
            said.append(accept, "identity,gzip,deflate,zstd")
                .expect("valid");
        }
        let outputs = drain(&mut call);
        assert_eq!(outputs, [Output::Transmit(Frame::Headers(said))]);
    }
}

/// S4-67: an encoding that is not taken is `UNIMPLEMENTED`, with those that are.
#[test]
fn s4_67_a_request_in_an_unknown_encoding_is_refused_with_those_known() {
    for name in ["br", "zstd", ""] {
        let config = config(Encoding::Identity, only(Encoding::Gzip));
        let (mut call, _) = requested(&config, &[("grpc-encoding", name)]);
        let outputs = drain(&mut call);
        let [
            Output::Transmit(Frame::End(told)),
            Output::Event(Event::Ended(_)),
        ] = &outputs[..]
        else {
            panic!("the client is told, and it is over: {outputs:?}");
        };
        let code = told.outcome.as_ref().map_err(|status| status.code);
        assert_eq!(code, Err(Code::Unimplemented), "{name:?}");
        let expected = metadata(&[("grpc-accept-encoding", "identity,gzip")]);
        assert_eq!(told.metadata, expected, "{name:?}");
    }
}

/// S4-67: the responses are in what was offered, or the call is over.
#[test]
fn s4_67_a_response_in_what_was_not_offered_ends_the_call() {
    let gzip = only(Encoding::Gzip);
    for (headers, expected) in [
        (&[][..], Encoding::Identity),
        (&[("grpc-encoding", "identity")], Encoding::Identity),
        (&[("grpc-encoding", "gzip")], Encoding::Gzip),
    ] {
        let (call, outputs) = responded(gzip, headers);
        let headers = Event::Headers(Metadata::new());
        assert_eq!(outputs, [Output::Event(headers)], "none of it is seen");
        assert_eq!(call.receive_encoding(), expected);
    }
    for name in ["zstd", "br", ""] {
        let (_, outputs) = responded(gzip, &[("grpc-encoding", name)]);
        let reset = Output::Reset(Code::Internal);
        assert_eq!(outputs, [reset, ended(Violation::Encoding)], "{name:?}");
    }
}

#[test]
fn what_a_peer_says_of_compression_in_its_trailers_is_not_seen() {
    let mut call = Call::client(&CallConfig::default(), NOW);
    call.half_close().expect("open");
    drain(&mut call);
    let mut trailers = Trailers::ok();
    trailers.metadata = metadata(&[("grpc-accept-encoding", "gzip"), ("k", "v")]);
    call.handle(Input::Frame(Frame::end(trailers)), NOW);
    let outputs = drain(&mut call);
    let [Output::Event(Event::Ended(ended))] = &outputs[..] else {
        panic!("it is over: {outputs:?}");
    };
    assert_eq!(ended.trailers.metadata, metadata(&[("k", "v")]));
}

#[test]
fn a_message_goes_compressed_only_in_the_calls_encoding() {
    let mut call = Call::client(&config(Encoding::Gzip, Encodings::NONE), NOW);
    let packed = Bytes::from_static(b"packed");
    for wrong in [Encoding::Identity, Encoding::Zstd] {
        let sent = call.send_compressed(wrong, packed.clone(), 100);
        assert_eq!(sent, Err(SendError::Misuse), "{wrong:?}");
    }
    let sent = call.send_compressed(Encoding::Gzip, packed.clone(), 100);
    assert_eq!(sent, Ok(()));
    let outputs = drain(&mut call);
    assert_eq!(outputs, [Output::Transmit(Frame::Compressed(packed))]);
    let set = call.set_send_encoding(Encoding::Zstd);
    assert_eq!(
        set,
        Err(SendError::Misuse),
        "the client has said it already"
    );
}

#[test]
fn a_server_chooses_before_its_headers() {
    let headers = [("grpc-accept-encoding", "gzip,zstd")];
    let (mut call, _) = requested(&CallConfig::default(), &headers);
    for (asked, chosen) in [
        (Encoding::Gzip, Encoding::Gzip),
        (Encoding::Deflate, Encoding::Identity),
        (Encoding::Zstd, Encoding::Zstd),
    ] {
        assert_eq!(call.set_send_encoding(asked), Ok(()));
        assert_eq!(
            call.send_encoding(),
            chosen,
            "the client does not take {asked:?}"
        );
    }
    call.send_headers(Metadata::new()).expect("open");
    let late = call.set_send_encoding(Encoding::Gzip);
    assert_eq!(late, Err(SendError::Misuse));
    assert_eq!(call.send_encoding(), Encoding::Zstd);
}

/// S4-43: limits are on what was compressed, and windows on what is sent.
#[test]
fn s4_43_a_limit_counts_the_message_and_a_window_what_is_sent() {
    let sending = CallConfig {
        send_message_bytes_max: 100,
        send_window: Credit {
            messages: 10,
            bytes: 20,
        },
        ..config(Encoding::Gzip, Encodings::NONE)
    };
    let mut call = Call::client(&sending, NOW);
    let mut send = |sent: usize, message| {
        let packed = Bytes::from(alloc::vec![0; sent]);
        call.send_compressed(Encoding::Gzip, packed, message)
    };
    assert_eq!(send(9, 101), Err(SendError::TooLarge));
    assert_eq!(send(9, 100), Ok(()));
    assert_eq!(send(9, 100), Ok(()));
    assert_eq!(send(9, 100), Err(SendError::Blocked));
    assert_eq!(send(2, 100), Ok(()), "20 bytes are in flight");
    assert_eq!(call.check_send(100, 0), Ok(()));
    assert_eq!(call.check_send(100, 1), Err(SendError::Blocked));
    assert!(call.is_blocked(), "and Writable is owed");

    let receiving = CallConfig {
        receive_message_bytes_max: 5,
        receive_window: Some(Credit {
            messages: 10,
            bytes: 4,
        }),
        ..config(Encoding::Identity, Encodings::ALL)
    };
    let gzip = [("grpc-encoding", "gzip")];
    let (mut call, _) = requested(&receiving, &gzip);
    call.handle(decompressed("five5", 2), NOW);
    let event = Event::Decompressed {
        message: Bytes::from_static(b"five5"),
        sent_bytes: 2,
    };
    assert_eq!(drain(&mut call), [Output::Event(event)]);
    call.handle(decompressed("sixsix", 1), NOW);
    assert_eq!(drain(&mut call).last(), Some(&ended(Violation::TooLarge)));

    let (mut call, _) = requested(&receiving, &gzip);
    call.handle(decompressed("a", 2), NOW);
    call.handle(decompressed("b", 3), NOW);
    assert_eq!(drain(&mut call).last(), Some(&ended(Violation::Credit)));
}

#[test]
fn a_compressed_message_that_nobody_announced_ends_the_call() {
    let inputs = [
        Input::Frame(Frame::Compressed(Bytes::new())),
        decompressed("a", 1),
    ];
    for input in inputs {
        let (mut call, _) = requested(&config(Encoding::Identity, Encodings::ALL), &[]);
        call.handle(input.clone(), NOW);
        let outputs = drain(&mut call);
        assert_eq!(outputs.last(), Some(&ended(Violation::Compressed)));
        let (mut call, _) = responded(Encodings::ALL, &[]);
        call.handle(input, NOW);
        let reset = Output::Reset(Code::Internal);
        assert_eq!(drain(&mut call), [reset, ended(Violation::Compressed)]);
    }
}

#[test]
fn a_message_that_cannot_be_decompressed_ends_the_call() {
    for violation in [Violation::Corrupt, Violation::TooLarge] {
        let (mut call, _) = responded(Encodings::ALL, &[("grpc-encoding", "gzip")]);
        let input = Input::Decompressed {
            message: Err(violation),
            sent_bytes: 1,
        };
        call.handle(input, NOW);
        let reset = Output::Reset(violation.status().code);
        assert_eq!(drain(&mut call), [reset, ended(violation)]);
    }
}

/// The table and the counts know no compression.
#[test]
fn a_decompressed_message_obeys_the_table_and_the_shape() {
    let gzip = [("grpc-encoding", "gzip")];
    let shaped = CallConfig {
        shape: Shape::Unary,
        ..config(Encoding::Identity, Encodings::ALL)
    };
    let (mut call, _) = requested(&shaped, &gzip);
    call.handle(decompressed("1", 1), NOW);
    call.handle(decompressed("2", 1), NOW);
    assert_eq!(drain(&mut call).last(), Some(&ended(Violation::Count)));

    let mut early = Call::client(&config(Encoding::Identity, Encodings::ALL), NOW);
    early.handle(decompressed("1", 1), NOW);
    let part = Violation::Part(crate::call::table::Part::Message);
    assert_eq!(drain(&mut early).last(), Some(&ended(part)));
}
