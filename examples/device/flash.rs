//! What outlives a restart.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What a device runs that never was updated.
const FACTORY: &str = "factory";

/// The version that runs, and the answer that is owed, kept in a file: the version in the first line, and the channel in
/// the second if an answer is owed there.
#[derive(Debug)]
pub(crate) struct Flash {
    path: PathBuf,
    version: String,
    owed: Option<Owed>,
}

/// An answer to somebody who asked before the restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owed {
    /// Where.
    pub(crate) channel: u32,
    /// What to say: the version that runs.
    pub(crate) version: String,
}

impl Flash {
    /// Reads the file, or takes what a new device has if there is none.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not one of these.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => FACTORY.to_owned(),
            Err(error) => return Err(error),
        };
        let mut lines = text.lines();
        let version = lines.next().unwrap_or(FACTORY).to_owned();
        let owed = lines.next().map(|channel| channel.parse());
        let owed = owed.transpose().map_err(io::Error::other)?;
        let owed = owed.map(|channel| Owed {
            channel,
            version: version.clone(),
        });
        Ok(Self {
            path,
            version,
            owed,
        })
    }

    /// What runs.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// The answer that is owed.
    pub(crate) const fn owed(&self) -> Option<&Owed> {
        self.owed.as_ref()
    }

    /// Keeps new firmware, and that whoever asked on this channel is to be told once it runs.
    ///
    /// # Errors
    ///
    /// The file cannot be written. Then the firmware is the old one.
    pub(crate) fn install(&self, version: &str, channel: u32) -> io::Result<()> {
        self.write(&format!("{version}\n{channel}\n"))
    }

    /// The answer was given.
    ///
    /// # Errors
    ///
    /// The file cannot be written. Then it is given again.
    pub(crate) fn settle(&mut self) -> io::Result<()> {
        self.write(&format!("{}\n", self.version))?;
        self.owed = None;
        Ok(())
    }

    /// Writes all or nothing: who is interrupted here finds the old file.
    fn write(&self, text: &str) -> io::Result<()> {
        let new: &Path = &self.path.with_extension("new");
        fs::write(new, text)?;
        fs::rename(new, &self.path)
    }
}
