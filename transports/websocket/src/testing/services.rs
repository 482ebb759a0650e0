//! The services that pw_rpc's own clients, benchmarks and fuzzer call.

use headwater_core::call::Shape;
use headwater_rpc::{IncomingCall, Metadata, Method, Service};

/// The unary method of `pw.rpc.EchoService`.
pub const ECHO: &str = "/pw.rpc.EchoService/Echo";
/// The unary method of `pw.rpc.Benchmark`.
pub const UNARY_ECHO: &str = "/pw.rpc.Benchmark/UnaryEcho";
/// The bidirectional method of `pw.rpc.Benchmark`: one answer for each request, until the client ends.
pub const BIDIRECTIONAL_ECHO: &str = "/pw.rpc.Benchmark/BidirectionalEcho";

/// `pw.rpc.EchoService` and `pw.rpc.Benchmark`, for [`Router::add`](headwater_rpc::Router::add). What comes goes back as it came, so what is in a
/// message is the caller's to choose.
pub fn benchmark_services() -> [Service; 2] {
    let echo = Service {
        name: "pw.rpc.EchoService".into(),
        methods: vec![unary("Echo")],
    };
    let both_ways = Method::stream("BidirectionalEcho", Shape::Bidirectional, both_ways);
    let benchmark = Service {
        name: "pw.rpc.Benchmark".into(),
        methods: vec![unary("UnaryEcho"), both_ways],
    };
    [echo, benchmark]
}

fn unary(name: &'static str) -> Method {
    Method::unary(name, |request| async {
        Ok::<_, headwater_rpc::Status>(request.message)
    })
}

async fn both_ways(mut call: IncomingCall) {
    let mut batch = Vec::new();
    while let Ok(1..) = call.receiver.next_batch(&mut batch).await {
        for message in batch.drain(..) {
            if call.sender.send(message).await.is_err() {
                return;
            }
        }
    }
    // A call that has ended meanwhile needs no end.
    let _ = call.sender.finish(Ok(()), Metadata::new());
}
