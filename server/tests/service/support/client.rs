//! Clients by tungstenite, an implementation of WebSocket that is not ours.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use headwater::auth::{AccessKey, ClientGrant, client_url};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest as _, protocol::CloseFrame},
};

use super::{ENDPOINT, JSON, key, soon, unix_seconds};

/// A client before its WebSocket.
#[derive(Clone)]
pub(crate) struct Knock {
    pub(crate) address: SocketAddr,
    pub(crate) hub: &'static str,
    pub(crate) user: Option<&'static str>,
    pub(crate) roles: Vec<String>,
    pub(crate) groups: Vec<String>,
    /// As the header says them; empty for none.
    pub(crate) subprotocols: &'static str,
    pub(crate) query: String,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    /// Instead of a good one.
    pub(crate) token: Option<String>,
}

/// The answer to a client that is not let in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Knock {
    pub(crate) fn user(mut self, user: &'static str) -> Self {
        self.user = Some(user);
        self
    }

    pub(crate) fn simple(mut self) -> Self {
        self.subprotocols = "";
        self
    }

    pub(crate) fn group(mut self, group: &str) -> Self {
        self.groups.push(group.into());
        self
    }

    pub(crate) fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    pub(crate) fn good_token(&self) -> String {
        self.token_by(&key())
    }

    /// What it may do, signed with this key.
    pub(crate) fn token_by(&self, key: &AccessKey) -> String {
        let grant = ClientGrant {
            user_id: self.user,
            roles: &self.roles,
            groups: &self.groups,
            ..ClientGrant::new(self.hub)
        };
        let url = client_url(ENDPOINT, key, &grant, unix_seconds()).expect("a url");
        let (_, token) = url.split_once("access_token=").expect("a token");
        token.into()
    }

    pub(crate) async fn try_enter(self) -> Result<Client, Refused> {
        let token = self.token.clone().unwrap_or_else(|| self.good_token());
        let (address, hub, query) = (self.address, self.hub, &self.query);
        let url = format!("ws://{address}/client/hubs/{hub}?access_token={token}{query}");
        let mut request = url.into_client_request().expect("a request");
        for (name, value) in &self.headers {
            let value = value.parse().expect("a header");
            request.headers_mut().append(*name, value);
        }
        if !self.subprotocols.is_empty() {
            let offered = self.subprotocols.parse().expect("a header");
            request
                .headers_mut()
                .insert("sec-websocket-protocol", offered);
        }
        let stream = TcpStream::connect(address).await.expect("the port is open");
        match soon("the handshake", client_async(request, stream)).await {
            Ok((socket, response)) => Ok(Client {
                socket,
                id: String::new(),
                subprotocol: response
                    .headers()
                    .get("sec-websocket-protocol")
                    .map(|chosen| chosen.to_str().expect("a token").into()),
            }),
            Err(tungstenite::Error::Http(response)) => Err(Refused {
                status: response.status().as_u16(),
                text: String::from_utf8(response.into_body().unwrap_or_default()).expect("text"),
            }),
            Err(error) => panic!("the handshake broke: {error}"),
        }
    }

    /// Enters; a JSON client reads its `connected`.
    pub(crate) async fn enter(self) -> Client {
        let is_json = self.subprotocols == JSON;
        let mut client = self.try_enter().await.expect("let in");
        if is_json {
            let connected = client.json().await;
            assert_eq!(connected["event"], "connected", "{connected}");
            client.id = connected["connectionId"].as_str().expect("an id").into();
        }
        client
    }
}

/// A client with its WebSocket.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<TcpStream>,
    pub(crate) id: String,
    pub(crate) subprotocol: Option<String>,
}

impl Client {
    pub(crate) async fn send(&mut self, message: Message) {
        self.socket.send(message).await.expect("open");
    }

    pub(crate) async fn say(&mut self, message: Value) {
        self.send(Message::text(message.to_string())).await;
    }

    pub(crate) async fn event(&mut self, name: &str, data: &str, ack_id: u64) {
        self.say(json!({
            "type": "event", "event": name, "dataType": "text", "data": data, "ackId": ack_id,
        }))
        .await;
    }

    pub(crate) async fn next(&mut self) -> Message {
        let next = soon("a message", self.socket.next()).await;
        next.expect("not the end").expect("not broken")
    }

    pub(crate) async fn json(&mut self) -> Value {
        let text = self.next().await;
        serde_json::from_str(text.to_text().expect("text")).expect("JSON")
    }

    /// Has an exchange with the service, so that all that was said before is done.
    pub(crate) async fn ping(&mut self) {
        self.say(json!({"type": "ping"})).await;
        assert_eq!(self.json().await, json!({"type": "pong"}));
    }

    /// Joins a group and reads the ack.
    pub(crate) async fn join(&mut self, group: &str, ack_id: u64) {
        self.say(json!({"type": "joinGroup", "group": group, "ackId": ack_id}))
            .await;
        let ack = self.json().await;
        assert_eq!(
            ack,
            json!({"type": "ack", "ackId": ack_id, "success": true})
        );
    }

    /// Reads to the end: what came before the close frame, and that frame's code and reason.
    pub(crate) async fn rest(&mut self) -> (Vec<Message>, Option<(u16, String)>) {
        let mut before = Vec::new();
        let mut close = None;
        let reading = async {
            while let Some(Ok(message)) = self.socket.next().await {
                match message {
                    Message::Close(Some(CloseFrame { code, reason })) => {
                        close = Some((code.into(), reason.as_str().to_owned()));
                    }
                    message => before.push(message),
                }
            }
        };
        soon("the end", reading).await;
        (before, close)
    }

    pub(crate) async fn close_code(&mut self) -> u16 {
        let (_, close) = self.rest().await;
        close.expect("a close frame").0
    }

    pub(crate) async fn leave(mut self) {
        // The service may have closed it.
        let _ = self.socket.close(None).await;
        self.rest().await;
    }
}
