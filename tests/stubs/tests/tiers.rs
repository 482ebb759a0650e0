//! One service in which all tiers are mixed, called at all depths.

use headwater_conformance::for_each_transport;
use headwater_rpc::{
    Code, Metadata, Status,
    stub::{Request, Stream},
};
use headwater_stubs::{
    guide::{Guided, feature, metadata, note, point, rectangle},
    routeguide::{Feature, Point, RouteSummary},
};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// Gives what an iterator gives.
struct Iter<I>(I);

impl<I: Iterator + Unpin> Stream for Iter<I> {
    type Item = I::Item;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<I::Item>> {
        Poll::Ready(self.0.next())
    }
}

fn points(latitudes: impl IntoIterator<Item = i32, IntoIter: Unpin>) -> impl Stream<Item = Point> {
    Iter(latitudes.into_iter().map(point))
}

const fn summary(point_count: i32) -> RouteSummary {
    RouteSummary {
        point_count,
        feature_count: 0,
    }
}

#[test]
fn s4_32_and_s4_33_simple_methods_are_called_with_messages_only() {
    for_each_transport(|transport| async move {
        let guided = Guided::new(transport).await;
        let client = &guided.client;
        assert_eq!(client.get_feature(point(7)).await, Ok(feature(7)));
        let missing = client.get_feature(point(-1)).await;
        assert_eq!(
            missing,
            Err(Status::new(Code::NotFound, "there is nothing"))
        );

        let mut features = client.list_features(rectangle(-2, 1)).await.unwrap();
        let mut batch = Vec::new();
        let ended = loop {
            match features.next_batch(&mut batch).await {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(status) => break Err(status.code),
            }
        };
        let all: Vec<Feature> = (-2..1).map(feature).collect();
        assert_eq!(
            (batch, ended),
            (all, Err(Code::OutOfRange)),
            "all, then why"
        );
    });
}

#[test]
fn s4_32_and_s4_33_regular_methods_have_metadata_both_ways() {
    for_each_transport(|transport| async move {
        let guided = Guided::new(transport).await;
        let client = &guided.client;
        assert_eq!(client.record_route(points([1, 2, 3])).await, Ok(summary(3)));
        let early = client.record_route(points((0..).map(|_| i32::MAX))).await;
        assert_eq!(
            early,
            Ok(summary(1)),
            "an answer ends a stream that has no end"
        );

        let request = Request {
            metadata: metadata("route", "66"),
            ..Request::new(points([1, 2]))
        };
        let response = client.record_route_with(request).await.unwrap();
        assert_eq!(response.message, summary(2));
        assert_eq!(response.headers.text("route"), Some("66"));
        assert_eq!(response.trailers.text("points"), Some("2"));

        let failure = client.record_route_with(Request::new(points([1, -1, 2])));
        let failure = failure.await.unwrap_err();
        assert_eq!(failure.status.code, Code::Aborted);
        assert_eq!(failure.trailers.text("points"), Some("2"));
    });
}

#[test]
fn s4_32_and_s4_33_streaming_methods_take_every_shape() {
    for_each_transport(|transport| async move {
        let guided = Guided::new(transport).await;
        let request = Request {
            metadata: metadata("room", "1"),
            ..Request::new(())
        };
        let (sink, mut notes) = guided.client.route_chat_with(request).await.unwrap();
        let headers = notes.headers().await.unwrap_or_default();
        assert_eq!(
            headers.text("room"),
            Some("1"),
            "headers come before any message"
        );
        for text in ["one", "two"] {
            sink.send(note(text)).await.unwrap();
            assert_eq!(notes.message().await, Ok(Some(note(text))));
        }
        sink.send_all(&[note("three"), note("four")]).await.unwrap();
        sink.finish().unwrap();
        assert_eq!(notes.message().await, Ok(Some(note("three"))));
        assert_eq!(notes.message().await, Ok(Some(note("four"))));
        assert_eq!(notes.message().await, Ok(None));
        let trailers = notes.trailers().unwrap_or_default();
        assert_eq!(trailers.text("tier"), Some("streaming"));

        #[allow(deprecated, reason = "the file says so")]
        let response = guided.client.old_feature_with(Request::new(point(3))).await;
        let response = response.unwrap();
        assert_eq!(
            response.message,
            feature(3),
            "a unary method in the streaming tier"
        );
        assert_eq!(response.trailers.text("tier"), Some("streaming"));
    });
}

/// A unary method of the simple tier, reached from the streaming depth of the client.
#[test]
fn s4_33_every_shape_can_be_called_as_halves() {
    for_each_transport(|transport| async move {
        let guided = Guided::new(transport).await;
        let halves = guided.client.get_feature_streaming(Request::new(())).await;
        let (sink, mut features) = halves.unwrap();
        sink.send(point(5)).await.unwrap();
        sink.finish().unwrap();
        assert_eq!(features.message().await, Ok(Some(feature(5))));
        assert_eq!(features.message().await, Ok(None));
        assert_eq!(features.trailers(), Some(Metadata::new()));
    });
}
