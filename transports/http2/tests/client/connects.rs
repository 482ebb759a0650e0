//! How a connection comes up, or does not.

use std::time::Duration;

use bytes::Bytes;
use headwater_http2::{Http2Client, Http2ClientConfig, Http2Connector};
use headwater_rpc::{
    CallOptions, Code, Metadata, Status,
    channel::{Address, ChannelConfig, Connector},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::support::{client_of, headers, message, trailers};

/// Connects to a server that says this and nothing else.
async fn connect_to(says: &'static [u8]) -> Status {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(says).await.expect("it is open");
        // Until the client hangs up.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let config = Http2ClientConfig::default();
    let connector = Http2Connector::new(&address.to_string(), &config).expect("valid");
    let connected = connector.connect(&Address::Socket(address)).await;
    connected.err().expect("that is no server of HTTP/2")
}

/// S4-63 names other figures; ours bound the memory that a server can take.
#[test]
fn s4_63_the_defaults() {
    let config = Http2ClientConfig::default();
    assert_eq!(config.connect_timeout, Duration::from_secs(10));
    assert_eq!(config.keepalive, None);
    assert_eq!(config.stream_window_bytes, 4 << 20);
    assert_eq!(config.connection_window_bytes, 16 << 20);
    assert_eq!(config.frame_bytes_max, 1 << 20);
    assert_eq!(config.header_list_bytes_max, 16 << 10);
    assert_eq!(config.tls, None);
    assert_eq!(config.channel, ChannelConfig::default());
}

/// A connection counts as up when the server's SETTINGS have come, and has a bounded time for it.
#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_no_connection() {
    let status = connect_to(b"").await;
    assert_eq!(status.code, Code::Unavailable);
    assert!(status.message.contains("within 10s"), "{status}");
}

#[tokio::test]
async fn a_server_of_something_else_is_no_connection() {
    let status = connect_to(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(status.code, Code::Unavailable);
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    let config = Http2ClientConfig::default();
    let connector = Http2Connector::new("test", &config).expect("valid");
    let connected = connector.connect(&Address::Socket(address)).await;
    let status = connected.err().expect("nobody listens");
    assert_eq!(status.code, Code::Unavailable);
    assert!(status.message.contains("refused"), "{status}");
}

#[test]
fn what_is_no_authority_is_refused() {
    for authority in ["", "a b", "http://a"] {
        let connector = Http2Connector::new(authority, &Http2ClientConfig::default());
        let code = connector.err().map(|status| status.code);
        assert_eq!(code, Some(Code::InvalidArgument), "{authority:?}");
    }
}

/// S4-60: over a Unix socket as over TCP.
#[cfg(unix)]
#[tokio::test]
async fn s4_60_a_unix_socket_is_an_address_too() {
    let path = std::env::temp_dir().join(format!("headwater-http2-{}.sock", std::process::id()));
    let listener = tokio::net::UnixListener::bind(&path).expect("a free path");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let mut body = respond.send_response(headers(), false).expect("open");
            body.send_data(message(), false).expect("open");
            body.send_trailers(trailers("0")).expect("open");
        }
    });
    let config = Http2ClientConfig::default();
    let connector = Http2Connector::new("localhost", &config).expect("valid");
    let connected = connector.connect(&Address::Unix(path.clone())).await;
    let connection = connected.unwrap_or_else(|status| panic!("{status}")).into();
    let (client, _breaks) = client_of(&connection);
    let (metadata, options) = (Metadata::new(), CallOptions::default());
    let call = client.unary("/t.T/X", metadata, Bytes::new(), options);
    assert_eq!(call.await, Ok(Bytes::from_static(&[1])));
    std::fs::remove_file(path).expect("it is there");
}

/// RFC 9113, 8.3.1: an authority has no user information; what is refused is not quoted, for it may be a password.
#[test]
fn a_password_in_a_url_is_refused_and_not_repeated() {
    let config = Http2ClientConfig::default();
    let refused = Http2Client::new("http://user:opensesame@127.0.0.1:1", &config).map(|_| ());
    let status = refused.expect_err("it has a password");
    assert_eq!(status.code, Code::InvalidArgument);
    assert!(!format!("{status:?}").contains("opensesame"), "{status:?}");
}
