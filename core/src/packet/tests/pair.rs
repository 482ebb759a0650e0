//! A client and a server that know of each other what their packets say.

use super::*;

/// A client and a server, and what passes between them.
pub(super) struct Pair {
    pub(super) client: Script,
    pub(super) server: Script,
}

/// What was said on the way, and what either application was told.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Passed {
    pub(super) packets: Vec<RpcPacket>,
    pub(super) client: Vec<Event>,
    pub(super) server: Vec<Event>,
}

impl Pair {
    pub(super) fn new(client: ExtensionUse, server: ExtensionUse) -> Self {
        Self {
            client: Script::speaking(client),
            server: Script::speaking(server),
        }
    }

    pub(super) fn agreed() -> Self {
        Self::new(ExtensionUse::Agreed, ExtensionUse::Agreed)
    }

    /// Hands everything over, until both are silent.
    pub(super) fn pass(&mut self) -> Passed {
        let mut passed = Passed::default();
        loop {
            let (client, server) = (&mut self.client.endpoint, &mut self.server.endpoint);
            let mut said = one_way(client, server, &mut passed.packets, &mut passed.client);
            said |= one_way(server, client, &mut passed.packets, &mut passed.server);
            if !said {
                return passed;
            }
        }
    }

    /// A call that the client has started with these requests, which have arrived.
    pub(super) fn called(&mut self, path: &str, requests: &[&'static str]) -> (CallKey, CallKey) {
        let key = self.client.call(path);
        for text in requests {
            self.client.send(key, message(text));
        }
        let passed = self.pass();
        let Some(Event::Opened { key: served, .. }) = passed.server.first() else {
            panic!("it arrives: {passed:?}");
        };
        (key, *served)
    }
}

fn one_way(
    from: &mut Endpoint,
    to: &mut Endpoint,
    packets: &mut Vec<RpcPacket>,
    events: &mut Vec<Event>,
) -> bool {
    let mut said = false;
    while let Some(output) = from.poll_output() {
        said = true;
        match output {
            Output::Transmit(packet) => {
                let input = Input::Packet(packet.to_bytes());
                to.handle(input, Time::ZERO);
                packets.push(packet);
            }
            Output::TransmitRun { .. } => panic!("no run was sent: {output:?}"),
            Output::Event(event) => events.push(event),
        }
    }
    said
}

pub(super) fn types(packets: &[RpcPacket]) -> Vec<i32> {
    packets.iter().map(|packet| packet.r#type).collect()
}

pub(super) fn is(kind: PacketType) -> i32 {
    kind.into()
}

pub(super) fn frames(events: &[Event]) -> Vec<Frame> {
    let mut frames = Vec::new();
    for event in events {
        if let Event::Frame { frame, .. } = event {
            frames.push(frame.clone());
        }
    }
    frames
}
