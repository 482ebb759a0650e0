use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::{SinkExt, StreamExt};
use headwater_proto::websocket::{self as codec, DecoderConfig, Incoming as Frame, MessageKind};
use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::{mpsc, oneshot},
};
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::{Handshake, NotUpgraded, ReadError, Socket};

type Sockets = mpsc::UnboundedReceiver<Result<Socket, NotUpgraded>>;

/// A listener whose sockets the test gets, and what stops it and says that it has stopped.
struct Served {
    address: SocketAddr,
    sockets: Sockets,
    stop: oneshot::Sender<()>,
    stopped: tokio::task::JoinHandle<()>,
}

async fn serve(config: ListenerConfig) -> Served {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), config)
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, sockets) = mpsc::unbounded_channel();
    let (stop, stopping) = oneshot::channel::<()>();
    let service = move |mut request: Request<Incoming>, _peer| {
        let sender = sender.clone();
        async move {
            if !Handshake::is_asked_for(&request) {
                return Response::new(Full::from("plain".repeat(1 << 20)));
            }
            let handshake = Handshake::check(&request).unwrap();
            let config = DecoderConfig::default();
            let connection = async move |socket| sender.send(socket).unwrap();
            handshake
                .upgrade(&mut request, None, config, connection)
                .unwrap()
        }
    };
    let stopped = tokio::spawn(listener.serve(service, async {
        let _ = stopping.await;
    }));
    Served {
        address,
        sockets,
        stop,
        stopped,
    }
}

#[tokio::test]
async fn a_client_and_the_service_talk() {
    let mut served = serve(ListenerConfig::default()).await;
    let url = format!("ws://{}/", served.address);
    let (mut client, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let Socket { mut reader, writer } = served.sockets.recv().await.unwrap().unwrap();

    client.send("hello".into()).await.unwrap();
    let mut turn = Vec::new();
    reader.read_turn(&mut turn).await.unwrap();
    let hello = Frame::Message {
        kind: MessageKind::Text,
        data: "hello".into(),
    };
    assert_eq!(turn, [hello]);

    let mut out = Vec::new();
    codec::encode_message(MessageKind::Binary, &[1, 2], &mut out);
    codec::encode_close(1000, "bye", &mut out);
    let slices = [io::IoSlice::new(&out[..3]), io::IoSlice::new(&out[3..])];
    assert_eq!(writer.try_write_vectored(&slices).unwrap(), out.len());
    writer.finish();
    let message = client.next().await.unwrap().unwrap();
    assert_eq!(message, Message::Binary(vec![1, 2].into()));
    let close = client.next().await.unwrap().unwrap();
    assert!(matches!(close, Message::Close(Some(frame)) if frame.reason == "bye"));
    // tungstenite answers the close frame and waits for the end of the connection.
    assert!(client.next().await.is_none());
    turn.clear();
    reader.read_turn(&mut turn).await.unwrap();
    assert!(
        matches!(
            turn[..],
            [Frame::Close {
                code: Some(1000),
                ..
            }]
        ),
        "{turn:?}"
    );
    drop(client);
    reader.drain().await;
}

/// The request of a client and what it sends with it, in one write.
async fn raw(address: SocketAddr, early: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut request = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes();
    request.extend(early);
    stream.write_all(&request).await.unwrap();
    stream
}

#[tokio::test]
async fn frames_sent_with_the_handshake_are_the_first_turn() {
    let mut served = serve(ListenerConfig::default()).await;
    let mask = [0, 0, 0, 0];
    let early = [
        &[0x82, 0x81][..],
        &mask,
        b"a",
        &[0x82, 0x81],
        &mask,
        b"b",
        &[0x82],
    ]
    .concat();
    let mut client = raw(served.address, &early).await;
    let Socket { mut reader, writer } = served.sockets.recv().await.unwrap().unwrap();
    let mut turn = Vec::new();
    reader.read_turn(&mut turn).await.unwrap();
    let binary = |data: &'static str| Frame::Message {
        kind: MessageKind::Binary,
        data: data.into(),
    };
    assert_eq!(turn, [binary("a"), binary("b")]);

    turn.clear();
    // The rest of the third, a fourth, and then a frame without a mask.
    let rest = [
        &[0x81][..],
        &mask,
        b"c",
        &[0x82, 0x81],
        &mask,
        b"d",
        &[0x81, 0x00],
    ]
    .concat();
    client.write_all(&rest).await.unwrap();
    while turn.len() < 2 {
        reader.read_turn(&mut turn).await.unwrap();
    }
    assert_eq!(
        turn,
        [binary("c"), binary("d")],
        "what came before a violation counts"
    );
    let end = reader.read_turn(&mut turn).await.unwrap_err();
    assert!(
        matches!(end, ReadError::Violation(violation) if violation.close_code == 1002),
        "{end}"
    );

    writer.shutdown();
    let end = reader.read_turn(&mut turn).await.unwrap_err();
    assert!(
        matches!(end, ReadError::Violation(_)),
        "a violation stays: {end}"
    );
}

#[tokio::test]
async fn a_client_that_goes_away_is_an_end_and_so_is_a_shutdown_here() {
    let mut served = serve(ListenerConfig::default()).await;
    let client = raw(served.address, b"").await;
    let mut gone = served.sockets.recv().await.unwrap().unwrap();
    drop(client);
    let end = gone.reader.read_turn(&mut Vec::new()).await.unwrap_err();
    assert!(matches!(end, ReadError::Ended | ReadError::Io(_)), "{end}");

    let _client = raw(served.address, b"").await;
    let Socket { mut reader, writer } = served.sockets.recv().await.unwrap().unwrap();
    let mut turn = Vec::new();
    let (end, ()) = tokio::join!(reader.read_turn(&mut turn), async {
        tokio::task::yield_now().await;
        writer.shutdown();
    });
    assert!(matches!(end, Err(ReadError::Ended)), "{end:?}");
}

#[tokio::test]
async fn a_client_that_does_not_read_blocks_the_writer_soon() {
    let config = ListenerConfig {
        send_buffer_bytes: Some(16 * 1024),
        ..ListenerConfig::default()
    };
    let mut served = serve(config).await;
    let mut client = raw(served.address, b"").await;
    let Socket {
        reader: _reader,
        writer,
    } = served.sockets.recv().await.unwrap().unwrap();
    let mut written = 0;
    let blocked = loop {
        match writer.try_write(&[0; 16 * 1024]) {
            Ok(bytes) => written += bytes,
            Err(error) => break error,
        }
        assert!(written < 32 << 20, "a blocked socket must say so");
    };
    assert_eq!(blocked.kind(), io::ErrorKind::WouldBlock);
    let mut sink = vec![0; 1 << 20];
    let (writable, read) = tokio::join!(writer.writable(), async {
        let mut read = 0;
        while read < written {
            read += client.read(&mut sink).await.unwrap();
        }
        read
    });
    writable.unwrap();
    assert!(read >= written);
}

#[tokio::test]
async fn an_admitted_socket_sends_at_once_and_holds_little() {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _client = TcpStream::connect(tcp.local_addr().unwrap()).await.unwrap();
    let (stream, _) = tcp.accept().await.unwrap();
    let places = Arc::new(Semaphore::new(1));
    let wire = admit(stream, &places, Some(32 * 1024), true).unwrap();
    let WireStream::Tcp(tcp) = &wire.stream else {
        panic!("without TLS")
    };
    let socket = SockRef::from(tcp);
    assert!(socket.tcp_nodelay().unwrap());
    // Linux gives twice of what is asked for.
    let held = socket.send_buffer_size().unwrap();
    assert!((32 * 1024..=64 * 1024).contains(&held), "{held}");
    assert_eq!(places.available_permits(), 0);
    drop(wire);
    assert_eq!(places.available_permits(), 1);
}

#[tokio::test]
async fn one_connection_too_many_gets_503_and_a_place_that_is_free_again_is_taken() {
    let config = ListenerConfig {
        connections_max: 1,
        ..ListenerConfig::default()
    };
    let mut served = serve(config).await;
    let _first = raw(served.address, b"").await;
    let socket = served.sockets.recv().await.unwrap().unwrap();

    let mut second = TcpStream::connect(served.address).await.unwrap();
    let mut answer = String::new();
    second.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");

    drop(socket);
    let _third = raw(served.address, b"").await;
    served.sockets.recv().await.unwrap().unwrap();
}

#[tokio::test]
async fn plain_requests_are_served_on_the_same_port_and_stopping_waits_for_them() {
    let served = serve(ListenerConfig::default()).await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    let request = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", served.address);
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    served.stop.send(()).unwrap();
    // The answer is far longer than what the sockets hold, so it is still being written.
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    let body = rest.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(body.len(), 5 << 20, "the answer comes whole");
    served.stopped.await.unwrap();
    let refused = TcpStream::connect(served.address).await;
    assert!(refused.is_err(), "the port is closed");
}

#[tokio::test]
async fn a_client_that_goes_away_before_the_answer_is_not_upgraded() {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), ListenerConfig::default())
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, mut sockets) = mpsc::unbounded_channel();
    let (asked, mut asks) = mpsc::unbounded_channel();
    let service = move |mut request: Request<Incoming>, _peer| {
        let (sender, asked) = (sender.clone(), asked.clone());
        async move {
            let handshake = Handshake::check(&request).unwrap();
            let config = DecoderConfig::default();
            let connection =
                async move |socket: Result<_, _>| sender.send(socket.map(|_: Socket| ())).unwrap();
            let answer: Result<Response<Full<Bytes>>, _> =
                handshake.upgrade(&mut request, None, config, connection);
            asked.send(()).unwrap();
            // The application takes its time.
            std::future::pending::<()>().await;
            answer.unwrap()
        }
    };
    let server = tokio::spawn(listener.serve(service, std::future::pending()));
    let client = raw(address, b"").await;
    asks.recv().await.unwrap();
    drop(client);
    assert_eq!(sockets.recv().await, Some(Err(NotUpgraded)));
    server.abort();
}

#[tokio::test(start_paused = true)]
async fn accepting_goes_on_after_errors() {
    let (mut client, server) = tokio::io::duplex(1024);
    let peer = Peer {
        address: ([127, 0, 0, 1], 1).into(),
    };
    // ECONNABORTED, EMFILE, ENFILE, ENOBUFS: one connection's, the process's, the machine's.
    let mut accepted: VecDeque<io::Result<(Option<DuplexStream>, Peer)>> = [103, 24, 23, 105]
        .map(|number| Err(io::Error::from_raw_os_error(number)))
        .into();
    accepted.push_back(Ok((None, peer)));
    accepted.push_back(Ok((Some(server), peer)));
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let accept = async move || {
        counted.fetch_add(1, Ordering::Relaxed);
        match accepted.pop_front() {
            Some(outcome) => outcome,
            None => std::future::pending().await,
        }
    };
    let service = |_request, _peer| async { Response::new(Full::<Bytes>::from("here")) };
    let begin = move |io, peer, stopping| {
        let builder = connection::builder(&ListenerConfig::default());
        tokio::spawn(connection::serve(builder, io, peer, service, stopping));
    };
    let loop_ = tokio::spawn(run(accept, begin, std::future::pending()));
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("here"), "{answer}");
    assert_eq!(calls.load(Ordering::Relaxed), 7);
    loop_.abort();
}
