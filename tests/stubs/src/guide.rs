//! A service in which all tiers are mixed, and what is needed to call it.

use std::sync::Arc;

use headwater_conformance::{Fixture, Transport};
use headwater_rpc::{
    Code, Metadata, Status,
    stub::{Failure, Messages, Response, ServerRequest, Sink},
};
use tokio::sync::{Notify, mpsc};

use crate::routeguide::{
    Feature, Point, Rectangle, RouteGuide, RouteGuideClient, RouteGuideServer, RouteNote,
    RouteSummary,
};

/// A point. At a negative latitude there is nothing.
pub const fn point(latitude: i32) -> Point {
    Point {
        latitude,
        longitude: 0,
    }
}

/// What is at a point.
pub fn feature(latitude: i32) -> Feature {
    Feature {
        name: format!("{latitude}"),
        location: Some(point(latitude)),
    }
}

/// A note of somebody who says this.
pub fn note(message: &str) -> RouteNote {
    RouteNote {
        location: None,
        message: message.to_owned(),
    }
}

/// From here to there.
pub const fn rectangle(lo: i32, hi: i32) -> Rectangle {
    Rectangle {
        lo: Some(point(lo)),
        hi: Some(point(hi)),
    }
}

/// Metadata of one text.
pub fn metadata(key: &str, value: &str) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.append(key, value).expect("valid metadata");
    metadata
}

/// Each method in the tier that suits it: simple, regular, streaming.
#[derive(Debug)]
pub struct Guide {
    /// Told when a chat was cancelled.
    pub cancelled: mpsc::UnboundedSender<()>,
    /// Told when the handler of a chat runs.
    pub chatting: Arc<Notify>,
}

impl RouteGuide for Guide {
    /// Simple.
    async fn get_feature(&self, point: Point) -> Result<Feature, Status> {
        if point.latitude < 0 {
            return Err(Status::new(Code::NotFound, "there is nothing"));
        }
        Ok(feature(point.latitude))
    }

    /// Simple.
    async fn list_features(
        &self,
        rectangle: Rectangle,
        features: Sink<Feature>,
    ) -> Result<(), Status> {
        let (lo, hi) = (rectangle.lo.unwrap_or_default(), rectangle.hi);
        for latitude in lo.latitude..hi.unwrap_or_default().latitude {
            features.send(feature(latitude)).await?;
        }
        if lo.latitude < 0 {
            return Err(Status::new(Code::OutOfRange, "it begins below"));
        }
        Ok(())
    }

    /// Regular.
    async fn record_route_with(
        &self,
        request: ServerRequest<Messages<Point>>,
    ) -> Result<Response<RouteSummary>, Failure> {
        let headers = request.metadata().clone();
        let mut points = request.message;
        let mut point_count = 0;
        while let Some(point) = points.message().await? {
            point_count += 1;
            if point.latitude < 0 {
                return Err(Failure {
                    status: Status::new(Code::Aborted, "the route leaves the map"),
                    trailers: metadata("points", &point_count.to_string()),
                });
            }
            if point.latitude == i32::MAX {
                break;
            }
        }
        Ok(Response {
            headers,
            message: RouteSummary {
                point_count,
                feature_count: 0,
            },
            trailers: metadata("points", &point_count.to_string()),
        })
    }

    /// Streaming.
    async fn route_chat_streaming(
        &self,
        request: ServerRequest<Messages<RouteNote>>,
        notes: Sink<RouteNote>,
    ) -> Result<Metadata, Failure> {
        let context = request.context.clone();
        let cancelled = self.cancelled.clone();
        tokio::spawn(async move {
            context.cancellation.cancelled().await;
            let _ = cancelled.send(());
        });
        notes.send_headers(request.metadata().clone())?;
        self.chatting.notify_one();
        let mut received = request.message;
        while let Some(note) = received.message().await? {
            notes.send(note).await?;
        }
        Ok(metadata("tier", "streaming"))
    }

    /// Streaming, of a unary method.
    async fn old_feature_streaming(
        &self,
        mut request: ServerRequest<Messages<Point>>,
        features: Sink<Feature>,
    ) -> Result<Metadata, Failure> {
        while let Some(point) = request.message.message().await? {
            features.send(feature(point.latitude)).await?;
        }
        Ok(metadata("tier", "streaming"))
    }
}

/// A client and a server of [`Guide`], running.
pub struct Guided {
    /// The generated client.
    pub client: RouteGuideClient,
    /// What [`Guide::cancelled`] tells.
    pub cancelled: mpsc::UnboundedReceiver<()>,
    /// [`Guide::chatting`].
    pub chatting: Arc<Notify>,
    /// Both ends.
    pub pair: Fixture,
}

impl Guided {
    /// Starts both over a transport.
    pub async fn new(transport: Transport) -> Self {
        let pair = Fixture::new(transport).await;
        let (cancelled, receiver) = mpsc::unbounded_channel();
        let chatting = Arc::new(Notify::new());
        let guide = Guide {
            cancelled,
            chatting: Arc::clone(&chatting),
        };
        let service = RouteGuideServer::new(guide).into_service();
        pair.router.add(service).expect("nothing is there yet");
        Self {
            client: RouteGuideClient::new(pair.client.clone()),
            cancelled: receiver,
            chatting,
            pair,
        }
    }
}
