//! TLS under a socket that two tasks use: one reads, and any thread writes.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use headwater_rpc::tls::TlsServer;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use crate::wire::{Wire, WireStream};

/// The handshake on a new connection, within its time.
pub(crate) async fn secure(tls: &TlsServer, wire: Wire) -> io::Result<Wire> {
    let Wire { stream, place } = wire;
    let stream = match stream {
        WireStream::Tls(_) => stream,
        WireStream::Tcp(tcp) => WireStream::Tls(Box::new(tls.accept(tcp).await?)),
    };
    Ok(Wire { stream, place })
}

/// Both halves of a TLS connection. Reading may have to write and the other way round, so whatever the socket is ready
/// for, both tasks are waked.
#[derive(Debug)]
pub(crate) struct TlsHalves {
    state: Mutex<State>,
    tasks: Arc<Tasks>,
    /// Wakes both tasks.
    waker: Waker,
}

#[derive(Debug)]
struct State {
    stream: Box<TlsStream<TcpStream>>,
    /// Nothing more will be written, which the peer is to be told.
    is_finishing: bool,
}

#[derive(Debug, Default)]
struct Tasks {
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Wake for Tasks {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.reader.wake();
        self.writer.wake();
    }
}

impl TlsHalves {
    pub(crate) fn new(stream: Box<TlsStream<TcpStream>>) -> Arc<Self> {
        let tasks = Arc::new(Tasks::default());
        Arc::new(Self {
            state: Mutex::new(State {
                stream,
                is_finishing: false,
            }),
            waker: Waker::from(Arc::clone(&tasks)),
            tasks,
        })
    }

    /// Reads; and writes what TLS still has of what was written, for the task that reads is the one that always waits.
    pub(crate) fn poll_read(
        &self,
        cx: &Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.tasks.reader.register(cx.waker());
        let mut state = self.lock();
        state.settle(&mut self.context());
        Pin::new(&mut state.stream).poll_read(&mut self.context(), buffer)
    }

    pub(crate) fn poll_write(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.tasks.writer.register(cx.waker());
        let mut state = self.lock();
        let written = Pin::new(&mut state.stream).poll_write(&mut self.context(), bytes);
        state.settle(&mut self.context());
        written
    }

    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.lock();
        let written = Pin::new(&mut state.stream).poll_write(&mut self.context(), bytes);
        state.settle(&mut self.context());
        match written {
            Poll::Ready(written) => written,
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }

    /// Ready when all that was written is with the system.
    pub(crate) fn poll_writable(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.tasks.writer.register(cx.waker());
        let mut state = self.lock();
        Pin::new(&mut state.stream).poll_flush(&mut self.context())
    }

    /// Nothing more will be written: TLS says so, and then TCP.
    pub(crate) fn finish(&self) {
        let mut state = self.lock();
        state.is_finishing = true;
        state.settle(&mut self.context());
    }

    /// Ends both directions of the connection below.
    pub(crate) fn shutdown(&self) {
        let state = self.lock();
        // Fails only for a connection that is over.
        let _ = SockRef::from(state.tcp()).shutdown(std::net::Shutdown::Both);
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.lock().tcp().local_addr()
    }

    /// The chain by which the client proved who it is, its own certificate first.
    pub(crate) fn peer_certificates(&self) -> Vec<Bytes> {
        let state = self.lock();
        let chain = state.stream.get_ref().1.peer_certificates();
        let chain = chain.unwrap_or_default().iter();
        chain.map(|der| Bytes::copy_from_slice(der)).collect()
    }

    fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic within TLS leaves a connection that fails, which is what it should.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Gives the system what TLS holds, as far as it takes it. A connection that is broken shows it with the next read.
    fn settle(&mut self, cx: &mut Context<'_>) {
        let stream = Pin::new(&mut self.stream);
        let _ = if self.is_finishing {
            stream.poll_shutdown(cx)
        } else {
            stream.poll_flush(cx)
        };
    }

    fn tcp(&self) -> &TcpStream {
        self.stream.get_ref().0
    }
}
