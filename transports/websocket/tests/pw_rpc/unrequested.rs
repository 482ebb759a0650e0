//! Responses that nobody has requested on this socket: the answers to calls from before a restart.

use std::sync::Arc;

use bytes::Bytes;
use headwater_core::{
    Time,
    call::{Frame, Shape, Trailers},
    packet::{ChannelConfig, Endpoint, EndpointConfig, Event, Input, Output, Request, Role},
};
use headwater_proto::{
    Code, Metadata, Status,
    pw_rpc::{OPEN_CALL_ID, PacketType},
};
use headwater_rpc::{CallOptions, Client, IncomingCall};
use headwater_websocket::{AcceptedConnection, WebSocketClient, WebSocketClientConfig};

use crate::{
    roles::{ASK, Caller, asking, told},
    support::{NONE, PacketPeer, TALK, eventually, packet, with, within},
};

const CHANNEL: u32 = 1;

/// A pw_rpc client, which outlives its sockets.
struct Lasting {
    endpoint: Endpoint,
    events: Vec<Event>,
}

impl Lasting {
    fn new() -> Self {
        let config = EndpointConfig {
            role: Some(Role::Client),
            ..EndpointConfig::default()
        };
        let mut endpoint = Endpoint::new(config, Arc::default());
        let opened = endpoint.open_channel(CHANNEL, ChannelConfig::default());
        opened.expect("it is the first channel");
        Self {
            endpoint,
            events: Vec::new(),
        }
    }

    /// Sends what it has to say on this socket.
    async fn speak(&mut self, socket: &mut PacketPeer) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit(packet) => socket.says(&packet).await,
                Output::TransmitRun { .. } => panic!("nothing is sent as a run"),
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    /// Takes in one packet of this socket.
    async fn listen(&mut self, socket: &mut PacketPeer) {
        let packet = socket.hears().await.to_bytes();
        self.endpoint.handle(Input::Packet(packet), Time::ZERO);
        self.speak(socket).await;
    }
}

async fn begin(connection: &AcceptedConnection, path: &'static str) -> IncomingCall {
    let begun = connection.respond_unrequested(CHANNEL, path);
    within("its begin", begun).await.expect("it can")
}

fn answer(call: &IncomingCall, text: &'static str) {
    call.sender.try_send(text.into()).expect("it is open");
    let ended = call.sender.finish(Ok(()), Metadata::new());
    ended.expect("it is open");
}

/// S5-52, U-15: the process that was asked is gone before it answers. The next one, on another socket, answers without having
/// been asked; the client gets the reply to its call, once.
#[tokio::test]
async fn s5_52_u_15_the_next_process_answers_what_was_asked_before() {
    let mut client = Lasting::new();
    let first = Caller::start(asking()).await;
    let mut socket = first.peer().await;
    let call = client
        .endpoint
        .call(CHANNEL, Request::new(ASK, Shape::Unary));
    let key = call.expect("it can");
    let question = Frame::Message("question".into());
    client.endpoint.send(key, question).expect("it is open");
    let end = Frame::end(Trailers::ok());
    client.endpoint.send(key, end).expect("it is open");
    client.speak(&mut socket).await;
    eventually("the call", || first.server.open_calls() == 1).await;
    drop((first, socket));

    let mut next = Caller::start(asking()).await;
    let mut socket = next.peer().await;
    let connection = next.connection().await;
    let call = begin(&connection, ASK).await;
    assert_eq!((&*call.path, call.shape), (ASK, Shape::Unary));
    answer(&call, "answer");
    client.listen(&mut socket).await;
    let expected = [
        Frame::Headers(Metadata::new()),
        Frame::Message("answer".into()),
        Frame::end(Trailers::ok()),
    ];
    let expected = expected.map(|frame| Event::Frame { key, frame });
    assert_eq!(
        client.events, expected,
        "the reply is to the call of before"
    );
    assert_eq!(client.endpoint.calls(), 0, "the call is over");

    // Given twice, it is heard once.
    answer(&begin(&connection, ASK).await, "answer");
    client.listen(&mut socket).await;
    assert_eq!(client.events.len(), 3, "nobody waits for the second");
    eventually("all to be over", || next.server.open_calls() == 0).await;
}

/// S5-52: a handler is told the channel that it was asked on, which whoever answers instead of it has to name.
#[tokio::test]
async fn s5_52_a_handler_knows_the_channel_to_answer_on() {
    let router = asking();
    router.unary("/t.T/Where", |request| async move {
        let channel = request.peer.channel().expect("pw_rpc has channels");
        Ok::<_, Status>(channel.to_string().into())
    });
    let mut caller = Caller::start(router).await;
    let mut socket = caller.peer().await;
    let connection = caller.connection().await;
    for channel in [CHANNEL, 9, u32::MAX] {
        let mut request = packet(PacketType::Request, "/t.T/Where", 5);
        request.channel_id = channel;
        socket.says(&request).await;
        let answer = socket.hears().await;
        assert_eq!(answer.channel_id, channel);
        assert_eq!(answer.payload, channel.to_string());
        let begun = connection.respond_unrequested(channel, ASK).await;
        let begun = begun.expect("it can");
        assert_eq!(begun.peer.channel(), Some(channel));
        drop(begun);
        assert_eq!(socket.hears().await.channel_id, channel, "its end");
    }
    assert_eq!(connection.peer().channel(), None, "a socket has many");
}

/// S5-52: a client that has forgotten its call hears the stream from its begin, if it waits for one.
#[tokio::test]
async fn s5_52_a_client_that_waits_hears_what_it_did_not_request() {
    let mut caller = Caller::start(asking()).await;
    let mut socket = caller.peer().await;
    let connection = caller.connection().await;
    let mut client = Lasting::new();
    let waiting = client
        .endpoint
        .await_unrequested(CHANNEL, TALK, Shape::Bidirectional);
    waiting.expect("it can");
    let call = begin(&connection, TALK).await;
    for text in ["one", "two"] {
        call.sender.try_send(text.into()).expect("it is open");
        client.listen(&mut socket).await;
    }
    call.sender
        .finish(Ok(()), Metadata::new())
        .expect("it is open");
    client.listen(&mut socket).await;
    let mut messages = Vec::new();
    for event in &client.events {
        if let Event::Frame {
            frame: Frame::Message(message),
            ..
        } = event
        {
            messages.push(message.clone());
        }
    }
    let expected: [Bytes; 2] = ["one".into(), "two".into()];
    assert_eq!(messages, expected);
    assert_eq!(client.endpoint.calls(), 0, "it has its status");
}

/// U-15: a response for a session that the client knows nothing of is refused, the server is told, and no application hears
/// of it.
#[tokio::test]
async fn u_15_a_response_to_a_client_that_knows_of_no_call_is_refused() {
    let mut caller = Caller::start(asking()).await;
    let mut socket = caller.peer().await;
    let connection = caller.connection().await;
    let mut client = Lasting::new();
    // At first even the method is unknown to it; later it is one that it has waited for before.
    for expected in [Code::NotFound, Code::FailedPrecondition] {
        let call = begin(&connection, TALK).await;
        call.sender
            .try_send("who are you".into())
            .expect("it is open");
        let packet = socket.hears().await;
        let heard = (PacketType::ServerStream, OPEN_CALL_ID, "who are you".into());
        assert_eq!(told(&packet), heard);
        let packet = Input::Packet(packet.to_bytes());
        client.endpoint.handle(packet, Time::ZERO);
        let Some(Output::Transmit(refusal)) = client.endpoint.poll_output() else {
            panic!("it is refused");
        };
        assert_eq!(refusal.r#type(), PacketType::ClientError);
        let code = refusal.outcome().map_err(|status| status.code);
        assert_eq!(code, Err(expected));
        assert_eq!(client.endpoint.poll_output(), None, "nobody is told");
        socket.says(&refusal).await;
        within("the server to be told", call.cancellation.cancelled()).await;
        eventually("the call to end", || caller.server.open_calls() == 0).await;
        let known = client
            .endpoint
            .await_unrequested(CHANNEL, TALK, Shape::Bidirectional);
        client.endpoint.cancel(known.expect("it can"));
    }
}

/// S5-52: one at a time of each method and channel, and of methods that there are.
#[tokio::test]
async fn s5_52_one_unrequested_response_of_a_method_is_open_at_a_time() {
    let mut caller = Caller::start(asking()).await;
    let mut socket = caller.peer().await;
    let connection = caller.connection().await;
    let code = async |channel, path| {
        let begun = connection.respond_unrequested(channel, path);
        let begun = within("its begin", begun).await;
        begun.map(drop).map_err(|status: Status| status.code)
    };
    let first = begin(&connection, TALK).await;
    assert_eq!(code(CHANNEL, TALK).await, Err(Code::AlreadyExists));
    assert_eq!(code(CHANNEL, NONE).await, Err(Code::Unimplemented));
    assert_eq!(
        code(0, TALK).await,
        Err(Code::Unavailable),
        "0 is no channel"
    );
    let other = connection.respond_unrequested(9, TALK).await;
    let other = other.expect("another channel");
    assert_eq!(caller.server.open_calls(), 2);

    // The client's packets take it over: from then on the id is theirs, and the next one can begin.
    socket
        .says(&with(packet(PacketType::ClientStream, TALK, 5), "x"))
        .await;
    let mut first = first;
    let mut batch = Vec::new();
    let read = within("a message", first.receiver.next_batch(&mut batch)).await;
    assert_eq!(
        (read.map_err(|it| it.status), &batch[..]),
        (Ok(1), &["x".into()][..])
    );
    first.sender.try_send("y".into()).expect("it is open");
    let heard = told(&socket.hears().await);
    assert_eq!(heard, (PacketType::ServerStream, 5, "y".into()));
    let second = begin(&connection, TALK).await;
    drop((first, second, other));
    eventually("all to end", || caller.server.open_calls() == 0).await;

    drop(socket);
    within("the end of the socket", async {
        while code(CHANNEL, TALK).await != Err(Code::Unavailable) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// S5-52: a client of ours that has forgotten its call waits for the answer, without a request; one of a method at a time.
#[tokio::test]
async fn s5_52_a_client_of_ours_waits_for_what_it_does_not_request() {
    let mut caller = Caller::start(asking()).await;
    let url = format!("ws://{}", caller.addr);
    let config = WebSocketClientConfig {
        awaits_unrequested: true,
        ..WebSocketClientConfig::default()
    };
    let transport = WebSocketClient::new(&url, &config).expect("a valid url");
    let client = Client::new(transport);
    let running = client.clone();
    tokio::spawn(async move { running.connect().await });
    let waiting = async || {
        let options = CallOptions {
            timeout: Some(std::time::Duration::from_secs(20)),
            ..CallOptions::default()
        };
        let call = client.unary(ASK, Metadata::new(), "nobody hears it".into(), options);
        call.await
    };
    let others = async {
        let connection = caller.connection().await;
        // The first one waits as soon as there is no room for a second.
        let second = waiting().await.map_err(|status| status.code);
        assert_eq!(second, Err(Code::AlreadyExists));
        assert_eq!(caller.server.open_calls(), 0, "nothing was requested");
        answer(&begin(&connection, ASK).await, "answer");
    };
    let (answered, ()) = within("the answer", async { tokio::join!(waiting(), others) }).await;
    assert_eq!(answered, Ok("answer".into()));
    eventually("all to be over", || caller.server.open_calls() == 0).await;
}

/// S5-52: a client of ours takes such a response for the answer to its call.
#[tokio::test]
async fn s5_52_a_client_of_ours_takes_it_for_the_answer_to_its_call() {
    let mut caller = Caller::start(asking()).await;
    let url = format!("ws://{}", caller.addr);
    let transport = WebSocketClient::new(&url, &WebSocketClientConfig::default());
    let client = Client::new(transport.expect("a valid url"));
    let running = client.clone();
    tokio::spawn(async move { running.connect().await });
    let (metadata, options) = (Metadata::new(), CallOptions::default());
    let call = client.unary(ASK, metadata, "question".into(), options);
    let respond = async {
        let connection = caller.connection().await;
        eventually("the call", || caller.server.open_calls() == 1).await;
        let call = begin(&connection, ASK).await;
        answer(&call, "answer");
    };
    let (answered, ()) = within("the answer", async { tokio::join!(call, respond) }).await;
    assert_eq!(answered, Ok("answer".into()));
}
