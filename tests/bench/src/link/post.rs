//! The webhook that the link replaces: one HTTP/1.1 POST an event, on connections that are kept alive.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::{
    contender::{Order, Orders, on_own_thread},
    link::work::{Finish, connection_id, payload},
};

/// Event as request, answer as response; a connection for each event under way.
pub(crate) struct PostOverHttp1(Orders<usize>);

impl PostOverHttp1 {
    pub(crate) fn start() -> Self {
        let (address, bound) = std::sync::mpsc::channel();
        on_own_thread("server", move || async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let local = listener.local_addr().expect("bound");
            address.send(local).expect("waits for it");
            loop {
                let (stream, _) = listener.accept().await.expect("accepts");
                stream.set_nodelay(true).expect("a TCP socket");
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(echo));
                tokio::spawn(connection);
            }
        });
        let address = bound.recv().expect("the application listens");
        let (orders, mut received) = Orders::new();
        on_own_thread("client", move || async move {
            let mut connections = Vec::new();
            while let Some(order) = received.recv().await {
                while connections.len() < order.work {
                    let stream = TcpStream::connect(address).await.expect("listens");
                    stream.set_nodelay(true).expect("a TCP socket");
                    let (sender, connection) =
                        handshake(TokioIo::new(stream)).await.expect("connects");
                    tokio::spawn(connection);
                    connections.push(sender);
                }
                obey(&mut connections, order).await;
            }
        });
        Self(orders)
    }
}

impl PostOverHttp1 {
    pub(crate) fn run(&self, in_flight: usize, duration: Duration) -> u64 {
        self.0.run(in_flight, duration)
    }
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.expect("a whole body");
    let response = Response::builder()
        .header("content-type", "text/plain")
        .body(Full::new(body.to_bytes()));
    Ok(response.expect("well-formed"))
}

async fn obey(connections: &mut [SendRequest<Full<Bytes>>], order: Order<usize>) {
    let mut number = 0;
    let payload = payload();
    let mut finish = Finish::new(order.until);
    let mut under_way = FuturesUnordered::new();
    for (connection, sender) in connections[..order.work].iter_mut().enumerate() {
        number += 1;
        under_way.push(post(connection, sender, number, payload.clone()));
    }
    while let Some((connection, sender)) = under_way.next().await {
        if finish.answered() {
            number += 1;
            under_way.push(post(connection, sender, number, payload.clone()));
        }
    }
    order
        .answered
        .send(finish.events())
        .expect("waits for the count");
}

/// The attributes of a CloudEvent in binary mode, as few as an application needs to tell whom it answers.
async fn post(
    connection: usize,
    sender: &mut SendRequest<Full<Bytes>>,
    number: u64,
    payload: Bytes,
) -> (usize, &mut SendRequest<Full<Bytes>>) {
    let request = Request::post("/eventhandler")
        .header("host", "127.0.0.1")
        .header("content-type", "text/plain")
        .header("ce-specversion", "1.0")
        .header("ce-type", "azure.webpubsub.user.echo")
        .header("ce-source", "/hubs/bench/client")
        .header("ce-id", number)
        .header("ce-hub", "bench")
        .header("ce-connectionid", connection_id(connection))
        .header("ce-userid", "somebody")
        .header("ce-eventname", "echo")
        .body(Full::new(payload))
        .expect("well-formed");
    sender.ready().await.expect("kept alive");
    let response = sender.send_request(request).await.expect("answered");
    let body = response.into_body().collect().await.expect("a whole body");
    assert_eq!(body.to_bytes().len(), 128);
    (connection, sender)
}
