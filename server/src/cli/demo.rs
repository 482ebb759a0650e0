//! `headwater demo`.

use clap::Args;

use super::Error;

/// Runs a chat in this process.
#[derive(Debug, Args)]
pub(super) struct Demo {}

impl Demo {
    pub(super) fn run(self) -> Result<(), Error> {
        Err("not here yet".into())
    }
}
