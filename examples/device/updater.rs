//! The service, on pw_rpc's machine: without a socket and without a clock.

use std::{collections::BTreeMap, io, sync::Arc};

use bytes::Bytes;
use headwater_core::{
    Time,
    call::{Credit, Frame, Shape, Trailers},
    packet::{
        CallKey, ChannelConfig, Endpoint, EndpointConfig, Event, Input, Method, Output, Role,
        SendError, Services,
    },
};
use headwater_proto::{Code, Metadata, Status};
use prost::Message as _;

use crate::{
    flash::{Flash, Owed},
    generated::{Firmware, Running},
};

/// The one method.
pub(crate) const INSTALL: &str = "/device.Updater/Install";
/// The longest name of a version, in characters.
const VERSION_CHARS_MAX: usize = 64;
/// A device has little memory, and one firmware.
const CALLS_MAX: usize = 4;

/// What to do after a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Take the next.
    GoOn,
    /// Start anew: all that is not in the flash is forgotten.
    Restart,
}

/// What is known of one client: its calls, which a restart forgets.
#[derive(Debug)]
pub(crate) struct Line {
    endpoint: Endpoint,
    /// The channels of the calls.
    channels: BTreeMap<CallKey, u32>,
    packets: Vec<Bytes>,
}

impl Line {
    /// Nobody has called yet.
    pub(crate) fn new() -> Self {
        let config = EndpointConfig {
            role: Some(Role::Server),
            calls_max: CALLS_MAX,
            ..EndpointConfig::default()
        };
        let mut services = Services::new();
        // One method is registered, so nothing can be there already.
        let _ = services.add(Method::new(INSTALL, Shape::Unary));
        let mut endpoint = Endpoint::new(config, Arc::new(services));
        // Whatever channel a client names is opened; the first default is always taken.
        let _ = endpoint.open_default(ChannelConfig::default());
        Self {
            endpoint,
            channels: BTreeMap::new(),
            packets: Vec::new(),
        }
    }

    /// Answers a call that was begun before the restart, and gives the packets.
    ///
    /// # Errors
    ///
    /// The channel is none that a client can have named.
    pub(crate) fn answer_from_before(&mut self, owed: &Owed) -> Result<Vec<Bytes>, SendError> {
        // This client may not have said anything yet.
        let opened = self
            .endpoint
            .open_channel(owed.channel, ChannelConfig::default());
        opened.map_err(|_| SendError::NoChannel)?;
        let call = self.endpoint.respond_unrequested(owed.channel, INSTALL)?;
        let running = Running {
            version: owed.version.clone(),
        };
        self.endpoint.send(call, Frame::Headers(Metadata::new()))?;
        let message = Frame::Message(running.encode_to_vec().into());
        self.endpoint.send(call, message)?;
        self.endpoint.finish(call, Trailers::ok())?;
        while let Some(output) = self.endpoint.poll_output() {
            self.transmit(output);
        }
        Ok(self.take_packets())
    }

    /// Takes in one packet. What answers it is in [`Line::take_packets`].
    ///
    /// # Errors
    ///
    /// The flash cannot be written.
    pub(crate) fn receive(&mut self, packet: Bytes, flash: &Flash) -> io::Result<Next> {
        self.endpoint.handle(Input::Packet(packet), Time::ZERO);
        let mut next = Next::GoOn;
        while let Some(output) = self.endpoint.poll_output() {
            let Some(event) = self.transmit(output) else {
                continue;
            };
            match event {
                Event::Opened { key, opened } => {
                    self.channels.insert(key, opened.channel);
                }
                Event::Frame {
                    key,
                    frame: Frame::Message(message),
                } => next = self.install(key, message, flash)?,
                // The requests have ended, and there was none that restarts the device.
                Event::Frame {
                    key,
                    frame: Frame::End(_),
                } => self.refuse(key),
                Event::Closed { key, .. } => {
                    self.channels.remove(&key);
                }
                // Hints, and what a later machine may tell beside them.
                Event::Frame { .. }
                | Event::CompletionRequested { .. }
                | Event::Writable { .. }
                | Event::GoingAway { .. }
                | Event::Rejected(_)
                | _ => {}
            }
            if next == Next::Restart {
                // Nothing that came after it is looked at, as if the power was off already.
                break;
            }
        }
        Ok(next)
    }

    /// The packets to send since the last time.
    pub(crate) fn take_packets(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.packets)
    }

    /// Keeps what is to be sent, or gives what is to be looked at.
    fn transmit(&mut self, output: Output) -> Option<Event> {
        match output {
            Output::Transmit(packet) => {
                self.packets.push(packet.to_bytes());
                None
            }
            // Nothing is sent as a run.
            Output::TransmitRun { .. } => None,
            Output::Event(event) => Some(event),
        }
    }

    /// Keeps the firmware, and leaves the call open: who answers is the one that starts with it.
    fn install(&mut self, key: CallKey, message: Bytes, flash: &Flash) -> io::Result<Next> {
        let credit = Credit {
            messages: 1,
            bytes: message.len(),
        };
        self.endpoint.consumed(key, credit);
        let Some(channel) = self.channels.get(&key) else {
            return Ok(Next::GoOn);
        };
        let firmware = Firmware::decode(message).ok();
        let Some(firmware) = firmware.filter(|firmware| is_version(&firmware.version)) else {
            self.refuse(key);
            return Ok(Next::GoOn);
        };
        flash.install(&firmware.version, *channel)?;
        Ok(Next::Restart)
    }

    /// Ends a call that brought no firmware, unless it has ended already.
    fn refuse(&mut self, key: CallKey) {
        if self.channels.remove(&key).is_none() {
            return;
        }
        let status = Status::new(Code::InvalidArgument, "this is no name of a version");
        // It fails only if the call is over, which is as well.
        let _ = self.endpoint.finish(key, Trailers::failed(status));
    }
}

fn is_version(text: &str) -> bool {
    (1..=VERSION_CHARS_MAX).contains(&text.chars().count()) && !text.contains(char::is_control)
}
