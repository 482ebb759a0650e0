//! The client, before servers that speak HTTP/3 by hand.

mod support;

use std::time::Duration;

use bytes::Bytes;
use headwater_http3::{Http3Client, Http3ClientConfig};
use headwater_rpc::{Client, Code, EndedBy, Status, tls::DevCertificates};
use quinn::{Connection, RecvStream, SendStream, VarInt};
use support::{
    ECHO, STREAM, open,
    raw::{self, RawServer},
    read, run, unary,
    wire::{GOAWAY, HEADERS, frame, message, response, section, trailers, varint},
    within,
};

/// A client of this server, which runs.
fn client(server: &RawServer) -> Client {
    let config = Http3ClientConfig {
        tls: server.tls.clone(),
        ..Http3ClientConfig::default()
    };
    let url = format!("h3://{}", server.addr);
    let client = Client::new(Http3Client::new(&url, &config).expect("a valid url"));
    run(&client);
    client
}

async fn accept(quic: &Connection) -> (SendStream, RecvStream) {
    let accepted = within("a stream", quic.accept_bi()).await;
    accepted.expect("the connection lives")
}

/// What a unary call ends with whose answer are these bytes and the end of the stream.
async fn answered(bytes: Vec<u8>) -> Result<Bytes, Status> {
    let server = raw::serve().await;
    let client = client(&server);
    let call = tokio::spawn(async move { unary(&client, ECHO, "x").await });
    let (quic, _control) = server.accept().await;
    let (mut send, mut recv) = accept(&quic).await;
    raw::read(&mut recv).await.expect("a whole request");
    send.write_all(&bytes).await.expect("there is room");
    let _ = send.finish();
    within("the call", call).await.expect("no panic")
}

fn status(lines: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, &section(lines))
}

#[tokio::test]
async fn only_a_status_is_a_success() {
    let ok = [response(), message(b"y"), trailers("0")].concat();
    assert_eq!(answered(ok).await, Ok("y".into()));
    let interim = [status(&[(":status", "103"), ("link", "x")])].concat();
    let late = [interim.clone(), response(), message(b"y"), trailers("0")].concat();
    assert_eq!(
        answered(late).await,
        Ok("y".into()),
        "an interim response says nothing"
    );
    let grpc = ("content-type", "application/grpc");
    let many = interim.repeat(100);
    let large = status(&[(":status", "200"), grpc, ("x", &"y".repeat(20_000))]);
    let cases: Vec<(&str, Vec<u8>, Code)> = vec![
        ("nothing", vec![], Code::Internal),
        ("headers alone", response(), Code::Internal),
        (
            "a message without a status",
            [response(), message(b"y")].concat(),
            Code::Internal,
        ),
        (
            "trailers without a status",
            [response(), message(b"y"), status(&[("x", "y")])].concat(),
            Code::Internal,
        ),
        (
            "half a message",
            [
                response(),
                vec![0, 7, 0, 0, 0, 0, 9, b'y', b'z'],
                trailers("0"),
            ]
            .concat(),
            Code::Internal,
        ),
        (
            "an end within a frame",
            [response(), vec![0, 9, 0]].concat(),
            Code::Internal,
        ),
        (
            "trailers only",
            status(&[(":status", "200"), grpc, ("grpc-status", "5")]),
            Code::NotFound,
        ),
        (
            "a failure",
            [response(), trailers("9")].concat(),
            Code::FailedPrecondition,
        ),
        (
            "HTTP's 503",
            status(&[(":status", "503")]),
            Code::Unavailable,
        ),
        (
            "HTTP's 401",
            status(&[(":status", "401")]),
            Code::Unauthenticated,
        ),
        (
            "another content type",
            status(&[(":status", "200"), ("content-type", "text/html")]),
            Code::Unknown,
        ),
        ("no :status", status(&[grpc]), Code::Internal),
        (
            ":status twice",
            status(&[(":status", "200"), (":status", "200"), grpc]),
            Code::Internal,
        ),
        (
            "a request's header",
            status(&[(":status", "200"), (":path", "/"), grpc]),
            Code::Internal,
        ),
        ("interim responses without end", many, Code::Internal),
        ("metadata too large", large, Code::ResourceExhausted),
        (
            "DATA first",
            [message(b"y"), response()].concat(),
            Code::Internal,
        ),
        (
            "a dynamic line",
            frame(HEADERS, &[0, 0, 0x80]),
            Code::Internal,
        ),
        (
            "a promise",
            [response(), frame(0x5, &[0, 0])].concat(),
            Code::Internal,
        ),
    ];
    for (what, bytes, code) in cases {
        let outcome = answered(bytes).await.map_err(|status| status.code);
        // A connection that is closed for it may be what the call hears of first.
        assert_eq!(outcome, Err(code), "{what}");
    }
}

/// S4-81: what a reset says, as the application hears it.
#[tokio::test]
async fn s4_81_resets_are_heard_by_their_codes() {
    let server = raw::serve().await;
    let client = client(&server);
    let waiting = tokio::spawn(async move {
        let mut codes = Vec::new();
        for _ in 0..5 {
            let (_sender, mut receiver) = open(&client, STREAM).await;
            let (_, outcome) = read(&mut receiver).await;
            let by = receiver.ended().map(|ended| ended.by);
            assert_eq!(by, Some(EndedBy::Peer));
            codes.push(outcome.expect_err("it was reset").code);
        }
        codes
    });
    let (quic, _control) = server.accept().await;
    for code in [0x10c, 0x107, 0x102, 0x100, 0x3] {
        let (mut send, _recv) = accept(&quic).await;
        send.write_all(&response()).await.expect("there is room");
        // Headers may be lost to the reset, which then comes before them.
        send.reset(VarInt::from_u32(code)).expect("it is open");
    }
    let codes = within("the calls", waiting).await.expect("no panic");
    let expected = [
        Code::Cancelled,
        Code::ResourceExhausted,
        Code::Internal,
        Code::Internal,
        Code::Internal,
    ];
    assert_eq!(codes, expected);
}

/// S4-54, S4-81: a rejected stream never came to a handler, so the call is sent once more by itself.
#[tokio::test]
async fn s4_81_a_rejected_call_is_sent_again() {
    let server = raw::serve().await;
    let client = client(&server);
    let call = tokio::spawn(async move { unary(&client, ECHO, "x").await });
    let (quic, _control) = server.accept().await;
    let (mut send, mut recv) = accept(&quic).await;
    send.reset(VarInt::from_u32(0x10b)).expect("it is open");
    let _ = recv.stop(VarInt::from_u32(0x10b));
    let (mut send, _recv) = accept(&quic).await;
    let bytes = [response(), message(b"again"), trailers("0")].concat();
    send.write_all(&bytes).await.expect("there is room");
    let _ = send.finish();
    let answer = within("the call", call).await.expect("no panic");
    assert_eq!(answer, Ok("again".into()));
}

/// S4-84: GOAWAY's id is the first that is not served: a call on it goes elsewhere, one below it goes on.
#[tokio::test]
async fn s4_84_calls_from_the_id_of_goaway_on_are_sent_elsewhere() {
    let server = raw::serve().await;
    let client = client(&server);
    let calls: Vec<_> = ["first", "second"]
        .map(|text| {
            let client = client.clone();
            tokio::spawn(async move { unary(&client, ECHO, text).await })
        })
        .into();
    let (old, mut control) = server.accept().await;
    let (mut first, mut request) = accept(&old).await;
    let _unserved = accept(&old).await;
    let asked = raw::read(&mut request).await.expect("a whole request");
    let text = if asked.ends_with(b"first") {
        "first"
    } else {
        "second"
    };
    control
        .write_all(&frame(GOAWAY, &varint(4)))
        .await
        .expect("there is room");
    // The second stream is neither answered nor reset, and its call comes on another connection.
    let (new, _control) = server.accept().await;
    let (mut second, _recv) = accept(&new).await;
    for send in [&mut second, &mut first] {
        let bytes = [response(), message(b"y"), trailers("0")].concat();
        send.write_all(&bytes).await.expect("there is room");
        let _ = send.finish();
    }
    for call in calls {
        let answer = within("a call", call).await.expect("no panic");
        assert_eq!(
            answer,
            Ok("y".into()),
            "{text} was served on the old connection"
        );
    }
}

/// The id of GOAWAY may only shrink, and is one of a request (RFC 9114, 5.2, 7.2.6).
#[tokio::test]
async fn a_goaway_that_is_none_ends_its_connection() {
    for ids in [&[3][..], &[4, 8]] {
        let server = raw::serve().await;
        let client = client(&server);
        let call = tokio::spawn(async move { open(&client, STREAM).await });
        let (quic, mut control) = server.accept().await;
        let _stream = accept(&quic).await;
        for &id in ids {
            let goaway = frame(GOAWAY, &varint(id));
            control.write_all(&goaway).await.expect("there is room");
        }
        let closed = within("the end", quic.closed()).await;
        assert_eq!(raw::close_code(&closed), 0x108, "H3_ID_ERROR: {ids:?}");
        drop(call);
    }
}

/// A cancel ends both directions: what the client still sends, and what the server still sends.
#[tokio::test]
async fn a_cancel_resets_both_directions() {
    let server = raw::serve().await;
    let client = client(&server);
    let opened = tokio::spawn(async move {
        let halves = open(&client, STREAM).await;
        (halves, client)
    });
    let (quic, _control) = server.accept().await;
    let ((sender, receiver), client) = opened.await.expect("no panic");
    sender.send("x".into()).await.expect("the call is open");
    let (send, mut recv) = accept(&quic).await;
    drop((sender, receiver));
    assert_eq!(raw::read(&mut recv).await, Err(0x10c), "RESET_STREAM");
    assert_eq!(raw::stopped(&send).await, Some(0x10c), "STOP_SENDING");
    // Of a call that has said all, only the answer is left to be stopped.
    let call = tokio::spawn(async move { unary(&client, ECHO, "x").await });
    let (send, mut recv) = accept(&quic).await;
    raw::read(&mut recv).await.expect("a whole request");
    call.abort();
    assert_eq!(raw::stopped(&send).await, Some(0x10c), "STOP_SENDING");
    assert_eq!(quic.close_reason(), None, "the connection goes on");
}

/// A client that leaves says so (RFC 9114, 5.2), and closes the connection without an error.
#[tokio::test]
async fn a_client_that_stops_says_goaway() {
    let server = raw::serve().await;
    let client = client(&server);
    let stopping = client.clone();
    let opened = tokio::spawn(async move { open(&client, STREAM).await });
    let (quic, _control) = server.accept().await;
    let (mut send, _recv) = accept(&quic).await;
    let (_sender, mut receiver) = opened.await.expect("no panic");
    stopping.begin_graceful_shutdown();
    let answer = [response(), message(b"y"), trailers("0")].concat();
    send.write_all(&answer).await.expect("there is room");
    let _ = send.finish();
    assert_eq!(read(&mut receiver).await, (vec!["y".into()], Ok(())));
    let closed = within("the end", quic.closed()).await;
    assert_eq!(raw::close_code(&closed), 0x100, "H3_NO_ERROR");
}

/// A server that nobody can trust, one that does not speak HTTP/3, and one that is not there, each in words.
#[tokio::test]
async fn a_connection_that_fails_says_why() {
    let server = raw::serve().await;
    let stranger = DevCertificates::generate().expect("the system has randomness");
    let outcome = |url: String, tls| async move {
        let config = Http3ClientConfig {
            tls,
            connect_timeout: Duration::from_millis(300),
            ..Http3ClientConfig::default()
        };
        let client = Client::new(Http3Client::new(&url, &config).expect("a valid url"));
        run(&client);
        unary(&client, ECHO, "x")
            .await
            .expect_err("there is no connection")
    };
    let url = format!("h3://{}", server.addr);
    let endpoint = server.endpoint.clone();
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            // It fails, which the client is asked about.
            tokio::spawn(async move { incoming.await.is_ok() });
        }
    });
    let untrusted = outcome(url.clone(), stranger.client()).await;
    assert_eq!(untrusted.code, Code::Unavailable);
    assert!(
        untrusted.message.contains("certificate"),
        "{}",
        untrusted.message
    );
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let silent = format!("h3://{}", socket.local_addr().expect("it is bound"));
    let late = outcome(silent, server.tls.clone()).await;
    assert_eq!(late.code, Code::Unavailable);
    assert!(
        late.message.contains("not connected within 300ms"),
        "{}",
        late.message
    );
}

#[test]
fn what_is_no_url_is_refused() {
    let config = Http3ClientConfig {
        tls: DevCertificates::generate()
            .expect("the system has randomness")
            .client(),
        ..Http3ClientConfig::default()
    };
    for url in [
        "http://x",
        "https://x",
        "h3:",
        "h3://user:secret@x",
        "h3://",
        "x",
    ] {
        let error = Http3Client::new(url, &config).expect_err(url);
        assert_eq!(error.code, Code::InvalidArgument, "{url}");
        assert!(!error.message.contains("secret"), "{}", error.message);
    }
    for url in ["h3://x", "h3://x:1", "h3://[::1]:1", "h3://127.0.0.1"] {
        assert!(Http3Client::new(url, &config).is_ok(), "{url}");
    }
}
