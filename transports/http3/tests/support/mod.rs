//! A server and clients of it, ours and raw ones.
#![allow(dead_code, reason = "each test uses some of it")]

pub(crate) mod network;
pub(crate) mod raw;
pub(crate) mod wire;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use headwater_http3::{
    Http3Client, Http3ClientConfig, Http3Server, Http3ServerConfig, ServerCounters,
};
use headwater_rpc::{
    CallOptions, CancelReason, Client, Code, Metadata, Receiver, Router, Sender, Server,
    ServerConfig, Status,
    tls::{ClientTls, DevCertificates},
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};

pub(crate) const ECHO: &str = "/test.Service/Echo";
pub(crate) const WAIT: &str = "/test.Service/Wait";
pub(crate) const STREAM: &str = "/test.Service/Stream";
pub(crate) const FLOOD: &str = "/test.Service/Flood";
/// Its handlers do not notice that they were cancelled.
pub(crate) const DEAF: &str = "/test.Service/Deaf";
pub(crate) const EARLY: &str = "/test.Service/Early";
/// Beyond this a test hangs; none waits for it.
pub(crate) const HANG: Duration = Duration::from_secs(30);

/// A server that serves, and what its handlers saw.
pub(crate) struct Fixture {
    pub(crate) server: Server,
    pub(crate) addr: SocketAddr,
    pub(crate) tls: ClientTls,
    pub(crate) counters: ServerCounters,
    pub(crate) cancels: mpsc::UnboundedReceiver<CancelReason>,
    pub(crate) deaf: Deaf,
    pub(crate) serving: JoinHandle<Result<(), Status>>,
}

/// The handlers of `DEAF`.
#[derive(Clone)]
pub(crate) struct Deaf {
    running: Arc<AtomicUsize>,
    end: Arc<Semaphore>,
}

impl Deaf {
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    /// All of them, and all that come later, end.
    pub(crate) fn end(&self) {
        self.end.close();
    }

    fn register(router: &Router) -> Self {
        let deaf = Self {
            running: Arc::default(),
            end: Arc::new(Semaphore::new(0)),
        };
        let registered = deaf.clone();
        router.stream(DEAF, move |call| {
            let deaf = registered.clone();
            async move {
                let _call = call;
                deaf.running.fetch_add(1, Ordering::SeqCst);
                let _ = deaf.end.acquire().await;
                deaf.running.fetch_sub(1, Ordering::SeqCst);
            }
        });
        deaf
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

pub(crate) async fn serve(config: Http3ServerConfig) -> Fixture {
    let certificates = DevCertificates::generate().expect("the system has randomness");
    let transport = Http3Server::bind("127.0.0.1:0", certificates.server(), config);
    let transport = transport.await.expect("a free port");
    let (addr, counters) = (transport.local_addr(), transport.counters());
    let (router, cancels) = router();
    let deaf = Deaf::register(&router);
    let server = Server::new(transport, router, ServerConfig::default());
    let run = server.clone();
    Fixture {
        server,
        addr,
        tls: certificates.client(),
        counters,
        cancels,
        deaf,
        serving: tokio::spawn(async move { run.serve().await }),
    }
}

fn router() -> (Router, mpsc::UnboundedReceiver<CancelReason>) {
    let router = Router::new();
    let (saw, cancels) = mpsc::unbounded_channel();
    router.unary(ECHO, |request| async move { Ok(request.message) });
    let told = saw.clone();
    router.unary(WAIT, move |request| {
        let told = told.clone();
        async move {
            let _ = told.send(request.cancellation.cancelled().await);
            Err(Status::new(Code::Cancelled, "too late"))
        }
    });
    let told = saw.clone();
    router.stream(STREAM, move |mut call| {
        let told = told.clone();
        async move {
            let mut batch = Vec::new();
            loop {
                match call.receiver.next_batch(&mut batch).await {
                    Ok(0) => break,
                    Ok(_) => {
                        for message in batch.drain(..) {
                            let _ = call.sender.send(message).await;
                        }
                    }
                    Err(_) => {
                        let _ = call.cancellation.reason().map(|reason| told.send(reason));
                        return;
                    }
                }
            }
            let _ = call.sender.finish(Ok(()), Metadata::new());
        }
    });
    router.stream(FLOOD, |call| async move {
        let message = Bytes::from(vec![b'f'; 1024]);
        while call.sender.send(message.clone()).await.is_ok() {}
    });
    // Answers with what it was sent first, and reads no more.
    router.stream(EARLY, |mut call| async move {
        let mut batch = Vec::new();
        let _ = call.receiver.next_batch(&mut batch).await;
        for message in batch {
            let _ = call.sender.send(message).await;
        }
        let _ = call.sender.finish(Ok(()), Metadata::new());
    });
    (router, cancels)
}

impl Fixture {
    pub(crate) fn client_config(&self) -> Http3ClientConfig {
        Http3ClientConfig {
            tls: self.tls.clone(),
            ..Http3ClientConfig::default()
        }
    }

    /// A client that runs.
    pub(crate) fn client(&self) -> Client {
        self.client_with(&self.client_config()).0
    }

    pub(crate) fn client_with(&self, config: &Http3ClientConfig) -> (Client, Http3Client) {
        self.client_at(self.addr, config)
    }

    pub(crate) fn client_at(
        &self,
        addr: SocketAddr,
        config: &Http3ClientConfig,
    ) -> (Client, Http3Client) {
        let transport = Http3Client::new(&format!("h3://{addr}"), config).expect("a valid url");
        let client = Client::new(transport.clone());
        run(&client);
        (client, transport)
    }
}

pub(crate) fn run(client: &Client) {
    let client = client.clone();
    tokio::spawn(async move { client.connect().await });
}

pub(crate) async fn unary(
    client: &Client,
    path: &'static str,
    request: &str,
) -> Result<Bytes, Status> {
    let request = Bytes::copy_from_slice(request.as_bytes());
    let options = CallOptions::default();
    let call = client.unary(path, Metadata::new(), request, options);
    within("a unary call", call).await
}

pub(crate) async fn open(client: &Client, path: &'static str) -> (Sender, Receiver) {
    let call = client.call(path, Metadata::new(), CallOptions::default());
    within("opening a call", call).await.expect("it opens")
}

/// All messages to the end, and how the call ended.
pub(crate) async fn read(receiver: &mut Receiver) -> (Vec<Bytes>, Result<(), Status>) {
    let mut messages = Vec::new();
    loop {
        match within("the next batch", receiver.next_batch(&mut messages)).await {
            Ok(0) => return (messages, Ok(())),
            Ok(_) => {}
            Err(error) => return (messages, Err(error.status)),
        }
    }
}

pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(HANG, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what} hangs"),
    }
}

/// Waits for something that becomes true without an event.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}
