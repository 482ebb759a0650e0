//! The machine against exact lists of outputs.
