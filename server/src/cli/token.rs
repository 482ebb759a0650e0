//! `headwater token`: prints a client URL.

use std::time::Duration;

use clap::Args;
use headwater::auth::{AccessKey, ClientGrant, client_url};

use super::Error;

/// Prints a URL with which a client can connect, as a server of yours would make it.
///
/// The URL holds a token that is signed with the access key: whoever has it is let in until it expires.
///
/// Example: headwater token --hub chat --user ada --role webpubsub.joinLeaveGroup --access-key "$KEY"
// No `Debug`: it would show the keys.
#[derive(Args)]
pub(super) struct Token {
    /// The hub to connect to.
    #[arg(long)]
    hub: String,
    /// The user id; without it the client is anonymous.
    #[arg(long)]
    user: Option<String>,
    /// A role, such as webpubsub.joinLeaveGroup, webpubsub.sendToGroup or webpubsub.sendToGroup.GROUP; repeatable.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// A group that the client is a member of from the start; repeatable.
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// The access key of the service.
    #[arg(
        long,
        env = "HEADWATER_ACCESS_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    access_key: String,
    /// Where clients reach the service.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    endpoint: String,
    /// How long the token is good.
    #[arg(long, default_value_t = 60, value_name = "MINUTES")]
    minutes: u64,
}

impl Token {
    pub(super) fn run(self) -> Result<(), Error> {
        let key = AccessKey::new(&self.access_key)?;
        let grant = ClientGrant {
            user_id: self.user.as_deref(),
            roles: &self.roles,
            groups: &self.groups,
            lifetime: Duration::from_secs(self.minutes.saturating_mul(60)),
            ..ClientGrant::new(&self.hub)
        };
        println!(
            "{}",
            client_url(&self.endpoint, &key, &grant, super::run::unix_seconds())?
        );
        Ok(())
    }
}
