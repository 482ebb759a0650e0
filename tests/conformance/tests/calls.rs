//! What a call is: shapes, metadata, status, limits.

use bytes::Bytes;
use headwater_conformance::{
    Fixture,
    control::{ECHO, FAIL, RUN, done, read, say},
    for_each_transport,
};
use headwater_rpc::{
    CallOptions, Client, Code, EndedBy, Metadata, Router, SendError, Server, ServerConfig, Shape,
    Status, Trailers,
};

/// The outcome of a [`RUN`] call that says these lines and then half-closes.
async fn run(pair: &Fixture, lines: &[&str]) -> (Vec<Bytes>, Result<(), Status>) {
    let (sender, mut receiver) = pair.call(RUN).await;
    for line in lines {
        let line = Bytes::copy_from_slice(line.as_bytes());
        sender.send(line).await.expect("the call is open");
    }
    done(&sender);
    read(&mut receiver).await
}

fn code<T: std::fmt::Debug>(outcome: &Result<T, Status>) -> Code {
    outcome.as_ref().expect_err("the call must fail").code
}

#[test]
fn unary_answers() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        for text in ["", "hello", &"x".repeat(100_000)] {
            let answer = pair.unary(ECHO, text).await;
            assert_eq!(answer, Ok(Bytes::from(text.to_owned())));
        }
    });
}

#[test]
fn client_streaming_counts() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (messages, outcome) = run(&pair, &["count", "a", "bb", "ccc"]).await;
        assert_eq!((messages, outcome), (vec![Bytes::from("3 6")], Ok(())));
    });
}

#[test]
fn server_streaming_keeps_order_and_size() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (messages, outcome) = run(&pair, &["send 300 1000"]).await;
        assert_eq!(outcome, Ok(()));
        let expected: Vec<_> = (0..300_usize)
            .map(|index| Bytes::from(vec![u8::try_from(index % 251).unwrap(); 1000]))
            .collect();
        assert!(messages == expected, "300 messages, each with its own byte");
    });
}

#[test]
fn many_messages_go_both_ways_in_order() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let lines: Vec<_> = (0..500).map(|index| format!("echo {index}")).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let (messages, outcome) = run(&pair, &lines).await;
        let expected: Vec<_> = (0..500)
            .map(|index| Bytes::from(index.to_string()))
            .collect();
        assert_eq!((messages, outcome), (expected, Ok(())));
    });
}

#[test]
fn a_ping_pong_needs_no_second_message() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (sender, mut receiver) = pair.call(RUN).await;
        let mut batch = Vec::new();
        for index in 0..100 {
            say(&sender, format!("echo {index}"));
            assert_eq!(receiver.next_batch(&mut batch).await, Ok(1));
            assert_eq!(batch.pop(), Some(Bytes::from(index.to_string())));
        }
    });
}

#[test]
fn the_server_may_end_before_the_client_half_closes() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (sender, mut receiver) = pair.call(RUN).await;
        say(&sender, "echo a");
        say(&sender, "ok");
        let (messages, outcome) = read(&mut receiver).await;
        assert_eq!((messages, outcome), (vec![Bytes::from("a")], Ok(())));
        assert_eq!(sender.try_send(Bytes::new()), Err(SendError::Ended));
    });
}

#[test]
fn large_messages_pass_whole() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let large = "y".repeat(3 << 20);
        let (messages, outcome) = run(&pair, &[&format!("echo {large}"), "echo b"]).await;
        assert_eq!(outcome, Ok(()));
        assert!(messages == [Bytes::from(large), Bytes::from("b")]);
    });
}

/// S4-10: metadata is an ordered multi-map and passes both ways, `-bin` keys as bytes, in headers and in trailers.
#[test]
fn s4_10_metadata_round_trips_in_headers_and_trailers() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let mut sent = Metadata::new();
        sent.append("key", "one, with a comma").unwrap();
        sent.append("key", "two").unwrap();
        sent.append_bytes("raw-bin", vec![0, 255, 10]).unwrap();
        sent.append_bytes("raw-bin", vec![]).unwrap();
        let options = CallOptions::default();
        let call = pair.client.call(RUN, sent.clone(), options).await;
        let (sender, mut receiver) = call.expect("it opens");
        say(&sender, "reflect");
        say(&sender, "echo x");
        done(&sender);
        let headers = receiver.headers().await.expect("the server sent some");
        let (_, outcome) = read(&mut receiver).await;
        assert_eq!(outcome, Ok(()));
        let trailers = receiver.trailers().expect("the call is over");
        for (place, got) in [("headers", headers), ("trailers", trailers)] {
            for key in ["key", "raw-bin"] {
                let values: Vec<_> = got.values(key).collect();
                let expected: Vec<_> = sent.values(key).collect();
                assert_eq!(values, expected, "{key} in the {place}");
            }
            assert_eq!(got.len(), 4, "nothing was added to the {place}: {got:?}");
        }
    });
}

/// S4-09: a status without anything before it.
#[test]
fn s4_09_trailers_only_has_no_headers() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (sender, mut receiver) = pair.call(RUN).await;
        say(&sender, "trailer key last");
        say(&sender, "status 9 not now");
        assert_eq!(receiver.headers().await, None);
        let (messages, outcome) = read(&mut receiver).await;
        assert!(messages.is_empty());
        assert_eq!(
            outcome,
            Err(Status::new(Code::FailedPrecondition, "not now"))
        );
        let trailers = receiver.trailers().expect("the call is over");
        assert_eq!(trailers.text("key"), Some("last"));
    });
}

#[test]
fn a_status_after_messages_follows_them() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let lines = ["echo a", "echo b", "trailer k v", "status 10 stop"];
        let (messages, outcome) = run(&pair, &lines).await;
        assert_eq!(messages, ["a", "b"]);
        assert_eq!(outcome, Err(Status::new(Code::Aborted, "stop")));
    });
}

#[test]
fn a_status_comes_with_code_and_unicode_message() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n 100 %";
        let answer = pair.unary(FAIL, &format!("5 {message}")).await;
        assert_eq!(answer, Err(Status::new(Code::NotFound, message)));
    });
}

#[test]
fn every_code_passes() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        for expected in Code::ALL {
            let answer = pair.unary(FAIL, &format!("{} m", expected.number())).await;
            assert_eq!(answer, Err(Status::new(expected, "m")));
        }
    });
}

/// S4-36: success and all 16 codes, with message, details and trailing metadata, at once and after a message.
#[test]
fn s4_36_every_code_passes_with_message_details_and_metadata() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let codes: Vec<_> = Code::ALL.into_iter().map(Some).chain([None]).collect();
        assert_eq!(codes.len(), 17, "0 to 16");
        for code in codes {
            for (message, details) in [("", ""), ("m \u{1F4A7}", ""), ("", "d\0\u{FF}"), ("m", "d")]
            {
                for first in [None, Some("echo a")] {
                    let end = code.map_or("ok".to_owned(), |code| {
                        format!("status {} {message}", code.number())
                    });
                    let details_line = format!("details {details}");
                    let rest = ["trailer raw-bin AAH/", &details_line, &end];
                    let lines: Vec<_> = first.into_iter().chain(rest).collect();
                    let (sender, mut receiver) = pair.call(RUN).await;
                    for line in &lines {
                        say(&sender, *line);
                    }
                    let (messages, outcome) = read(&mut receiver).await;
                    assert_eq!(messages.len(), first.iter().count(), "{lines:?}");
                    let expected = code.map_or(Ok(()), |code| {
                        let details = Bytes::copy_from_slice(details.as_bytes());
                        Err(Status {
                            details,
                            ..Status::new(code, message)
                        })
                    });
                    assert_eq!(outcome, expected, "{lines:?}");
                    let ended = receiver.ended().expect("the call is over");
                    assert_eq!(ended.by, EndedBy::Status, "{lines:?}");
                    let trailing = ended.trailers.metadata;
                    let bytes = trailing.bytes("raw-bin").cloned();
                    assert_eq!(bytes, Some(Bytes::from_static(&[0, 1, 255])), "{lines:?}");
                    assert_eq!(trailing.len(), 1, "nothing was added: {trailing:?}");
                }
            }
        }
    });
}

/// S4-12: in one process a message is the very same bytes at the handler and back at the client, whatever its size.
#[tokio::test]
async fn s4_12_in_process_nothing_is_copied() {
    let router = Router::new();
    router.stream(RUN, |call| async move {
        let mut call = call;
        let mut batch = Vec::new();
        while let Ok(1..) = call.receiver.next_batch(&mut batch).await {
            for message in batch.drain(..) {
                call.sender.send(message).await.expect("the call is open");
            }
        }
        let _ = call.sender.finish(Ok(()), Metadata::new());
    });
    let (client, server) = headwater_in_process::pair();
    let client = Client::new(client);
    let server = Server::new(server, router, ServerConfig::default());
    let connecting = client.clone();
    tokio::spawn(async move { connecting.connect().await });
    tokio::spawn(async move { server.serve().await });
    let call = client.call(RUN, Metadata::new(), CallOptions::default());
    let (sender, mut receiver) = call.await.expect("it opens");
    for bytes in [1, 1000, 3 << 20] {
        let message = Bytes::from(vec![7; bytes]);
        let place = message.as_ptr();
        sender.try_send(message).expect("there is room");
        let mut batch = Vec::new();
        receiver
            .next_batch(&mut batch)
            .await
            .expect("it comes back");
        assert_eq!(batch[0].len(), bytes);
        assert_eq!(
            batch[0].as_ptr(),
            place,
            "{bytes} bytes were copied on their way"
        );
    }
}

/// The requests end where the client says, once, and the responses go on after it.
#[test]
fn a_half_close_ends_the_requests_and_not_the_responses() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (messages, outcome) = run(&pair, &[]).await;
        assert_eq!(
            (messages, outcome),
            (vec![], Ok(())),
            "no message either way"
        );
        let (sender, mut receiver) = pair.call(RUN).await;
        say(&sender, "send 2000 1000");
        done(&sender);
        assert_eq!(sender.try_send(Bytes::new()), Err(SendError::Misuse));
        let again = sender.finish(Ok(()), Metadata::new());
        assert_eq!(again, Err(SendError::Misuse), "it was said before");
        let (messages, outcome) = read(&mut receiver).await;
        assert_eq!((messages.len(), outcome), (2000, Ok(())));
    });
}

#[test]
fn an_unknown_method_is_unimplemented() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let answer = pair.unary("/no.Such/Method", "x").await;
        assert_eq!(code(&answer), Code::Unimplemented);
    });
}

#[test]
fn a_removed_method_is_unimplemented_and_a_new_one_works() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        assert!(pair.router.remove(ECHO));
        assert_eq!(code(&pair.unary(ECHO, "x").await), Code::Unimplemented);
        pair.router
            .unary("/a.New/One", |_| async { Ok(Bytes::from("new")) });
        assert_eq!(pair.unary("/a.New/One", "").await, Ok(Bytes::from("new")));
    });
}

#[test]
fn a_handler_that_gives_up_or_panics_ends_as_unknown() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        for line in ["drop", "panic"] {
            let (_, outcome) = run(&pair, &["echo a", line]).await;
            assert_eq!(code(&outcome), Code::Unknown, "after {line}");
        }
    });
}

#[test]
fn the_peer_is_named_by_its_transport() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (messages, _) = run(&pair, &["peer"]).await;
        let peer = String::from_utf8(messages[0].to_vec()).unwrap();
        let (kind, rest) = peer.split_once(':').expect("<transport>:<address>");
        assert_eq!(kind, transport.peer_kind, "{peer}");
        assert!(!rest.is_empty(), "{peer}");
    });
}

#[test]
fn a_request_over_the_servers_limit_is_refused_with_its_reason() {
    for_each_transport(|transport| async move {
        let config = ServerConfig {
            receive_message_bytes_max: 1000,
            ..ServerConfig::default()
        };
        let pair = Fixture::with_config(transport, config).await;
        assert_eq!(
            pair.unary(ECHO, &"x".repeat(1000)).await.map(|m| m.len()),
            Ok(1000)
        );
        let answer = pair.unary(ECHO, &"x".repeat(1001)).await;
        assert_eq!(code(&answer), Code::ResourceExhausted);
    });
}

#[test]
fn a_response_over_the_clients_limit_is_refused() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let options = CallOptions {
            receive_message_bytes_max: Some(1000),
            ..CallOptions::default()
        };
        let call = pair.client.call(RUN, Metadata::new(), options).await;
        let (sender, mut receiver) = call.expect("it opens");
        say(&sender, "send 1 1000");
        say(&sender, "send 1 1001");
        let (messages, outcome) = read(&mut receiver).await;
        assert_eq!(messages.len(), 1, "the message within the limit came");
        assert_eq!(code(&outcome), Code::ResourceExhausted);
        let by = receiver.ended().map(|ended| ended.by);
        assert_eq!(by, Some(EndedBy::Violation));
    });
}

#[test]
fn a_message_over_the_own_limit_is_not_sent() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let options = CallOptions {
            send_message_bytes_max: Some(10),
            ..CallOptions::default()
        };
        let call = pair.client.call(RUN, Metadata::new(), options).await;
        let (sender, mut receiver) = call.expect("it opens");
        let refused = sender.try_send(Bytes::from_static(&[0; 11]));
        assert_eq!(refused, Err(SendError::TooLarge));
        say(&sender, "echo ok");
        done(&sender);
        assert_eq!(read(&mut receiver).await.0, ["ok"], "the call goes on");
    });
}

#[test]
fn a_unary_method_takes_exactly_one_request() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        // The client believes that the method is streaming; the server knows better.
        for count in [0, 2] {
            let (sender, mut receiver) = pair.call(ECHO).await;
            for _ in 0..count {
                say(&sender, "x");
            }
            done(&sender);
            let (_, outcome) = read(&mut receiver).await;
            assert_eq!(code(&outcome), Code::Unimplemented, "{count} requests");
        }
    });
}

#[test]
fn a_client_sees_when_a_unary_method_answers_twice() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let options = CallOptions {
            shape: Shape::ClientStreaming,
            ..CallOptions::default()
        };
        let call = pair.client.call(RUN, Metadata::new(), options).await;
        let (sender, mut receiver) = call.expect("it opens");
        say(&sender, "echo a");
        say(&sender, "echo b");
        done(&sender);
        assert_eq!(code(&read(&mut receiver).await.1), Code::Unimplemented);
    });
}

#[test]
fn ended_says_who_ended_the_call() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (sender, mut receiver) = pair.call(RUN).await;
        done(&sender);
        read(&mut receiver).await.1.expect("OK");
        let ended = receiver.ended().expect("the call is over");
        assert_eq!(
            (ended.trailers, ended.by),
            (Trailers::ok(), EndedBy::Status)
        );
    });
}
