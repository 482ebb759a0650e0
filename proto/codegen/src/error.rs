//! Why nothing was generated.

use std::{fmt, io, path::PathBuf};

/// Why nothing was generated. `Debug` reads like `Display`, for that is what a failing `build.rs` shows.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A `.proto` is wrong or was not found. Says where.
    #[error("{0}")]
    Proto(String),
    /// Names that Rust or the generated code cannot have.
    #[error("{}", list(.0))]
    Names(Vec<NameClash>),
    /// [`crate::Builder::rename`] names what is in none of the files.
    #[error("there is no service or method {0} to be renamed")]
    Rename(String),
    /// A file could not be written.
    #[error("cannot write {path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Neither [`crate::Builder::out_dir`] nor the environment says where to write.
    #[error("OUT_DIR is not set: this is no build.rs, and no directory was given")]
    OutDir,
}

/// A name that a service or a method cannot have.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NameClash {
    /// The `.proto`, as it is imported.
    pub file: String,
    /// The full name of the service.
    pub service: String,
    /// The method, if it is not the service itself.
    pub method: Option<String>,
    /// What it clashes with.
    pub reason: String,
}

impl fmt::Display for NameClash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            service,
            method,
            reason,
        } = self;
        let (method, dotted) = match method {
            Some(method) => (format!(", method {method}"), format!(".{method}")),
            None => (String::new(), String::new()),
        };
        write!(
            f,
            "{file}: service {service}{method}: {reason}; rename it in the .proto, or for Rust alone with \
             Builder::rename(\"{service}{dotted}\", …)"
        )
    }
}

fn list(clashes: &[NameClash]) -> String {
    let lines: Vec<_> = clashes.iter().map(NameClash::to_string).collect();
    lines.join("\n")
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
