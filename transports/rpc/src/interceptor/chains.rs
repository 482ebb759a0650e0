//! The interceptors of a client or server, and which of them each method has.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::Filter;

/// Methods whose interceptors are remembered. More are looked up at every call, so that paths that somebody else chooses
/// cannot fill the memory.
const REMEMBERED_MAX: usize = 4096;

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
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(chain) = known.get(path) {
            return Arc::clone(chain);
        }
        let admits = |(filter, _): &&(Filter, Arc<I>)| filter.admits(path);
        let admitted = self.added.iter().filter(admits);
        let chain: Chain<I> = admitted
            .map(|(_, interceptor)| Arc::clone(interceptor))
            .collect();
        if known.len() < REMEMBERED_MAX {
            known.insert(Arc::clone(path), Arc::clone(&chain));
        }
        chain
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
