//! Every bad input has a typed error, where the original is silent.

use headwater_proto::zrpc::v2::Body;
use headwater_rpc::{Code, IncomingCall, ServerConfig};
use headwater_websocket::{
    ZrpcConfig,
    zrpc::{Ending, Framing, TextFrames},
};
use tokio_tungstenite::tungstenite::Message;

use super::support::{Raw, Seen, Serving, binary, config, router, serve, serve_with, within};

/// What a client without call ids hears of a bad message: the text, the close code, and the reason.
async fn refused(serving: &Serving, message: Message) -> (Vec<Message>, (u16, String)) {
    let mut raw = Raw::connect(serving, None).await;
    raw.send(message).await;
    raw.until_close().await
}

/// S2-20: the error is a text before the end, and in the close frame too.
async fn is_refused(serving: &Serving, message: Message, code: Code, why: &str) {
    let number = code.number();
    let text = Message::text(format!("ERROR {number} {} {why}", code.name()));
    let expected = (vec![text], (4000 + u16::from(number), why.to_owned()));
    assert_eq!(refused(serving, message).await, expected);
}

#[tokio::test]
async fn s2_20_s2_40_a_frame_shorter_than_four_bytes_is_an_invalid_argument() {
    let serving = serve(router()).await;
    for len in 0..4 {
        let message = binary(&b"\x04\0\0\0"[..len]);
        is_refused(
            &serving,
            message,
            Code::InvalidArgument,
            "the frame is too short",
        )
        .await;
    }
}

#[tokio::test]
async fn s2_20_s2_41_a_name_longer_than_the_frame_is_an_invalid_argument() {
    let serving = serve(router()).await;
    let why = "the frame ends before the length that it says";
    for message in [&b"\x05\0\0\0echo"[..], b"\xff\xff\xff\xffecho"] {
        is_refused(&serving, binary(message), Code::InvalidArgument, why).await;
    }
}

#[tokio::test]
async fn s2_20_s2_42_a_name_that_is_not_utf8_is_an_invalid_argument() {
    let serving = serve(router()).await;
    let message = binary(b"\x01\0\0\0\xff");
    is_refused(
        &serving,
        message,
        Code::InvalidArgument,
        "the text is not utf-8",
    )
    .await;
}

#[tokio::test]
async fn s2_20_s2_43_no_name_is_unimplemented() {
    let serving = serve(router()).await;
    let message = binary(b"\0\0\0\0blob");
    is_refused(
        &serving,
        message,
        Code::Unimplemented,
        "there is no method \"\"",
    )
    .await;
}

#[tokio::test]
async fn s2_20_s2_44_an_unknown_method_is_unimplemented() {
    let serving = serve(router()).await;
    for (name, path) in [("typo", "/zrpc/typo"), ("nobody.echo", "/nobody/echo")] {
        let message = Message::binary(headwater_proto::zrpc::encode_request(name, b""));
        let why = format!("there is no method {path}");
        is_refused(&serving, message, Code::Unimplemented, &why).await;
    }
}

/// S2-20, S2-45: what was sent before comes before; a handler that panics or forgets to answer is one that failed.
#[tokio::test]
async fn s2_20_s2_45_a_handler_that_fails_is_told_with_its_status() {
    let router = router();
    router.stream("/zrpc/forget", async |call: IncomingCall| drop(call));
    router.stream("/zrpc/panic", async |call: IncomingCall| {
        let _call = call;
        panic!("as a test wants it");
    });
    let serving = serve(router).await;
    let mut raw = Raw::connect(&serving, None).await;
    raw.call("fail", b"first").await;
    let (messages, end) = raw.until_close().await;
    let text = Message::text("ERROR 5 NOT_FOUND nobody is here");
    assert_eq!(messages, [binary(b"first"), text]);
    assert_eq!(end, (4005, "nobody is here".into()));
    for method in ["forget", "panic"] {
        let mut raw = Raw::connect(&serving, None).await;
        raw.call(method, b"").await;
        let (messages, (code, _)) = raw.until_close().await;
        assert_eq!((messages.len(), code), (1, 4002), "{method}: {messages:?}");
    }
}

#[tokio::test]
async fn s2_20_s2_48_a_text_is_refused_or_ignored_by_setting() {
    let serving = serve(router()).await;
    let text = || Message::text("hello");
    is_refused(
        &serving,
        text(),
        Code::InvalidArgument,
        "a call is a binary message",
    )
    .await;
    let ignored = ZrpcConfig {
        text: TextFrames::Ignore,
        ..ZrpcConfig::default()
    };
    let serving = serve_with(router(), ServerConfig::default(), config(ignored)).await;
    let mut raw = Raw::connect(&serving, None).await;
    raw.send(text()).await;
    raw.call("echo", b"world").await;
    assert_eq!(
        raw.until_close().await.0,
        [binary(b"world")],
        "nothing was said of the text"
    );
}

/// S2-20: with the old end, each error ends its call, and the socket goes on.
#[tokio::test]
async fn s2_20_an_error_ends_its_call_alone_where_the_end_is_a_text() {
    let zrpc = ZrpcConfig {
        ending: Ending::CloseText,
        ..ZrpcConfig::default()
    };
    let serving = serve_with(router(), ServerConfig::default(), config(zrpc)).await;
    let mut raw = Raw::connect(&serving, None).await;
    for message in [
        binary(b""),
        binary(b"\x09\0\0\0"),
        binary(b"\x01\0\0\0\xff"),
        Message::text("x"),
    ] {
        raw.send(message).await;
        let Some(Message::Text(text)) = raw.next().await else {
            panic!("no error");
        };
        assert!(text.starts_with("ERROR 3 INVALID_ARGUMENT "), "{text}");
        assert_eq!(raw.next().await, Some(Message::text("CLOSE")));
    }
    raw.call("echo", b"world").await;
    assert_eq!(raw.next().await, Some(binary(b"world")));
}

/// S2-20: our client says what the server said.
#[tokio::test]
async fn s2_20_our_client_gives_the_typed_error() {
    let serving = serve(router()).await;
    for framing in [Framing::Numbered, Framing::Plain, Framing::Unnamed] {
        let proxy = serving.proxy(framing);
        let failed = proxy.call("typo", "").await.expect("it starts").all();
        let status = within("the error", failed)
            .await
            .expect_err("there is no such method");
        assert_eq!(status.code, Code::Unimplemented, "{framing:?}");
        assert_eq!(
            status.message, "there is no method /zrpc/typo",
            "{framing:?}"
        );
        let mut replies = proxy.call("fail", "first").await.expect("it starts");
        assert_eq!(
            within("the reply", replies.next()).await,
            Some(Ok("first".into()))
        );
        let status = within("the error", replies.next()).await.expect("one more");
        assert_eq!(
            status.map_err(|status| status.code),
            Err(Code::NotFound),
            "{framing:?}"
        );
        assert_eq!(
            replies.next().await,
            None,
            "{framing:?}: the error is the last"
        );
    }
}

/// S2-20, S2-40, S2-41, S2-42, S2-43, S2-44: with call ids, an error ends its call and no other.
#[tokio::test]
async fn s2_20_s2_40_to_s2_44_with_call_ids_an_error_ends_its_call_alone() {
    let serving = serve(router()).await;
    let mut raw = Raw::connect(&serving, Some("zrpc.v2")).await;
    for (call, rest, code) in [
        (1, &b""[..], Code::InvalidArgument),
        (2, b"\x05\0\0\0echo", Code::InvalidArgument),
        (3, b"\x01\0\0\0\xff", Code::InvalidArgument),
        (4, b"\0\0\0\0", Code::Unimplemented),
        (5, b"\x04\0\0\0typo", Code::Unimplemented),
    ] {
        let mut message = vec![1];
        message.extend_from_slice(&u32::to_le_bytes(call));
        message.extend_from_slice(rest);
        raw.send(Message::binary(message)).await;
        assert_eq!(raw.next_said().await, Seen::Ended(call, Some(code)));
    }
    raw.send(binary(b"\x63\x06\0\0\0")).await;
    let unknown = Seen::Ended(6, Some(Code::InvalidArgument));
    assert_eq!(
        raw.next_said().await,
        unknown,
        "a kind of frame that there is not"
    );
    let blob = "x".into();
    raw.send_frame(
        7,
        Body::Call {
            method: "echo",
            blob,
        },
    )
    .await;
    assert_eq!(raw.next_said().await, Seen::Blob(7, "x".into()));
    assert_eq!(raw.next_said().await, Seen::Ended(7, None));
}

/// S2-20, S2-40, S2-48: what is of no call ends the socket, and says why.
#[tokio::test]
async fn s2_20_with_call_ids_what_is_of_no_call_ends_the_socket() {
    let serving = serve(router()).await;
    let in_use = b"\x02\x01\0\0\0\x04\0\0\0echo";
    for messages in [
        vec![binary(b"\x01\x01\0\0")],
        vec![binary(b"\x01\0\0\0\0\x04\0\0\0echo")],
        vec![Message::text("x")],
        vec![binary(in_use), binary(in_use)],
    ] {
        let mut raw = Raw::connect(&serving, Some("zrpc.v2")).await;
        for message in messages.clone() {
            raw.send(message).await;
        }
        let said = raw.next_said().await;
        assert_eq!(
            said,
            Seen::Ended(0, Some(Code::InvalidArgument)),
            "{messages:?}"
        );
        let (rest, (code, _)) = raw.until_close().await;
        assert_eq!((rest, code), (vec![], 4003), "{messages:?}");
    }
    serving.idle().await;
}
