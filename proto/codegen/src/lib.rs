//! Generates typed clients and services from `.proto` files.
//!
//! In `build.rs`:
//!
//! ```no_run
//! fn main() -> Result<(), headwater_codegen::Error> {
//!     headwater_codegen::compile(&["proto/route_guide.proto"], &["proto"])
//! }
//! ```
//!
//! and in the crate, with `headwater-rpc`, `prost`, and `prost-types` if a well-known type is used, as dependencies:
//!
//! ```ignore
//! mod routeguide {
//!     headwater_rpc::include_proto!("routeguide");
//! }
//! ```
//!
//! The compiler of the `.proto` is part of this crate: there is no `protoc` to install.
//!
//! # What is generated
//!
//! For a package one file, named after it (`_` without one). In it, beside prost's messages, for a service `RouteGuide`:
//!
//! - `RouteGuideClient`, with three methods for each of the service's: `get_feature`, `get_feature_with` and
//!   `get_feature_streaming`;
//! - the trait `RouteGuide`, with the same three names, of which an application writes one for each method; a method of
//!   which it writes none does not build ([`Builder::partial_services`] changes that);
//! - `RouteGuideServer`, which makes of an implementation what a router serves;
//! - `ROUTE_GUIDE`, the descriptor: names, shapes, and the encoded file descriptors.
//!
//! `headwater_rpc::stub` says what the three are. Comments of the `.proto` become documentation, `deprecated` becomes
//! `#[deprecated]`.
//!
//! # Names
//!
//! What cannot have its name in Rust is refused, never renamed silently:
//!
//! - a service or method whose Rust name is a keyword, or is none;
//! - a method whose Rust name is `client`, `clone`, `new` or `service`;
//! - two methods of a service of which one is, in Rust, the other, or the other with `_with` or `_streaming` behind it;
//! - a service of which the trait, `…Client` or `…Server` has the name of a message, an enum or another service of the
//!   package.
//!
//! [`Builder::rename`] gives another name, in Rust alone.

mod builder;
mod comments;
mod descriptors;
mod error;
mod generate;
mod names;

pub use builder::Builder;
pub use error::{Error, NameClash};

use std::path::Path;

/// Generates clients and services with the defaults of [`Builder`].
///
/// # Errors
///
/// As [`Builder::compile`].
pub fn compile(protos: &[impl AsRef<Path>], includes: &[impl AsRef<Path>]) -> Result<(), Error> {
    Builder::new().compile(protos, includes)
}
