use std::{fs, path::PathBuf, sync::Arc};

use bytes::Bytes;
use clap::CommandFactory as _;
use headwater_core::{
    Time,
    call::{Frame, Shape, Trailers},
    packet::{
        CallKey, ChannelConfig, Endpoint, EndpointConfig, Event, Input, Output, Request, Role,
    },
};
use headwater_proto::Code;
use prost::Message as _;

use crate::{
    Arguments,
    flash::{Flash, Owed},
    generated::{Firmware, Running},
    updater::{INSTALL, Line, Next},
};

/// The client's channel; a device learns of it from packets.
const CHANNEL: u32 = 7;

/// A flash of its own for each test, gone with it.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Self {
        let name = format!("headwater-device-{test}-{}", std::process::id());
        let place = Self(std::env::temp_dir().join(name));
        let _ = fs::remove_file(&place.0);
        place
    }

    /// What the device finds when it starts.
    fn flash(&self) -> Flash {
        Flash::open(self.0.clone()).expect("the flash is readable")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A pw_rpc client, which outlives the device.
fn client() -> Endpoint {
    let config = EndpointConfig {
        role: Some(Role::Client),
        ..EndpointConfig::default()
    };
    let mut client = Endpoint::new(config, Arc::default());
    let opened = client.open_channel(CHANNEL, ChannelConfig::default());
    opened.expect("it is the first channel");
    client
}

fn call(client: &mut Endpoint, message: Vec<u8>) -> CallKey {
    let key = client.call(CHANNEL, Request::new(INSTALL, Shape::Unary));
    let key = key.expect("the channel is open");
    let sent = client.send(key, Frame::Message(message.into()));
    sent.expect("the call is open");
    let ended = client.send(key, Frame::end(Trailers::ok()));
    ended.expect("the call is open");
    key
}

fn firmware(version: &str) -> Vec<u8> {
    let version = version.to_owned();
    Firmware { version }.encode_to_vec()
}

/// Hands the client's packets to the device.
fn ask(client: &mut Endpoint, line: &mut Line, flash: &Flash) -> Next {
    let mut next = Next::GoOn;
    while let Some(output) = client.poll_output() {
        if let Output::Transmit(packet) = output {
            let received = line.receive(packet.to_bytes(), flash);
            next = received.expect("the flash is writable");
        }
    }
    next
}

/// Hands the device's packets to the client, and gives what it is told.
fn hear(client: &mut Endpoint, packets: Vec<Bytes>) -> Vec<Event> {
    let mut events = Vec::new();
    for packet in packets {
        client.handle(Input::Packet(packet), Time::ZERO);
        while let Some(output) = client.poll_output() {
            match output {
                Output::Event(event) => events.push(event),
                Output::Transmit(_) | Output::TransmitRun { .. } => {
                    panic!("the client has nothing to say: {output:?}")
                }
            }
        }
    }
    events
}

/// That this call ends well, with this version.
fn assert_runs(events: &[Event], call: CallKey, version: &str) {
    let version = version.to_owned();
    let running: Bytes = Running { version }.encode_to_vec().into();
    let expected = [Frame::Message(running), Frame::end(Trailers::ok())];
    let expected = expected.map(|frame| Event::Frame { key: call, frame });
    assert_eq!(events[1..], expected, "after the headers");
}

/// S5-52 and U-15: the process that answers is not the one that was asked, and the client does not notice.
#[test]
fn s5_52_u_15_a_restarted_device_answers_a_call_from_before() {
    let place = Place::new("answers");
    let mut client = client();
    let key = call(&mut client, firmware("v2"));
    let flash = place.flash();
    assert_eq!((flash.version(), flash.owed()), ("factory", None));
    let mut line = Line::new();
    assert_eq!(ask(&mut client, &mut line, &flash), Next::Restart);
    assert!(line.take_packets().is_empty(), "it has not answered");

    drop((line, flash));
    let mut flash = place.flash();
    let owed = Owed {
        channel: CHANNEL,
        version: "v2".to_owned(),
    };
    assert_eq!((flash.version(), flash.owed()), ("v2", Some(&owed)));
    let answer = Line::new().answer_from_before(&owed).expect("it can");
    assert_runs(&hear(&mut client, answer), key, "v2");
    assert_eq!(client.calls(), 0, "the call is over");
    flash.settle().expect("the flash is writable");

    let flash = place.flash();
    let expected = ("v2", None);
    assert_eq!((flash.version(), flash.owed()), expected, "it is owed once");
}

/// S5-52: also a client that has forgotten its call hears the answer, if it waits for one.
#[test]
fn s5_52_a_client_that_has_restarted_too_hears_the_answer() {
    let owed = Owed {
        channel: CHANNEL,
        version: "v3".to_owned(),
    };
    let mut client = client();
    let waiting = client.await_unrequested(CHANNEL, INSTALL, Shape::Unary);
    let key = waiting.expect("it can");
    let answer = Line::new().answer_from_before(&owed).expect("it can");
    assert_runs(&hear(&mut client, answer), key, "v3");
}

/// U-15: an answer whose sending was interrupted is owed still.
#[test]
fn u_15_an_answer_that_was_not_given_is_owed_after_the_next_restart_too() {
    let place = Place::new("owed");
    place
        .flash()
        .install("v2", CHANNEL)
        .expect("it is writable");
    for _ in 0..2 {
        assert!(place.flash().owed().is_some(), "nobody has settled it");
    }
    place.flash().settle().expect("it is writable");
    assert_eq!(place.flash().owed(), None);
}

#[test]
fn what_is_no_firmware_is_refused_and_nothing_restarts() {
    let place = Place::new("refuses");
    let long = "v".repeat(65);
    for message in [firmware(""), firmware("v2\n7"), firmware(&long), vec![7]] {
        let (mut client, mut line, flash) = (client(), Line::new(), place.flash());
        let key = call(&mut client, message);
        assert_eq!(ask(&mut client, &mut line, &flash), Next::GoOn);
        let events = hear(&mut client, line.take_packets());
        let Some(Event::Frame {
            key: ended,
            frame: Frame::End(end),
        }) = events.last()
        else {
            panic!("the call has ended: {events:?}");
        };
        let status = end.outcome.clone().expect_err("it is refused");
        assert_eq!((*ended, status.code), (key, Code::InvalidArgument));
        assert_eq!(place.flash().version(), "factory");
    }
}

#[test]
fn the_command_line_is_sound() {
    Arguments::command().debug_assert();
}
