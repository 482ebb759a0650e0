//! Where addresses come from.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use headwater_proto::Status;
use tokio::sync::{Notify, watch};

use super::Address;
use crate::service_config::ServiceConfig;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Resolution {
    /// In order of preference. None at all is a failure: then nothing can be reached.
    pub addresses: Vec<Address>,
    /// How the methods behind the name are to be called, and calls to be spread, if the name says so.
    pub service_config: Option<Arc<ServiceConfig>>,
}

impl Resolution {
    /// Addresses alone.
    pub const fn addresses(addresses: Vec<Address>) -> Self {
        Self {
            addresses,
            service_config: None,
        }
    }
}

/// Says which addresses a name stands for, now and whenever that changes.
#[async_trait]
pub trait Resolver: Send + 'static {
    /// Tells the channel what it finds, as often as it likes. Called once; the channel drops it when it stops. If it
    /// returns, what it told last stays.
    ///
    /// Nothing has to be told before it is asked for ([`Updates::wanted`]). How often it looks is the resolver's own
    /// affair: a channel that cannot connect asks again and again, and at once after a failure.
    async fn run(&mut self, updates: Updates);
}

/// Nothing until the first time.
pub(super) type Told = Option<Result<Resolution, Status>>;

/// What a resolver tells a channel, and what it is asked.
pub struct Updates {
    latest: watch::Sender<Told>,
    wanted: Arc<Notify>,
}

impl Updates {
    /// Also where the channel sees what is told. It asks by `wanted`.
    pub(super) fn new(wanted: Arc<Notify>) -> (Self, watch::Receiver<Told>) {
        let (latest, seen) = watch::channel(None);
        (Self { latest, wanted }, seen)
    }

    /// Tells what the name stands for, or why that is not known. Takes the place of what was told before and not looked at
    /// yet.
    pub fn push(&self, resolution: Result<Resolution, Status>) {
        self.latest.send_replace(Some(resolution));
    }

    /// Waits until the channel wants to know, which is when it begins and whenever what it knows seems to be wrong. What
    /// is asked before this is called counts once.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }
}

impl fmt::Debug for Updates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Updates").finish_non_exhaustive()
    }
}

/// A list that never changes.
#[derive(Debug, Clone)]
pub struct FixedResolver(Resolution);

impl FixedResolver {
    /// Tells this once.
    pub const fn new(resolution: Resolution) -> Self {
        Self(resolution)
    }
}

#[async_trait]
impl Resolver for FixedResolver {
    async fn run(&mut self, updates: Updates) {
        updates.push(Ok(self.0.clone()));
    }
}
