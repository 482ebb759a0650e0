//! The service: three methods with messages only, and one that looks at who calls.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use headwater_rpc::{
    Code, Metadata, Status,
    stub::{Failure, Messages, ServerRequest, Sink},
};

use crate::routeguide::{Feature, Point, Rectangle, RouteGuide, RouteNote, RouteSummary};

/// Notes that are kept for one place; the oldest go first.
const NOTES_MAX: usize = 100;
/// Places of which notes are kept.
const NOTED_MAX: usize = 1000;
const EARTH_RADIUS_METRES: f64 = 6_371_000.0;

/// Where a river begins, in degrees.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    river: &'static str,
    latitude: f64,
    longitude: f64,
}

impl Source {
    pub(crate) fn point(self) -> Point {
        point(self.latitude, self.longitude)
    }

    fn feature(self) -> Feature {
        Feature {
            name: self.river.to_owned(),
            location: Some(self.point()),
        }
    }
}

/// From north to south.
pub(crate) const SOURCES: [Source; 5] = [
    source("Elbe", 50.776, 15.536),
    source("Danube", 47.951, 8.520),
    source("Rhine", 46.632, 8.672),
    source("Rhone", 46.582, 8.385),
    source("Po", 44.702, 7.094),
];

const fn source(river: &'static str, latitude: f64, longitude: f64) -> Source {
    Source {
        river,
        latitude,
        longitude,
    }
}

/// The place at these degrees.
#[allow(clippy::cast_possible_truncation, reason = "degrees are small")]
pub(crate) fn point(latitude: f64, longitude: f64) -> Point {
    Point {
        latitude: (latitude * 1e7).round() as i32,
        longitude: (longitude * 1e7).round() as i32,
    }
}

/// The guide, and what was noted.
#[derive(Debug, Default)]
pub(crate) struct Guide {
    notes: Mutex<HashMap<(i32, i32), Vec<RouteNote>>>,
}

impl RouteGuide for Guide {
    async fn get_feature(&self, point: Point) -> Result<Feature, Status> {
        if !(-900_000_000..=900_000_000).contains(&point.latitude) {
            let message = "the latitude is beyond a pole";
            return Err(Status::new(Code::InvalidArgument, message));
        }
        Ok(find(point).unwrap_or(Feature {
            name: String::new(),
            location: Some(point),
        }))
    }

    async fn list_features(
        &self,
        rectangle: Rectangle,
        features: Sink<Feature>,
    ) -> Result<(), Status> {
        for source in SOURCES {
            if contains(&rectangle, source.point()) {
                features.send(source.feature()).await?;
            }
        }
        Ok(())
    }

    async fn record_route(&self, mut points: Messages<Point>) -> Result<RouteSummary, Status> {
        let (mut summary, mut metres, mut last) = (RouteSummary::default(), 0.0, None);
        while let Some(point) = points.message().await? {
            summary.point_count += 1;
            summary.feature_count += i32::from(find(point).is_some());
            metres += last.map_or(0.0, |last| distance(last, point));
            last = Some(point);
        }
        #[allow(clippy::cast_possible_truncation, reason = "it saturates")]
        let metres = metres as i32;
        summary.distance = metres;
        Ok(summary)
    }

    async fn route_chat_with(
        &self,
        request: ServerRequest<Messages<RouteNote>>,
        answers: Sink<RouteNote>,
    ) -> Result<Metadata, Failure> {
        eprintln!("{} begins to chat", request.context.peer);
        let mut notes = request.message;
        while let Some(note) = notes.message().await? {
            for earlier in self.exchange(note)? {
                answers.send(earlier).await?;
            }
        }
        Ok(Metadata::new())
    }
}

impl Guide {
    /// Keeps a note, and gives those that were there before.
    fn exchange(&self, note: RouteNote) -> Result<Vec<RouteNote>, Status> {
        let place = note.location.unwrap_or_default();
        let place = (place.latitude, place.longitude);
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() >= NOTED_MAX && !notes.contains_key(&place) {
            return Err(Status::new(
                Code::ResourceExhausted,
                "the guest book is full",
            ));
        }
        let here = notes.entry(place).or_default();
        let earlier = here.clone();
        if here.len() >= NOTES_MAX {
            here.remove(0);
        }
        here.push(note);
        Ok(earlier)
    }
}

fn find(point: Point) -> Option<Feature> {
    let mut sources = SOURCES.into_iter();
    let found = sources.find(|source| source.point() == point);
    found.map(Source::feature)
}

fn contains(rectangle: &Rectangle, point: Point) -> bool {
    let (one, other) = (
        rectangle.lo.unwrap_or_default(),
        rectangle.hi.unwrap_or_default(),
    );
    let between =
        |one: i32, other: i32, value: i32| (one.min(other)..=one.max(other)).contains(&value);
    between(one.latitude, other.latitude, point.latitude)
        && between(one.longitude, other.longitude, point.longitude)
}

/// In metres, along a great circle.
fn distance(from: Point, to: Point) -> f64 {
    let radians = |e7: i32| (f64::from(e7) / 1e7).to_radians();
    let (latitude, to_latitude) = (radians(from.latitude), radians(to.latitude));
    let north = (to_latitude - latitude) / 2.0;
    let east = (radians(to.longitude) - radians(from.longitude)) / 2.0;
    let chord = north.sin().powi(2) + latitude.cos() * to_latitude.cos() * east.sin().powi(2);
    2.0 * EARTH_RADIUS_METRES * chord.sqrt().asin()
}
