//! tokio-tungstenite alone: one message a frame, and one flush for all that is ready.

use std::time::Instant;

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async, tungstenite::Message};

use crate::{
    contender::{Order, Orders, on_own_thread},
    rpc::{Until, Work, payload},
};

/// From here on the server counts messages and does not echo them.
const BEGIN: &str = "begin";
/// The server says how many it has counted.
const END: &str = "end";

type Socket = WebSocketStream<TcpStream>;

/// A server and a client.
pub(crate) fn start() -> Orders<Work> {
    let (address, bound) = std::sync::mpsc::channel();
    on_own_thread("server", move || async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let local = listener.local_addr().expect("bound");
        address.send(local).expect("waits for it");
        while let Ok((socket, _)) = listener.accept().await {
            socket.set_nodelay(true).expect("TCP");
            tokio::spawn(async move { serve(accept_async(socket).await.expect("a client")).await });
        }
    });
    let address = bound.recv().expect("the server listens");
    let (orders, mut received) = Orders::<Work>::new();
    on_own_thread("client", move || async move {
        let socket = TcpStream::connect(address).await.expect("it listens");
        socket.set_nodelay(true).expect("TCP");
        let connected = client_async(format!("ws://{address}"), socket).await;
        let (mut socket, _) = connected.expect("it accepts");
        while let Some(Order {
            work,
            until,
            answered,
        }) = received.recv().await
        {
            let done = match work {
                Work::Echo { in_flight, bytes } => echo(&mut socket, in_flight, bytes, until).await,
                Work::Sink { bytes } | Work::Generate { bytes } => {
                    sink(&mut socket, bytes, until).await
                }
                Work::Unary { .. } => unreachable!("streams alone"),
            };
            answered.send(done).expect("waits for the count");
        }
    });
    orders
}

async fn serve(mut socket: Socket) {
    let mut counted = None;
    while let Some(mut message) = next(&mut socket).await {
        loop {
            match (&message, &mut counted) {
                (Message::Binary(_), Some(messages)) => *messages += 1,
                (Message::Binary(_), None) => socket.feed(message).await.expect("open"),
                (Message::Text(text), _) if text.as_str() == BEGIN => counted = Some(0_u64),
                _ => {
                    let messages = counted.take().unwrap_or_default().to_string();
                    socket.feed(messages.into()).await.expect("open");
                }
            }
            match ready(&mut socket) {
                Some(next) => message = next,
                None => break,
            }
        }
        socket.flush().await.expect("open");
    }
}

async fn next(socket: &mut Socket) -> Option<Message> {
    socket.next().await?.ok()
}

/// What came already.
fn ready(socket: &mut Socket) -> Option<Message> {
    socket.next().now_or_never()??.ok()
}

async fn echo(socket: &mut Socket, in_flight: usize, bytes: usize, until: Instant) -> u64 {
    let data = payload(bytes);
    for _ in 0..in_flight {
        let message = Message::Binary(data.clone());
        socket.feed(message).await.expect("open");
    }
    let mut until = Until::new(until);
    let mut answered = 0;
    let mut under_way = in_flight;
    while under_way > 0 {
        socket.flush().await.expect("open");
        let mut message = next(socket).await;
        assert!(message.is_some(), "the server echoes all");
        while let Some(echoed) = message {
            answered += 1;
            if until.over() {
                under_way -= 1;
            } else {
                socket.feed(echoed).await.expect("open");
            }
            message = ready(socket);
        }
    }
    answered
}

async fn sink(socket: &mut Socket, bytes: usize, until: Instant) -> u64 {
    let data = payload(bytes);
    socket.feed(BEGIN.into()).await.expect("open");
    let mut until = Until::new(until);
    while !until.over() {
        let message = Message::Binary(data.clone());
        socket.feed(message).await.expect("open");
    }
    socket.send(END.into()).await.expect("open");
    let count = next(socket).await.expect("counted");
    let count = count.into_text().expect("a number");
    count.parse().expect("a number")
}
