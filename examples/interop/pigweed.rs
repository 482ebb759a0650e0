//! The services that pw_rpc's own clients and benchmarks call.

use headwater_rpc::{
    Status,
    stub::{Messages, Sink},
};

use crate::protocol::pigweed::{Benchmark, EchoMessage, EchoService, Payload};

/// `pw.rpc.EchoService` and `pw.rpc.Benchmark`: what comes goes back.
#[derive(Debug)]
pub(crate) struct Echo;

impl EchoService for Echo {
    async fn echo(&self, message: EchoMessage) -> Result<EchoMessage, Status> {
        Ok(message)
    }
}

impl Benchmark for Echo {
    async fn unary_echo(&self, message: Payload) -> Result<Payload, Status> {
        Ok(message)
    }

    async fn bidirectional_echo(
        &self,
        mut requests: Messages<Payload>,
        responses: Sink<Payload>,
    ) -> Result<(), Status> {
        let mut batch = Vec::new();
        while requests.next_batch(&mut batch).await? > 0 {
            for message in batch.drain(..) {
                responses.send(message).await?;
            }
        }
        Ok(())
    }
}
