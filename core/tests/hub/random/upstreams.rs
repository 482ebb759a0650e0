//! What upstreams do.

use super::*;

impl World {
    pub(super) fn register(&mut self) {
        let link = self.links.len() as u64 + 1;
        let events = match self.random.below(4) {
            0 => None,
            1 => filter("cod", &["message"]),
            2 => filter("od", &["*"]),
            _ => filter("", &["x"]),
        };
        let window_events = self.random.below(12) as u32;
        let window_bytes = self.random.below(3) * 1_000;
        let new = v1::Register {
            events,
            window: window(window_events, window_bytes),
            ..register(self.random.pick(&["one", "two"]).unwrap())
        };
        let or = |value: usize, default| if value == 0 { default } else { value };
        self.links.insert(
            link,
            Link {
                window_events: or(window_events as usize, 1024),
                window_bytes: or(usize::try_from(window_bytes).unwrap(), 16 << 20),
                ..Link::default()
            },
        );
        self.input(Input::Register {
            link: LinkKey(link),
            handle: link,
            register: new.into(),
            registration: format!("r{link}"),
            resume_token: Bytes::new(),
        });
    }

    pub(super) fn ack(&mut self) {
        self.drain();
        let Some(link) = self.any_link() else { return };
        let events: Vec<_> = self.links[&link].unsettled.values().copied().collect();
        let (mut connection, mut number, _) = self.random.pick(&events).unwrap_or((1, 1, 0));
        let kind = self
            .clients
            .get(&connection)
            .and_then(|client| client.events.get(&number));
        let mut answer = match kind {
            Some(0) => self.answer_connect(),
            _ => self.answer_message(),
        };
        if self.random.chance(5) {
            number = self.random.below(12);
        }
        if self.random.chance(3) {
            connection = self.random.below(12);
        }
        if self.random.chance(5) {
            answer = self.answer_connect();
        }
        let ack = v1::Ack {
            seq: 1,
            id: Some(v1::EventId {
                connection_id: format!("c{connection}"),
                number,
            }),
            answer: (!self.random.chance(2)).then_some(answer),
        };
        self.input(Input::Ack(LinkKey(link), ack.into()));
    }

    fn answer_connect(&mut self) -> Answer {
        if self.random.chance(10) {
            return Answer::Reject(v1::Reject::default());
        }
        let group = if self.random.chance(5) { "" } else { "b" };
        Answer::Accept(v1::Accept {
            groups: vec![group.into()],
            ..v1::Accept::default()
        })
    }

    fn answer_message(&mut self) -> Answer {
        match self.random.below(4) {
            0 => error(13, "oops"),
            1 => done(),
            _ => {
                let payload = Some(self.payload().into());
                Answer::Reply(v1::Reply {
                    payload,
                    state: Some("s".into()),
                })
            }
        }
    }

    pub(super) fn settle_some(&mut self) {
        self.drain();
        let Some(link) = self.any_link() else { return };
        let first = self.links[&link].unsettled.keys().next().copied();
        let from = if self.random.chance(80) {
            first.unwrap_or(0)
        } else {
            self.random.below(20)
        };
        let to = match self.random.below(10) {
            0 => u64::MAX,
            1 => self.random.below(10),
            _ => from.saturating_add(self.random.below(4)),
        };
        self.settle(link, from, to);
    }

    pub(super) fn settle(&mut self, link: u64, from: u64, to: u64) {
        // What has fallen due makes room for events that are sent before this is looked at.
        self.pass(Duration::ZERO);
        self.link(link)
            .unsettled
            .retain(|seq, _| !(from <= *seq && *seq <= to));
        let ranges = vec![v1::Range { from, to }];
        self.input(Input::Settled(LinkKey(link), v1::Settled { ranges }));
        self.drain();
    }

    pub(super) fn command(&mut self) {
        let Some(link) = self.any_link() else { return };
        let connection = self.any_client().unwrap_or(99);
        let connection_id = format!("c{connection}");
        self.data += 1;
        let payload = text(&self.data.to_string());
        let excluded_connections = vec![connection_id.clone(); 2];
        let operation = match self.random.below(8) {
            0 => command::Operation::SendToAll(v1::SendToAllRequest {
                payload,
                excluded_connections,
                ..v1::SendToAllRequest::default()
            }),
            1 => command::Operation::SendToUser(v1::SendToUserRequest {
                user_id: "u1".into(),
                payload,
                ..v1::SendToUserRequest::default()
            }),
            2 => command::Operation::SendToConnection(v1::SendToConnectionRequest {
                connection_id,
                payload,
                ..v1::SendToConnectionRequest::default()
            }),
            3 => command::Operation::AddUserToGroup(v1::AddUserToGroupRequest {
                user_id: "u1".into(),
                group: self.group(),
                ..v1::AddUserToGroupRequest::default()
            }),
            4 => command::Operation::RemoveConnectionFromAllGroups(
                v1::RemoveConnectionFromAllGroupsRequest {
                    connection_id,
                    ..v1::RemoveConnectionFromAllGroupsRequest::default()
                },
            ),
            5 if self.random.chance(15) => {
                command::Operation::CloseConnection(v1::CloseConnectionRequest {
                    connection_id,
                    ..v1::CloseConnectionRequest::default()
                })
            }
            _ => {
                let group = self.group();
                // What falls due may close a member first.
                self.input(Input::Timeout);
                let members = self.members(&group);
                if !self.links[&link].ended {
                    self.expected.insert(self.data, members);
                }
                command::Operation::SendToGroup(v1::SendToGroupRequest {
                    group,
                    payload,
                    ..v1::SendToGroupRequest::default()
                })
            }
        };
        let command = v1::Command {
            seq: 1,
            trace: None,
            operation: Some(operation),
        };
        self.input(Input::Command(LinkKey(link), command.into()));
    }

    fn members(&mut self, group: &str) -> BTreeSet<u64> {
        let list = v1::ListMembersRequest {
            group: group.into(),
            ..v1::ListMembersRequest::default()
        };
        let value = self
            .hub
            .command(command::Operation::ListMembers(list), self.now);
        let Ok(v1::result::Value::Members(members)) = value else {
            panic!("not a list of members: {value:?}");
        };
        members
            .members
            .iter()
            .map(|member| member.connection_id[1..].parse().unwrap())
            .collect()
    }

    /// An upstream leaves, one way or the other.
    pub(super) fn leave(&mut self) {
        self.pass(Duration::ZERO);
        let Some(link) = self.any_link() else { return };
        if self.random.chance(50) {
            self.input(Input::Drain(LinkKey(link)));
        } else {
            let link_entry = self.link(link);
            link_entry.ended = true;
            link_entry.unsettled.clear();
            self.input(Input::LinkEnded(LinkKey(link)));
        }
        self.drain();
    }
}
