//! A stream of a request, both ways: frames of HTTP/3 on quinn's streams.

mod batch;
mod reader;
mod writer;

pub(crate) use self::{
    reader::{Event, Fault, FrameReader},
    writer::{Stopped, Writer},
};
