//! Methods by name.

use std::{collections::BTreeMap, fmt, sync::Arc};

use bytes::Bytes;
use headwater_proto::zrpc::{ROOT, path_of};
use headwater_rpc::{CallOptions, Client, Code, Metadata, Status};

use super::Replies;

/// Turns what a caller has into what travels, and back, for the methods of one noun; see [`Proxy::with_codec`].
pub trait BlobCodec: Send + Sync + 'static {
    /// The request as it travels.
    ///
    /// # Errors
    ///
    /// The caller is told so, and nothing is sent.
    fn encode(&self, request: Bytes) -> Result<Bytes, Status>;

    /// A reply as the caller wants it.
    ///
    /// # Errors
    ///
    /// The caller is told so in the place of this reply.
    fn decode(&self, reply: Bytes) -> Result<Bytes, Status>;
}

/// Calls methods by name, without generated code: one blob goes out, and blobs come back. Clones share the client.
///
/// ```no_run
/// use headwater_rpc::{Client, Status};
/// use headwater_websocket::zrpc::{Proxy, ZrpcClient, ZrpcClientConfig};
///
/// # async fn main_() -> Result<(), Status> {
/// let transport = ZrpcClient::new("ws://127.0.0.1:8060/", &ZrpcClientConfig::default())?;
/// let client = Client::new(transport);
/// tokio::spawn({
///     let client = client.clone();
///     async move { client.connect().await }
/// });
/// let proxy = Proxy::new(client);
/// let mut replies = proxy.call("echo", "world").await?;
/// while let Some(reply) = replies.next().await {
///     println!("{:?}", reply?);
/// }
/// # Ok(())
/// # }
/// ```
///
/// The client may have any transport: the name becomes a path ([`path_of`]).
#[derive(Clone)]
pub struct Proxy {
    client: Client,
    codecs: BTreeMap<Box<str>, Arc<dyn BlobCodec>>,
}

impl Proxy {
    /// A proxy that calls through this client.
    pub const fn new(client: Client) -> Self {
        Self {
            client,
            codecs: BTreeMap::new(),
        }
    }

    /// Has the requests and replies of all methods with this noun go through `codec`. The noun of a method is what stands
    /// behind the first underscore of its name, so that `create_person`, `people.create_person` and `find_person` have
    /// `person`: the original chooses its serializers so. Blobs of other methods pass untouched.
    #[must_use]
    pub fn with_codec(mut self, noun: &str, codec: impl BlobCodec) -> Self {
        self.codecs.insert(noun.into(), Arc::new(codec));
        self
    }

    /// A method, to call it several times or with more than a blob: `proxy.method("a").method("b")` is
    /// `proxy.method("a.b")`.
    pub fn method(&self, name: impl Into<String>) -> Method<'_> {
        Method {
            proxy: self,
            name: name.into(),
            metadata: Metadata::new(),
            options: CallOptions::default(),
        }
    }

    /// Calls a method, such as `echo` or `people.create_person`.
    ///
    /// # Errors
    ///
    /// `UNIMPLEMENTED` if the name is no name, what the codec of its noun says, or as [`Client::call`]. Later errors are
    /// among the replies.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the call is cancelled.
    pub async fn call(&self, method: &str, blob: impl Into<Bytes>) -> Result<Replies, Status> {
        self.method(method).call(blob).await
    }

    fn codec_of(&self, name: &str) -> Option<&Arc<dyn BlobCodec>> {
        if self.codecs.is_empty() {
            return None;
        }
        let path = path_of(name, ROOT)?;
        let (_, method) = path.rsplit_once('/')?;
        let (_, noun) = method.split_once('_')?;
        self.codecs.get(noun)
    }
}

/// A method of a [`Proxy`], and how it is called.
#[derive(Clone)]
pub struct Method<'a> {
    proxy: &'a Proxy,
    name: String,
    metadata: Metadata,
    options: CallOptions,
}

impl Method<'_> {
    /// The method of this name below: names are put together with dots.
    #[must_use]
    pub fn method(mut self, name: &str) -> Self {
        self.name.push('.');
        self.name.push_str(name);
        self
    }

    /// Sends these metadata, such as a token.
    #[must_use]
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Calls with these options, such as a timeout.
    #[must_use]
    pub fn options(mut self, options: CallOptions) -> Self {
        self.options = options;
        self
    }

    /// As [`Proxy::call`].
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the call is cancelled.
    pub async fn call(&self, blob: impl Into<Bytes>) -> Result<Replies, Status> {
        let Some(path) = path_of(&self.name, ROOT) else {
            let message = format!("{:?} is no name of a method", self.name);
            return Err(Status::new(Code::Unimplemented, message));
        };
        let codec = self.proxy.codec_of(&self.name).cloned();
        let mut blob = blob.into();
        if let Some(codec) = &codec {
            blob = codec.encode(blob)?;
        }
        let (metadata, options) = (self.metadata.clone(), self.options.clone());
        let client = &self.proxy.client;
        let call = client.call_with_request(path, metadata, blob, options);
        let halves = call.await.map_err(|error| error.status)?;
        Ok(Replies::new(halves, codec))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nouns = self.codecs.keys();
        f.debug_struct("Proxy")
            .field("codecs", &nouns.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Method")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
