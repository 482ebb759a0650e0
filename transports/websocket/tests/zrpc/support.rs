//! A server with methods to call, and a client that knows WebSockets and nothing of zrpc.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use headwater_proto::zrpc::v2::{Body, Frame};
use headwater_rpc::{
    Client, Code, IncomingCall, Metadata, Router, Server, ServerConfig, Shape, Status,
};
use headwater_websocket::{
    Unnamed, WebSocketServer, WebSocketServerConfig, ZrpcConfig,
    zrpc::{Framing, Proxy, ZrpcClient, ZrpcClientConfig},
};
use tokio::{net::TcpStream, sync::mpsc, task::JoinHandle};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest as _, http::HeaderValue},
};

/// How long a wait may take on a busy machine before it counts as a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ends with `future`, or fails naming `what` when it takes too long.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    let done = tokio::time::timeout(PATIENCE, future).await;
    done.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// A server that serves until it is dropped.
pub(crate) struct Serving {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a socket without a subprotocol speaks is zrpc.
pub(crate) fn config(zrpc: ZrpcConfig) -> WebSocketServerConfig {
    WebSocketServerConfig {
        unnamed: Unnamed::Zrpc,
        zrpc,
        ..WebSocketServerConfig::default()
    }
}

pub(crate) async fn serve(router: Router) -> Serving {
    serve_with(
        router,
        ServerConfig::default(),
        config(ZrpcConfig::default()),
    )
    .await
}

pub(crate) async fn serve_with(
    router: Router,
    config: ServerConfig,
    sockets: WebSocketServerConfig,
) -> Serving {
    let transport = WebSocketServer::bind("127.0.0.1:0", sockets).await;
    let transport = transport.expect("the loopback has a free port");
    let address = transport.local_addr();
    let server = Server::new(transport, router, config);
    let running = server.clone();
    let task = tokio::spawn(async move {
        let _ = running.serve().await;
    });
    Serving {
        server,
        address,
        task,
    }
}

impl Serving {
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// Waits until no call is open.
    pub(crate) async fn idle(&self) {
        within("the last call to end", async {
            while self.server.open_calls() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// A client of ours, which runs.
    pub(crate) fn client(&self, config: &ZrpcClientConfig) -> Client {
        let client = Client::new(ZrpcClient::new(&self.url(), config).expect("the URL is valid"));
        let running = client.clone();
        tokio::spawn(async move { running.connect().await });
        client
    }

    pub(crate) fn proxy(&self, framing: Framing) -> Proxy {
        let config = ZrpcClientConfig {
            framing,
            ..ZrpcClientConfig::default()
        };
        Proxy::new(self.client(&config))
    }
}

/// `echo` sends its blob back as often as `times` says, one after the other; `fail` fails; `silent` waits for the end.
pub(crate) fn router() -> Router {
    let router = Router::new();
    router.unary("/zrpc/echo", async |request: headwater_rpc::Request| {
        Ok::<_, Status>(request.message)
    });
    stream(&router, "/zrpc/thrice", async |call, blob| {
        for _ in 0..3 {
            call.sender.send(blob.clone()).await.map_err(gone)?;
        }
        Ok(())
    });
    stream(&router, "/zrpc/fail", async |call, blob| {
        call.sender.send(blob).await.map_err(gone)?;
        Err(Status::new(Code::NotFound, "nobody is here"))
    });
    router
}

pub(crate) fn gone(error: headwater_rpc::SendError) -> Status {
    Status::new(Code::Internal, error.to_string())
}

/// A method with one request, in as straight a line as a handler of the original.
pub(crate) fn stream<H, F>(router: &Router, path: &str, handle: H)
where
    H: Fn(Arc<IncomingCall>, Bytes) -> F + Send + Sync + Clone + 'static,
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    router.stream_of(path, Shape::ServerStreaming, move |mut call| {
        let handle = handle.clone();
        async move {
            let mut requests = Vec::new();
            while let Ok(1..) = call.receiver.next_batch(&mut requests).await {}
            let blob = requests.pop().unwrap_or_default();
            let call = Arc::new(call);
            let outcome = handle(Arc::clone(&call), blob).await;
            let _ = call.sender.finish(outcome, Metadata::new());
        }
    });
}

/// A method that never ends by itself, and tells when a call of it has come and when it was cancelled.
pub(crate) fn silent(
    router: &Router,
    path: &str,
) -> (mpsc::UnboundedReceiver<()>, mpsc::UnboundedReceiver<()>) {
    let (came, has_come) = mpsc::unbounded_channel();
    let (cancelled, was_cancelled) = mpsc::unbounded_channel();
    router.stream(path, move |call: IncomingCall| {
        let (came, cancelled) = (came.clone(), cancelled.clone());
        async move {
            let _ = came.send(());
            call.cancellation.cancelled().await;
            let _ = cancelled.send(());
            drop(call);
        }
    });
    (has_come, was_cancelled)
}

/// A WebSocket, as any language has one.
pub(crate) struct Raw(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Raw {
    pub(crate) async fn connect(serving: &Serving, subprotocol: Option<&'static str>) -> Self {
        Self::connect_with(serving, subprotocol, &[]).await
    }

    pub(crate) async fn connect_with(
        serving: &Serving,
        subprotocol: Option<&'static str>,
        headers: &[(&'static str, &'static str)],
    ) -> Self {
        let mut request = serving
            .url()
            .into_client_request()
            .expect("the URL is valid");
        let subprotocol = subprotocol.map(|name| ("sec-websocket-protocol", name));
        for (name, value) in subprotocol.iter().chain(headers) {
            request
                .headers_mut()
                .insert(*name, HeaderValue::from_static(value));
        }
        let connected = within("the handshake", connect_async(request)).await;
        let (socket, response) = connected.expect("the server accepts");
        let agreed = response.headers().get("sec-websocket-protocol");
        let agreed = agreed.map(|name| name.to_str().expect("a token"));
        assert_eq!(agreed, subprotocol.map(|(_, name)| name), "the subprotocol");
        Self(socket)
    }

    pub(crate) async fn send(&mut self, message: Message) {
        within("a message to go out", self.0.send(message))
            .await
            .expect("the socket is open");
    }

    pub(crate) async fn call(&mut self, method: &str, blob: &[u8]) {
        let frame = headwater_proto::zrpc::encode_request(method, blob);
        self.send(Message::binary(frame)).await;
    }

    /// The next message; pings are answered by the library.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        let next = async {
            loop {
                let next = self.0.next().await;
                match next.map(|message| message.expect("the socket is sound")) {
                    Some(Message::Ping(_) | Message::Pong(_)) => {}
                    next => return next,
                }
            }
        };
        within("a message", next).await
    }

    /// All that comes until the close frame, and its code and reason.
    pub(crate) async fn until_close(&mut self) -> (Vec<Message>, (u16, String)) {
        let mut messages = Vec::new();
        loop {
            match self.next().await {
                Some(Message::Close(Some(frame))) => {
                    return (messages, (frame.code.into(), frame.reason.to_string()));
                }
                Some(Message::Close(None)) | None => panic!("no close code after {messages:?}"),
                Some(message) => messages.push(message),
            }
        }
    }

    pub(crate) async fn send_frame(&mut self, call: u32, body: Body<'_>) {
        let mut message = Vec::new();
        Frame { call, body }.encode(&mut message);
        self.send(Message::binary(message)).await;
    }

    /// The next frame, written out.
    pub(crate) async fn next_frame(&mut self) -> Seen {
        let Some(Message::Binary(message)) = self.next().await else {
            panic!("no frame");
        };
        let frame = Frame::decode(&message).expect("a frame");
        match frame.body {
            Body::Headers(_) => Seen::Headers(frame.call),
            Body::Message(blob) => Seen::Blob(frame.call, blob),
            Body::Credit(bytes) => Seen::Credit(frame.call, bytes),
            Body::Status(ended) => {
                Seen::Ended(frame.call, ended.outcome.err().map(|status| status.code))
            }
            other @ (Body::Call { .. }
            | Body::Open { .. }
            | Body::Compressed(_)
            | Body::End
            | Body::Cancel) => panic!("a server does not say {other:?}"),
        }
    }

    /// The next frame that is no headers.
    pub(crate) async fn next_said(&mut self) -> Seen {
        loop {
            let said = self.next_frame().await;
            if !matches!(said, Seen::Headers(_)) {
                return said;
            }
        }
    }
}

/// What a frame of the server says, by its call id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Headers(u32),
    Blob(u32, Bytes),
    Credit(u32, u32),
    Ended(u32, Option<Code>),
}

pub(crate) fn binary(blob: &'static [u8]) -> Message {
    Message::binary(blob)
}
