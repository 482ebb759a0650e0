//! What several examples share.

pub mod chat_app;
