//! Congestion control that lets a connection's last packet out.
//!
//! quinn has CONNECTION_CLOSE wait for the congestion window like all else while streams have something to send, and once
//! it is closed takes no acknowledgements that would open the window: so a connection that is cut in the middle of a
//! transfer would say nothing, and its peer would find out by its own timeout.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn_proto::RttEstimator;

/// Makes the controllers of connections: those that quinn has by itself.
#[derive(Debug, Default)]
pub(crate) struct Congestion(Arc<CubicConfig>);

impl ControllerFactory for Congestion {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Gate {
            controller: Arc::clone(&self.0).build(now, current_mtu),
            open: Arc::default(),
        })
    }
}

/// Opens the window of a connection that is being closed.
pub(super) fn open(connection: &quinn::Connection) {
    let gate = connection.congestion_state().into_any().downcast::<Gate>();
    if let Ok(gate) = gate {
        gate.open.store(true, Ordering::Release);
    }
}

/// A controller that can be overruled. Clones are overruled together.
struct Gate {
    controller: Box<dyn Controller>,
    open: Arc<AtomicBool>,
}

impl Controller for Gate {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.controller.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.controller.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.controller
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.controller
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.controller.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        if self.open.load(Ordering::Acquire) {
            return u64::MAX;
        }
        self.controller.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        self.controller.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            controller: self.controller.clone_box(),
            open: Arc::clone(&self.open),
        })
    }

    fn initial_window(&self) -> u64 {
        self.controller.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
