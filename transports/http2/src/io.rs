//! Accepted connections, with a switch that breaks them all.
//!
//! tonic's connection tasks are detached: dropping its `serve` leaves them running, so the switch is the only hard stop.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// A connection that fails once the switch is on.
pub(crate) struct Breakable {
    stream: TcpStream,
    switch: watch::Receiver<bool>,
    switched: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Breakable {
    pub(crate) fn new(stream: TcpStream, switch: watch::Receiver<bool>) -> Self {
        let mut watched = switch.clone();
        let switched = async move {
            // A switch whose holder is gone is on: nobody could break the connection later.
            let _ = watched.wait_for(|on| *on).await;
        };
        Self {
            stream,
            switch,
            switched: Box::pin(switched),
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
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_pending() && self.switched.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        read
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
