//! `WpsRpc`, spoken by hand: the link in plain calls.

mod acks;
mod commands;
mod events;
mod nodes;
mod registration;
mod sdk;
mod unread;
