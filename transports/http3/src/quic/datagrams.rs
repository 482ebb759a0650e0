//! How large datagrams may become.

use std::{net::SocketAddr, sync::Arc};

use quinn::{EndpointConfig, MtuDiscoveryConfig, TransportConfig};

/// The largest datagram that is taken, and that a peer on this machine is sent once it was found to arrive (RFC 9000,
/// 14.3): nothing between the two has frames of Ethernet. quinn hands the system up to ten at once, and one write to UDP
/// takes 65,507 bytes.
const BYTES_MAX: u16 = 65_507 / 10;
/// How near to the largest one the search ends. Each step costs the peer the reading of so much padding; from the 1,200
/// bytes that each connection begins with (RFC 9000, 14) to the 1,472 that quinn takes by itself is one.
const STEP_BYTES: u16 = 250;

/// The configuration of what connections share.
pub(crate) fn endpoint_config() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    // It fails below 1,200.
    let _ = config.max_udp_payload_size(BYTES_MAX);
    config
}

/// The configuration of connections, by where their peer is.
#[derive(Debug)]
pub(crate) struct Transports {
    near: Arc<TransportConfig>,
    far: Arc<TransportConfig>,
}

impl Transports {
    pub(crate) fn new(make: impl Fn() -> TransportConfig) -> Self {
        let mut near = make();
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(BYTES_MAX).minimum_change(STEP_BYTES);
        near.mtu_discovery_config(Some(discovery));
        Self {
            near: Arc::new(near),
            far: Arc::new(make()),
        }
    }

    /// Across a network, quinn's own bound stays: beyond Ethernet's frames, all that is tried in vain would cost more time
    /// than it brings.
    pub(crate) fn toward(&self, peer: SocketAddr) -> Arc<TransportConfig> {
        let is_near = peer.ip().to_canonical().is_loopback();
        Arc::clone(if is_near { &self.near } else { &self.far })
    }
}
