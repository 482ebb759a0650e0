//! Servers by name, within one process.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use headwater_rpc::{Code, Status};
use tokio::sync::watch;

use crate::{InProcessClient, InProcessServer, Listener};

/// Names under which servers of one process are found, as ports are on one machine. Clones share them.
///
/// There is no such set for the whole process: whoever is to meet is given the same one. So no library takes a name from
/// another, no test from the test beside it, and who was not given the names cannot call.
#[derive(Clone, Default)]
pub struct Names(Arc<Mutex<BTreeMap<String, Arc<watch::Sender<Listener>>>>>);

impl Names {
    /// No names yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The server of this name. The name is free again once it begins to shut down or is dropped.
    ///
    /// # Errors
    ///
    /// `ALREADY_EXISTS`: another server has the name.
    pub fn bind(&self, name: &str) -> Result<InProcessServer, Status> {
        let listener = self.listener(name);
        let bound = listener.send_if_modified(|listener| {
            let free = matches!(listener, Listener::Absent | Listener::Stopped);
            if free {
                *listener = Listener::NotStarted;
            }
            free
        });
        if bound {
            return Ok(InProcessServer::new(listener));
        }
        let message = format!("a server in this process has the name {name:?}");
        Err(Status::new(Code::AlreadyExists, message))
    }

    /// A client of whichever server has this name when a call is made. Calls wait until that one listens; while none has
    /// the name, they fail with `UNAVAILABLE`, and after it begins to stop with `FAILED_PRECONDITION`.
    pub fn client(&self, name: &str) -> InProcessClient {
        InProcessClient::new(self.listener(name))
    }

    fn listener(&self, name: &str) -> Arc<watch::Sender<Listener>> {
        // Nothing in it is changed by halves.
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listener) = names.get(name) {
            return Arc::clone(listener);
        }
        let absent = || Arc::new(watch::Sender::new(Listener::Absent));
        Arc::clone(names.entry(name.to_owned()).or_insert_with(absent))
    }
}

/// The names, in order.
impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(names.keys()).finish()
    }
}
