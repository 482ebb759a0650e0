//! Compression, per call and per message, in each direction on its own.

use bytes::Bytes;
use headwater_conformance::{
    Fixture, Transport,
    control::{ECHO, RUN, done, read, say},
    for_each_transport,
};
use headwater_rpc::{
    CallOptions, Code, Compress, Credit, Encoding, Encodings, EndedBy, Metadata, Receiver,
    SUPPORTED_ENCODINGS, SendError, Sender, ServerConfig, Shape, Status,
};

fn code<T: std::fmt::Debug>(outcome: &Result<T, Status>) -> Code {
    outcome.as_ref().expect_err("the call must fail").code
}

fn compressed(compression: Encoding) -> CallOptions {
    CallOptions {
        compression,
        accepted_encodings: SUPPORTED_ENCODINGS,
        ..CallOptions::default()
    }
}

async fn open(pair: &Fixture, options: CallOptions) -> (Sender, Receiver) {
    let call = pair.client.call(RUN, Metadata::new(), options).await;
    call.unwrap_or_else(|error| panic!("the call could not be opened: {error}"))
}

/// The next message, and whether it came compressed.
async fn next(receiver: &mut Receiver) -> (Bytes, bool) {
    let mut batch = Vec::new();
    let count = receiver.next_batch(&mut batch).await;
    assert_eq!(count, Ok(1), "one message was asked for");
    (batch.remove(0), receiver.was_compressed(0))
}

/// A line with so much behind it that it gets smaller in any encoding.
fn long(line: &str) -> String {
    format!("{line} {}", "z".repeat(1000))
}

/// S4-67: each encoding in one direction with each in the other.
#[test]
fn s4_67_every_encoding_passes_each_way_on_its_own() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        for request in Encoding::ALL {
            for response in Encoding::ALL {
                let case = format!("{request:?} there and {response:?} back");
                let (sender, mut receiver) = open(&pair, compressed(request)).await;
                say(&sender, format!("compress {}", response.name()));
                say(&sender, long("flag"));
                let (flag, _) = next(&mut receiver).await;
                let expected = (request != Encoding::Identity).to_string();
                assert_eq!(
                    flag, expected,
                    "whether the request came compressed: {case}"
                );
                say(&sender, long("echo"));
                let (echo, flag) = next(&mut receiver).await;
                assert_eq!(echo.len(), 1000, "{case}");
                let expected = response != Encoding::Identity;
                assert_eq!(
                    flag, expected,
                    "whether the response came compressed: {case}"
                );
                done(&sender);
                assert_eq!(read(&mut receiver).await, (vec![], Ok(())), "{case}");
            }
        }
    });
}

/// S4-67: one message is compressed and the next is not, both ways on the same call.
#[test]
fn s4_67_each_message_may_be_left_uncompressed() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (sender, mut receiver) = open(&pair, compressed(Encoding::Gzip)).await;
        say(&sender, "compress gzip");
        for compress in [Compress::Auto, Compress::Never, Compress::Auto] {
            let line = Bytes::from(long("flag"));
            sender.try_send_with(line, compress).expect("there is room");
            let (flag, _) = next(&mut receiver).await;
            assert_eq!(
                flag,
                (compress == Compress::Auto).to_string(),
                "{compress:?}"
            );
        }
        for (verb, expected) in [("echo", true), ("plain", false), ("echo", true)] {
            say(&sender, long(verb));
            let (message, flag) = next(&mut receiver).await;
            assert_eq!((message.len(), flag), (1000, expected), "{verb}");
        }
        say(&sender, "echo short");
        let (message, flag) = next(&mut receiver).await;
        assert_eq!((&message[..], flag), (&b"short"[..], false), "not worth it");
    });
}

#[test]
fn flags_are_those_of_the_last_batch() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (sender, mut receiver) = open(&pair, compressed(Encoding::Identity)).await;
        say(&sender, "compress zstd");
        for verb in ["echo", "plain", "plain", "echo", "plain"] {
            say(&sender, long(verb));
        }
        done(&sender);
        let (mut messages, mut flags) = (Vec::new(), Vec::new());
        loop {
            let count = receiver
                .next_batch(&mut messages)
                .await
                .expect("it goes on");
            if count == 0 {
                break;
            }
            flags.extend((0..count).map(|index| receiver.was_compressed(index)));
        }
        assert_eq!(flags, [true, false, false, true, false]);
    });
}

/// S4-67: an encoding that the server does not take is `UNIMPLEMENTED`, and no handler hears of the call.
#[test]
fn s4_67_an_encoding_that_the_server_does_not_take_is_unimplemented() {
    for_each_transport(|transport| async move {
        let config = ServerConfig {
            accepted_encodings: Encodings::NONE.with(Encoding::Deflate),
            ..ServerConfig::default()
        };
        let pair = Fixture::with_config(transport, config).await;
        let (_sender, mut receiver) = open(&pair, compressed(Encoding::Gzip)).await;
        let (_, outcome) = read(&mut receiver).await;
        assert_eq!(code(&outcome), Code::Unimplemented);
        let ended = receiver.ended().expect("the call is over");
        assert_eq!(ended.by, EndedBy::Status);
        assert!(
            ended.trailers.metadata.is_empty(),
            "what is gRPC's own stays below"
        );
        let request = Bytes::from(long("x"));
        let unary = |options| {
            pair.client
                .unary(ECHO, Metadata::new(), request.clone(), options)
        };
        let answer = unary(compressed(Encoding::Gzip)).await;
        assert_eq!(code(&answer), Code::Unimplemented);
        let answer = unary(compressed(Encoding::Deflate)).await;
        assert_eq!(answer, Ok(request.clone()), "the one that it takes");
    });
}

/// S4-67: a server never answers in what the client does not take.
#[test]
fn s4_67_a_client_gets_only_what_it_takes() {
    for_each_transport(|transport| async move {
        let config = ServerConfig {
            compression: Encoding::Zstd,
            ..ServerConfig::default()
        };
        let pair = Fixture::with_config(transport, config).await;
        let gzip = Encodings::NONE.with(Encoding::Gzip);
        for (accepted, chosen, expected) in [
            (Encodings::NONE, None, false),
            (Encodings::NONE, Some("gzip"), false),
            (gzip, None, false),
            (gzip, Some("gzip"), true),
            (gzip, Some("deflate"), false),
            (SUPPORTED_ENCODINGS, None, true),
            (SUPPORTED_ENCODINGS, Some("identity"), false),
        ] {
            let options = CallOptions {
                accepted_encodings: accepted,
                ..CallOptions::default()
            };
            let (sender, mut receiver) = open(&pair, options).await;
            if let Some(name) = chosen {
                say(&sender, format!("compress {name}"));
            }
            say(&sender, long("echo"));
            let (message, flag) = next(&mut receiver).await;
            assert_eq!(message.len(), 1000);
            assert_eq!(flag, expected, "takes {accepted}, handler says {chosen:?}");
        }
    });
}

/// The server's own choice works without a word of the handler, for unary methods too.
#[test]
fn a_unary_method_answers_as_its_server_is_configured() {
    for_each_transport(|transport| async move {
        let config = ServerConfig {
            compression: Encoding::Gzip,
            ..ServerConfig::default()
        };
        let pair = Fixture::with_config(transport, config).await;
        let options = CallOptions {
            shape: Shape::Unary,
            ..compressed(Encoding::Zstd)
        };
        let call = pair.client.call(ECHO, Metadata::new(), options).await;
        let (sender, mut receiver) = call.expect("it opens");
        say(&sender, long("x"));
        done(&sender);
        assert_eq!(next(&mut receiver).await, (long("x").into(), true));
    });
}

/// Applications see their own metadata only, and what of it has gRPC's own names does not disturb the call.
#[test]
fn compression_is_not_seen_in_metadata() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let mut metadata = Metadata::new();
        metadata.append("key", "value").expect("valid");
        let expected = metadata.clone();
        metadata.append("grpc-encoding", "br").expect("valid");
        metadata
            .append("grpc-accept-encoding", "br")
            .expect("valid");
        for options in [CallOptions::default(), compressed(Encoding::Gzip)] {
            let call = pair.client.call(RUN, metadata.clone(), options).await;
            let (sender, mut receiver) = call.expect("it opens");
            say(&sender, "reflect");
            done(&sender);
            let headers = receiver.headers().await;
            assert_eq!(headers, Some(expected.clone()), "there and back");
            assert_eq!(read(&mut receiver).await.1, Ok(()));
            assert_eq!(receiver.trailers(), Some(expected.clone()));
        }
    });
}

async fn pair_that_takes(transport: Transport, bytes: usize) -> Fixture {
    let config = ServerConfig {
        receive_message_bytes_max: bytes,
        ..ServerConfig::default()
    };
    Fixture::with_config(transport, config).await
}

/// S4-43: limits are on the uncompressed size, on both sides and in both directions.
#[test]
fn s4_43_limits_are_on_the_uncompressed_size() {
    for_each_transport(|transport| async move {
        let pair = pair_that_takes(transport, 2000).await;
        let message = |bytes: usize| Bytes::from(vec![b'z'; bytes]);
        for encoding in Encoding::ALL {
            let options = CallOptions {
                send_message_bytes_max: 3000,
                receive_message_bytes_max: 1000,
                ..compressed(encoding)
            };
            let unary = |bytes| {
                let options = options.clone();
                pair.client
                    .unary(ECHO, Metadata::new(), message(bytes), options)
            };
            assert_eq!(unary(1000).await, Ok(message(1000)), "{encoding:?}");
            let answer = unary(2001).await;
            assert_eq!(code(&answer), Code::ResourceExhausted, "{encoding:?} there");
            let answer = unary(3001).await;
            assert_eq!(code(&answer), Code::ResourceExhausted, "{encoding:?} own");

            let (sender, mut receiver) = open(&pair, options.clone()).await;
            assert_eq!(sender.try_send(message(3001)), Err(SendError::TooLarge));
            say(&sender, format!("compress {}", encoding.name()));
            say(&sender, "send 1 1000");
            say(&sender, "send 1 1001");
            let (messages, outcome) = read(&mut receiver).await;
            assert_eq!(messages.len(), 1, "the one within the limit: {encoding:?}");
            assert_eq!(code(&outcome), Code::ResourceExhausted, "{encoding:?} back");
            let by = receiver.ended().map(|ended| ended.by);
            assert_eq!(by, Some(EndedBy::Violation), "{encoding:?}");
        }
    });
}

/// A message of a few bytes that would be a thousand times the limit, at either side.
#[test]
fn a_bomb_ends_the_call_as_exhausted() {
    for_each_transport(|transport| async move {
        let pair = pair_that_takes(transport, 4000).await;
        let bomb = Bytes::from(vec![0; 4 << 20]);
        for encoding in Encoding::ALL {
            let (sender, mut receiver) = open(&pair, compressed(encoding)).await;
            sender.try_send(bomb.clone()).expect("the client may");
            let (_, outcome) = read(&mut receiver).await;
            assert_eq!(
                code(&outcome),
                Code::ResourceExhausted,
                "{encoding:?} there"
            );
            let options = CallOptions {
                receive_message_bytes_max: 4000,
                ..compressed(encoding)
            };
            let (sender, mut receiver) = open(&pair, options).await;
            say(&sender, format!("compress {}", encoding.name()));
            say(&sender, "send 1 4000000");
            let (_, outcome) = read(&mut receiver).await;
            assert_eq!(code(&outcome), Code::ResourceExhausted, "{encoding:?} back");
        }
    });
}

/// Many messages that are small on the wire and large beside it do not all become large at once.
#[test]
fn a_batch_is_bounded_by_what_it_is_decompressed_to() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        for encoding in [Encoding::Gzip, Encoding::Deflate, Encoding::Zstd] {
            let (sender, mut receiver) = open(&pair, compressed(encoding)).await;
            say(&sender, format!("compress {}", encoding.name()));
            say(&sender, "send 100 50000");
            say(&sender, "status 10 stop");
            let mut messages = Vec::new();
            let error = loop {
                let before = messages.len();
                if let Err(error) = receiver.next_batch(&mut messages).await {
                    break error;
                }
                let bytes: usize = messages[before..].iter().map(Bytes::len).sum();
                assert!(bytes < (64 << 10) + 50_000, "{bytes} bytes at once");
            };
            assert_eq!(
                messages.len(),
                100,
                "{encoding:?}: all of them, before the status"
            );
            let whole = (0..100).all(|index| messages[index] == vec![index as u8; 50_000]);
            assert!(whole, "{encoding:?}: each as it was sent");
            assert_eq!(error.status.code, Code::Aborted);
        }
    });
}

/// Windows count what is sent: what is small on its way takes little of one.
#[test]
fn a_window_counts_what_is_sent() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let options = CallOptions {
            send_window: Credit {
                messages: 100,
                bytes: 5000,
            },
            ..compressed(Encoding::Deflate)
        };
        let (sender, mut receiver) = open(&pair, options).await;
        say(&sender, "count");
        let message = Bytes::from(vec![0; 2000]);
        for index in 0..50 {
            let sent = sender.try_send(message.clone());
            assert_eq!(sent, Ok(()), "message {index}");
        }
        let all = sender.try_send_all(vec![message.clone(); 100]);
        assert_eq!(all, Ok(49), "up to the window's messages");
        assert_eq!(sender.try_send(message.clone()), Err(SendError::Blocked));
        sender.send(message).await.expect("there is room again");
        done(&sender);
        let (messages, outcome) = read(&mut receiver).await;
        assert_eq!(
            (messages, outcome),
            (vec![Bytes::from("100 200000")], Ok(()))
        );
    });
}

#[test]
fn compression_is_chosen_before_the_headers_and_by_the_server() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (sender, mut receiver) = open(&pair, compressed(Encoding::Gzip)).await;
        let set = sender.set_compression(Encoding::Zstd);
        assert_eq!(
            set,
            Err(SendError::Misuse),
            "the client has said so already"
        );
        pair.router.stream("/a.New/Late", |call| async move {
            call.sender.send_headers(Metadata::new()).expect("open");
            let set = call.sender.set_compression(Encoding::Gzip);
            let text = format!("{set:?}");
            let _ = call.sender.send(text.into()).await;
            let _ = call.sender.finish(Ok(()), Metadata::new());
        });
        let late = pair
            .client
            .call("/a.New/Late", Metadata::new(), CallOptions::default());
        let (_sender, mut answer) = late.await.expect("it opens");
        assert_eq!(
            read(&mut answer).await,
            (vec![Bytes::from("Err(Misuse)")], Ok(()))
        );
        done(&sender);
        assert_eq!(read(&mut receiver).await.1, Ok(()));
    });
}
