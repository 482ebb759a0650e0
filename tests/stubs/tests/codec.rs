//! Codecs, and what happens to bytes that are no message.

use bytes::Bytes;
use headwater_conformance::{Fixture, for_each_transport};
use headwater_rpc::{
    CallOptions, Code, Metadata, Shape, Status,
    stub::{Failure, Messages, ProstCodec, Request, ServerRequest, Sink},
};
use headwater_stubs::{
    guide::{Guided, note, point},
    json::{self, RouteGuide as _},
    routeguide::{Point, RouteGuideClient, RouteNote},
};

struct JsonGuide;

impl json::RouteGuide for JsonGuide {
    async fn get_feature(&self, point: json::Point) -> Result<json::Feature, Status> {
        Ok(json::Feature {
            name: "here".into(),
            location: Some(point),
        })
    }
}

/// Has a path answer with these bytes, whatever is asked.
fn answer(pair: &Fixture, path: &str, bytes: &'static [u8]) {
    pair.router.unary(path, move |_| async move {
        Ok::<_, Status>(Bytes::from_static(bytes))
    });
}

#[test]
fn s4_13_a_json_codec_carries_a_generated_service() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let service = json::RouteGuideServer::new(JsonGuide).into_service();
        pair.router.add(service).unwrap();
        let client = json::RouteGuideClient::new(pair.client.clone());
        let here = json::Point {
            latitude: 1,
            longitude: 2,
        };
        let feature = client.get_feature(here).await.unwrap();
        assert_eq!(
            (feature.name.as_str(), feature.location),
            ("here", Some(here))
        );

        // On the wire it is what it says.
        let path = "/routeguide.RouteGuide/GetFeature";
        let request = Bytes::from(r#"{"latitude":1,"longitude":2}"#);
        let options = CallOptions::default();
        let raw = pair
            .client
            .unary(path, Metadata::new(), request, options)
            .await;
        let expected = r#"{"name":"here","location":{"latitude":1,"longitude":2}}"#;
        assert_eq!(raw, Ok(Bytes::from(expected)));

        let left_out = client.list_features(json::Rectangle::default()).await;
        let mut features = left_out.unwrap();
        let status = features.message().await.unwrap_err();
        assert_eq!(
            status.code,
            Code::Unimplemented,
            "a partial service may leave methods out"
        );
        assert!(
            status
                .message
                .contains("/routeguide.RouteGuide/ListFeatures"),
            "{status}"
        );
        let simple = JsonGuide.get_feature(here).await;
        assert!(
            simple.is_ok(),
            "a simple method can be tested without a call"
        );
    });
}

#[test]
fn s4_13_a_request_that_cannot_be_decoded_ends_with_internal() {
    for_each_transport(|transport| async move {
        let guided = Guided::new(transport).await;
        let client = &guided.pair.client;
        let options = CallOptions::default();
        let garbage = Bytes::from_static(b"\xff\xff\xff");
        let path = "/routeguide.RouteGuide/GetFeature";
        let outcome = client.unary(path, Metadata::new(), garbage.clone(), options.clone());
        let status = outcome.await.unwrap_err();
        assert_eq!(status.code, Code::Internal);
        assert!(
            status
                .message
                .starts_with("a message could not be decoded: "),
            "{status}"
        );

        // In the middle of a stream, of which what came before was answered.
        let path = "/routeguide.RouteGuide/RouteChat";
        let (sender, receiver) = client.call(path, Metadata::new(), options).await.unwrap();
        let sink = Sink::<RouteNote>::new::<ProstCodec>(sender);
        let mut notes = Messages::<RouteNote>::new::<ProstCodec>(receiver);
        sink.send(note("first")).await.unwrap();
        assert_eq!(notes.message().await, Ok(Some(note("first"))));
        sink.sender().send(garbage).await.unwrap();
        let status = notes.message().await.unwrap_err();
        assert_eq!(status.code, Code::Internal);
    });
}

#[test]
fn s4_13_a_response_that_cannot_be_decoded_ends_with_internal() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        answer(&pair, "/routeguide.RouteGuide/GetFeature", b"\xff");
        let client = RouteGuideClient::new(pair.client.clone());
        let status = client.get_feature(point(1)).await.unwrap_err();
        assert_eq!(status.code, Code::Internal);
        assert!(
            status
                .message
                .starts_with("a message could not be decoded: "),
            "{status}"
        );
        let failure: Failure = client
            .get_feature_with(Request::new(point(1)))
            .await
            .unwrap_err();
        assert_eq!(failure.status.code, Code::Internal);
    });
}

/// A server that goes on for ever is told that nobody understands it, and the client hears of nothing after the error.
#[test]
fn s4_13_an_undecodable_message_of_a_stream_cancels_the_call() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (told, hears) = tokio::sync::oneshot::channel();
        let told = std::sync::Mutex::new(Some(told));
        let path = "/routeguide.RouteGuide/RouteChat";
        pair.router.stream(path, move |call| {
            let told = told.lock().unwrap().take();
            async move {
                for bytes in [&b""[..], b"\xff", b""] {
                    call.sender.send(Bytes::from_static(bytes)).await.unwrap();
                }
                let reason = call.cancellation.cancelled().await;
                told.map(|told| told.send(reason));
            }
        });
        let client = RouteGuideClient::new(pair.client.clone());
        let (_sink, mut notes) = client.route_chat().await.unwrap();
        assert_eq!(notes.message().await, Ok(Some(RouteNote::default())));
        for _ in 0..2 {
            let status = notes.message().await.unwrap_err();
            assert_eq!(status.code, Code::Internal, "the error stays");
        }
        let reason = hears.await.expect("the handler is told");
        assert_eq!(reason, headwater_rpc::CancelReason::Peer);
    });
}

/// S4-13, S4-34: halves with a codec on a path for which nothing was generated.
#[test]
fn s4_13_typed_halves_need_no_generated_code() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        pair.router.stream("/x.Y/Z", |call| async move {
            let mut points = Messages::<Point>::new::<ProstCodec>(call.receiver);
            let sink = Sink::<Point>::new::<ProstCodec>(call.sender);
            while let Ok(Some(point)) = points.message().await {
                sink.send(point).await.unwrap();
            }
            let _ = sink.sender().finish(Ok(()), Metadata::new());
        });
        let options = CallOptions {
            shape: Shape::Bidirectional,
            ..CallOptions::default()
        };
        let call = pair.client.call("/x.Y/Z", Metadata::new(), options).await;
        let (sender, receiver) = call.unwrap();
        let sink = Sink::new::<ProstCodec>(sender);
        sink.send_all(&[point(1), point(2)]).await.unwrap();
        sink.finish().unwrap();
        let mut points = Messages::<Point>::new::<ProstCodec>(receiver);
        let mut batch = Vec::new();
        while points.next_batch(&mut batch).await.unwrap() > 0 {}
        assert_eq!(batch, [point(1), point(2)]);
    });
}

/// What a handler must not do with its half is refused, and changes nothing.
#[test]
fn a_sink_knows_its_side() {
    struct Wrong;
    impl json::RouteGuide for Wrong {
        async fn route_chat_with(
            &self,
            mut request: ServerRequest<Messages<json::RouteNote>>,
            notes: Sink<json::RouteNote>,
        ) -> Result<Metadata, Failure> {
            let refused = notes.finish().unwrap_err();
            assert_eq!(
                refused.code,
                Code::Internal,
                "a handler ends its call by returning"
            );
            while let Some(note) = request.message.message().await? {
                notes.send(note).await?;
            }
            Ok(Metadata::new())
        }
    }
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let service = json::RouteGuideServer::new(Wrong).into_service();
        pair.router.add(service).unwrap();
        let client = json::RouteGuideClient::new(pair.client.clone());
        let (sink, mut notes) = client.route_chat().await.unwrap();
        let refused = sink.send_headers(Metadata::new()).unwrap_err();
        assert_eq!(refused.code, Code::Internal, "headers are the server's");
        sink.send(json::RouteNote::default()).await.unwrap();
        sink.finish().unwrap();
        assert_eq!(notes.message().await, Ok(Some(json::RouteNote::default())));
        assert_eq!(notes.message().await, Ok(None));
    });
}
