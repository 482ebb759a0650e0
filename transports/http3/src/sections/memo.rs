//! Sections that come again and again, as nearly all of a connection's do.

use std::{
    borrow::Borrow,
    sync::{Mutex, PoisonError},
};

/// How many are remembered: a connection's calls are mostly of few methods.
const ENTRIES_MAX: usize = 8;
/// Longer sections are not remembered, which bounds what a peer can have a connection hold.
pub(crate) const SECTION_BYTES_MAX: usize = 512;

/// The last few results of something that depends on its input alone.
pub(crate) struct Memo<K, V>(Mutex<Entries<K, V>>);

struct Entries<K, V> {
    entries: Vec<(K, V)>,
    /// The one that makes room for the next.
    oldest: usize,
}

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self(Mutex::new(Entries {
            entries: Vec::new(),
            oldest: 0,
        }))
    }
}

impl<K: PartialEq, V: Clone> Memo<K, V> {
    pub(crate) fn get<Q: PartialEq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.find(|known| known.borrow() == key)
    }

    /// The result of the first input that is like this.
    pub(crate) fn find(&self, is_it: impl Fn(&K) -> bool) -> Option<V> {
        let memo = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = memo.entries.iter().find(|(known, _)| is_it(known));
        found.map(|(_, value)| value.clone())
    }

    /// Remembers a result, of a section of this length.
    pub(crate) fn insert(&self, key: K, value: V, section_bytes: usize) {
        if section_bytes > SECTION_BYTES_MAX {
            return;
        }
        let mut memo = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if memo.entries.len() < ENTRIES_MAX {
            memo.entries.push((key, value));
            return;
        }
        let oldest = memo.oldest;
        memo.entries[oldest] = (key, value);
        memo.oldest = (oldest + 1) % ENTRIES_MAX;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_few_short_ones_are_remembered() {
        let memo: Memo<String, usize> = Memo::default();
        for index in 0..20 {
            memo.insert(index.to_string(), index, SECTION_BYTES_MAX);
        }
        memo.insert("long".to_owned(), 99, SECTION_BYTES_MAX + 1);
        for index in 0..20 {
            let expected = (index >= 20 - ENTRIES_MAX).then_some(index);
            assert_eq!(memo.get(index.to_string().as_str()), expected, "{index}");
        }
        assert_eq!(memo.get("long"), None);
    }
}
