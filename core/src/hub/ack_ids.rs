//! The ack ids that a connection has used, so that a repeated request is not executed twice.

use alloc::vec::Vec;

/// How many separate stretches of ids are remembered. Clients count up from 1, so one stretch is the rule; failed
/// requests leave holes, because their ids may be used again.
const STRETCHES_MAX: usize = 256;

/// A set of ids that costs nothing while empty and little for ids that count up.
///
/// Past 256 stretches the lowest one is forgotten, so memory is bounded at 4 KiB: a repeated id of that stretch would be
/// executed again.
#[derive(Debug, Default, Clone)]
pub(super) struct AckIds {
    /// Both ends included, ascending, neither touching nor overlapping.
    stretches: Vec<(u64, u64)>,
}

impl AckIds {
    /// Whether the id was used.
    pub(super) fn contains(&self, id: u64) -> bool {
        let after = self.stretches.partition_point(|&(first, _)| first <= id);
        after > 0 && self.stretches[after - 1].1 >= id
    }

    /// Remembers the id of a request that succeeded.
    pub(super) fn insert(&mut self, id: u64) {
        let after = self.stretches.partition_point(|&(first, _)| first <= id);
        let touches_before = after > 0
            && self.stretches[after - 1]
                .1
                .checked_add(1)
                .is_none_or(|next| next >= id);
        let touches_after = self
            .stretches
            .get(after)
            .is_some_and(|&(first, _)| id.checked_add(1) == Some(first));
        match (touches_before, touches_after) {
            (true, true) => {
                self.stretches[after - 1].1 = self.stretches[after].1;
                self.stretches.remove(after);
            }
            (true, false) => self.stretches[after - 1].1 = self.stretches[after - 1].1.max(id),
            (false, true) => self.stretches[after].0 = id,
            (false, false) => self.stretches.insert(after, (id, id)),
        }
        if self.stretches.len() > STRETCHES_MAX {
            self.stretches.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_count_up_stay_one_stretch() {
        let mut ids = AckIds::default();
        for id in 1..=10_000 {
            assert!(!ids.contains(id), "id {id} was not used yet");
            ids.insert(id);
            assert!(ids.contains(id), "id {id} was used");
        }
        assert_eq!(ids.stretches, [(1, 10_000)]);
    }

    #[test]
    fn a_hole_is_free_until_it_is_filled() {
        let mut ids = AckIds::default();
        for id in [1, 2, 4, 5, u64::MAX, 0, 5] {
            ids.insert(id);
        }
        assert!(!ids.contains(3), "3 was never used");
        assert_eq!(ids.stretches, [(0, 2), (4, 5), (u64::MAX, u64::MAX)]);
        ids.insert(3);
        assert_eq!(ids.stretches, [(0, 5), (u64::MAX, u64::MAX)]);
    }

    #[test]
    fn memory_is_bounded_and_the_lowest_ids_are_forgotten_first() {
        let mut ids = AckIds::default();
        for id in (0..2000).step_by(2) {
            ids.insert(id);
        }
        assert_eq!(ids.stretches.len(), STRETCHES_MAX);
        assert!(
            ids.contains(1998) && !ids.contains(0),
            "the lowest stretch goes first"
        );
    }
}
