//! The interceptors of a client or server, and which of them each method has.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::Filter;

/// Methods whose interceptors are remembered. More are looked up at every call, so that paths that somebody else chooses,
/// as they can where a router has a fallback, cannot fill the memory.
const REMEMBERED_MAX: usize = 4096;

/// Longer paths are looked up at every call, for the same reason: what is remembered is at most 1 MiB of paths.
const REMEMBERED_PATH_BYTES_MAX: usize = 256;

/// The interceptors that a call passes, the outermost first.
pub(crate) type Chain<I> = Arc<[Arc<I>]>;

/// Interceptors with their filters, in the order in which they were added.
pub(crate) struct Chains<I: ?Sized> {
    added: Vec<(Filter, Arc<I>)>,
    known: RwLock<HashMap<Arc<str>, Chain<I>>>,
}

impl<I: ?Sized> Chains<I> {
    pub(crate) fn add(&mut self, filter: Filter, interceptor: Arc<I>) {
        self.added.push((filter, interceptor));
    }

    /// The interceptors of the method at this path; `None` if it has none.
    pub(crate) fn of(&self, path: &Arc<str>) -> Option<Chain<I>> {
        if self.added.is_empty() {
            return None;
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let chain = known.get(path).cloned();
        drop(known);
        let chain = chain.unwrap_or_else(|| self.learn(path));
        (!chain.is_empty()).then_some(chain)
    }

    fn learn(&self, path: &Arc<str>) -> Chain<I> {
        if path.len() > REMEMBERED_PATH_BYTES_MAX {
            return self.admitted(path);
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(chain) = known.get(path) {
            return Arc::clone(chain);
        }
        let chain = self.admitted(path);
        if known.len() < REMEMBERED_MAX {
            known.insert(Arc::clone(path), Arc::clone(&chain));
        }
        chain
    }

    /// Asks the filters.
    fn admitted(&self, path: &str) -> Chain<I> {
        let admits = |(filter, _): &&(Filter, Arc<I>)| filter.admits(path);
        let admitted = self.added.iter().filter(admits);
        admitted
            .map(|(_, interceptor)| Arc::clone(interceptor))
            .collect()
    }
}

impl<I: ?Sized> Default for Chains<I> {
    fn default() -> Self {
        Self {
            added: Vec::new(),
            known: RwLock::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// How often the filter is asked for two calls of each path.
    fn asked(paths: impl IntoIterator<Item = String>) -> usize {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let filter = Filter::matching(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            true
        });
        let mut chains: Chains<str> = Chains::default();
        chains.add(filter, Arc::from("interceptor"));
        for path in paths {
            let path: Arc<str> = path.into();
            for _ in 0..2 {
                let chain = chains.of(&path).expect("the filter admits it");
                assert_eq!(chain.len(), 1, "remembered or not, it is the same");
            }
        }
        asked.load(Ordering::Relaxed)
    }

    #[test]
    fn what_is_remembered_is_bounded_in_paths_and_in_bytes() {
        let of_bytes = |bytes: usize| format!("/{}", "x".repeat(bytes - 1));
        assert_eq!(asked([of_bytes(256)]), 1, "remembered");
        assert_eq!(asked([of_bytes(257)]), 2, "too long to be remembered");
        let paths = (0..REMEMBERED_MAX + 10).map(|number| format!("/s/{number}"));
        assert_eq!(asked(paths), REMEMBERED_MAX + 20, "ten too many");
    }
}
