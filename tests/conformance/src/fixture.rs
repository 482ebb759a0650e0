//! A client and a server over one transport.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use headwater_rpc::{
    CallOptions, Client, ClientBuilder, Metadata, Receiver, Router, Sender, Server, ServerBuilder,
    ServerConfig, ServiceConfig, Status,
    channel::{Channel, State},
};
use tokio::task::JoinHandle;

use crate::{Transport, control::Control, transport::TRANSPORTS};

/// Beyond this a case hangs; no case waits for it.
const HANG: Duration = Duration::from_secs(30);

/// A client and a server that run, and what the server's handlers saw.
pub struct Fixture {
    /// The transport between them.
    pub transport: Transport,
    /// The client, running.
    pub client: Client,
    /// The server, serving.
    pub server: Server,
    /// The service behind it.
    pub control: Arc<Control>,
    /// The server's routes.
    pub router: Router,
    /// [`Client::connect`], to be awaited or aborted.
    pub connecting: JoinHandle<Result<(), Status>>,
    /// [`Server::serve`], to be awaited or aborted.
    pub serving: JoinHandle<Result<(), Status>>,
}

impl Fixture {
    /// A pair with the server's default bounds.
    pub async fn new(transport: Transport) -> Self {
        Self::with_config(transport, ServerConfig::default()).await
    }

    /// A pair with these bounds.
    pub async fn with_config(transport: Transport, config: ServerConfig) -> Self {
        let built = |client, server: ServerBuilder| (client, server.config(config));
        Self::built(transport, built).await
    }

    /// A pair whose client has these bounds for the methods that it calls.
    pub async fn with_service_config(transport: Transport, methods: ServiceConfig) -> Self {
        let built = |client: ClientBuilder, server| (client.service_config(methods), server);
        Self::built(transport, built).await
    }

    /// A pair with these bounds on the server and on the client.
    pub async fn with_configs(
        transport: Transport,
        config: ServerConfig,
        methods: ServiceConfig,
    ) -> Self {
        let built = |client: ClientBuilder, server: ServerBuilder| {
            (client.service_config(methods), server.config(config))
        };
        Self::built(transport, built).await
    }

    /// A pair whose ends are put together so.
    pub async fn built(
        transport: Transport,
        build: impl FnOnce(ClientBuilder, ServerBuilder) -> (ClientBuilder, ServerBuilder),
    ) -> Self {
        let mut pair = Self::built_stopped(transport, build).await;
        let channel = pair.channel.take();
        let pair = pair.start();
        if let Some(channel) = channel {
            connected(&channel).await;
        }
        pair
    }

    /// A pair whose ends are put together so, and of which nothing runs yet.
    pub async fn built_stopped(
        transport: Transport,
        build: impl FnOnce(ClientBuilder, ServerBuilder) -> (ClientBuilder, ServerBuilder),
    ) -> Stopped {
        let router = Router::new();
        let control = Control::serve(&router);
        let (client, server, channel) = (transport.ends)(router.clone()).await;
        let (client, server) = build(client, server);
        Stopped {
            transport,
            client: client.build(),
            server: server.build(),
            control,
            router,
            channel,
        }
    }

    /// A pair of which nothing runs yet.
    pub async fn stopped(transport: Transport) -> Stopped {
        Self::built_stopped(transport, |client, server| (client, server)).await
    }

    /// Opens a call without metadata and with default options.
    pub async fn call(&self, path: &'static str) -> (Sender, Receiver) {
        self.client
            .call(path, Metadata::new(), CallOptions::default())
            .await
            .unwrap_or_else(|error| panic!("{path} could not be opened: {error}"))
    }

    /// Makes a unary call with default options.
    ///
    /// # Errors
    ///
    /// The status of the call.
    pub async fn unary(&self, path: &'static str, request: &str) -> Result<bytes::Bytes, Status> {
        let request = bytes::Bytes::copy_from_slice(request.as_bytes());
        self.client
            .unary(path, Metadata::new(), request, CallOptions::default())
            .await
    }
}

/// A client and a server that do not run yet.
pub struct Stopped {
    transport: Transport,
    /// The client.
    pub client: Client,
    /// The server.
    pub server: Server,
    /// The service behind it.
    pub control: Arc<Control>,
    /// The server's routes.
    pub router: Router,
    channel: Option<Channel>,
}

impl Stopped {
    /// Runs both.
    pub fn start(self) -> Fixture {
        let (client, server) = (self.client.clone(), self.server.clone());
        Fixture {
            transport: self.transport,
            client: self.client,
            server: self.server,
            control: self.control,
            router: self.router,
            connecting: tokio::spawn(async move { client.connect().await }),
            serving: tokio::spawn(async move { server.serve().await }),
        }
    }
}

async fn connected(channel: &Channel) {
    let mut state = channel.state();
    while state != State::Ready {
        state = channel.state_change(state).await;
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.connecting.abort();
        self.serving.abort();
    }
}

/// Runs a case on every transport, each on a runtime of its own.
///
/// # Panics
///
/// The case failed or hung on some transport, which the message names.
pub fn for_each_transport<F>(case: impl Fn(Transport) -> F)
where
    F: Future<Output = ()>,
{
    for &transport in TRANSPORTS {
        run(transport, false, &case);
    }
}

/// The same, on a clock that stands still while anything is to be done, where the transport has no sockets
/// ([`Transport::is_within_process`]).
///
/// # Panics
///
/// As [`for_each_transport`].
pub fn for_each_transport_on_virtual_time<F>(case: impl Fn(Transport) -> F)
where
    F: Future<Output = ()>,
{
    for &transport in TRANSPORTS {
        run(transport, transport.is_within_process(), &case);
    }
}

fn run<F>(transport: Transport, paused: bool, case: impl Fn(Transport) -> F)
where
    F: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(paused)
        .build()
        .expect("a runtime can be built");
    let run = AssertUnwindSafe(|| {
        runtime.block_on(async { tokio::time::timeout(HANG, case(transport)).await })
    });
    match std::panic::catch_unwind(run) {
        Ok(Ok(())) => {}
        Ok(Err(_)) => panic!("the case hangs on {transport:?}"),
        Err(cause) => {
            eprintln!("the case failed on {transport:?}");
            std::panic::resume_unwind(cause);
        }
    }
}
