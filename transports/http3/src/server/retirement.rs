//! When a connection that works has to end.

use std::{future::pending, time::Duration};

use tokio::{
    select,
    sync::watch,
    time::{Instant, sleep_until},
};

use super::connection::Connection;

/// Why a connection that works is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retirement {
    Age,
    Idle,
    Stopping,
}

/// Waits until the connection has to end.
pub(super) async fn retirement(
    connection: &Connection,
    old_at: Option<Instant>,
    idle_timeout: Option<Duration>,
    mut stopping: watch::Receiver<bool>,
) -> Retirement {
    loop {
        let now = Instant::now();
        if old_at.is_some_and(|at| at <= now) {
            return Retirement::Age;
        }
        let idle_since = connection.streams.idle_since();
        let idle_at = idle_timeout.and_then(|bound| idle_since.unwrap_or(now).checked_add(bound));
        if idle_since.is_some() && idle_at.is_some_and(|at| at <= now) {
            return Retirement::Idle;
        }
        select! {
            biased;
            // The sender is part of the server, so it cannot be gone.
            _ = stopping.wait_for(|stopping| *stopping) => return Retirement::Stopping,
            () = at([old_at, idle_at].into_iter().flatten().min()) => {}
        }
    }
}

/// At this moment, or never.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}
