//! Push channels: `MessageSync` over every transport, called by hand and by the SDK.

mod bounds;
mod fanout;
mod leaving;
mod produce;
mod sdk;
mod sdk_producer;
mod site;
mod taken;
mod tokens;
mod work_queue;

use site::*;
