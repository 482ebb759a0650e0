//! What runs a channel: the balancer's machine, its attempts and connections, and the resolver.

use std::{
    collections::BTreeMap,
    future::{pending, poll_fn},
    pin::Pin,
    sync::{Arc, Weak},
    task::Poll,
};

use headwater_core::{
    Time, Why,
    balance::{Balancer, ConnectionId, Input, Output, Picker},
};
use headwater_proto::Status;
use tokio::{sync::Notify, time::sleep_until};
use tracing::debug;

use super::{
    Address, Connection, Connector, Resolution, Resolver, Updates,
    link::Link,
    resolver::Told,
    transport::{Inner, Phase},
};

const TARGET: &str = "headwater_rpc::channel";

/// Everything that runs is polled here and lives here, so that dropping this ends it at once.
pub(super) struct Driver<'a> {
    inner: &'a Inner,
    balancer: Balancer<Address>,
    /// Each attempt, and then the watch over the connection that came of it.
    running: BTreeMap<ConnectionId, Running>,
    links: BTreeMap<ConnectionId, Arc<Link>>,
    /// Those that only end their streams.
    leaving: Vec<Weak<Link>>,
    resolve: Arc<Notify>,
}

struct Running {
    address: Address,
    happens: Pin<Box<dyn Future<Output = Happened> + Send>>,
}

enum Happened {
    Connected(Arc<dyn Connection>),
    Failed(Status),
    Closed(Status),
}

impl<'a> Driver<'a> {
    pub(super) fn new(inner: &'a Inner) -> Self {
        Self {
            inner,
            balancer: inner.balancer(),
            running: BTreeMap::new(),
            links: BTreeMap::new(),
            leaving: Vec::new(),
            resolve: Arc::new(Notify::new()),
        }
    }

    /// Runs until the channel was told to stop and no stream is open.
    pub(super) async fn run(mut self, mut resolver: Box<dyn Resolver>) {
        let (updates, mut resolved) = Updates::new(Arc::clone(&self.resolve));
        let mut resolving = Some(resolver.run(updates));
        let mut phase = self.inner.phase.subscribe();
        if self.inner.config.eager {
            self.handle(Input::Wanted);
        }
        while *phase.borrow_and_update() < Phase::Stopping {
            let timeout = self.timeout();
            tokio::select! {
                biased;
                _ = phase.changed() => {}
                (id, happened) = next(&mut self.running) => self.happened(id, happened),
                () = self.inner.requests.made.notified() => self.asked(),
                Ok(()) = resolved.changed() => {
                    let told = resolved.borrow_and_update().clone();
                    self.resolved(told);
                }
                () = finish(&mut resolving) => resolving = None,
                () = timeout => self.timed_out(),
            }
        }
        drop(resolving);
        self.handle(Input::Shutdown);
        self.inner.usage.none().await;
    }

    fn now(&self) -> Time {
        self.inner.clock.now()
    }

    fn timeout(&self) -> impl Future<Output = ()> + use<> {
        let deadline = self.balancer.poll_timeout();
        let at = deadline.and_then(|deadline| self.inner.clock.instant(deadline.at));
        async move {
            match at {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        }
    }

    fn timed_out(&mut self) {
        let due = self.balancer.poll_timeout();
        if due.is_some_and(|deadline| deadline.why == Why::Idle) {
            self.handle(Input::Calls(self.inner.usage.calls()));
        }
        self.handle(Input::Timeout);
    }

    /// Calls want something.
    fn asked(&mut self) {
        for (id, status) in self.inner.requests.take_lost() {
            self.closed(id, status);
        }
        self.handle(Input::Wanted);
    }

    fn resolved(&mut self, told: Told) {
        match told {
            None => {}
            Some(Ok(Resolution {
                addresses,
                service_config,
            })) => {
                let count = addresses.len();
                debug!(target: TARGET, count, "the name was resolved");
                let service_config = service_config.unwrap_or_default();
                let policy = service_config.load_balancing;
                let policy = policy.unwrap_or(self.inner.config.balancer.policy);
                self.inner.service_config.send_replace(service_config);
                self.handle(Input::Policy(policy));
                self.handle(Input::Resolved(addresses));
            }
            Some(Err(status)) => {
                debug!(target: TARGET, %status, "the name could not be resolved");
                self.handle(Input::ResolutionFailed(status));
            }
        }
    }

    fn happened(&mut self, id: ConnectionId, happened: Happened) {
        let Some(Running { address, .. }) = self.running.remove(&id) else {
            return;
        };
        match happened {
            Happened::Connected(connection) => {
                debug!(target: TARGET, %address, "connected");
                let watched = Arc::clone(&connection);
                let happens = Box::pin(async move { Happened::Closed(watched.closed().await) });
                let link = Link::new(id, address.clone(), connection);
                self.running.insert(id, Running { address, happens });
                self.links.insert(id, Arc::new(link));
                self.handle(Input::Connected(id));
            }
            Happened::Failed(status) => {
                debug!(target: TARGET, %address, %status, "not connected");
                self.handle(Input::ConnectFailed(id, at(&address, status)));
            }
            Happened::Closed(status) => self.closed(id, status),
        }
    }

    fn closed(&mut self, id: ConnectionId, status: Status) {
        let Some(link) = self.leave(id) else {
            return;
        };
        let address = &link.address;
        debug!(target: TARGET, %address, %status, "a connection takes no more streams");
        self.handle(Input::Closed(id, at(address, status)));
    }

    /// The connection lives on for its streams alone.
    fn leave(&mut self, id: ConnectionId) -> Option<Arc<Link>> {
        self.running.remove(&id);
        let link = self.links.remove(&id)?;
        self.leaving.retain(|link| link.strong_count() > 0);
        self.leaving.push(Arc::downgrade(&link));
        Some(link)
    }

    fn handle(&mut self, input: Input<Address>) {
        self.balancer.handle(input, self.now());
        while let Some(output) = self.balancer.poll_output() {
            self.act(output);
        }
    }

    fn act(&mut self, output: Output<Address>) {
        match output {
            Output::Resolve => self.resolve.notify_one(),
            Output::Connect(id, address) => {
                debug!(target: TARGET, %address, "connecting");
                let connector = Arc::clone(&self.inner.connector);
                let happens = Box::pin(connect(connector, address.clone()));
                self.running.insert(id, Running { address, happens });
            }
            Output::Abandon(id) => drop(self.running.remove(&id)),
            Output::Disconnect(id) => {
                if let Some(link) = self.leave(id) {
                    debug!(target: TARGET, address = %link.address, "disconnecting");
                    link.begin_graceful_shutdown();
                }
            }
            Output::Picker(picker) => self.publish(picker),
            // Outputs of a later core that this driver does not know change nothing here.
            _ => {}
        }
    }

    fn publish(&self, picker: Picker<ConnectionId>) {
        debug!(target: TARGET, state = ?picker.state(), ready = picker.ready().len(), "calls are picked anew");
        let picker = picker.filter_map(|id| self.links.get(&id).cloned());
        self.inner.picker.send_replace(picker);
    }
}

impl Drop for Driver<'_> {
    fn drop(&mut self) {
        self.inner.picker.send_replace(Picker::shut_down());
        self.running.clear();
        let leaving = self.leaving.iter().filter_map(Weak::upgrade);
        for link in self.links.values().cloned().chain(leaving) {
            link.break_off();
        }
    }
}

async fn connect(connector: Arc<dyn Connector>, address: Address) -> Happened {
    match connector.connect(&address).await {
        Ok(connection) => Happened::Connected(Arc::from(connection)),
        Err(status) => Happened::Failed(status),
    }
}

/// What happens next. Nothing is lost if this is dropped.
async fn next(running: &mut BTreeMap<ConnectionId, Running>) -> (ConnectionId, Happened) {
    poll_fn(|cx| {
        for (id, running) in &mut *running {
            if let Poll::Ready(happened) = running.happens.as_mut().poll(cx) {
                return Poll::Ready((*id, happened));
            }
        }
        Poll::Pending
    })
    .await
}

/// Waits for a future that can be waited for again, if it is still there.
async fn finish<F: Future<Output = ()> + Unpin>(future: &mut Option<F>) {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

/// A failure with the address that it is of.
fn at(address: &Address, status: Status) -> Status {
    Status {
        message: format!("{address}: {}", status.message),
        ..status
    }
}
