//! S4-38: a span for every call, on either side, over every transport.

mod context;
mod ends;
mod options;
mod support;
mod tree;
