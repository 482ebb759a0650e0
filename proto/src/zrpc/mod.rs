//! zrpc: calls over WebSocket messages, as davebshow/zrpc speaks them, and what it left open.
//!
//! **`zrpc`**, and a socket without a subprotocol: one binary message is one call ([`Request`]). The replies are binary messages
//! without a header and without a call id, in the order in which they were sent.
//!
//! ```text
//! client -> server   length N of the name, u32 little-endian | name, UTF-8 | blob
//! server -> client   blob
//! ```
//!
//! The end comes in one of two ways, which the server is set to ([`Ending`]): a WebSocket close frame once no call of the
//! socket is open (zrpc since March 2016), or the text message `CLOSE` for each call (before). With the first, a call that is
//! sent while the last one ends may find the socket closing, and is not served; its client hears the close frame.
//!
//! **Errors.** The original says nothing when a call fails, and its caller waits for ever. Here a failed call ends with a
//! *text* message, which blobs never are, and then with the end that its client waits for:
//!
//! ```text
//! ERROR 12 UNIMPLEMENTED there is no method /zrpc/typo
//! ```
//!
//! An old client takes the text for one of the remarks that old servers make in text, shows it to its user as it stands, and
//! ends by the end that it knows; a client that knows more reads the code. A close frame repeats both, as code 4000 plus the
//! number of the status ([`close_code`]) and as reason, for clients that look at nothing else, such as a browser's.
//!
//! **`zrpc.v2`** gives every frame a call id ([`v2`]), so that the replies of many calls on one socket can be told apart,
//! and adds what calls need beside: streams of requests, status, cancel, credit, metadata and deadlines.

mod ending;
mod method;
mod request;
pub mod v2;

pub use ending::{Ending, close_code, close_outcome, error_text, parse_error_text};
pub use method::{method_of, path_of};
pub use request::{FrameError, NAME_BYTES_MAX, Request, encode_request};

/// The subprotocol name of the original frames.
pub const SUBPROTOCOL: &str = "zrpc";
/// The subprotocol name of the frames with call ids.
pub const SUBPROTOCOL_V2: &str = "zrpc.v2";
/// The handler of names of one part, unless a server is set to another one.
pub const ROOT: &str = "zrpc";
/// The text message that ends a call where [`Ending::CloseText`] is agreed.
pub const CLOSE_TEXT: &str = "CLOSE";
