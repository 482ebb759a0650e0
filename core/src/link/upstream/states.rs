//! The states that the application stored lately.
//!
//! The service sends a connection's next event without waiting for the answer to the one before, and so with the state
//! from before that answer. The lane starts that event after the answer; it shall see what was stored.
//!
//! What else an event shows is newer than what is known here: another instance of the application, or another app of the
//! hub, has stored it.

use alloc::{collections::VecDeque, string::String, vec::Vec};
use core::time::Duration;

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::time::Time;

/// How long a state is kept: longer than the deadline of an event that left the service before it knew the state.
const KEPT: Duration = Duration::from_secs(60);

/// So many values may be on their way at once: the service sends no event before the one that is so many before it is
/// settled, and so answered.
const OLDER_MAX: usize = 8;

/// What all states together may take. Beyond it the oldest are forgotten, and events show what the service says.
const BYTES_MAX: usize = 16 << 20;

/// By connection, until an event shows that the service knows the state.
#[derive(Debug)]
pub(super) struct States {
    stored: HashMap<String, Stored, FixedState>,
    /// At least one for each connection in `stored`, the earliest first.
    expiries: VecDeque<(Time, String)>,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Stored {
    until: Time,
    /// `None` if the service knows it.
    unseen: Option<Unseen>,
}

#[derive(Debug)]
struct Unseen {
    /// The number of the answer that stored it.
    answer: u64,
    state: Bytes,
    /// What events may show that left the service before, the latest last.
    older: Vec<Bytes>,
    /// The state was an older one before: an event that shows it may have left then.
    has_returned: bool,
}

impl Unseen {
    fn bytes(&self) -> usize {
        let older: usize = self.older.iter().map(Bytes::len).sum();
        self.state.len() + older
    }
}

impl Default for States {
    fn default() -> Self {
        Self {
            stored: HashMap::default(),
            expiries: VecDeque::new(),
            bytes: 0,
            bytes_max: BYTES_MAX,
        }
    }
}

impl States {
    /// The application stored `state` by this answer to an event that showed `shown` when it came.
    pub(super) fn store(
        &mut self,
        connection: &str,
        answer: u64,
        shown: &Bytes,
        state: &Bytes,
        now: Time,
    ) {
        self.expire(now);
        let until = now + KEPT;
        let stored = self.stored.entry_ref(connection).or_insert_with(|| {
            self.expiries.push_back((until, connection.into()));
            Stored {
                until,
                unseen: None,
            }
        });
        stored.until = until;
        let before = stored.unseen.take();
        self.bytes -= before.as_ref().map_or(0, Unseen::bytes);
        let mut older = match before {
            // A part of the frame that it came in would hold all of that.
            None => [Bytes::copy_from_slice(shown)].into(),
            Some(Unseen {
                state, mut older, ..
            }) => {
                older.push(state);
                older
            }
        };
        let has_returned = older.contains(state);
        older.retain(|it| it != state);
        let excess = older.len().saturating_sub(OLDER_MAX);
        older.drain(..excess);
        let unseen = Unseen {
            answer,
            state: Bytes::copy_from_slice(state),
            older,
            has_returned,
        };
        self.bytes += unseen.bytes();
        stored.unseen = Some(unseen);
        while self.bytes > self.bytes_max
            && let Some((_, oldest)) = self.expiries.pop_front()
        {
            self.forget(&oldest);
        }
    }

    /// What the next event of this connection is to show in place of `shown`, if it left the service too early.
    pub(super) fn instead_of(
        &mut self,
        connection: &str,
        shown: &Bytes,
        now: Time,
    ) -> Option<Bytes> {
        self.expire(now);
        let stored = self.stored.get_mut(connection)?;
        let unseen = stored.unseen.as_ref()?;
        if unseen.older.contains(shown) {
            return Some(unseen.state.clone());
        }
        if unseen.has_returned && unseen.state == shown {
            return None;
        }
        // The service is past what was stored here, or somebody else was faster.
        self.bytes -= unseen.bytes();
        stored.unseen = None;
        None
    }

    /// The service did not take this answer.
    pub(super) fn refused(&mut self, answer: u64) {
        for stored in self.stored.values_mut() {
            if let Some(unseen) = stored.unseen.take_if(|unseen| unseen.answer == answer) {
                self.bytes -= unseen.bytes();
            }
        }
    }

    /// No more events of this connection come.
    pub(super) fn forget(&mut self, connection: &str) {
        let forgotten = self.stored.remove(connection);
        let unseen = forgotten.and_then(|stored| stored.unseen);
        self.bytes -= unseen.as_ref().map_or(0, Unseen::bytes);
    }

    /// The call is over: events of the next one have left the service after all that it knows.
    pub(super) fn clear(&mut self) {
        self.stored.clear();
        self.expiries.clear();
        self.bytes = 0;
    }

    fn expire(&mut self, now: Time) {
        while let Some((_, connection)) = self.expiries.pop_front_if(|(until, _)| *until <= now) {
            match self.stored.get(&connection).map(|stored| stored.until) {
                Some(until) if now < until => self.expiries.push_back((until, connection)),
                Some(_) => self.forget(&connection),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::after_start(Duration::from_secs(seconds))
    }

    fn store(
        states: &mut States,
        connection: &str,
        answer: u64,
        values: [&'static str; 2],
        now: Time,
    ) {
        let [shown, state] = values.map(|value| Bytes::from_static(value.as_bytes()));
        states.store(connection, answer, &shown, &state, now);
    }

    fn sees(states: &mut States, connection: &str, shown: &'static str, now: Time) -> Bytes {
        let shown = Bytes::from_static(shown.as_bytes());
        let instead = states.instead_of(connection, &shown, now);
        instead.unwrap_or(shown)
    }

    #[test]
    fn an_event_that_left_before_an_answer_sees_the_latest_one() {
        let mut states = States::default();
        store(&mut states, "a", 1, ["0", "1"], at(0));
        assert_eq!(sees(&mut states, "a", "0", at(0)), "1");
        store(&mut states, "a", 2, ["0", "2"], at(0));
        assert_eq!(sees(&mut states, "a", "0", at(0)), "2");
        assert_eq!(sees(&mut states, "a", "1", at(0)), "2", "it knew the first");
        assert_eq!(
            sees(&mut states, "b", "0", at(0)),
            "0",
            "another connection"
        );
        assert_eq!(sees(&mut states, "a", "2", at(0)), "2", "it knows all");
        assert_eq!(
            sees(&mut states, "a", "1", at(0)),
            "1",
            "stored anew elsewhere"
        );
    }

    #[test]
    fn a_value_that_returns_says_nothing_of_what_the_service_knows() {
        let mut states = States::default();
        store(&mut states, "a", 1, ["idle", "busy"], at(0));
        store(&mut states, "a", 2, ["idle", "idle"], at(0));
        assert_eq!(sees(&mut states, "a", "idle", at(0)), "idle", "or before");
        assert_eq!(
            sees(&mut states, "a", "busy", at(0)),
            "idle",
            "it left between"
        );
    }

    #[test]
    fn what_somebody_else_stored_is_shown() {
        let mut states = States::default();
        store(&mut states, "a", 1, ["0", "1"], at(0));
        assert_eq!(sees(&mut states, "a", "of another", at(0)), "of another");
        assert_eq!(sees(&mut states, "a", "0", at(0)), "0", "put back there");
    }

    #[test]
    fn what_is_old_goes_and_the_store_grows_with_connections_only() {
        let mut states = States::default();
        for answer in 0..1000 {
            store(&mut states, "a", answer, ["0", "1"], at(0));
            store(&mut states, "b", answer, ["0", "2"], at(30));
            assert_eq!(sees(&mut states, "b", "2", at(30)), "2");
        }
        assert_eq!(states.expiries.len(), 2, "one a connection");
        assert_eq!(sees(&mut states, "a", "0", at(59)), "1");
        assert_eq!(
            sees(&mut states, "a", "0", at(60)),
            "0",
            "without another answer"
        );
        store(&mut states, "b", 9, ["2", "3"], at(60));
        assert_eq!(
            sees(&mut states, "b", "2", at(100)),
            "3",
            "stored again since"
        );
        assert_eq!(sees(&mut states, "b", "2", at(180)), "2");
        assert_eq!((states.stored.len(), states.expiries.len()), (0, 0));
        assert_eq!(states.bytes, 0);
    }

    #[test]
    fn a_connection_has_few_values_and_all_have_a_bound() {
        let mut states = States {
            bytes_max: 40,
            ..States::default()
        };
        for answer in 0..100 {
            let state = alloc::format!("{answer:02}").into();
            states.store("a", answer, &"--".into(), &state, at(0));
        }
        assert_eq!(states.bytes, 2 * (OLDER_MAX + 1));
        assert_eq!(sees(&mut states, "a", "98", at(0)), "99");
        store(
            &mut states,
            "b",
            100,
            ["", "as much as both may have together, and more"],
            at(1),
        );
        assert_eq!((states.stored.len(), states.bytes), (0, 0));
        assert_eq!(
            sees(&mut states, "a", "98", at(1)),
            "98",
            "as the service says"
        );
    }

    #[test]
    fn a_refused_answer_stored_nothing() {
        let mut states = States::default();
        store(&mut states, "a", 1, ["0", "1"], at(0));
        states.refused(1);
        assert_eq!(sees(&mut states, "a", "0", at(0)), "0");
        store(&mut states, "a", 2, ["0", "2"], at(0));
        store(&mut states, "a", 3, ["0", "3"], at(0));
        states.refused(2);
        assert_eq!(sees(&mut states, "a", "0", at(0)), "3");
        states.forget("a");
        assert_eq!(sees(&mut states, "a", "0", at(0)), "0", "it is gone");
        assert_eq!(states.bytes, 0);
    }
}
