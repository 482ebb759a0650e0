//! What is left of requests that are answered before all of them has come, on HTTP/1.1.
//!
//! A server that closes its connection while the client still sends destroys the answer: the client hears of a reset, and its
//! TCP throws away what it has not read by then (RFC 9112, 9.6). So the rest is read and thrown away, for some time.

use std::{future::poll_fn, pin::Pin, time::Duration};

use http_body::Body as _;
use hyper::body::Incoming;
use tokio::{sync::mpsc, time::timeout};

/// How long a client may go on sending what nobody wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the bodies that nobody reads any more go. It holds one at most: a client's next request comes behind them.
pub(crate) type Unread = mpsc::UnboundedSender<Incoming>;

/// Reads to the end whatever comes, one after the other.
///
/// # Cancel safety
///
/// Dropped, it lets go of what is left, and hyper closes the connection.
pub(crate) async fn read_on(mut bodies: mpsc::UnboundedReceiver<Incoming>) {
    while let Some(mut body) = bodies.recv().await {
        let frames = async {
            while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {}
        };
        // Late, lost or whole: there is nobody to tell.
        let _ = timeout(PATIENCE, frames).await;
    }
}
