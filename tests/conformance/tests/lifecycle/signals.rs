//! Clients and servers that a signal stops.

use std::time::Duration;

use headwater_conformance::{
    Fixture,
    control::{RUN, done, read, say},
    for_each_transport,
};
use headwater_rpc::{CallOptions, CancelReason, Code, Metadata};
use tokio::sync::oneshot;

use crate::support::{SHORT, code};

/// S4-37: a signal stops a server gracefully: it ends when its calls have, and those that do not end are ended when the
/// grace is over.
#[test]
fn s4_37_a_signal_stops_a_server_and_the_grace_ends_it() {
    for_each_transport(|transport| async move {
        for (grace, finishes) in [(None, true), (Some(HOUR), true), (Some(SHORT), false)] {
            let stopped = Fixture::stopped(transport).await;
            let (client, server) = (stopped.client.clone(), stopped.server.clone());
            let connecting = tokio::spawn(async move { client.connect().await });
            let (signal, signalled) = oneshot::channel::<()>();
            let serving = tokio::spawn(async move {
                let signal = async { drop(signalled.await) };
                server.serve_until(signal, grace).await
            });
            let options = CallOptions::default();
            let call = stopped.client.call(RUN, Metadata::new(), options).await;
            let (sender, mut receiver) = call.expect("it opens");
            say(&sender, "echo open");
            assert_eq!(receiver.next_batch(&mut Vec::new()).await, Ok(1));
            signal.send(()).expect("the server waits for it");
            if finishes {
                say(&sender, "wait");
                assert_eq!(stopped.control.next_cancel().await, CancelReason::Stopping);
                assert_eq!(read(&mut receiver).await.1, Ok(()), "{grace:?}");
            } else {
                let outcome = read(&mut receiver).await.1;
                assert_eq!(code(&outcome), Code::Unavailable, "after the grace");
            }
            assert_eq!(serving.await.expect("no panic"), Ok(()), "{grace:?}");
            connecting.abort();
        }
    });
}

const HOUR: Duration = Duration::from_secs(3600);

/// S4-37: so does a client.
#[test]
fn s4_37_a_signal_stops_a_client_and_the_grace_ends_it() {
    for_each_transport(|transport| async move {
        for (grace, finishes) in [(None, true), (Some(HOUR), true), (Some(SHORT), false)] {
            let stopped = Fixture::stopped(transport).await;
            let (client, server) = (stopped.client.clone(), stopped.server.clone());
            let serving = tokio::spawn(async move { server.serve().await });
            let (signal, signalled) = oneshot::channel::<()>();
            let connecting = tokio::spawn(async move {
                let signal = async { drop(signalled.await) };
                client.connect_until(signal, grace).await
            });
            let options = CallOptions::default();
            let call = stopped.client.call(RUN, Metadata::new(), options).await;
            let (sender, mut receiver) = call.expect("it opens");
            say(&sender, "echo open");
            assert_eq!(receiver.next_batch(&mut Vec::new()).await, Ok(1));
            signal.send(()).expect("the client waits for it");
            if finishes {
                done(&sender);
            }
            let outcome = read(&mut receiver).await.1;
            let expected = (!finishes).then_some(Code::Cancelled);
            assert_eq!(outcome.err().map(|status| status.code), expected);
            assert_eq!(connecting.await.expect("no panic"), Ok(()), "{grace:?}");
            serving.abort();
        }
    });
}

/// S4-37: the signal that asks a process to terminate, as a service would be given it.
#[cfg(unix)]
#[test]
fn s4_37_sigterm_stops_a_server_gracefully() {
    use tokio::signal::unix::{SignalKind, signal};

    for_each_transport(|transport| async move {
        let stopped = Fixture::stopped(transport).await;
        let (client, server) = (stopped.client.clone(), stopped.server.clone());
        let connecting = tokio::spawn(async move { client.connect().await });
        let mut terminate = signal(SignalKind::terminate()).expect("the system has signals");
        let serving = tokio::spawn(async move {
            let signal = async { terminate.recv().await.unwrap_or(()) };
            server.serve_until(signal, Some(HOUR)).await
        });
        let options = CallOptions::default();
        let call = stopped.client.call(RUN, Metadata::new(), options).await;
        let (sender, mut receiver) = call.expect("it opens");
        say(&sender, "wait");
        stopped.control.started().await;
        // From here on the signal is caught, so it ends nothing but the server.
        let process = std::process::id().to_string();
        let kill = std::process::Command::new("kill")
            .args(["-TERM", &process])
            .status();
        assert!(kill.expect("there is a kill command").success());
        assert_eq!(stopped.control.next_cancel().await, CancelReason::Stopping);
        assert_eq!(read(&mut receiver).await, (vec![], Ok(())), "it finished");
        assert_eq!(serving.await.expect("no panic"), Ok(()));
        connecting.abort();
    });
}
