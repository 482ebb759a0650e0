//! Upstreams by hand, which say what a test has them say.

use std::collections::VecDeque;

use bytes::Bytes;
use headwater_rpc::{CallOptions, Client as RpcClient, Receiver, Sender, Status};
use headwater_upstream::v1::{self, service_frame::Frame as Said, upstream_frame::Frame as Says};
use prost::Message as _;

use super::{Client, Knock, bearer, soon};

/// An upstream by hand.
pub(crate) struct Link {
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    waiting: VecDeque<Said>,
    batch: Vec<Bytes>,
    seq: u64,
}

impl Link {
    pub(crate) async fn open(client: RpcClient, token: &str) -> Self {
        let path = "/headwater.v1.Upstream/Link";
        let options = CallOptions {
            receive_message_bytes_max: Some(64 << 20),
            ..CallOptions::default()
        };
        let call = client.call(path, bearer(token), options);
        let (sender, receiver) = soon("the call", call).await.expect("a call");
        Self {
            sender,
            receiver,
            waiting: VecDeque::new(),
            batch: Vec::new(),
            seq: 0,
        }
    }

    pub(crate) fn say(&self, frame: Says) {
        let frame = v1::UpstreamFrame { frame: Some(frame) };
        self.sender
            .try_send(frame.encode_to_vec().into())
            .expect("room");
    }

    pub(crate) async fn register(&mut self, register: v1::Register) -> v1::Registered {
        self.say(Says::Register(register.into()));
        match self.next().await {
            Said::Registered(registered) => *registered,
            other => panic!("the registration is answered first: {other:?}"),
        }
    }

    pub(crate) async fn next(&mut self) -> Said {
        self.next_or_end().await.expect("the link goes on")
    }

    /// The next frame, or how the link ended.
    pub(crate) async fn next_or_end(&mut self) -> Result<Said, Result<(), Status>> {
        while self.waiting.is_empty() {
            let next = self.receiver.next_batch(&mut self.batch);
            match soon("a frame", next).await {
                Ok(0) => return Err(Ok(())),
                Ok(_) => {}
                Err(error) => return Err(Err(error.status)),
            }
            for message in self.batch.drain(..) {
                let frame = v1::ServiceFrame::decode(message).expect("decodable");
                self.waiting.extend(frame.frame);
            }
        }
        Ok(self.waiting.pop_front().expect("just filled"))
    }

    /// How the link ends; whatever comes before is dropped.
    pub(crate) async fn end(&mut self) -> Result<(), Status> {
        loop {
            if let Err(end) = self.next_or_end().await {
                return end;
            }
        }
    }

    pub(crate) async fn event(&mut self) -> v1::Event {
        match self.next().await {
            Said::Event(event) => *event,
            other => panic!("an event, not {other:?}"),
        }
    }

    /// The next event; what was withdrawn before it is passed over.
    pub(crate) async fn after_cancels(&mut self) -> v1::Event {
        loop {
            match self.next().await {
                Said::Cancel(_) => {}
                Said::Event(event) => return *event,
                other => panic!("an event, not {other:?}"),
            }
        }
    }

    pub(crate) async fn result(&mut self) -> v1::Result {
        match self.next().await {
            Said::Result(result) => result,
            other => panic!("a result, not {other:?}"),
        }
    }

    pub(crate) async fn refused(&mut self) -> v1::Refused {
        match self.next().await {
            Said::Refused(refused) => refused,
            other => panic!("a refusal, not {other:?}"),
        }
    }

    /// Answers an event; the `seq` of the answer.
    pub(crate) fn ack(&mut self, event: &v1::Event, answer: v1::ack::Answer) -> u64 {
        self.seq += 1;
        let ack = v1::Ack {
            seq: self.seq,
            id: event.id.clone(),
            answer: Some(answer),
        };
        self.say(Says::Ack(ack.into()));
        self.seq
    }

    pub(crate) fn accept(&mut self, event: &v1::Event) {
        self.ack(event, v1::ack::Answer::Accept(v1::Accept::default()));
        self.settle(event);
    }

    /// Answers a message with text.
    pub(crate) fn reply(&mut self, event: &v1::Event, text: &str) -> u64 {
        self.ack(event, reply(text))
    }

    /// Answers and settles, without reading it, the message that this client sent as its `nth`. The link may have ended.
    pub(crate) fn answer_blindly(&mut self, connection_id: &str, nth: u64) {
        self.seq += 1;
        let ack = v1::Ack {
            seq: self.seq,
            id: Some(v1::EventId {
                connection_id: connection_id.into(),
                // `connect` and `connected` come before the first.
                number: nth + 2,
            }),
            answer: Some(v1::ack::Answer::Reply(v1::Reply::default())),
        };
        let all = v1::Range {
            from: 0,
            to: u64::MAX,
        };
        let settled = v1::Settled { ranges: vec![all] };
        for frame in [Says::Ack(ack.into()), Says::Settled(settled)] {
            let frame = v1::UpstreamFrame { frame: Some(frame) };
            let _ = self.sender.try_send(frame.encode_to_vec().into());
        }
    }

    /// Has an exchange with the service and nothing else: all that it has sent by now would have come before.
    pub(crate) async fn hears_nothing(&mut self) {
        let seq = self.command(v1::command::Operation::GroupExists(
            v1::GroupExistsRequest {
                group: "g".into(),
                ..v1::GroupExistsRequest::default()
            },
        ));
        assert_eq!(self.result().await.seq, seq);
    }

    pub(crate) fn settle(&self, event: &v1::Event) {
        let range = v1::Range {
            from: event.seq,
            to: event.seq,
        };
        self.say(Says::Settled(v1::Settled {
            ranges: vec![range],
        }));
    }

    pub(crate) fn command(&mut self, operation: v1::command::Operation) -> u64 {
        self.seq += 1;
        let command = v1::Command {
            seq: self.seq,
            trace: None,
            operation: Some(operation),
        };
        self.say(Says::Command(command.into()));
        self.seq
    }

    /// Lets one client in and reads its `connected`.
    pub(crate) async fn admit(&mut self, knock: Knock) -> Client {
        let entering = tokio::spawn(knock.enter());
        let connect = self.event().await;
        assert!(matches!(connect.event, Some(v1::event::Event::Connect(_))));
        self.accept(&connect);
        let connected = self.event().await;
        let is_connected = matches!(connected.event, Some(v1::event::Event::Connected(_)));
        assert!(is_connected, "{connected:?}");
        self.settle(&connected);
        entering.await.expect("let in")
    }
}

pub(crate) fn reply(text: &str) -> v1::ack::Answer {
    v1::ack::Answer::Reply(v1::Reply {
        payload: Some(text_payload(text)),
        state: None,
    })
}

pub(crate) fn text_payload(text: &str) -> v1::Payload {
    v1::Payload {
        r#type: v1::DataType::Text.into(),
        data: Bytes::copy_from_slice(text.as_bytes()),
    }
}
