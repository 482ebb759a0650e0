//! The built command, from outside: what it takes over TLS, and from whom.

mod process;
mod tls;
