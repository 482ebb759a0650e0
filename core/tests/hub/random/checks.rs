//! What must hold of every output.

use super::*;

impl World {
    pub(super) fn drain(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            self.log.push(format!("< {output:?}"));
            self.check(output);
        }
        for (data, missing) in std::mem::take(&mut self.expected) {
            assert!(missing.is_empty(), "{missing:?} did not hear {data}");
        }
    }

    fn check(&mut self, output: Output<u64, u64>) {
        match output {
            Output::Admit { to, admission } => {
                self.reached.note("admit");
                let client = self.alive(to);
                assert!(!client.admitted, "client {to} was admitted twice");
                client.admitted = true;
                assert_eq!(client.is_simple, admission.protocol == Protocol::Simple);
            }
            Output::Refuse { to, status: _ } => {
                self.reached.note("refuse");
                let client = self.alive(to);
                assert!(!client.admitted, "client {to} was let in before");
                client.ended = true;
            }
            Output::Send { to, run } => self.check_run(to, &run),
            Output::Deliver { to, excluded, run } => {
                self.reached.note("delivered");
                for receiver in to.iter().filter(|to| !excluded.contains(&to.key)) {
                    self.check_run(receiver.handle, &run);
                }
            }
            Output::Close { to, .. } => {
                self.reached.note("close");
                self.alive(to).ended = true;
            }
            Output::Pause(to) => {
                self.reached.note("pause");
                let client = self.alive(to);
                assert!(!client.paused, "client {to} is paused twice");
                client.paused = true;
            }
            Output::Resume(to) => {
                self.reached.note("resume");
                let client = self.alive(to);
                assert!(client.paused, "client {to} is resumed, and was not paused");
                client.paused = false;
            }
            Output::Link { to, frame } => self.check_frame(to, *frame),
            Output::EndLink { to, outcome } => {
                self.reached.note("end link");
                assert_eq!(outcome, Ok(()), "link {to}");
                let link = self.link(to);
                assert!(!link.ended, "link {to} ends twice");
                assert!(
                    link.unsettled.is_empty(),
                    "link {to} ends with unsettled events"
                );
                link.ended = true;
            }
        }
    }

    fn alive(&mut self, client: u64) -> &mut Client {
        let entry = self.clients.get_mut(&client).unwrap();
        assert!(!entry.ended, "client {client} has ended");
        entry
    }

    fn check_run(&mut self, to: u64, run: &Run) {
        let client = self.alive(to);
        assert!(client.open, "client {to} is not open");
        let heard = frames(&run.bytes);
        assert_eq!(heard.len(), run.messages as usize);
        let mut acks = 0;
        let mut heard_data = Vec::new();
        for frame in heard {
            if client.is_simple {
                let data = frame.parse().unwrap();
                in_order(to, client, data);
                heard_data.push(data);
                continue;
            }
            let json: serde_json::Value = serde_json::from_str(&frame).unwrap();
            match json["type"].as_str().unwrap() {
                "ack" => {
                    let id = json["ackId"].as_u64().unwrap();
                    let expected = client.expects.remove(&id).unwrap_or(0);
                    assert!(expected > 0, "client {to} never asked for ack {id}");
                    acks += 1;
                    if expected > 1 {
                        client.expects.insert(id, expected - 1);
                    }
                }
                "message" => {
                    let data = json["data"].as_str().unwrap().parse().unwrap();
                    in_order(to, client, data);
                    heard_data.push(data);
                }
                "system" => {}
                other => panic!("client {to} heard {other}"),
            }
        }
        for _ in 0..acks {
            self.reached.note("ack");
        }
        for data in heard_data {
            if let Some(expected) = self.expected.get_mut(&data) {
                assert!(
                    expected.remove(&to),
                    "client {to} is no member, and hears {data}"
                );
                self.reached.note("heard as a member");
            }
        }
    }

    fn check_frame(&mut self, to: u64, frame: Frame) {
        assert!(!self.link(to).ended, "link {to} has ended");
        match frame {
            Frame::Event(event) => self.check_event(to, &event),
            Frame::Refused(_) => self.reached.note("refused"),
            Frame::Cancel(_) => self.reached.note("cancel"),
            Frame::Result(_) => self.reached.note("result"),
            Frame::Registered(_) | Frame::Gap(_) | Frame::Drain(_) => {}
        }
    }

    fn check_event(&mut self, to: u64, event: &v1::Event) {
        let id = event.id.as_ref().unwrap();
        let connection: u64 = id.connection_id[1..].parse().unwrap();
        let (kind, bytes) = match event.event.as_ref().unwrap() {
            v1::event::Event::Connect(connect) => (0, connect.encoded_len()),
            v1::event::Event::Connected(_) => (1, 0),
            v1::event::Event::Message(message) => (2, message.encoded_len()),
            v1::event::Event::Disconnected(disconnected) => (3, disconnected.reason.len()),
        };
        assert_eq!(event.time_left_ms == 0, kind % 2 == 1, "time left");
        let client = self.clients.get_mut(&connection).unwrap();
        if event.redelivered {
            self.reached.note("redelivered");
            let before = client.events.get(&id.number);
            assert_eq!(before, Some(&kind), "sent again, and not sent before");
        } else {
            let last = client
                .events
                .last_key_value()
                .map_or((0, 0), |(n, k)| (*n, *k));
            assert!(
                last.0 < id.number,
                "numbers of {connection}: {last:?}, {id:?}"
            );
            assert!(
                last.1 <= kind,
                "kinds of {connection}: {last:?}, {id:?} {kind}"
            );
            client.events.insert(id.number, kind);
        }
        let link = self.link(to);
        link.last_seq += 1;
        assert_eq!(event.seq, link.last_seq, "seq of link {to}");
        link.unsettled
            .insert(event.seq, (connection, id.number, bytes + 128));
        let count = link.unsettled.len();
        let bytes: usize = link.unsettled.values().map(|(_, _, bytes)| bytes).sum();
        assert!(count <= link.window_events, "{count} events on link {to}");
        assert!(
            bytes <= link.window_bytes || count == 1,
            "{bytes} bytes on link {to}"
        );
        let full = count == link.window_events;
        let in_lane: usize = self
            .links
            .values()
            .filter(|link| !link.ended)
            .map(|link| {
                link.unsettled
                    .values()
                    .filter(|event| event.0 == connection)
                    .count()
            })
            .sum();
        assert!(in_lane <= 8, "{in_lane} unsettled events of {connection}");
        if full {
            self.reached.note("full window");
        }
        if in_lane == 8 {
            self.reached.note("8 in a lane");
        }
        let numbers: BTreeSet<u64> = self.clients[&connection].events.keys().copied().collect();
        assert!(numbers.contains(&id.number));
    }
}

/// All that is said counts up, so what one client hears must count up.
fn in_order(key: u64, client: &mut Client, data: u64) {
    assert!(
        client.last_data < data,
        "client {key} hears {data} after {}",
        client.last_data
    );
    client.last_data = data;
}
