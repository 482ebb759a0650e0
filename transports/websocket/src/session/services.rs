//! What the clients of a server can call, as packets name it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use headwater_core::{
    call::Shape,
    packet::{Method, Services},
};
use headwater_rpc::Acceptor;

/// The methods of a server by their ids, shared by all its sockets.
///
/// A method that the server has no longer stays here, for a machine that forgets one ends its calls, and whether they go on
/// is the router's to say.
pub(crate) struct ServiceList {
    acceptor: Acceptor,
    latest: Mutex<Version>,
}

#[derive(Default)]
struct Version {
    number: Option<u64>,
    methods: BTreeMap<Arc<str>, Entry>,
    services: Arc<Services>,
}

struct Entry {
    shape: Shape,
    /// The server has it.
    is_served: bool,
}

impl ServiceList {
    pub(crate) fn new(acceptor: Acceptor) -> Self {
        Self {
            acceptor,
            latest: Mutex::default(),
        }
    }

    /// What the server has now; `None` if the version that is known still counts.
    pub(super) fn since(&self, known: Option<u64>) -> Option<(u64, Arc<Services>)> {
        let (number, methods) = self.acceptor.methods_since(known)?;
        let mut latest = self.lock();
        if latest.number != Some(number) {
            latest.number = Some(number);
            for entry in latest.methods.values_mut() {
                entry.is_served = false;
            }
            for method in methods {
                let entry = Entry {
                    shape: method.shape,
                    is_served: true,
                };
                latest.methods.insert(method.path, entry);
            }
            latest.services = Arc::new(services(&latest.methods));
        }
        Some((number, Arc::clone(&latest.services)))
    }

    /// Whether the server has this method, as far as it has told.
    pub(super) fn serves(&self, path: &str) -> bool {
        let latest = self.lock();
        latest.methods.get(path).is_some_and(|it| it.is_served)
    }

    fn lock(&self) -> MutexGuard<'_, Version> {
        // A version that is half made is made anew with the next change.
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn services(methods: &BTreeMap<Arc<str>, Entry>) -> Services {
    let mut services = Services::new();
    // A peer with the extension says the path, and is told by the router what there is not.
    services.accepts_unknown = true;
    for (path, entry) in methods {
        let method = Method::new(Arc::clone(path), entry.shape);
        if let Err(error) = services.add(method) {
            tracing::debug!(%path, %error, "callable by its path only");
        }
    }
    services
}
