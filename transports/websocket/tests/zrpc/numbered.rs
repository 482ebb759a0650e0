//! Frames with call ids.

use std::future::poll_fn;

use headwater_proto::zrpc::v2::{Body, WINDOW_BYTES};
use headwater_rpc::{
    CallOptions, Code, Encoding, IncomingCall, Metadata, Router, SendError, Shape,
};
use headwater_websocket::zrpc::{Framing, ZrpcClientConfig};

use super::support::{Raw, Seen, router, serve, silent, within};

/// Says each request in capitals, and how many there were at the end.
fn streams() -> Router {
    let router = router();
    router.stream("/zrpc/shout", async |mut call: IncomingCall| {
        let mut requests = Vec::new();
        while let Ok(1..) = call.receiver.next_batch(&mut requests).await {
            for request in requests.drain(..) {
                let shout = request.to_ascii_uppercase();
                if call.sender.send(shout.into()).await.is_err() {
                    return;
                }
            }
        }
        let _ = call.sender.finish(Ok(()), Metadata::new());
    });
    router
}

/// S2-21: the replies of two calls are interleaved, and each is told apart.
#[tokio::test]
async fn s2_21_interleaved_replies_reach_their_calls() {
    let serving = serve(streams()).await;
    let mut raw = Raw::connect(&serving, Some("zrpc.v2")).await;
    for call in [1, 2] {
        let (timeout, metadata) = (None, Metadata::new());
        raw.send_frame(
            call,
            Body::Open {
                method: "shout",
                timeout,
                metadata,
            },
        )
        .await;
    }
    for (call, text) in [(1, "a"), (2, "b"), (2, "c"), (1, "d")] {
        raw.send_frame(call, Body::Message(text.into())).await;
        let shouted = text.to_ascii_uppercase().into();
        assert_eq!(raw.next_said().await, Seen::Blob(call, shouted));
    }
    for call in [2, 1] {
        raw.send_frame(call, Body::End).await;
        assert_eq!(raw.next_said().await, Seen::Ended(call, None));
    }
}

/// S2-21: many calls of our client share a socket, and none gets what is another's.
#[tokio::test]
async fn s2_21_many_calls_share_one_socket() {
    let serving = serve(streams()).await;
    let proxy = serving.proxy(Framing::Numbered);
    let calls = (0..50).map(|number: u32| {
        let proxy = &proxy;
        async move {
            let blob = number.to_string();
            let replies = proxy.call("thrice", blob.clone()).await.expect("it starts");
            assert_eq!(
                replies.all().await,
                Ok(vec![blob.into(); 3]),
                "call {number}"
            );
        }
    });
    within("all calls", futures_util::future::join_all(calls)).await;
}

/// S2-25: one request or many, one reply or many.
#[tokio::test]
async fn s2_25_the_four_shapes_of_calls_pass() {
    let router = streams();
    router.stream("/zrpc/count", async |mut call: IncomingCall| {
        let mut requests = Vec::new();
        while let Ok(1..) = call.receiver.next_batch(&mut requests).await {}
        let _ = call.sender.try_send(requests.len().to_string().into());
        let _ = call.sender.finish(Ok(()), Metadata::new());
    });
    let serving = serve(router).await;
    let client = serving.client(&ZrpcClientConfig::default());
    for (shape, path, requests, expected) in [
        (Shape::Unary, "/zrpc/echo", vec!["x"], vec!["x"]),
        (
            Shape::ServerStreaming,
            "/zrpc/thrice",
            vec!["x"],
            vec!["x"; 3],
        ),
        (
            Shape::ClientStreaming,
            "/zrpc/count",
            vec!["x"; 5],
            vec!["5"],
        ),
        (Shape::ClientStreaming, "/zrpc/count", vec![], vec!["0"]),
        (
            Shape::Bidirectional,
            "/zrpc/shout",
            vec!["a", "b"],
            vec!["A", "B"],
        ),
    ] {
        let options = CallOptions {
            shape,
            ..CallOptions::default()
        };
        let call = client.call(path, Metadata::new(), options);
        let (sender, mut receiver) = within("the call", call).await.expect("it starts");
        for request in requests {
            sender.send(request.into()).await.expect("the call is open");
        }
        sender
            .finish(Ok(()), Metadata::new())
            .expect("the call is open");
        let mut replies = Vec::new();
        loop {
            match within("a reply", receiver.next_batch(&mut replies)).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => panic!("{shape:?}: {error:?}"),
            }
        }
        assert_eq!(replies, expected, "{shape:?}");
    }
}

/// S2-25: a bidirectional call is one: each reply comes before the next request is said.
#[tokio::test]
async fn s2_25_a_bidirectional_call_goes_back_and_forth() {
    let serving = serve(streams()).await;
    let client = serving.client(&ZrpcClientConfig::default());
    let call = client.call("/zrpc/shout", Metadata::new(), CallOptions::default());
    let (sender, mut receiver) = within("the call", call).await.expect("it starts");
    for text in ["ping", "pong"] {
        sender.send(text.into()).await.expect("the call is open");
        let mut replies = Vec::new();
        within("the reply", receiver.next_batch(&mut replies))
            .await
            .expect("it is open");
        assert_eq!(replies, [text.to_ascii_uppercase()]);
    }
}

/// S2-25: more than one request needs call ids, and that is said.
#[tokio::test]
async fn s2_25_without_call_ids_a_stream_of_requests_is_unimplemented() {
    let serving = serve(streams()).await;
    let config = ZrpcClientConfig {
        framing: Framing::Plain,
        ..ZrpcClientConfig::default()
    };
    let client = serving.client(&config);
    let call = client.call("/zrpc/shout", Metadata::new(), CallOptions::default());
    let (sender, mut receiver) = within("the call", call).await.expect("it starts");
    for text in ["a", "b"] {
        sender.send(text.into()).await.expect("there is room");
    }
    let mut replies = Vec::new();
    let failed = within("the error", receiver.next_batch(&mut replies)).await;
    assert_eq!(
        failed.map_err(|error| error.status.code),
        Err(Code::Unimplemented)
    );
}

/// S2-24: a call's metadata go with it, both ways, and so do those of its end.
#[tokio::test]
async fn s2_24_metadata_travel_both_ways() {
    let router = Router::new();
    router.stream("/zrpc/mirror", async |call: IncomingCall| {
        let _ = call.sender.send_headers(call.metadata.clone());
        let _ = call.sender.finish(Ok(()), call.metadata);
    });
    let serving = serve(router).await;
    let client = serving.client(&ZrpcClientConfig::default());
    let mut metadata = Metadata::new();
    metadata.append("user", "ann").expect("valid");
    metadata
        .append_bytes("trace-bin", vec![0, 1, 2])
        .expect("valid");
    let call = client.call("/zrpc/mirror", metadata, CallOptions::default());
    let (_sender, mut receiver) = within("the call", call).await.expect("it starts");
    let headers = within("the headers", receiver.headers())
        .await
        .expect("they come");
    let mut none = Vec::new();
    assert_eq!(
        within("the end", receiver.next_batch(&mut none)).await,
        Ok(0)
    );
    let trailers = receiver.trailers().expect("they have come");
    for got in [headers, trailers] {
        assert_eq!(got.text("user"), Some("ann"));
        assert_eq!(
            got.bytes("trace-bin").map(|bytes| bytes.to_vec()),
            Some(vec![0, 1, 2])
        );
    }
}

/// S2-23: requests that nobody reads stop at the window, and go on when they are read.
#[tokio::test]
async fn s2_23_a_slow_handler_holds_the_requests_back() {
    let router = Router::new();
    let (read, reads) = tokio::sync::watch::channel(false);
    router.stream("/zrpc/slow", move |mut call: IncomingCall| {
        let mut reads = reads.clone();
        async move {
            let _ = reads.wait_for(|read| *read).await;
            let mut requests = Vec::new();
            while let Ok(1..) = call.receiver.next_batch(&mut requests).await {}
            let _ = call.sender.try_send(requests.len().to_string().into());
            let _ = call.sender.finish(Ok(()), Metadata::new());
        }
    });
    let serving = serve(router).await;
    let mut raw = Raw::connect(&serving, Some("zrpc.v2")).await;
    let open = |method| Body::Open {
        method,
        timeout: None,
        metadata: Metadata::new(),
    };
    raw.send_frame(1, open("slow")).await;
    let blob = bytes::Bytes::from(vec![7; 32 * 1024]);
    let fits = WINDOW_BYTES as usize / (32 * 1024);
    for _ in 0..fits {
        raw.send_frame(1, Body::Message(blob.clone())).await;
    }
    read.send_replace(true);
    let Seen::Credit(1, bytes) = raw.next_said().await else {
        panic!("no credit came back");
    };
    assert!(bytes >= WINDOW_BYTES / 2, "{bytes}");
    raw.send_frame(1, Body::End).await;
    assert_eq!(
        raw.next_said().await,
        Seen::Blob(1, fits.to_string().into())
    );
}

/// S2-23: who ignores the credit loses its call, and no other.
#[tokio::test]
async fn s2_23_requests_without_credit_end_their_call() {
    let router = router();
    let (mut came, mut cancelled) = silent(&router, "/zrpc/silent");
    let serving = serve(router).await;
    let mut raw = Raw::connect(&serving, Some("zrpc.v2")).await;
    let open = Body::Open {
        method: "silent",
        timeout: None,
        metadata: Metadata::new(),
    };
    raw.send_frame(1, open).await;
    within("the call", came.recv()).await;
    let blob = bytes::Bytes::from(vec![7; WINDOW_BYTES as usize]);
    raw.send_frame(1, Body::Message(blob)).await;
    raw.send_frame(1, Body::Message("one too many".into()))
        .await;
    assert_eq!(
        raw.next_said().await,
        Seen::Ended(1, Some(Code::ResourceExhausted))
    );
    within("the cancel", cancelled.recv()).await;
    let blob = "x".into();
    raw.send_frame(
        2,
        Body::Call {
            method: "echo",
            blob,
        },
    )
    .await;
    assert_eq!(raw.next_said().await, Seen::Blob(2, "x".into()));
}

/// The end of the requests is said once: no flood of ends waits for a handler that does not read.
#[tokio::test]
async fn a_second_end_of_the_requests_ends_the_call() {
    let router = router();
    let (mut came, mut cancelled) = silent(&router, "/zrpc/silent");
    let serving = serve(router).await;
    let mut raw = Raw::connect(&serving, Some("zrpc.v2")).await;
    for late in [Body::End, Body::Message("late".into())] {
        let open = Body::Open {
            method: "silent",
            timeout: None,
            metadata: Metadata::new(),
        };
        raw.send_frame(1, open).await;
        within("the call", came.recv()).await;
        raw.send_frame(1, Body::End).await;
        raw.send_frame(1, late).await;
        let ended = Seen::Ended(1, Some(Code::InvalidArgument));
        assert_eq!(raw.next_said().await, ended);
        within("the cancel", cancelled.recv()).await;
    }
}

/// S2-23: a call whose replies nobody reads does not hold up the others of its socket.
#[tokio::test]
async fn s2_23_a_stalled_call_does_not_stall_its_neighbours() {
    let router = streams();
    let (stalled, mut has_stalled) = tokio::sync::mpsc::unbounded_channel();
    router.stream("/zrpc/flood", move |call: IncomingCall| {
        let stalled = stalled.clone();
        async move {
            let blob = bytes::Bytes::from(vec![7; 16 * 1024]);
            let mut sent = 0;
            loop {
                match call.sender.try_send(blob.clone()) {
                    Ok(()) => sent += blob.len(),
                    Err(SendError::Blocked) => {
                        let _ = stalled.send(sent);
                        call.sender.writable().await;
                    }
                    Err(_) => return,
                }
            }
        }
    });
    let serving = serve(router).await;
    let client = serving.client(&ZrpcClientConfig::default());
    let call = client.call("/zrpc/flood", Metadata::new(), CallOptions::default());
    let (_sender, mut receiver) = within("the call", call).await.expect("it starts");
    let proxy = headwater_websocket::zrpc::Proxy::new(client.clone());
    let mut most = within("the flood to stall", has_stalled.recv())
        .await
        .expect("it runs");
    for _ in 0..100 {
        let replies = proxy.call("thrice", "x").await.expect("it starts");
        assert_eq!(
            within("a neighbour", replies.all()).await,
            Ok(vec!["x".into(); 3])
        );
        while let Ok(sent) = has_stalled.try_recv() {
            most = sent;
        }
    }
    // The window, what one pull may take, and what waits in the call.
    assert!(
        most <= 3 * WINDOW_BYTES as usize,
        "{most} bytes were taken of who is not read"
    );
    let mut read = 0;
    while read < 4 * WINDOW_BYTES as usize {
        let mut blobs = Vec::new();
        let came = within("more of the flood", receiver.next_batch(&mut blobs)).await;
        came.expect("the call is still open");
        read += blobs.iter().map(bytes::Bytes::len).sum::<usize>();
    }
}

/// A compressed message travels as such where frames can say it.
#[tokio::test]
async fn compressed_messages_pass_with_call_ids() {
    let router = Router::new();
    router.stream("/zrpc/packed", async |mut call: IncomingCall| {
        let mut requests = Vec::new();
        while let Ok(1..) = call.receiver.next_batch(&mut requests).await {}
        let _ = call.sender.set_compression(Encoding::Gzip);
        let was = call.receiver.was_compressed(0);
        // What does not get smaller is not compressed.
        let _ = call.sender.try_send(format!("{was} ").repeat(100).into());
        let _ = call.sender.finish(Ok(()), Metadata::new());
    });
    let serving = serve(router).await;
    let client = serving.client(&ZrpcClientConfig::default());
    let options = CallOptions {
        compression: Encoding::Gzip,
        accepted_encodings: headwater_rpc::SUPPORTED_ENCODINGS,
        ..CallOptions::default()
    };
    let blob = bytes::Bytes::from(vec![b'a'; 10_000]);
    let call = client.call_with_request("/zrpc/packed", Metadata::new(), blob, options);
    let (_sender, mut receiver) = within("the call", call).await.expect("it starts");
    let mut replies = Vec::new();
    poll_fn(|cx| receiver.poll_next_batch(cx, &mut replies))
        .await
        .expect("a reply");
    assert_eq!(replies, ["true ".repeat(100)]);
    assert!(receiver.was_compressed(0));
}
