//! nats-server in a process of its own; producers that are not told what became of a message, and a queue group.

use std::{
    io,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::sync::Semaphore;

use super::{CONSUMERS, ON_THE_WAY_MAX, payload};
use crate::contender::{Order, Orders, on_own_thread};

const SUBJECT: &str = "bench";

/// A subject with its queue group.
pub(crate) struct Subject {
    orders: Orders<usize>,
    server: Child,
}

impl Subject {
    pub(crate) fn start(program: &Path) -> io::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let server = Command::new(program)
            .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let (orders, mut received) = Orders::new();
        on_own_thread("client", move || async move {
            let room = Arc::new(Semaphore::new(ON_THE_WAY_MAX));
            for _ in 0..CONSUMERS {
                let client = connect(port).await;
                let queue = client.queue_subscribe(SUBJECT, "consumers".into()).await;
                // The server has it.
                client.flush().await.expect("it is up");
                tokio::spawn(consume(client, queue.expect("it is up"), Arc::clone(&room)));
            }
            let producers = connect(port).await;
            while let Some(order) = received.recv().await {
                obey(&producers, order, &room).await;
            }
        });
        Ok(Self { orders, server })
    }

    /// The server's process.
    pub(crate) fn process(&self) -> u32 {
        self.server.id()
    }

    pub(crate) fn run(&self, producers: usize, duration: Duration) -> u64 {
        self.orders.run(producers, duration)
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // It has ended already, or does now.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The server takes a moment to listen.
async fn connect(port: u16) -> Client {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match async_nats::connect(format!("127.0.0.1:{port}")).await {
            Ok(client) => return client,
            Err(error) if Instant::now() > until => panic!("nats-server is not there: {error}"),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

async fn consume(_client: Client, mut queue: Subscriber, room: Arc<Semaphore>) {
    while queue.next().await.is_some() {
        room.add_permits(1);
    }
}

/// Publishes until the time is over, and waits until all of it has come.
async fn obey(client: &Client, order: Order<usize>, room: &Semaphore) {
    let payload = Bytes::from(payload());
    let mut producing: FuturesUnordered<_> = (0..order.work)
        .map(|_| async {
            let mut count: u64 = 0;
            while Instant::now() < order.until {
                room.acquire().await.expect("never closed").forget();
                let published = client.publish(SUBJECT, payload.clone()).await;
                published.expect("it is up");
                count += 1;
            }
            count
        })
        .collect();
    let mut published = 0;
    while let Some(count) = producing.next().await {
        published += count;
    }
    client.flush().await.expect("it is up");
    let all = room.acquire_many(ON_THE_WAY_MAX as u32).await;
    drop(all.expect("never closed"));
    order.answered.send(published).expect("waits for the count");
}
