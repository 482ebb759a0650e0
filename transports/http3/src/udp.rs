//! UDP for QUIC under tokio, with fewer system calls than quinn's own.
//!
//! tokio's socket waits for reading and for writing, always: so each datagram that leaves wakes its sender, to be told that
//! there is room, which there was before. This one waits for room only after there was none. And where one read takes a
//! batch of datagrams, a batch that is not full says that nothing is left, so nothing asks again.

use std::{
    io::{self, ErrorKind, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Instant,
};

use quinn::{
    AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller,
    udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState},
};
use tokio::io::{Interest, unix::AsyncFd};

/// tokio's runtime, with these sockets.
#[derive(Debug)]
pub(crate) struct UdpRuntime;

impl Runtime for UdpRuntime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        TokioRuntime.spawn(future);
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        // It makes the socket one that does not block.
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Arc::new(Socket {
            io: register(socket, Interest::READABLE)?,
            state,
            is_full: AtomicBool::new(false),
        }))
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}

#[expect(
    deprecated,
    reason = "in general it is unsound, but a socket has one descriptor for as long as it lives; and what took its place is unsafe"
)]
fn register(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    AsyncFd::with_interest(socket, interest)
}

#[derive(Debug)]
struct Socket {
    io: AsyncFd<UdpSocket>,
    state: UdpSocketState,
    /// The system had no room for the last datagrams, and nobody was told yet that it has some.
    is_full: AtomicBool,
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Room {
            socket: self,
            waiting: None,
        })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = self.state.send(self.io.get_ref().into(), transmit);
        if matches!(&sent, Err(error) if error.kind() == ErrorKind::WouldBlock) {
            self.is_full.store(true, Ordering::Release);
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            // What comes after this is an event of its own, which the guard does not clear.
            let mut guard = ready!(self.io.poll_read_ready(cx))?;
            match self.state.recv(self.io.get_ref().into(), bufs, meta) {
                Ok(count) => {
                    if count < bufs.len().min(BATCH_SIZE) {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => guard.clear_ready(),
                // Of one datagram, such as an ICMP error on some systems; an endpoint that is told of it ends.
                Err(error) => tracing::debug!(target: "headwater_http3", %error, "not received"),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

/// Waits for room, on behalf of one connection.
#[derive(Debug)]
struct Room {
    socket: Arc<Socket>,
    /// The socket once more, registered for writing.
    waiting: Option<AsyncFd<UdpSocket>>,
}

impl Room {
    fn waiting(&mut self) -> io::Result<&AsyncFd<UdpSocket>> {
        let waiting = match self.waiting.take() {
            Some(waiting) => waiting,
            None => {
                let socket = self.socket.io.get_ref().try_clone()?;
                register(socket, Interest::WRITABLE)?
            }
        };
        Ok(self.waiting.insert(waiting))
    }
}

impl UdpPoller for Room {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.socket.is_full.load(Ordering::Acquire) {
            match self.waiting() {
                Ok(waiting) => drop(ready!(waiting.poll_write_ready(cx))?),
                // There is no descriptor to wait with, and nothing is gained by giving the connection up.
                Err(_) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            self.socket.is_full.store(false, Ordering::Release);
        }
        self.waiting = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, net::Ipv4Addr};

    use super::*;

    /// More than one read takes.
    const BURST: usize = 3 * BATCH_SIZE + 1;

    fn socket() -> (Arc<dyn AsyncUdpSocket>, UdpSocket) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let addr = socket.local_addr().expect("it is bound");
        other.connect(addr).expect("it is an address");
        let socket = UdpRuntime.wrap_udp_socket(socket).expect("it is a socket");
        (socket, other)
    }

    /// Bytes that came in one read.
    async fn receive(socket: &dyn AsyncUdpSocket) -> usize {
        let mut buffers = vec![[0; 2048]; BATCH_SIZE];
        let mut buffers: Vec<_> = buffers.iter_mut().map(|it| IoSliceMut::new(it)).collect();
        let mut meta = vec![RecvMeta::default(); BATCH_SIZE];
        let count = poll_fn(|cx| socket.poll_recv(cx, &mut buffers, &mut meta)).await;
        let count = count.expect("nothing is wrong with it");
        meta[..count].iter().map(|meta| meta.len).sum()
    }

    /// A batch that is not full is taken for the last, and whatever comes after it is an event.
    #[tokio::test]
    async fn all_datagrams_come_however_many_are_there_at_once() {
        let (socket, other) = socket();
        for burst in [1, BURST, 2, BATCH_SIZE, BATCH_SIZE - 1, 1] {
            for _ in 0..burst {
                other.send(b"x").expect("it is sent");
            }
            let mut came = 0;
            while came < burst {
                came += receive(&*socket).await;
            }
            assert_eq!(came, burst);
            let more = poll_fn(|cx| {
                let (mut buffer, mut meta) = ([0; 2048], [RecvMeta::default()]);
                let buffers = &mut [IoSliceMut::new(&mut buffer)];
                Poll::Ready(socket.poll_recv(cx, buffers, &mut meta).is_ready())
            });
            assert!(!more.await, "all of {burst} was there");
        }
    }

    #[tokio::test]
    async fn who_found_no_room_is_told_when_there_is_some() {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let socket = Arc::new(Socket {
            state: UdpSocketState::new((&socket).into()).expect("it is a socket"),
            io: register(socket, Interest::READABLE).expect("within a runtime"),
            is_full: AtomicBool::new(true),
        });
        let mut rooms: Vec<_> = (0..2)
            .map(|_| Arc::clone(&socket).create_io_poller())
            .collect();
        for room in &mut rooms {
            let told = poll_fn(|cx| room.as_mut().poll_writable(cx)).await;
            told.expect("the socket is a good one");
        }
        assert!(!socket.is_full.load(Ordering::Acquire), "there is room");
    }
}
