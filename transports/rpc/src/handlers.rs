//! How many handlers one connection keeps busy.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Bounds the handlers that run for one connection.
///
/// A bound of open streams is none of handlers: a client that resets its stream has its place back at once, while the
/// handler runs on until it looks, and one that opens and resets again and again would have any number of them ("rapid
/// reset", CVE-2023-44487). So a transport asks here before it hands a stream to the server, and refuses the stream if
/// there is no permit. Clones share the bound.
#[derive(Clone)]
pub struct HandlerLimit {
    inner: Arc<Inner>,
}

struct Inner {
    running: AtomicUsize,
    max: usize,
    methods: Option<Methods>,
}

/// The handlers of each method, which has none if it is not here.
struct Methods {
    running: Mutex<BTreeMap<Arc<str>, usize>>,
    max: usize,
}

impl HandlerLimit {
    /// So many handlers at once.
    pub fn new(max: usize) -> Self {
        Self::bounded(max, None)
    }

    /// So many handlers at once, and of each method so many of these.
    pub fn with_methods(max: usize, method_max: usize) -> Self {
        let methods = Methods {
            running: Mutex::default(),
            max: method_max,
        };
        Self::bounded(max, Some(methods))
    }

    fn bounded(max: usize, methods: Option<Methods>) -> Self {
        Self {
            inner: Arc::new(Inner {
                running: AtomicUsize::new(0),
                max,
                methods,
            }),
        }
    }

    /// The permit to run a handler of the method at this path; `None` if as many run as may.
    pub fn try_start(&self, path: &Arc<str>) -> Option<HandlerPermit> {
        let inner = &self.inner;
        let one_more = |running| (running < inner.max).then_some(running + 1);
        inner
            .running
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .ok()?;
        let mut permit = HandlerPermit {
            inner: Arc::clone(inner),
            path: None,
        };
        if let Some(methods) = &inner.methods {
            // If this one refuses, dropping the permit gives the other place back.
            methods.try_start(path).then_some(())?;
            permit.path = Some(Arc::clone(path));
        }
        Some(permit)
    }
}

impl Methods {
    fn try_start(&self, path: &Arc<str>) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let before = running.get(path).copied().unwrap_or_default();
        if before >= self.max {
            return false;
        }
        running.insert(Arc::clone(path), before + 1);
        true
    }

    fn end(&self, path: Arc<str>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = running.entry(path) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// One handler more, until this is dropped. Given to the server with its stream
/// ([`AcceptedStream::permitted`](crate::AcceptedStream::permitted)), it is held until the handler has ended its call or
/// itself; that its client has cancelled the call, or that its time is over, does not end it.
#[must_use]
pub struct HandlerPermit {
    inner: Arc<Inner>,
    /// Set if the handlers of each method are counted.
    path: Option<Arc<str>>,
}

impl Drop for HandlerPermit {
    fn drop(&mut self) {
        if let (Some(methods), Some(path)) = (&self.inner.methods, self.path.take()) {
            methods.end(path);
        }
        self.inner.running.fetch_sub(1, Ordering::AcqRel);
    }
}

impl fmt::Debug for HandlerLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.inner.running.load(Ordering::Acquire);
        f.debug_struct("HandlerLimit")
            .field("running", &running)
            .field("max", &self.inner.max)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for HandlerPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerPermit").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_holds_and_a_dropped_permit_gives_its_place_back() {
        let (one, two) = (Arc::from("/t.T/One"), Arc::from("/t.T/Two"));
        let limit = HandlerLimit::with_methods(2, 1);
        let first = limit.try_start(&one).expect("there is room");
        assert!(limit.try_start(&one).is_none(), "one of each method");
        let second = limit
            .try_start(&two)
            .expect("the refused one took no place");
        drop(first);
        let third = limit.try_start(&one).expect("there is room again");
        let limit_of_all = HandlerLimit::new(1);
        let only = limit_of_all.try_start(&one).expect("there is room");
        assert!(limit_of_all.try_start(&two).is_none(), "one of all methods");
        drop((second, third, only));
        let methods = limit.inner.methods.as_ref().expect("they are counted");
        let left = methods.running.lock().expect("nobody panicked").len();
        assert_eq!(left, 0, "a method without a handler is not remembered");
    }
}
