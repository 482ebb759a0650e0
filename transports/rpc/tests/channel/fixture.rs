//! A client whose transport is a channel over a [`Network`].

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use headwater_rpc::{
    CallOptions, Client, ClientTransport, Inbound, Metadata, Outbound, Receiver, RequestHeaders,
    Sender, Status,
    channel::{
        Address, BackOff, BalancerConfig, Channel, ChannelConfig, FixedResolver, Policy,
        Resolution, Resolver,
    },
};
use tokio::task::JoinHandle;

use crate::network::{ECHO, Network, WHO, address};

/// In the metadata of calls that wait for ready.
const WAITS: &str = "waits";

pub(crate) struct Fixture {
    pub(crate) channel: Channel,
    pub(crate) client: Client,
    pub(crate) connecting: JoinHandle<Result<(), Status>>,
}

impl Fixture {
    /// A client of these ports.
    pub(crate) fn new(network: &Network, ports: &[u16], config: ChannelConfig) -> Self {
        let resolution = Resolution::addresses(addresses(ports));
        Self::resolved_by(network, Box::new(FixedResolver::new(resolution)), config)
    }

    pub(crate) fn resolved_by(
        network: &Network,
        resolver: Box<dyn Resolver>,
        config: ChannelConfig,
    ) -> Self {
        let channel = Channel::new(resolver, network.clone(), config);
        let client = Client::new(Patient(channel.clone()));
        let connects = client.clone();
        Self {
            channel,
            client,
            connecting: tokio::spawn(async move { connects.connect().await }),
        }
    }

    /// Which server answers a call.
    pub(crate) async fn who(&self) -> Result<u16, Status> {
        self.ask(Metadata::new(), None).await
    }

    /// The same, by a call that waits for ready.
    pub(crate) async fn who_when_ready(&self, timeout: Option<Duration>) -> Result<u16, Status> {
        let mut metadata = Metadata::new();
        metadata.append(WAITS, "yes").expect("a valid entry");
        self.ask(metadata, timeout).await
    }

    async fn ask(&self, metadata: Metadata, timeout: Option<Duration>) -> Result<u16, Status> {
        let options = CallOptions {
            timeout,
            ..CallOptions::default()
        };
        let call = self.client.unary(WHO, metadata, Bytes::new(), options);
        let answer = call.await?;
        let text = std::str::from_utf8(&answer).expect("a port");
        Ok(text.parse().expect("a port"))
    }

    /// A call that lasts.
    pub(crate) async fn stream(&self) -> (Sender, Receiver) {
        let call = self
            .client
            .call(ECHO, Metadata::new(), CallOptions::default());
        call.await.expect("a stream is opened")
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.connecting.abort();
    }
}

/// Has a call wait for ready if its metadata say so.
struct Patient(Channel);

#[async_trait]
impl ClientTransport for Patient {
    async fn connect(&self) -> Result<(), Status> {
        self.0.connect().await
    }

    fn begin_graceful_shutdown(&self) {
        self.0.begin_graceful_shutdown();
    }

    fn refuse_waiting(&self) {
        self.0.refuse_waiting();
    }

    async fn open(
        &self,
        headers: RequestHeaders,
        outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, Status> {
        let wait_for_ready = headers.metadata.text(WAITS).is_some();
        let headers = RequestHeaders {
            wait_for_ready,
            ..headers
        };
        self.0.open(headers, outbound).await
    }
}

pub(crate) fn addresses(ports: &[u16]) -> Vec<Address> {
    ports.iter().copied().map(address).collect()
}

/// Without jitter, so that times are exact.
pub(crate) fn config(policy: Policy) -> ChannelConfig {
    ChannelConfig {
        balancer: BalancerConfig {
            policy,
            back_off: BackOff {
                jitter: 0.0,
                ..BackOff::default()
            },
            ..BalancerConfig::default()
        },
        ..ChannelConfig::default()
    }
}

pub(crate) fn pick_first() -> ChannelConfig {
    config(Policy::PickFirst { shuffle: false })
}

pub(crate) fn round_robin() -> ChannelConfig {
    config(Policy::RoundRobin)
}

/// Waits until nothing can go on but the clock: a paused clock moves only then.
pub(crate) async fn settled() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// The echo of a message.
pub(crate) async fn echoed(sender: &Sender, receiver: &mut Receiver, text: &'static str) {
    let message = Bytes::from_static(text.as_bytes());
    let sent = sender.try_send(message.clone());
    sent.expect("the call is open");
    let mut messages = Vec::new();
    let read = receiver.next_batch(&mut messages).await;
    read.expect("the call is open");
    assert_eq!(messages, [message]);
}
