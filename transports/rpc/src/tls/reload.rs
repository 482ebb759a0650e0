//! What was made of files, made again when they change.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{task::spawn_blocking, time::Instant};

use super::pem::{Pem, Stamp};

/// How often the files are looked at, at most.
const INTERVAL: Duration = Duration::from_secs(1);

type Load<C> = dyn Fn() -> Result<C, String> + Send + Sync;

/// A configuration and the files that it was made of.
pub(super) struct Reload<C>(Arc<Shared<C>>);

struct Shared<C> {
    files: Vec<Pem>,
    load: Box<Load<C>>,
    state: Mutex<State<C>>,
}

struct State<C> {
    config: Arc<C>,
    /// The files that the configuration was made of.
    used: Vec<Stamp>,
    /// Those that could not be used, and were warned about.
    unusable: Option<Vec<Stamp>>,
    looked: Instant,
}

impl<C: Send + Sync + 'static> Reload<C> {
    /// Reads the files, at once and on this thread.
    pub(super) fn new(
        files: Vec<Pem>,
        load: impl Fn() -> Result<C, String> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        // Before the files are read: a change in between is then found at the next look.
        let used = stamps(&files);
        let state = State {
            config: Arc::new(load()?),
            used,
            unusable: None,
            looked: Instant::now(),
        };
        Ok(Self(Arc::new(Shared {
            files,
            load: Box::new(load),
            state: Mutex::new(state),
        })))
    }

    /// The configuration for a connection that is made now. Who is first after the interval waits for the look at the files;
    /// the others take what there is.
    pub(super) async fn current(&self) -> Arc<C> {
        if self.0.is_due() {
            let shared = Arc::clone(&self.0);
            // Files may lie on a slow network. A task that is lost leaves what was read before.
            let _ = spawn_blocking(move || shared.look()).await;
        }
        Arc::clone(&self.0.lock().config)
    }
}

impl<C> Shared<C> {
    fn is_due(&self) -> bool {
        let mut state = self.lock();
        let due = state.looked.elapsed() >= INTERVAL;
        if due {
            state.looked = Instant::now();
        }
        due
    }

    fn look(&self) {
        let stamps = stamps(&self.files);
        if self.lock().used == stamps {
            return;
        }
        let loaded = (self.load)();
        let mut state = self.lock();
        match loaded {
            Ok(config) => {
                tracing::debug!(target: "headwater_rpc", "certificates were read again");
                state.config = Arc::new(config);
                state.used = stamps;
                state.unusable = None;
            }
            // They may be half written, and with the same stamps be whole at the next look.
            Err(error) if state.unusable.as_ref() != Some(&stamps) => {
                tracing::warn!(target: "headwater_rpc", %error, "the changed certificates cannot be used");
                state.unusable = Some(stamps);
            }
            Err(_) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<C>> {
        // Nothing in it is changed by halves.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamps(files: &[Pem]) -> Vec<Stamp> {
    files.iter().map(Pem::stamp).collect()
}
