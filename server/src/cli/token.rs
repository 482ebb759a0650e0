//! `headwater token`: prints a client URL, or a token for an application.

use std::time::Duration;

use clap::Args;
use headwater::auth::{AccessKey, ClientGrant, channel_token, client_url, upstream_token};

use super::Error;

/// Prints a URL with which a client can connect, as a server of yours would make it; with --upstream the token of an
/// application that serves the hub, or with --channel that of a producer or consumer of push channels, which they send as
/// `authorization: Bearer TOKEN`.
///
/// Both are signed with the access key: whoever has one is let in until it expires.
///
/// Examples: headwater token --hub chat --user ada --role webpubsub.joinLeaveGroup --access-key "$KEY",
/// headwater token --hub chat --upstream --access-key "$KEY",
/// headwater token --channel site-7 --access-key "$KEY"
// No `Debug`: it would show the keys.
#[derive(Args)]
pub(super) struct Token {
    /// The hub to connect to.
    #[arg(long, required_unless_present = "channels")]
    hub: Option<String>,
    /// The user id; without it the client is anonymous.
    #[arg(long)]
    user: Option<String>,
    /// A role, such as webpubsub.joinLeaveGroup, webpubsub.sendToGroup or webpubsub.sendToGroup.GROUP; repeatable.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// A group that the client is a member of from the start; repeatable.
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// Prints the token of an application in place of a URL.
    #[arg(long, requires = "hub", conflicts_with_all = ["user", "roles", "groups"])]
    upstream: bool,
    /// Prints a token that is good for this push channel in place of a URL; repeatable.
    #[arg(
        long = "channel",
        value_name = "NAME",
        conflicts_with_all = ["hub", "user", "roles", "groups", "upstream"]
    )]
    channels: Vec<String>,
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
        let lifetime = Duration::from_secs(self.minutes.saturating_mul(60));
        let now = super::run::unix_seconds();
        let Some(hub) = &self.hub else {
            let channels: Vec<&str> = self.channels.iter().map(String::as_str).collect();
            let token = channel_token(&self.endpoint, &key, &channels, lifetime, now)?;
            println!("{token}");
            return Ok(());
        };
        if self.upstream {
            let token = upstream_token(&self.endpoint, &key, &[hub], lifetime, now)?;
            println!("{token}");
            return Ok(());
        }
        let grant = ClientGrant {
            user_id: self.user.as_deref(),
            roles: &self.roles,
            groups: &self.groups,
            lifetime,
            ..ClientGrant::new(hub)
        };
        println!("{}", client_url(&self.endpoint, &key, &grant, now)?);
        Ok(())
    }
}
