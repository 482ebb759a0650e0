//! The service in this process; producers that wait for each confirmation, and consumers that take each message.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use headwater::{
    ChannelsConfig, Service, ServiceConfig,
    auth::{AccessKey, AccessKeys},
};
use headwater_transports::{ServerOptions, UrlServer};
use headwater_upstream::channel::{ChannelClient, ChannelConfig, Consumer, ConsumerOptions};
use tokio::sync::Semaphore;

use super::{CONSUMERS, ON_THE_WAY_MAX, payload};
use crate::contender::{Order, Orders, on_own_thread};

/// Every run uses the same one.
const CHANNEL: &str = "bench";

/// A channel with its consumers.
pub(crate) struct Channel(Orders<usize>);

impl Channel {
    pub(crate) fn start() -> Self {
        let (orders, mut received) = Orders::new();
        let (url, bound) = std::sync::mpsc::channel();
        on_own_thread("server", move || async move {
            let key = AccessKey::new("a-key-of-32-bytes-for-benchmarks").expect("long enough");
            let config = ServiceConfig {
                channels: ChannelsConfig {
                    allow_anonymous: true,
                    ..ChannelsConfig::default()
                },
                ..ServiceConfig::new(AccessKeys::new(key, None))
            };
            let service = Service::new(config);
            let bound = UrlServer::bind("http://127.0.0.1:0", &ServerOptions::default()).await;
            let transport = bound.expect("a free port");
            url.send(transport.url().to_owned()).expect("waits for it");
            let server = service.upstream_server(transport);
            server.serve().await.expect("serves");
        });
        let url = bound.recv().expect("the service listens");
        on_own_thread("client", move || async move {
            let room = Arc::new(Semaphore::new(ON_THE_WAY_MAX));
            // Each on a connection of its own, as in life.
            for _ in 0..CONSUMERS {
                let consumer = client(&url).consumer(CHANNEL, ConsumerOptions::default());
                tokio::spawn(consume(consumer, Arc::clone(&room)));
            }
            let producers = client(&url);
            while let Some(order) = received.recv().await {
                obey(&producers, order, &room).await;
            }
        });
        Self(orders)
    }

    /// Has so many messages be under way at once, each on behalf of a clone of one producer.
    pub(crate) fn run(&self, under_way: usize, duration: Duration) -> u64 {
        self.0.run(under_way, duration)
    }
}

fn client(url: &str) -> ChannelClient {
    let config = ChannelConfig {
        url: url.to_owned(),
        ..ChannelConfig::default()
    };
    ChannelClient::new(config).expect("a URL")
}

async fn consume(mut consumer: Consumer, room: Arc<Semaphore>) {
    while let Ok(message) = consumer.recv().await {
        message.take().await;
        room.add_permits(1);
    }
}

/// Submits until the time is over, and waits until all of it is taken.
async fn obey(client: &ChannelClient, order: Order<usize>, room: &Semaphore) {
    let producer = client.producer(CHANNEL);
    let mut producing: FuturesUnordered<_> = (0..order.work)
        .map(|_| {
            let producer = producer.clone();
            async move {
                let mut count: u64 = 0;
                while Instant::now() < order.until {
                    // Producers would have the channel full before its consumers have taken what is in it.
                    room.acquire().await.expect("never closed").forget();
                    let submitted = producer.submit(payload()).await;
                    submitted.expect("the channel has room");
                    count += 1;
                }
                count
            }
        })
        .collect();
    let mut submitted = 0;
    while let Some(count) = producing.next().await {
        submitted += count;
    }
    let all = room.acquire_many(ON_THE_WAY_MAX as u32).await;
    drop(all.expect("never closed"));
    order.answered.send(submitted).expect("waits for the count");
}
