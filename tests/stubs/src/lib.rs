//! Generated clients and services, compiled and called.

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
