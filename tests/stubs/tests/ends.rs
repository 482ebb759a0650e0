//! How calls of generated clients end: what is dropped is cancelled, and what is over frees what it held.

use std::{future::pending, time::Duration};

use headwater_conformance::for_each_transport;
use headwater_rpc::{
    CallOptions, Code, Metadata, Status,
    stub::{Failure, Messages, Request, ServerRequest, Sink},
};
use headwater_stubs::{
    guide::{Guided, note, point},
    json,
};

#[test]
fn s4_20_dropping_the_halves_cancels_the_call() {
    for_each_transport(|transport| async move {
        let mut guided = Guided::new(transport).await;
        let (sink, mut notes) = guided.client.route_chat().await.unwrap();
        sink.send(note("one")).await.unwrap();
        assert_eq!(notes.message().await, Ok(Some(note("one"))));
        drop(sink);
        drop(notes);
        guided.cancelled.recv().await.expect("the handler is told");
        while guided.pair.server.open_calls() > 0 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn s4_20_dropping_the_future_cancels_the_call() {
    for_each_transport(|transport| async move {
        let guided = Guided::new(transport).await;
        let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
        let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
        let path = "/routeguide.RouteGuide/OldFeature";
        guided.pair.router.stream(path, move |call| {
            let (started, told) = (started.clone(), told.clone());
            async move {
                let call = call;
                let _ = started.send(());
                let _ = told.send(call.cancellation.cancelled().await);
            }
        });
        #[allow(deprecated, reason = "the file says so")]
        let call = guided.client.old_feature(point(1));
        tokio::select! {
            outcome = call => panic!("nobody answers, and yet: {outcome:?}"),
            _ = starts.recv() => {}
        }
        tells.recv().await.expect("the handler is told");
        while guided.pair.server.open_calls() > 0 {
            tokio::task::yield_now().await;
        }
    });
}

struct Slow;

impl json::RouteGuide for Slow {
    async fn get_feature_with(
        &self,
        request: ServerRequest<json::Point>,
    ) -> Result<headwater_rpc::stub::Response<json::Feature>, Failure> {
        let context = &request.context;
        let left = context.time_left().expect("the client has given a time");
        assert!(left <= Duration::from_secs(3600), "{left:?} is left");
        assert!(context.deadline().is_some());
        assert_eq!(&*context.path, "/routeguide.RouteGuide/GetFeature");
        Err(Status::new(Code::OutOfRange, left.is_zero().to_string()).into())
    }

    async fn record_route(&self, _: Messages<json::Point>) -> Result<json::RouteSummary, Status> {
        pending().await
    }

    async fn old_feature_streaming(
        &self,
        _: ServerRequest<Messages<json::Point>>,
        _: Sink<json::Feature>,
    ) -> Result<Metadata, Failure> {
        Ok(Metadata::new())
    }
}

fn with_timeout<T>(message: T, timeout: Duration) -> Request<T> {
    Request {
        options: CallOptions {
            timeout: Some(timeout),
            ..CallOptions::default()
        },
        ..Request::new(message)
    }
}

#[test]
fn handlers_know_their_time_and_clients_are_freed_by_it() {
    for_each_transport(|transport| async move {
        let pair = headwater_conformance::Fixture::new(transport).await;
        let service = json::RouteGuideServer::new(Slow).into_service();
        pair.router.add(service).unwrap();
        let client = json::RouteGuideClient::new(pair.client.clone());
        let request = with_timeout(json::Point::default(), Duration::from_secs(3600));
        let failure = client.get_feature_with(request).await.unwrap_err();
        assert_eq!(failure.status, Status::new(Code::OutOfRange, "false"));

        // A stream of requests that never gives one, to a handler that never answers.
        let request = with_timeout(Never, Duration::from_millis(20));
        let failure = client.record_route_with(request).await.unwrap_err();
        assert_eq!(failure.status.code, Code::DeadlineExceeded);

        #[allow(deprecated, reason = "the file says so")]
        let status = client
            .old_feature(json::Point::default())
            .await
            .unwrap_err();
        assert_eq!(
            status.code,
            Code::Internal,
            "a unary method owes a response"
        );
        assert!(status.message.contains("no response"), "{status}");
    });
}

/// A stream of requests that never gives one.
struct Never;

impl headwater_rpc::stub::Stream for Never {
    type Item = json::Point;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<json::Point>> {
        std::task::Poll::Pending
    }
}
