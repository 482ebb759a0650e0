//! The cases, by our client.

mod calls;
mod compressed;
mod endings;

use std::{fmt::Debug, process::ExitCode, time::Duration};

use headwater_rpc::{CallOptions, Status, stub::Failure};

use crate::{endpoint::Target, protocol::TestServiceClient};

/// Beyond this a case has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the soaks call.
const SOAK_ITERATIONS: usize = 10;

/// The published cases, in their order.
const CASES: [&str; 20] = [
    "empty_unary",
    "large_unary",
    "client_compressed_unary",
    "server_compressed_unary",
    "client_streaming",
    "client_compressed_streaming",
    "server_streaming",
    "server_compressed_streaming",
    "ping_pong",
    "empty_stream",
    "custom_metadata",
    "status_code_and_message",
    "special_status_message",
    "unimplemented_method",
    "unimplemented_service",
    "cancel_after_begin",
    "cancel_after_first_response",
    "timeout_on_sleeping_server",
    "rpc_soak",
    "channel_soak",
];

/// Why a case failed, for people.
#[derive(Debug)]
struct Wrong(String);

impl From<Status> for Wrong {
    fn from(status: Status) -> Self {
        Self(format!("a call failed with {status}"))
    }
}

impl From<Failure> for Wrong {
    fn from(failure: Failure) -> Self {
        failure.status.into()
    }
}

/// Fails the case that expected something else.
fn equal<T: PartialEq + Debug>(found: &T, expected: &T, what: &str) -> Result<(), Wrong> {
    if found == expected {
        return Ok(());
    }
    Err(Wrong(format!(
        "{what}: expected {expected:?}, found {found:?}"
    )))
}

/// Runs these cases, and prints how each went. `all` are the published ones.
pub(crate) async fn run(names: &[String], target: &Target) -> ExitCode {
    let mut exit = ExitCode::SUCCESS;
    let all = names.iter().any(|name| name == "all");
    let names: Vec<&str> = if all {
        CASES.to_vec()
    } else {
        names.iter().map(String::as_str).collect()
    };
    for name in names {
        let case = tokio::time::timeout(PATIENCE, one(name, target)).await;
        match case.unwrap_or_else(|_| Err(Wrong(format!("it took longer than {PATIENCE:?}")))) {
            Ok(()) => println!("ok {name}"),
            Err(Wrong(reason)) => {
                let words: Vec<&str> = reason.split_whitespace().collect();
                println!("failed {name}: {}", words.join(" "));
                exit = ExitCode::FAILURE;
            }
        }
    }
    exit
}

/// Those named `..._noprobe` are what is left of a case toward a server that cannot see message flags.
async fn one(name: &str, target: &Target) -> Result<(), Wrong> {
    let connected = target.connect()?;
    let client = TestServiceClient::new(connected.client.clone());
    match name {
        "empty_unary" => calls::empty_unary(&client).await,
        "large_unary" => calls::large_unary(&client).await,
        "client_streaming" => calls::client_streaming(&client).await,
        "server_streaming" => calls::server_streaming(&client).await,
        "ping_pong" => calls::ping_pong(&client).await,
        "empty_stream" => calls::empty_stream(&client).await,
        "custom_metadata" => calls::custom_metadata(&client).await,
        "rpc_soak" => calls::rpc_soak(&client).await,
        "channel_soak" => calls::channel_soak(target).await,
        "status_code_and_message" => endings::status_code_and_message(&client).await,
        "special_status_message" => endings::special_status_message(&client).await,
        "unimplemented_method" => endings::unimplemented_method(&client).await,
        "unimplemented_service" => endings::unimplemented_service(&connected.client).await,
        "cancel_after_begin" => endings::cancel_after_begin(&client).await,
        "cancel_after_first_response" => endings::cancel_after_first_response(&client).await,
        "timeout_on_sleeping_server" => endings::timeout_on_sleeping_server(&client).await,
        "client_compressed_unary" => compressed::client_unary(&client, true).await,
        "client_compressed_unary_noprobe" => compressed::client_unary(&client, false).await,
        "client_compressed_streaming" => compressed::client_streaming(&client, true).await,
        "client_compressed_streaming_noprobe" => compressed::client_streaming(&client, false).await,
        "server_compressed_unary" => compressed::server_unary(&client).await,
        "server_compressed_streaming" => compressed::server_streaming(&client).await,
        _ => Err(Wrong(format!(
            "there is no such case; there are {}",
            CASES.join(", ")
        ))),
    }
}

fn options() -> CallOptions {
    CallOptions {
        timeout: Some(PATIENCE),
        ..CallOptions::default()
    }
}
