use std::time::Duration;

use clap::CommandFactory as _;
use futures_util::{SinkExt as _, StreamExt as _};
use headwater_rpc::Client;
use headwater_upstream::channel::{ChannelClient, ChannelConfig, Consumer, ConsumerOptions};
use headwater_websocket::{
    Subprotocol, WebSocketClient, WebSocketClientConfig,
    zrpc::{Proxy, Replies, ZrpcClient, ZrpcClientConfig},
};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::{
    Arguments, ROOM, Room,
    generated::{Line, RoomClient},
};

/// A client that runs.
fn run(client: Client) -> Client {
    let runs = client.clone();
    tokio::spawn(async move { runs.connect().await });
    client
}

async fn open() -> Room {
    let address = "127.0.0.1:0".parse().expect("an address");
    let arguments = Arguments {
        listen_clients: address,
        listen_upstream: address,
        listen_devices: address,
    };
    Room::open(arguments).await.expect("the ports are free")
}

type Browser = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn browser(room: &Room) -> Browser {
    let url = room.browser_url("browser").expect("it has a key");
    let (socket, _) = connect_async(url).await.expect("it is let in");
    socket
}

async fn browser_hears(browser: &mut Browser) -> String {
    let message = browser.next().await.expect("it is open").expect("it is up");
    message.into_text().expect("a text").to_string()
}

async fn caller(room: &Room) -> (Proxy, Replies) {
    let client = ZrpcClient::new(&room.devices, &ZrpcClientConfig::default());
    let proxy = Proxy::new(run(Client::new(client.expect("a URL"))));
    let mut replies = proxy.call("room.listen", "").await.expect("it is served");
    let first = replies.next().await.expect("it is open");
    assert_eq!(
        first.expect("it listens"),
        "",
        "the first reply says that it listens"
    );
    (proxy, replies)
}

fn consumer(room: &Room) -> Consumer {
    // As a consumer of the first version: without a credential.
    let config = ChannelConfig {
        url: room.upstreams.clone(),
        ..ChannelConfig::default()
    };
    let client = ChannelClient::new(config).expect("a URL");
    client.consumer(ROOM, ConsumerOptions::default())
}

/// U-11: a zrpc caller, a pw_rpc device, a browser, a consumer of a push channel, and an upstream by WpsRpc in one room.
#[tokio::test]
async fn u_11_what_one_says_all_hear_in_one_order() {
    let room = open().await;
    let mut browser = browser(&room).await;
    let (proxy, mut replies) = caller(&room).await;
    let mut consumer = consumer(&room);
    let config = WebSocketClientConfig {
        // As a device that knows pw_rpc and no more than that.
        subprotocol: Subprotocol::PwRpc,
        ..WebSocketClientConfig::default()
    };
    let device = WebSocketClient::new(&room.devices, &config).expect("a URL");
    let device = RoomClient::new(run(Client::new(device)));
    let (lines, mut heard) = device.enter().await.expect("it is served");

    let line = |from: &str| Line {
        from: from.into(),
        text: "hello".into(),
    };
    let case = async {
        let mut expected = Vec::new();
        for speaker in ["device", "caller", "browser"] {
            match speaker {
                "device" => lines.send(line("device")).await.expect("it is in"),
                "caller" => {
                    let mut said = proxy
                        .call("room.say", "caller: hello")
                        .await
                        .expect("served");
                    while let Some(reply) = said.next().await {
                        reply.expect("it was said");
                    }
                }
                _ => {
                    let sent = browser.send(Message::text("hello")).await;
                    sent.expect("it is up");
                }
            }
            let text = format!("{speaker}: hello");
            assert_eq!(browser_hears(&mut browser).await, text);
            let reply = replies.next().await.expect("it is open");
            assert_eq!(reply.expect("it listens"), text);
            let message = consumer.recv().await.expect("the channel is there");
            assert_eq!(message.message, text);
            message.take().await;
            let told = heard.message().await.expect("it is in");
            assert_eq!(told, Some(line(speaker)));
            expected.push(text);
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(30), case).await;
    in_time.expect("everybody hears");
}

#[test]
fn the_command_line_is_consistent() {
    Arguments::command().debug_assert();
}
