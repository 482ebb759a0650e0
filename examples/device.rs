//! A pw_rpc server that restarts, and then answers a call from before: a device whose firmware is replaced.
//!
//! ```sh
//! while cargo run --example device -- --listen 127.0.0.1:8070 --flash flash.txt; do :; done
//! ```
//!
//! Any pw_rpc client that reaches it by WebSocket, one packet a binary message, can call `device.Updater/Install` of
//! `proto/device.proto`. The device keeps what was asked, and ends; the loop above starts it again. It has forgotten the
//! call then, and knows from its flash that it owes an answer on that channel. To the next client that connects it sends it
//! as pw_rpc's unrequested response, which the client takes for the answer to its call.
//!
//! It uses what the WebSocket transport itself is made of: the listener, and the machine of `headwater_core::packet`.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use clap::Parser;
use headwater_proto::websocket::{
    DecoderConfig, Incoming, MessageKind, encode_close, encode_message, encode_pong,
};
use headwater_websocket::{Handshake, Listener, ListenerConfig, ReadError, Reader, Socket, Writer};
use http::{Request, Response};
use http_body_util::Full;
use tokio::sync::Notify;

use flash::Flash;
use updater::{Line, Next};

#[path = "device/flash.rs"]
mod flash;
#[cfg(test)]
#[path = "device/tests.rs"]
mod tests;
#[path = "device/updater.rs"]
mod updater;

/// What `build.rs` has generated from `proto/device.proto`.
#[allow(missing_docs, unreachable_pub, dead_code, reason = "generated code")]
mod generated {
    headwater_rpc::include_proto!("device");
}

/// The longest packet that a device takes, in bytes.
const PACKET_BYTES_MAX: usize = 4096;
/// How long a client may take to close its side after the close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Close codes of RFC 6455, section 7.4.1, and of IANA's registry.
const NORMAL: u16 = 1000;
const UNSUPPORTED_DATA: u16 = 1003;
const SERVICE_RESTART: u16 = 1012;

/// A device whose firmware can be replaced.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8070")]
    listen: SocketAddr,
    /// The file that outlives a restart; it is made if it is missing.
    #[arg(long, value_name = "PATH", default_value = "flash.txt")]
    flash: PathBuf,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let device = Arc::new(Device {
        flash: Mutex::new(Flash::open(arguments.flash)?),
        restart: Notify::new(),
    });
    let config = ListenerConfig {
        // What is owed is for whoever is on the line, and there is one line.
        connections_max: 1,
        ..ListenerConfig::default()
    };
    let listener = Listener::bind(arguments.listen, config).await?;
    let version = device.with(|flash| flash.version().to_owned());
    println!("ready ws://{}/ version {version}", listener.local_addr()?);
    let serving = Arc::clone(&device);
    let service = move |request, _peer| std::future::ready(answer(request, Arc::clone(&serving)));
    listener.serve(service, device.restart.notified()).await;
    println!("restarting");
    Ok(())
}

/// What the sockets share.
#[derive(Debug)]
struct Device {
    flash: Mutex<Flash>,
    restart: Notify,
}

impl Device {
    /// Does something with the flash.
    fn with<T>(&self, work: impl FnOnce(&mut Flash) -> T) -> T {
        work(&mut self.flash.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Accepts every WebSocket, whatever its path.
fn answer(
    mut request: Request<hyper::body::Incoming>,
    device: Arc<Device>,
) -> Response<Full<Bytes>> {
    let handshake = match Handshake::check(&request) {
        Ok(handshake) => handshake,
        Err(rejection) => return rejection.response(),
    };
    let subprotocol = handshake.subprotocols().find(|name| *name == "pw_rpc");
    let config = DecoderConfig {
        message_bytes_max: PACKET_BYTES_MAX,
    };
    let connection = async move |socket| {
        let Ok(socket) = socket else { return };
        match talk(socket, &device).await {
            Ok(Next::Restart) => device.restart.notify_one(),
            Ok(Next::GoOn) => {}
            Err(error) => eprintln!("device: {error}"),
        }
    };
    handshake
        .upgrade(&mut request, subprotocol, config, connection)
        .expect("a subprotocol that was offered, or none, is always possible")
}

/// Serves one client until it leaves, or until the device has to restart.
async fn talk(Socket { mut reader, writer }: Socket, device: &Device) -> io::Result<Next> {
    let mut line = Line::new();
    let mut out = Vec::new();
    if let Some(owed) = device.with(|flash| flash.owed().cloned()) {
        let told = line.answer_from_before(&owed).map_err(io::Error::other);
        told?.iter().for_each(|packet| push(packet, &mut out));
        writer.write_all(&out).await?;
        // Not before: an answer may come twice, and must not be lost.
        device.with(Flash::settle)?;
        println!("answered {}", owed.version);
    }
    let mut turn = Vec::new();
    loop {
        out.clear();
        let mut next = match reader.read_turn(&mut turn).await {
            Ok(()) => None,
            Err(ReadError::Violation(violation)) => {
                encode_close(violation.close_code, violation.reason, &mut out);
                Some(Next::GoOn)
            }
            // The client has gone without a word.
            Err(_) => return Ok(Next::GoOn),
        };
        for incoming in turn.drain(..) {
            // Nothing that came after the last is looked at.
            if next.is_some() {
                break;
            }
            next = take(incoming, &mut line, device, &mut out)?;
        }
        let written = writer.write_all(&out).await;
        if let Some(next) = next {
            // A restart does not depend on who hears of it.
            if written.is_ok() {
                part(&mut reader, &writer).await;
            }
            return Ok(next);
        }
        written?;
    }
}

/// Takes in one thing that came, and appends what answers it. Gives what to do if the socket is over.
fn take(
    incoming: Incoming,
    line: &mut Line,
    device: &Device,
    out: &mut Vec<u8>,
) -> io::Result<Option<Next>> {
    let (code, reason, next) = match incoming {
        Incoming::Message {
            kind: MessageKind::Binary,
            data,
        } => {
            let next = device.with(|flash| line.receive(data, flash))?;
            line.take_packets()
                .iter()
                .for_each(|packet| push(packet, out));
            if next == Next::GoOn {
                return Ok(None);
            }
            (SERVICE_RESTART, "restarting", next)
        }
        Incoming::Message { .. } => (UNSUPPORTED_DATA, "packets are binary", Next::GoOn),
        Incoming::Close { code, .. } => (code.unwrap_or(NORMAL), "", Next::GoOn),
        Incoming::Ping(payload) => {
            encode_pong(&payload, out);
            return Ok(None);
        }
        Incoming::Pong(_) => return Ok(None),
    };
    encode_close(code, reason, out);
    Ok(Some(next))
}

/// Appends a packet as a message.
fn push(packet: &Bytes, out: &mut Vec<u8>) {
    encode_message(MessageKind::Binary, packet, out);
}

/// Leaves the socket. Closing with unread bytes would reset the connection before the client has seen the close frame.
async fn part(reader: &mut Reader, writer: &Writer) {
    writer.finish();
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, reader.drain()).await;
}
