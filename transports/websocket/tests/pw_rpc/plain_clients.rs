//! Clients that speak pw_rpc without Headwater's extension, toward our server. Nothing that they hear has an extension.

use headwater_proto::{
    Code,
    pw_rpc::{PacketType, RpcPacket},
};
use headwater_rpc::{RunningCalls, Status};
use headwater_websocket::WebSocketServerConfig;
use tokio_tungstenite::tungstenite::{Error, client::IntoClientRequest as _, http::HeaderValue};

use crate::support::{
    COUNT, ECHO, NONE, PacketPeer, TALK, THRICE, Target, WAIT, eventually, packet, with,
};

/// With the subprotocol's name and without.
const NAMES: [Option<&str>; 2] = [Some("pw_rpc"), None];

async fn hears(peer: &mut PacketPeer, kind: PacketType, call_id: u32, payload: &'static str) {
    let heard = peer.hears().await;
    assert_eq!(heard.extension, None, "it does not know the extension");
    let got = (heard.r#type(), heard.call_id, heard.payload);
    assert_eq!(got, (kind, call_id, payload.into()));
}

fn code(packet: &RpcPacket) -> Result<(), Code> {
    packet.outcome().map_err(|status| status.code)
}

/// S5-40: the four shapes.
#[tokio::test]
async fn s5_40_the_four_shapes_of_calls_pass() {
    let target = Target::start().await;
    for name in NAMES {
        let mut peer = target.peer(name).await;
        peer.is_served(1, "unary").await;

        peer.says(&with(packet(PacketType::Request, THRICE, 2), "m"))
            .await;
        for _ in 0..3 {
            hears(&mut peer, PacketType::ServerStream, 2, "m").await;
        }
        hears(&mut peer, PacketType::Response, 2, "").await;

        peer.says(&packet(PacketType::Request, COUNT, 3)).await;
        for _ in 0..4 {
            let message = with(packet(PacketType::ClientStream, COUNT, 3), "m");
            peer.says(&message).await;
        }
        let done = PacketType::ClientRequestCompletion;
        peer.says(&packet(done, COUNT, 3)).await;
        hears(&mut peer, PacketType::Response, 3, "4").await;

        peer.says(&packet(PacketType::Request, TALK, 4)).await;
        for word in ["one", "two"] {
            let message = with(packet(PacketType::ClientStream, TALK, 4), word);
            peer.says(&message).await;
            hears(&mut peer, PacketType::ServerStream, 4, word).await;
        }
        peer.says(&packet(done, TALK, 4)).await;
        hears(&mut peer, PacketType::Response, 4, "").await;
    }
}

/// S5-09: two calls of one method run at once, told apart by their ids.
#[tokio::test]
async fn s5_09_two_calls_of_one_method_run_at_once() {
    let target = Target::start().await;
    let mut peer = target.peer(None).await;
    for call_id in [1, 2] {
        peer.says(&packet(PacketType::Request, TALK, call_id)).await;
    }
    for (call_id, word) in [(2, "b"), (1, "a"), (2, "c")] {
        let message = with(packet(PacketType::ClientStream, TALK, call_id), word);
        peer.says(&message).await;
        hears(&mut peer, PacketType::ServerStream, call_id, word).await;
    }
}

/// S5-60: the server's bound of the calls of one method is of each method and each socket; when one ends there is room again.
/// Without the setting there is none.
#[tokio::test]
async fn s5_60_calls_of_one_method_are_limited_by_a_setting() {
    assert_eq!(WebSocketServerConfig::default().method_calls_max, None);
    let target = Target::with(WebSocketServerConfig {
        method_calls_max: Some(2),
        ..WebSocketServerConfig::default()
    })
    .await;
    let mut peer = target.peer(Some("pw_rpc")).await;
    for call_id in 1..=3 {
        peer.says(&packet(PacketType::Request, TALK, call_id)).await;
    }
    let refused = peer.hears().await;
    assert_eq!(
        (refused.r#type(), refused.call_id),
        (PacketType::ServerError, 3)
    );
    assert_eq!(code(&refused), Err(Code::ResourceExhausted));
    eventually("two calls to open", || target.server.open_calls() == 2).await;
    peer.is_served(4, "another method").await;
    let mut other = target.peer(Some("pw_rpc")).await;
    other.says(&packet(PacketType::Request, TALK, 1)).await;
    let message = with(packet(PacketType::ClientStream, TALK, 1), "x");
    other.says(&message).await;
    hears(&mut other, PacketType::ServerStream, 1, "x").await;

    let done = packet(PacketType::ClientRequestCompletion, TALK, 1);
    peer.says(&done).await;
    hears(&mut peer, PacketType::Response, 1, "").await;
    peer.says(&packet(PacketType::Request, TALK, 5)).await;
    let message = with(packet(PacketType::ClientStream, TALK, 5), "x");
    peer.says(&message).await;
    hears(&mut peer, PacketType::ServerStream, 5, "x").await;
}

/// S5-42: a cancel is not answered; the handler is told.
#[tokio::test]
async fn s5_42_a_cancel_ends_the_handler_and_is_not_answered() {
    let target = Target::start().await;
    let mut peer = target.peer(Some("pw_rpc")).await;
    peer.says(&packet(PacketType::Request, WAIT, 1)).await;
    eventually("the call to open", || target.server.open_calls() == 1).await;
    let mut cancel = packet(PacketType::ClientError, WAIT, 1);
    cancel.status = 1;
    peer.says(&cancel).await;
    eventually("the call to end", || target.server.open_calls() == 0).await;
    peer.is_served(2, "the next that it hears").await;
}

/// S5-05, S5-10: an unknown method, and a message of no call, are answered with an error.
#[tokio::test]
async fn s5_05_what_there_is_not_is_answered_with_an_error() {
    let target = Target::start().await;
    let mut peer = target.peer(None).await;
    peer.says(&packet(PacketType::Request, NONE, 7)).await;
    let heard = peer.hears().await;
    assert_eq!(
        (heard.r#type(), heard.call_id),
        (PacketType::ServerError, 7)
    );
    assert_eq!(code(&heard), Err(Code::NotFound));
    peer.says(&packet(PacketType::ClientStream, TALK, 8)).await;
    let heard = peer.hears().await;
    assert_eq!(
        (heard.r#type(), heard.call_id),
        (PacketType::ServerError, 8)
    );
    assert_eq!(code(&heard), Err(Code::FailedPrecondition));
}

/// S5-59: methods come and go at run time; of a service that goes, the peer is told.
#[tokio::test]
async fn s5_59_services_come_and_go_while_a_socket_is_open() {
    let target = Target::start().await;
    let mut peer = target.peer(None).await;
    peer.is_served(1, "before").await;
    let late = "/t.Late/Talk";
    target.router.stream(late, |call| async move {
        let _ = call.sender.send("here".into()).await;
        call.cancellation.cancelled().await;
    });
    peer.says(&packet(PacketType::Request, late, 2)).await;
    hears(&mut peer, PacketType::ServerStream, 2, "here").await;

    let gone = Status::new(Code::Aborted, "the service was unregistered");
    let running = RunningCalls::End(gone);
    assert!(target.router.remove_service("t.Late", running));
    let heard = peer.hears().await;
    assert_eq!(code(&heard), Err(Code::Aborted), "its call is told");
    peer.says(&packet(PacketType::Request, late, 3)).await;
    let heard = peer.hears().await;
    let got = (heard.r#type(), code(&heard));
    assert_eq!(got, (PacketType::ServerError, Err(Code::NotFound)));
    peer.is_served(4, "after").await;
}

/// S5-53: a client may use any channel but 0, and several.
#[tokio::test]
async fn s5_53_a_client_chooses_its_channels() {
    let target = Target::start().await;
    let mut peer = target.peer(Some("pw_rpc")).await;
    for channel in [5, 1, 70_000] {
        let mut request = with(packet(PacketType::Request, ECHO, 1), "x");
        request.channel_id = channel;
        peer.says(&request).await;
        let heard = peer.hears().await;
        assert_eq!((heard.channel_id, heard.payload), (channel, "x".into()));
    }
}

/// Connects with this header more, and says with which status it was refused.
async fn refused(target: &Target, name: &'static str, value: &'static str) -> Option<u16> {
    let url = format!("ws://{}/", target.addr);
    let mut request = url.into_client_request().expect("a valid url");
    let value = HeaderValue::from_static(value);
    request.headers_mut().insert(name, value);
    match tokio_tungstenite::connect_async(request).await {
        Ok(_) => None,
        Err(Error::Http(response)) => Some(response.status().as_u16()),
        Err(error) => panic!("it breaks off: {error}"),
    }
}

#[tokio::test]
async fn a_client_that_offers_only_names_that_nobody_knows_is_refused() {
    let target = Target::start().await;
    let refused = refused(&target, "sec-websocket-protocol", "soap").await;
    assert_eq!(refused, Some(400));
    target.good.is_served("others are served").await;
}

#[tokio::test]
async fn a_page_may_connect_if_its_origin_is_listed() {
    let target = Target::with(WebSocketServerConfig {
        origins: Some(vec!["https://app.example".to_owned()]),
        ..WebSocketServerConfig::default()
    })
    .await;
    for (origin, status) in [
        ("https://app.example", None),
        ("https://evil.example", Some(403)),
        ("null", Some(403)),
    ] {
        assert_eq!(refused(&target, "origin", origin).await, status, "{origin}");
    }
    target
        .good
        .is_served("who is no browser is not asked")
        .await;
}
