//! How the system asks the process to end: SIGTERM and SIGINT, or Ctrl-C where there are no such signals.

use std::io;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
#[cfg(windows)]
use tokio::signal::windows::{CtrlC, ctrl_c};

/// The signals since this was made.
#[cfg(unix)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

#[cfg(unix)]
impl Signals {
    /// From now on they no longer end the process by themselves.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one. Cancel safe: none is lost.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The signals since this was made.
#[cfg(windows)]
pub(super) struct Signals(CtrlC);

#[cfg(windows)]
impl Signals {
    /// From now on they no longer end the process by themselves.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self(ctrl_c()?))
    }

    /// Waits for the next one. Cancel safe: none is lost.
    pub(super) async fn next(&mut self) {
        // `None` would be that there are no more, which does not happen.
        let _ = self.0.recv().await;
    }
}
