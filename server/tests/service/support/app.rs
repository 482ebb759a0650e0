//! Applications by hand that speak `WpsRpc`.

use std::collections::VecDeque;

use bytes::Bytes;
use headwater_http2::{Http2Client, Http2ClientConfig};
use headwater_proto::wps_rpc::{
    AckConnectMessage, AckConnectRequest, AckEventMessage, AckMessageRequest, ConnectRequest,
    ConnectedRequest, DisconnectedRequest, Error, EventContext, Message, MessageRequest,
    RegisterMessage, StreamingRequest, message::Data, streaming_request::Request,
};
use headwater_rpc::{CallOptions, Client as RpcClient, Code, Receiver, Sender, Status};
use prost::Message as _;

use super::{Client, Knock, Stage, bearer, soon, token};

/// What an application's calls travel over.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Over {
    InProcess,
    Http2,
}

impl Over {
    pub(crate) const ALL: [Self; 2] = [Self::InProcess, Self::Http2];
}

/// An application with its registration.
pub(crate) struct App {
    pub(crate) client: RpcClient,
    pub(crate) registration: String,
    token: String,
    /// Dropped, it would cancel the call.
    _sender: Sender,
    receiver: Receiver,
    waiting: VecDeque<Request>,
}

impl Stage {
    pub(crate) async fn rpc_client(&self, over: Over) -> RpcClient {
        eprintln!("over {over:?}");
        match over {
            Over::InProcess => self.service.connect_in_process(),
            Over::Http2 => {
                let url = self.listen_http2().await;
                let client = Http2Client::new(&url, &Http2ClientConfig::default());
                let client = RpcClient::new(client.expect("a url"));
                let connecting = client.clone();
                tokio::spawn(async move { connecting.connect().await });
                client
            }
        }
    }

    /// An application that has registered for everything in the hub `chat`.
    pub(crate) async fn app(&self, over: Over) -> App {
        let client = self.rpc_client(over).await;
        let app = App::register(client, &token(&[]), registration()).await;
        app.expect("registered")
    }
}

pub(crate) fn registration() -> RegisterMessage {
    RegisterMessage {
        hub: "chat".into(),
        app: "app".into(),
        ..RegisterMessage::default()
    }
}

pub(crate) fn text_message(text: &str) -> Message {
    Message {
        data: Some(Data::TextData(text.into())),
    }
}

/// The context that every event has.
pub(crate) fn context(context: &Option<EventContext>) -> &EventContext {
    context.as_ref().expect("every event has one")
}

impl App {
    /// Once the headers of the response say that it is registered.
    pub(crate) async fn register(
        client: RpcClient,
        token: &str,
        message: RegisterMessage,
    ) -> Result<Self, Status> {
        let options = CallOptions::default();
        let call = client.call("/WpsRpc/register", bearer(token), options);
        let (sender, receiver) = soon("the call", call).await.expect("a call");
        sender
            .try_send(message.encode_to_vec().into())
            .expect("room");
        sender.finish(Ok(()), Default::default()).expect("open");
        let mut app = Self {
            client,
            registration: String::new(),
            token: token.into(),
            _sender: sender,
            receiver,
            waiting: VecDeque::new(),
        };
        let Some(headers) = soon("the headers", app.receiver.headers()).await else {
            let refused = app.end().await;
            return Err(refused.expect_err("it was not taken"));
        };
        let name = headers.text("headwater-registration");
        app.registration = name.expect("the name of the registration").into();
        Ok(app)
    }

    pub(crate) async fn event(&mut self) -> Request {
        let next = self.event_or_end().await;
        next.unwrap_or_else(|end| panic!("the stream ended: {end:?}"))
    }

    /// The next event, or how the stream ended.
    pub(crate) async fn event_or_end(&mut self) -> Result<Request, Result<(), Status>> {
        let mut batch = Vec::new();
        while self.waiting.is_empty() {
            let next = self.receiver.next_batch(&mut batch);
            match soon("an event", next).await {
                Ok(0) => return Err(Ok(())),
                Ok(_) => {}
                Err(error) => return Err(Err(error.status)),
            }
            for message in batch.drain(..) {
                let event = StreamingRequest::decode(message).expect("decodable");
                self.waiting.push_back(event.request.expect("a known kind"));
            }
        }
        Ok(self.waiting.pop_front().expect("just filled"))
    }

    /// How the stream ends; whatever comes before is dropped.
    pub(crate) async fn end(&mut self) -> Result<(), Status> {
        loop {
            if let Err(end) = self.event_or_end().await {
                return end;
            }
        }
    }

    /// The wire of the stream, without an event taken from it.
    pub(crate) const fn receiver(&mut self) -> &mut Receiver {
        &mut self.receiver
    }

    pub(crate) async fn connecting(&mut self) -> ConnectRequest {
        match self.event().await {
            Request::ConnectRequest(event) => event,
            other => panic!("a connect, not {other:?}"),
        }
    }

    pub(crate) async fn connected(&mut self) -> ConnectedRequest {
        match self.event().await {
            Request::ConnectedRequest(event) => event,
            other => panic!("a connected, not {other:?}"),
        }
    }

    pub(crate) async fn said(&mut self) -> MessageRequest {
        match self.event().await {
            Request::MessageRequest(event) => event,
            other => panic!("a message, not {other:?}"),
        }
    }

    pub(crate) async fn disconnected(&mut self) -> DisconnectedRequest {
        match self.event().await {
            Request::DisconnectedRequest(event) => event,
            other => panic!("a disconnected, not {other:?}"),
        }
    }

    /// Lets one client in and reads its `connected`.
    pub(crate) async fn admit(&mut self, knock: Knock) -> Client {
        let entering = tokio::spawn(knock.enter());
        let id = self.connecting().await.connection_id;
        assert_eq!(self.accept(&id).await, Ok(()));
        assert_eq!(self.connected().await.connection_id, id);
        entering.await.expect("let in")
    }

    /// A unary call; what it answers.
    pub(crate) async fn call<M>(
        &self,
        name: &str,
        request: impl prost::Message,
    ) -> Result<M, Status>
    where
        M: prost::Message + Default,
    {
        call(&self.client, &self.token, name, request).await
    }

    /// Lets a client in, as the scheme's clients do: by its connection alone.
    pub(crate) async fn accept(&self, connection_id: &str) -> Result<(), Status> {
        let ack = AckConnectRequest {
            connection_id: connection_id.into(),
            hub: "chat".into(),
            ..AckConnectRequest::default()
        };
        self.call("ackConnect", ack).await
    }

    pub(crate) async fn refuse(&self, connection_id: &str, code: Code) -> Result<(), Status> {
        let error = Error {
            code: code.number().into(),
            message: "not you".into(),
        };
        let ack = AckConnectRequest {
            connection_id: connection_id.into(),
            ack_connect_message: Some(AckConnectMessage {
                error: Some(error),
                ..AckConnectMessage::default()
            }),
            hub: "chat".into(),
            ..AckConnectRequest::default()
        };
        self.call("ackConnect", ack).await
    }

    /// Answers a message with text; 0 for the oldest of the connection.
    pub(crate) async fn reply(&self, id: &str, event_id: u64, text: &str) -> Result<(), Status> {
        self.call("ackMessage", reply(id, event_id, text)).await
    }

    /// [`App::reply`], and the code of a refusal.
    pub(crate) async fn reply_code(&self, id: &str, event_id: u64) -> Result<(), Code> {
        let replied = self.reply(id, event_id, "late").await;
        replied.map_err(|status| status.code)
    }
}

pub(crate) fn reply(connection_id: &str, event_id: u64, text: &str) -> AckMessageRequest {
    AckMessageRequest {
        connection_id: connection_id.into(),
        ack_event_message: Some(AckEventMessage {
            message: Some(text_message(text)),
            ..AckEventMessage::default()
        }),
        event_id,
        hub: "chat".into(),
    }
}

/// A unary call of `WpsRpc`.
pub(crate) async fn call<M: prost::Message + Default>(
    client: &RpcClient,
    token: &str,
    name: &str,
    request: impl prost::Message,
) -> Result<M, Status> {
    let path = format!("/WpsRpc/{name}");
    let request: Bytes = request.encode_to_vec().into();
    let answer = client.unary(path, bearer(token), request, CallOptions::default());
    let answer = soon("an answer", answer).await?;
    Ok(M::decode(answer).expect("decodable"))
}
