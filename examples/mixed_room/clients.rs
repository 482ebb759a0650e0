//! Browsers: clients of the hub.

use headwater_upstream::{
    Accept, Code, Connect, Context, Failure, Handler, Message, Reject, Reply, async_trait,
};
use tokio::sync::mpsc;

use crate::{ROOM, generated::Line};

/// The handler of the hub: whoever comes in is in the room, and every message is a line.
pub(crate) struct Clients {
    said: mpsc::Sender<Line>,
}

impl Clients {
    pub(crate) const fn new(said: mpsc::Sender<Line>) -> Self {
        Self { said }
    }
}

#[async_trait]
impl Handler for Clients {
    async fn connect(&self, _: &Context, _: Connect) -> Result<Accept, Reject> {
        Ok(Accept {
            groups: vec![ROOM.into()],
            ..Accept::default()
        })
    }

    async fn message(&self, context: &Context, message: Message) -> Result<Reply, Failure> {
        let from = context.user_id().unwrap_or("somebody").to_owned();
        let text = String::from_utf8_lossy(&message.payload.data).into_owned();
        let said = self.said.send(Line { from, text }).await;
        said.map_err(|_| Failure::new(Code::Unavailable, "the room is closed"))?;
        Ok(Reply::empty())
    }
}
