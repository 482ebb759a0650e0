//! Handshakes of a server: who takes a place, and who waits for how long.

use std::{io, sync::Arc, time::Duration};

use headwater_rpc::tls::{DevCertificates, TlsClient, TlsServer, rustls::ClientConnection};
use tokio::{
    io::{AsyncWriteExt as _, DuplexStream, duplex},
    time::Instant,
};
use tokio_rustls::TlsConnector;

const ALPN: &[&[u8]] = &[b"test"];

/// Both ends of a connection that a server has accepted.
fn accepted(server: &Arc<TlsServer>) -> (DuplexStream, tokio::task::JoinHandle<io::Result<()>>) {
    let (client, stream) = duplex(64 << 10);
    let server = Arc::clone(server);
    let accept = async move { server.accept(stream).await.map(drop) };
    (client, tokio::spawn(accept))
}

/// A server with one place for handshakes, and who may come to it.
fn with_one_place() -> (Arc<TlsServer>, TlsClient) {
    let ours = DevCertificates::generate().expect("they can be made");
    let mut config = ours.server();
    config.handshakes_max = 1;
    let server = TlsServer::new(config, ALPN).expect("they can be used");
    let client = TlsClient::new(&ours.client(), "localhost", ALPN).expect("a root and a name");
    (Arc::new(server), client)
}

/// A good client is let in; how long that takes.
async fn comes_in(client: &TlsClient, server: &Arc<TlsServer>) -> Duration {
    let began = Instant::now();
    let (stream, accepting) = accepted(server);
    let name = client.server_name().clone();
    let connected = TlsConnector::from(client.current().await).connect(name, stream);
    // It is there until the server is done.
    let connected = connected.await;
    let accepted = accepting.await.expect("no panic");
    assert!(
        connected.is_ok() && accepted.is_ok(),
        "{:?}, {accepted:?}",
        connected.err()
    );
    began.elapsed()
}

/// S4-68: a place is for who has asked for a handshake; thousands may connect without.
#[tokio::test(start_paused = true)]
async fn s4_68_who_says_nothing_or_half_of_it_takes_no_place() {
    let (server, client) = with_one_place();
    let (_silent, nothing) = accepted(&server);
    let (mut slow, half) = accepted(&server);
    slow.write_all(&[0x16, 3, 1, 2, 0]).await.expect("room");
    tokio::task::yield_now().await;
    let waited = comes_in(&client, &server).await;
    assert!(waited < Duration::from_secs(1), "it waited for {waited:?}");
    for gives_up in [nothing, half] {
        let error = gives_up.await.expect("no panic").expect_err("no handshake");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}

/// S4-68: who has asked and says no more is given up; the wait for its place costs the next one nothing of its own time.
#[tokio::test(start_paused = true)]
async fn s4_68_handshakes_wait_for_a_place_beside_their_own_time() {
    let (server, client) = with_one_place();
    let (mut stuck, given_up) = accepted(&server);
    let name = client.server_name().clone();
    let mut asking = ClientConnection::new(client.current().await, name).expect("a name");
    let mut hello = Vec::new();
    asking.write_tls(&mut hello).expect("memory");
    stuck.write_all(&hello).await.expect("room");
    tokio::task::yield_now().await;
    tokio::time::advance(Duration::from_secs(1)).await;
    let waited = comes_in(&client, &server).await;
    assert_eq!(waited.as_secs(), 9, "as long as the other had left");
    let error = given_up.await.expect("no panic").expect_err("no handshake");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}
