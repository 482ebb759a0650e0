//! Generated clients and services, compiled and called.
//!
//! A method of which no tier is written does not build, and the error names it:
//!
//! ```compile_fail,E0080
//! use headwater_rpc::Status;
//! use headwater_stubs::bare::nested::deep::{Option, OptionServer, item::Key};
//!
//! struct Half;
//!
//! impl Option for Half {
//!     async fn result(&self, key: Key) -> Result<Key, Status> {
//!         Ok(key)
//!     }
//! }
//!
//! OptionServer::new(Half).into_service();
//! ```
//!
//! With all of them it does:
//!
//! ```
//! # use headwater_rpc::{Metadata, Status, stub::{Failure, ServerRequest, Sink}};
//! # use headwater_stubs::bare::nested::deep::{Option, OptionServer, item::Key};
//! # struct Half;
//! # impl Option for Half {
//! #     async fn result(&self, key: Key) -> Result<Key, Status> {
//! #         Ok(key)
//! #     }
//! async fn kind_with(&self, _: ServerRequest<Key>, _: Sink<Key>) -> Result<Metadata, Failure> {
//!     Ok(Metadata::new())
//! }
//! # }
//! # OptionServer::new(Half).into_service();
//! ```

pub mod guide;

/// As anybody would generate it.
#[allow(missing_docs, reason = "the messages of the file have no comments")]
pub mod routeguide {
    headwater_rpc::include_proto!("routeguide");
}

/// Without a package, with imports, well-known types, bytes, and names that are taken.
#[allow(missing_docs, reason = "the messages of the file have no comments")]
pub mod bare {
    include!(concat!(env!("OUT_DIR"), "/bare/all.rs"));
}

/// With another codec, and with the library under another name.
#[allow(missing_docs, reason = "the messages of the file have no comments")]
pub mod json {
    pub use headwater_rpc as rpc;

    use bytes::Bytes;
    use headwater_rpc::stub::{CodecError, Deserializer, Serializer};
    use serde::{Serialize, de::DeserializeOwned};

    include!(concat!(env!("OUT_DIR"), "/json/routeguide.rs"));

    /// Messages as JSON.
    #[derive(Debug, Clone, Copy)]
    pub struct Json;

    impl<T: Serialize> Serializer<T> for Json {
        fn serialize(message: &T) -> Result<Bytes, CodecError> {
            let json = serde_json::to_vec(message);
            json.map(Bytes::from).map_err(CodecError::new)
        }
    }

    impl<T: DeserializeOwned> Deserializer<T> for Json {
        fn deserialize(bytes: Bytes) -> Result<T, CodecError> {
            serde_json::from_slice(&bytes).map_err(CodecError::new)
        }
    }
}
