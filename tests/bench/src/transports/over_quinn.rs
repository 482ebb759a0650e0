//! quinn alone: one stream of messages, each behind its length, read and written in as large pieces as there are.

use std::time::Instant;

use bytes::{Buf as _, BufMut as _, BytesMut};
use headwater_rpc::tls::DevCertificates;
use quinn::{Connection, RecvStream, SendStream};

use super::endpoints;
use crate::{
    contender::{Order, Orders, on_own_thread},
    rpc::{Until, Work, payload},
};

const ALPN: &[u8] = b"bench";
/// The first byte of a stream says what its server does.
const ECHO: u8 = b'e';
const COUNT: u8 = b'c';
/// What is written at once where there is always more to send, and read at once.
const PIECE: usize = 32 << 10;
const LENGTH: usize = size_of::<u32>();

/// A server and a client.
pub(crate) fn start(certificates: &DevCertificates) -> Orders<Work> {
    let (address, bound) = std::sync::mpsc::channel();
    let shown = certificates.clone();
    on_own_thread("server", move || async move {
        let (local, endpoint) = endpoints::server(&shown, ALPN).await;
        address.send(local).expect("waits for it");
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move { serve(incoming.await.expect("a client")).await });
        }
    });
    let address = bound.recv().expect("the server listens");
    let (orders, mut received) = Orders::<Work>::new();
    let trusted = certificates.clone();
    on_own_thread("client", move || async move {
        let endpoint = endpoints::client(&trusted, ALPN).await;
        let connecting = endpoint.connect(address, endpoints::NAME);
        let connection = connecting.expect("an address").await.expect("it listens");
        while let Some(Order {
            work,
            until,
            answered,
        }) = received.recv().await
        {
            let (sender, receiver) = connection.open_bi().await.expect("it connects");
            let stream = Stream::new(sender, receiver);
            let done = match work {
                Work::Echo { in_flight, bytes } => echo(stream, in_flight, bytes, until).await,
                Work::Sink { bytes } | Work::Generate { bytes } => sink(stream, bytes, until).await,
                Work::Unary { .. } => unreachable!("streams alone"),
            };
            answered.send(done).expect("waits for the count");
        }
    });
    orders
}

/// One stream, what came and was not taken, and what is to go out.
struct Stream {
    sender: SendStream,
    receiver: RecvStream,
    incoming: BytesMut,
    outgoing: BytesMut,
}

impl Stream {
    fn new(sender: SendStream, receiver: RecvStream) -> Self {
        Self {
            sender,
            receiver,
            incoming: BytesMut::new(),
            outgoing: BytesMut::with_capacity(2 * PIECE),
        }
    }

    /// Waits for more to take; `false` at the end.
    async fn read(&mut self) -> bool {
        let chunk = self.receiver.read_chunk(PIECE, true).await.expect("open");
        let Some(chunk) = chunk else { return false };
        self.incoming.extend_from_slice(&chunk.bytes);
        true
    }

    /// The next whole message.
    fn take(&mut self) -> Option<BytesMut> {
        let (length, rest) = self.incoming.split_first_chunk::<LENGTH>()?;
        let length = u32::from_be_bytes(*length) as usize;
        if rest.len() < length {
            return None;
        }
        self.incoming.advance(LENGTH);
        Some(self.incoming.split_to(length))
    }

    fn put(&mut self, message: &[u8]) {
        let length = u32::try_from(message.len()).expect("a short message");
        self.outgoing.put_u32(length);
        self.outgoing.put_slice(message);
    }

    async fn flush(&mut self) {
        self.sender.write_all(&self.outgoing).await.expect("open");
        self.outgoing.clear();
    }
}

async fn serve(connection: Connection) {
    while let Ok((sender, mut receiver)) = connection.accept_bi().await {
        tokio::spawn(async move {
            let mut kind = [0];
            receiver.read_exact(&mut kind).await.expect("its kind");
            let mut stream = Stream::new(sender, receiver);
            if kind == [ECHO] {
                while stream.read().await {
                    while let Some(message) = stream.take() {
                        stream.put(&message);
                    }
                    stream.flush().await;
                }
            } else {
                let mut messages: u64 = 0;
                while stream.read().await {
                    while stream.take().is_some() {
                        messages += 1;
                    }
                }
                stream.put(&messages.to_be_bytes());
                stream.flush().await;
            }
            stream.sender.finish().expect("open");
        });
    }
}

async fn echo(mut stream: Stream, in_flight: usize, bytes: usize, until: Instant) -> u64 {
    let message = payload(bytes);
    stream.outgoing.put_u8(ECHO);
    for _ in 0..in_flight {
        stream.put(&message);
    }
    let mut until = Until::new(until);
    let mut answered = 0;
    let mut under_way = in_flight;
    while under_way > 0 {
        stream.flush().await;
        assert!(stream.read().await, "the server echoes all");
        while let Some(message) = stream.take() {
            answered += 1;
            if until.over() {
                under_way -= 1;
            } else {
                stream.put(&message);
            }
        }
    }
    stream.sender.finish().expect("open");
    assert!(!stream.read().await, "all were counted");
    answered
}

async fn sink(mut stream: Stream, bytes: usize, until: Instant) -> u64 {
    let message = payload(bytes);
    stream.outgoing.put_u8(COUNT);
    let mut until = Until::new(until);
    while !until.over() {
        stream.put(&message);
        if stream.outgoing.len() >= PIECE {
            stream.flush().await;
        }
    }
    stream.flush().await;
    stream.sender.finish().expect("open");
    loop {
        assert!(stream.read().await, "the server counts");
        if let Some(mut count) = stream.take() {
            return count.get_u64();
        }
    }
}
