//! A machine under a list of operations.

use std::{cell::RefCell, collections::BTreeSet, fmt::Debug};

use proptest::{
    collection::vec,
    prelude::{Strategy, any},
    prop_assert,
    test_runner::TestCaseError,
};

use crate::{corpus, runner};

/// What came of a run.
pub struct Ran<L> {
    /// All that the machine has said, in order.
    pub log: Vec<L>,
    /// What was seen of what there is to see.
    pub reached: BTreeSet<String>,
}

/// How a machine is run under a list of operations, which is also written as bytes.
pub struct Machine<O, L> {
    /// Where the corpus keeps lists for it.
    pub corpus: &'static str,
    /// The list that any bytes are.
    pub parse: fn(&[u8]) -> O,
    /// The bytes that a list is.
    pub to_bytes: fn(&O) -> Vec<u8>,
    /// Runs it from its beginning, and fails where it breaks a promise.
    pub run: fn(&O) -> Result<Ran<L>, TestCaseError>,
}

impl<O: Debug, L: PartialEq> Machine<O, L> {
    /// Runs it twice: it keeps what it promises, and the same list leads to the same outputs.
    ///
    /// # Errors
    ///
    /// It does not.
    pub fn check(&self, operations: &O) -> Result<Ran<L>, TestCaseError> {
        let one = (self.run)(operations)?;
        let other = (self.run)(operations)?;
        prop_assert!(one.log == other.log, "a recorded run can be replayed");
        Ok(one)
    }

    /// Checks each list of the corpus.
    ///
    /// # Panics
    ///
    /// A promise is broken, or a list is not whole.
    pub fn replay_corpus(&self) {
        for (file, bytes) in corpus::read(self.corpus) {
            let operations = (self.parse)(&bytes);
            let written = (self.to_bytes)(&operations);
            assert_eq!(written, bytes, "{file}: nothing is cut off");
            let checked = self.check(&operations);
            checked.unwrap_or_else(|error| panic!("{file}: {error}"));
        }
    }

    /// Checks `cases` lists of these, which have to reach all that is `rare`, for else they prove little. Gives all that was
    /// reached.
    ///
    /// # Panics
    ///
    /// A promise is broken, or something rare was not reached.
    pub fn check_whatever_happens(
        &self,
        test: &str,
        cases: u32,
        operations: &impl Strategy<Value = O>,
        rare: &[&str],
    ) -> BTreeSet<String> {
        let reached = RefCell::new(BTreeSet::new());
        runner(test, cases)
            .run(operations, |operations| {
                let ran = self.check(&operations)?;
                reached.borrow_mut().extend(ran.reached);
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{error}"));
        let reached = reached.into_inner();
        for rare in rare {
            assert!(
                reached.contains(*rare),
                "not reached: {rare} of {reached:?}"
            );
        }
        reached
    }

    /// Checks the lists that `cases` times less than so many bytes of noise are.
    ///
    /// # Panics
    ///
    /// A promise is broken.
    pub fn check_noise(&self, test: &str, cases: u32, bytes: usize) {
        runner(test, cases)
            .run(&vec(any::<u8>(), 0..bytes), |bytes| {
                self.check(&(self.parse)(&bytes)).map(drop)
            })
            .unwrap_or_else(|error| panic!("{error}"));
    }
}
