//! The demo's application: who says something is heard by everybody in the lobby.

use headwater_upstream::{
    Accept, Connect, Context, Failure, Handler, Message, Payload, Reject, Reply, async_trait,
};

/// The one room.
const LOBBY: &str = "lobby";

/// The handler.
pub(super) struct Chat;

#[async_trait]
impl Handler for Chat {
    async fn connect(&self, _: &Context, _: Connect) -> Result<Accept, Reject> {
        // The page joins by itself, so it needs to be allowed to.
        Ok(Accept {
            roles: vec![format!("webpubsub.joinLeaveGroup.{LOBBY}")],
            ..Accept::default()
        })
    }

    async fn message(&self, context: &Context, message: Message) -> Result<Reply, Failure> {
        let said = message.payload.as_text().unwrap_or_default();
        let user = context.user_id().unwrap_or("somebody");
        let heard = serde_json::json!({ "user": user, "text": said });
        context
            .hub()
            .send_to_group(LOBBY, Payload::json(heard.to_string()));
        Ok(Reply::empty())
    }
}
