//! Devices: clients of a pw_rpc service.

use headwater_rpc::{
    Code, Status,
    stub::{Messages, Sink},
};
use tokio::sync::{broadcast, mpsc};

use crate::generated::{Line, Room};

/// The service of devices.
pub(crate) struct Devices {
    said: mpsc::Sender<Line>,
    heard: broadcast::Sender<Line>,
}

impl Devices {
    pub(crate) const fn new(said: mpsc::Sender<Line>, heard: broadcast::Sender<Line>) -> Self {
        Self { said, heard }
    }
}

impl Room for Devices {
    async fn enter(&self, mut lines: Messages<Line>, heard: Sink<Line>) -> Result<(), Status> {
        let mut room = self.heard.subscribe();
        loop {
            tokio::select! {
                line = lines.message() => match line? {
                    Some(line) => say(&self.said, line).await?,
                    None => return Ok(()),
                },
                line = next(&mut room) => heard.send(line?).await?,
            }
        }
    }
}

/// Says a line in the room.
pub(crate) async fn say(said: &mpsc::Sender<Line>, line: Line) -> Result<(), Status> {
    said.send(line).await.map_err(|_| closed())
}

/// The next line that is said. What was missed by one who is slow is passed over.
pub(crate) async fn next(room: &mut broadcast::Receiver<Line>) -> Result<Line, Status> {
    loop {
        match room.recv().await {
            Ok(line) => return Ok(line),
            Err(broadcast::error::RecvError::Lagged(missed)) => eprintln!("{missed} lines missed"),
            Err(broadcast::error::RecvError::Closed) => return Err(closed()),
        }
    }
}

fn closed() -> Status {
    Status::new(Code::Unavailable, "the room is closed")
}
