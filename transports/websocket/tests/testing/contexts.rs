//! Services without a client, and clients without a server.

use std::time::Duration;

use headwater_proto::{
    Code, Metadata, Status,
    pw_rpc::{PacketType, RpcPacket},
};
use headwater_rpc::{CallOptions, Shape};
use headwater_websocket::testing::{
    BIDIRECTIONAL_ECHO, CALLED_TIMEOUT, ClientContext, ECHO, NotCalled, ServerContext, UNARY_ECHO,
};
use tokio::time::Instant;

use crate::fuzz::echo;

const NONE: &str = "/pw.rpc.Benchmark/None";

fn kinds(packets: &[RpcPacket]) -> Vec<(PacketType, u32)> {
    let kinds = packets.iter().map(|it| (it.r#type(), it.call_id));
    kinds.collect()
}

/// S5-63: the server's context calls a service by packets, and its fake output keeps what the service answers.
#[tokio::test(start_paused = true)]
async fn s5_63_a_service_is_called_by_packets_and_its_answers_are_kept() {
    let server = ServerContext::new(echo());
    for (path, text) in [(ECHO, "a"), (UNARY_ECHO, "b"), (ECHO, "c")] {
        assert_eq!(
            server.unary(path, text).await,
            Ok(text.into()),
            "{path} echoes"
        );
    }
    let output = server.output();
    assert_eq!(output.messages_of(ECHO), ["a", "c"]);
    assert_eq!(output.outcome_of(ECHO), Some(Ok(())));
    let plain = output.packets().iter().all(|it| it.extension.is_none());
    assert!(plain, "the test's client is one of pure pw_rpc");
    let unknown = server.unary(NONE, "").await.map_err(|status| status.code);
    assert_eq!(unknown, Err(Code::NotFound));

    output.clear();
    assert_eq!((output.packets().len(), output.outcome_of(ECHO)), (0, None));
    server.request(BIDIRECTIONAL_ECHO, 1, "");
    for text in ["x", "y"] {
        server.stream(BIDIRECTIONAL_ECHO, 1, text);
    }
    server.complete(BIDIRECTIONAL_ECHO, 1);
    let packets = output.until(|all| all.len() == 3).await;
    let stream = (PacketType::ServerStream, 1);
    assert_eq!(kinds(&packets), [stream, stream, (PacketType::Response, 1)]);
    assert_eq!(output.messages_of(BIDIRECTIONAL_ECHO), ["x", "y"]);
}

/// S5-63: what no client would say can be said too.
#[tokio::test(start_paused = true)]
async fn s5_63_a_service_is_cancelled_and_hears_nonsense() {
    let server = ServerContext::new(echo());
    server.request(BIDIRECTIONAL_ECHO, 7, "");
    server.stream(BIDIRECTIONAL_ECHO, 7, "x");
    server.output().until(|all| all.len() == 1).await;
    assert_eq!(server.server().open_calls(), 1);
    server.cancel(BIDIRECTIONAL_ECHO, 7);
    server.send_bytes("no packet".into());
    server.stream(BIDIRECTIONAL_ECHO, 7, "late");
    let packets = server.output().until(|all| all.len() == 2).await;
    assert_eq!(packets[1].r#type(), PacketType::ServerError);
    let code = packets[1].outcome().map_err(|status| status.code);
    assert_eq!(code, Err(Code::FailedPrecondition), "the call is over");
    assert_eq!(server.server().open_calls(), 0);
}

/// S5-63: `SendResponseIfCalled` answers a call that comes in time, and one that is there.
#[tokio::test(start_paused = true)]
async fn s5_63_a_response_is_sent_if_the_method_is_called() {
    let context = ClientContext::new();
    let client = context.client();
    let options = CallOptions::default;
    let late = async {
        tokio::time::sleep(CALLED_TIMEOUT / 2).await;
        let call = client.unary(ECHO, Metadata::new(), "who".into(), options());
        call.await
    };
    let answer = context.send_response_if_called(ECHO, "me", Ok(()), CALLED_TIMEOUT);
    assert_eq!(tokio::join!(late, answer), (Ok("me".into()), Ok(())));
    assert_eq!(context.output().messages_of(ECHO), ["who"]);

    let failed = Status::new(Code::DataLoss, "");
    let call = client.unary(UNARY_ECHO, Metadata::new(), "".into(), options());
    let outcome = Err(failed.clone());
    let answer = context.send_response_if_called(UNARY_ECHO, "", outcome, CALLED_TIMEOUT);
    assert_eq!(tokio::join!(call, answer), (Err(failed), Ok(())));
}

/// S5-63: and says so after 100 ms if nobody has called.
#[tokio::test(start_paused = true)]
async fn s5_63_no_response_is_sent_if_the_method_is_not_called() {
    assert_eq!(
        CALLED_TIMEOUT,
        Duration::from_millis(100),
        "as pw_rpc has it"
    );
    let context = ClientContext::new();
    let began = Instant::now();
    let answer = context.send_response_if_called(ECHO, "me", Ok(()), CALLED_TIMEOUT);
    assert_eq!(answer.await, Err(NotCalled));
    let waited = began.elapsed();
    assert!(
        waited >= CALLED_TIMEOUT && waited < CALLED_TIMEOUT * 2,
        "{waited:?}"
    );
    assert_eq!(context.send_response(ECHO, "me", Ok(())), Err(NotCalled));
    assert_eq!(context.send_stream(ECHO, "me"), Err(NotCalled));
}

/// S5-63: the client's context streams, ends and fails calls.
#[tokio::test(start_paused = true)]
async fn s5_63_a_client_is_answered_by_packets() {
    let context = ClientContext::new();
    let options = CallOptions {
        shape: Shape::Bidirectional,
        ..CallOptions::default()
    };
    for fails in [false, true] {
        let call = context
            .client()
            .call(BIDIRECTIONAL_ECHO, Metadata::new(), options.clone());
        let (_sender, mut receiver) = call.await.expect("it is connected");
        let calls = |all: &[RpcPacket]| {
            let calls = all.iter().filter(|it| it.r#type() == PacketType::Request);
            calls.count() == 1 + usize::from(fails)
        };
        context.output().until(calls).await;
        context.send_stream(BIDIRECTIONAL_ECHO, "x").unwrap();
        let mut batch = Vec::new();
        let count = receiver.next_batch(&mut batch).await;
        assert_eq!(
            (count.map_err(|it| it.status), &batch[..]),
            (Ok(1), &["x".into()][..])
        );
        let end = match fails {
            false => context.send_response(BIDIRECTIONAL_ECHO, "", Ok(())),
            true => {
                let status = Status::new(Code::Aborted, "");
                context.send_server_error(BIDIRECTIONAL_ECHO, status)
            }
        };
        assert_eq!(end, Ok(()));
        let end = receiver.next_batch(&mut batch).await;
        let end = end.map_err(|error| error.status.code);
        assert_eq!(end, if fails { Err(Code::Aborted) } else { Ok(0) });
    }
}
