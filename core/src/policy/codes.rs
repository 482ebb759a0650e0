//! A set of status codes.

use core::fmt;

use headwater_proto::Code;

/// A set of status codes. OK is no code, so it is in none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Codes(u32);

impl Codes {
    /// No code.
    pub const NONE: Self = Self(0);

    /// This set and one code more.
    #[must_use]
    pub const fn with(self, code: Code) -> Self {
        Self(self.0 | 1 << code.number())
    }

    /// Whether the code is in the set.
    pub const fn contains(self, code: Code) -> bool {
        self.0 & 1 << code.number() != 0
    }

    /// Whether no code is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Code> for Codes {
    fn from_iter<I: IntoIterator<Item = Code>>(codes: I) -> Self {
        codes.into_iter().fold(Self::NONE, Self::with)
    }
}

impl<const N: usize> From<[Code; N]> for Codes {
    fn from(codes: [Code; N]) -> Self {
        codes.into_iter().collect()
    }
}

impl fmt::Debug for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Code::ALL.into_iter().filter(|code| self.contains(*code));
        f.debug_set().entries(named).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let codes = Codes::from([Code::Unavailable, Code::Cancelled, Code::Unauthenticated]);
        let held: Codes = Code::ALL
            .into_iter()
            .filter(|code| codes.contains(*code))
            .collect();
        assert_eq!(held, codes);
        assert!(!codes.contains(Code::Aborted));
        assert!(Codes::NONE.is_empty() && !codes.is_empty());
    }
}
