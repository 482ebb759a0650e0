//! What tests of pw_rpc's services and clients are made of: the same set as pw_rpc's own kit, in memory. No socket is
//! opened, and on a paused clock nothing takes time. With the feature `testing`.
//!
//! | here | in pw_rpc | what |
//! |---|---|---|
//! | [`FakeOutput`] | `FakeChannelOutput` | keeps every packet that one side sends |
//! | [`ServerContext`] | `PW_RPC_TEST_METHOD_CONTEXT` | a server whose client is the test |
//! | [`ClientContext`] | `RpcTestClientContext` | a client whose server is the test |
//! | [`ClientContext::send_response_if_called`] | `SendResponseIfCalled` | answers a call, or fails if there is none |
//! | [`ClientServerContext`] | `ClientServerTestContext` | a client and a server; a [`PacketProcessor`] sees each packet on its way |
//! | [`benchmark_services`] | `EchoService`, `Benchmark` | echo what comes |
//! | [`Fuzzer`] | `rpc/fuzz` | makes calls, messages, ends and cancels in any order, from a seed |
//!
//! All of it runs what a WebSocket runs, from the packet inwards: the session, the machine of pw_rpc, [`Client`] and
//! [`Server`]. The test's own packets are plain pw_rpc, and everything needs a tokio runtime around it.
//!
//! ```
//! use std::time::Duration;
//! use headwater_rpc::{CallOptions, Metadata, Router};
//! use headwater_websocket::testing::{CALLED_TIMEOUT, ClientContext, ServerContext};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A service, which a test calls with packets.
//! let router = Router::new();
//! router.unary("/greeter.Greeter/Hello", |request| async { Ok(request.message) });
//! let server = ServerContext::new(router);
//! assert_eq!(server.unary("/greeter.Greeter/Hello", "you").await, Ok("you".into()));
//!
//! // A client, which a test answers with packets.
//! let context = ClientContext::new();
//! let client = context.client();
//! let (metadata, options) = (Metadata::new(), CallOptions::default());
//! let call = client.unary("/greeter.Greeter/Hello", metadata, "me".into(), options);
//! let answer = context.send_response_if_called("/greeter.Greeter/Hello", "hi", Ok(()), CALLED_TIMEOUT);
//! let (called, answered) = tokio::join!(call, answer);
//! assert_eq!((called, answered), (Ok("hi".into()), Ok(())));
//! # Ok(())
//! # }
//! ```
//!
//! [`Client`]: headwater_rpc::Client
//! [`Server`]: headwater_rpc::Server

mod client;
mod fuzz;
mod fuzz_steps;
mod output;
mod pair;
mod server;
mod services;
mod wire;

pub use client::{CALLED_TIMEOUT, ClientContext, NotCalled};
pub use fuzz::{Fuzzer, Tally, Wrong};
pub use output::FakeOutput;
pub use pair::{ClientServerContext, PacketProcessor};
pub use server::ServerContext;
pub use services::{BIDIRECTIONAL_ECHO, ECHO, UNARY_ECHO, benchmark_services};
