//! gRPC's own services, as ordinary services for any router: [`Health`] says whether a server and its services can be
//! called, [`Reflection`] what services it has and what their protocol is.
//!
//! Both are handles: a clone is kept by the application, which says what changes while the server runs.
//!
//! ```
//! use headwater_rpc::Router;
//! use headwater_services::{Health, Reflection, health::v1::HEALTH};
//!
//! let router = Router::new();
//! let (health, reflection) = (Health::new(), Reflection::new());
//! router.add(health.service())?;
//! reflection.add(&HEALTH)?;
//! for service in reflection.services() {
//!     router.add(service)?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod health;
pub mod reflection;

pub use health::Health;
pub use reflection::Reflection;
