//! Accepted connections, with a switch that breaks them all and a bound for how long one may say nothing at first.
//!
//! tonic's connection tasks are detached: dropping its `serve` leaves them running, so the switch is the only hard stop.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, watch},
    time::Sleep,
};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// The client's preface and the header of its first SETTINGS frame (RFC 9113, 3.4): with it, keep-alive takes over.
const PREFACE_BYTES: usize = 24 + 9;

/// A connection that fails once the switch is on, or if its client dawdles.
pub(crate) struct Breakable {
    stream: TcpStream,
    switch: watch::Receiver<bool>,
    switched: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// What is missing of the preface, and until when; `None` once it is there.
    preface: Option<(usize, Pin<Box<Sleep>>)>,
    /// Its place among the connections that may be open, free again when this is dropped.
    _place: OwnedSemaphorePermit,
}

impl Breakable {
    pub(crate) fn new(
        stream: TcpStream,
        place: OwnedSemaphorePermit,
        switch: watch::Receiver<bool>,
        preface_timeout: Duration,
    ) -> Self {
        let mut watched = switch.clone();
        let switched = async move {
            // A switch whose holder is gone is on: nobody could break the connection later.
            let _ = watched.wait_for(|on| *on).await;
        };
        Self {
            stream,
            switch,
            switched: Box::pin(switched),
            preface: Some((PREFACE_BYTES, Box::pin(tokio::time::sleep(preface_timeout)))),
            _place: place,
        }
    }

    /// Fails when the connection has to end for a reason of our own.
    fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if let Some((_, timeout)) = &mut self.preface
            && timeout.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(io::ErrorKind::TimedOut.into());
        }
        ready!(self.switched.as_mut().poll(cx));
        Poll::Ready(io::ErrorKind::ConnectionAborted.into())
    }

    fn count_preface(&mut self, bytes: usize) {
        if let Some((missing, _)) = &mut self.preface {
            *missing = missing.saturating_sub(bytes);
            if *missing == 0 {
                self.preface = None;
            }
        }
    }

    fn check(&self) -> io::Result<()> {
        if *self.switch.borrow() {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the server was stopped",
            ));
        }
        Ok(())
    }
}

impl Connected for Breakable {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Breakable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        let before = buf.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_read(cx, buf) {
            self.count_preface(buf.filled().len() - before);
            return Poll::Ready(result);
        }
        self.poll_broken(cx).map(Err)
    }
}

impl AsyncWrite for Breakable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
