//! What passes between a client and a server, and what is done to it on the way.

use std::sync::{Arc, Mutex};

use headwater_proto::{
    Code,
    pw_rpc::{PacketType, RpcPacket},
};
use headwater_rpc::{CallOptions, Metadata, Status};
use headwater_websocket::testing::{ClientServerContext, ECHO};

use crate::fuzz::echo;

async fn call(context: &ClientServerContext, text: &'static str) -> Result<bytes::Bytes, Status> {
    let (metadata, options) = (Metadata::new(), CallOptions::default());
    let call = context.client().unary(ECHO, metadata, text.into(), options);
    call.await
}

/// S5-63: a processor on each side sees each packet once, in pw_rpc's order, and all are kept.
#[tokio::test(start_paused = true)]
async fn s5_63_processors_see_each_packet_on_its_way() {
    let seen: Arc<Mutex<Vec<PacketType>>> = Arc::default();
    let log = |seen: &Arc<Mutex<Vec<PacketType>>>| {
        let seen = Arc::clone(seen);
        move |packet: RpcPacket| {
            seen.lock().unwrap().push(packet.r#type());
            vec![packet]
        }
    };
    let context = ClientServerContext::with_processors(echo(), log(&seen), log(&seen));
    assert_eq!(call(&context, "x").await, Ok("x".into()));
    let expected = [PacketType::Request, PacketType::Response];
    assert_eq!(*seen.lock().unwrap(), expected);
    assert_eq!(context.sent_by_client().messages_of(ECHO), ["x"]);
    assert_eq!(context.sent_by_server().messages_of(ECHO), ["x"]);
    assert_eq!(context.server().open_calls(), 0);
}

/// S5-63: a processor changes what arrives.
#[tokio::test(start_paused = true)]
async fn s5_63_a_processor_changes_packets() {
    let shout = |mut packet: RpcPacket| {
        packet.payload = packet.payload.to_ascii_uppercase().into();
        vec![packet]
    };
    let context = ClientServerContext::with_processors(echo(), |packet| vec![packet], shout);
    assert_eq!(call(&context, "loud").await, Ok("LOUD".into()));
    assert_eq!(
        context.sent_by_client().messages_of(ECHO),
        ["loud"],
        "kept as it was sent"
    );
}

/// S5-63: a processor loses and repeats packets; what is repeated changes nothing for the client.
#[tokio::test(start_paused = true)]
async fn s5_63_a_processor_loses_and_repeats_packets() {
    let twice = |packet: RpcPacket| vec![packet.clone(), packet];
    let context = ClientServerContext::with_processors(echo(), twice, |packet| vec![packet]);
    for text in ["a", "b"] {
        assert_eq!(call(&context, text).await, Ok(text.into()));
    }

    let context = ClientServerContext::with_processors(echo(), |_| vec![], |packet| vec![packet]);
    let options = CallOptions {
        timeout: Some(std::time::Duration::from_secs(1)),
        ..CallOptions::default()
    };
    let call = context
        .client()
        .unary(ECHO, Metadata::new(), "x".into(), options);
    let code = call.await.map_err(|status| status.code);
    assert_eq!(code, Err(Code::DeadlineExceeded), "the answer is lost");
    assert_eq!(
        context.sent_by_server().messages_of(ECHO),
        ["x"],
        "it was given"
    );
}
