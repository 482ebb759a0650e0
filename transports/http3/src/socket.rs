//! The sockets under QUIC.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
};

use quinn::Runtime;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{ToSocketAddrs, lookup_host};

/// Binds the first of the addresses that can be bound.
pub(crate) async fn bind(
    addr: impl ToSocketAddrs,
    buffer_bytes: Option<usize>,
) -> io::Result<UdpSocket> {
    let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "no address to bind");
    for addr in lookup_host(addr).await? {
        match bind_one(addr, buffer_bytes) {
            Ok(socket) => return Ok(socket),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Binds this address.
pub(crate) fn bind_one(addr: SocketAddr, buffer_bytes: Option<usize>) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if let Some(bytes) = buffer_bytes {
        // What the system does not give, it does not give.
        let _ = socket.set_recv_buffer_size(bytes);
        let _ = socket.set_send_buffer_size(bytes);
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// What quinn runs on.
pub(crate) fn runtime() -> Arc<dyn Runtime> {
    #[cfg(any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_vendor = "apple"
    ))]
    return Arc::new(crate::udp::UdpRuntime);
    #[cfg(not(any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_vendor = "apple"
    )))]
    return Arc::new(quinn::TokioRuntime);
}
