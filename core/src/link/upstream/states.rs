//! The states that the application stored lately.
//!
//! The service sends a connection's next event without waiting for the answer to the one before, and so with the state
//! from before that answer. The lane starts that event after the answer; it shall see what was stored.

use alloc::{collections::VecDeque, string::String};
use core::time::Duration;

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::time::Time;

/// How long a state is kept: longer than the deadline of an event that left the service before it knew the state.
const KEPT: Duration = Duration::from_secs(60);

/// By connection; what is older than [`KEPT`] goes as new ones come.
#[derive(Debug, Default)]
pub(super) struct States {
    latest: HashMap<String, Stored, FixedState>,
    expiries: VecDeque<(Time, u64, String)>,
}

#[derive(Debug)]
struct Stored {
    /// The number of the answer that stored it.
    answer: u64,
    state: Bytes,
}

impl States {
    /// The application stored `state` by this answer.
    pub(super) fn store(&mut self, connection: &str, answer: u64, state: Bytes, now: Time) {
        self.expire(now);
        let stored = Stored { answer, state };
        self.latest.insert(connection.into(), stored);
        self.expiries
            .push_back((now + KEPT, answer, connection.into()));
    }

    /// What was stored last, if that was lately.
    pub(super) fn latest(&self, connection: &str) -> Option<&Bytes> {
        self.latest.get(connection).map(|stored| &stored.state)
    }

    /// The service did not take this answer.
    pub(super) fn refused(&mut self, answer: u64) {
        let of_answer = self.expiries.iter().find(|(_, of, _)| *of == answer);
        if let Some((_, _, connection)) = of_answer {
            Self::remove(&mut self.latest, connection, answer);
        }
    }

    /// The call is over: events of the next one have left the service after all that it knows.
    pub(super) fn clear(&mut self) {
        self.latest.clear();
        self.expiries.clear();
    }

    fn expire(&mut self, now: Time) {
        while let Some((_, answer, connection)) =
            self.expiries.pop_front_if(|(until, _, _)| *until <= now)
        {
            Self::remove(&mut self.latest, &connection, answer);
        }
    }

    fn remove(latest: &mut HashMap<String, Stored, FixedState>, connection: &str, answer: u64) {
        if latest.get(connection).is_some_and(|it| it.answer == answer) {
            latest.remove(connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn what_is_old_goes_as_new_comes() {
        let mut states = States::default();
        states.store("a", 1, "1".into(), at(0));
        states.store("a", 2, "2".into(), at(30));
        states.store("b", 3, "3".into(), at(60));
        assert_eq!(states.latest("a"), Some(&"2".into()), "stored again since");
        states.store("c", 4, "4".into(), at(90));
        assert_eq!(states.latest("a"), None);
        assert_eq!(states.latest("b"), Some(&"3".into()));
        assert_eq!(states.expiries.len(), 2, "nothing grows");
    }

    #[test]
    fn a_refused_answer_stored_nothing() {
        let mut states = States::default();
        states.store("a", 1, "1".into(), at(0));
        states.refused(1);
        assert_eq!(states.latest("a"), None);
        states.store("a", 2, "2".into(), at(0));
        states.store("a", 3, "3".into(), at(0));
        states.refused(2);
        assert_eq!(states.latest("a"), Some(&"3".into()));
    }
}
