//! The client of a service: three functions a method.

use super::{ALLOW, Generator, MethodCode, ServiceCode, Shape};

const STRUCT: &str = r"
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct $ServiceClient {
    client: $rpc::Client,
}
";

const CONSTRUCTOR: &str = r"
    /// A client that calls over `client`. Clones share it.
    pub const fn new(client: $rpc::Client) -> Self {
        Self { client }
    }

    /// The client below.
    pub const fn client(&self) -> &$rpc::Client {
        &self.client
    }
";

const UNARY: [&str; 2] = [
    r"
    pub async fn $function(
        &self,
        message: $Request,
    ) -> ::core::result::Result<$Response, $rpc::Status> {
        $stub::client::unary::<$codec, _, _>(&self.client, &$CONSTANT.methods[$index], message).await
    }
",
    r"
    pub async fn $function_with(
        &self,
        request: $stub::Request<$Request>,
    ) -> ::core::result::Result<$stub::Response<$Response>, $stub::Failure> {
        $stub::client::unary_with::<$codec, _, _>(&self.client, &$CONSTANT.methods[$index], request).await
    }
",
];

const CLIENT_STREAMING: [&str; 2] = [
    r"
    pub async fn $function(
        &self,
        messages: impl $stub::Stream<Item = $Request>,
    ) -> ::core::result::Result<$Response, $rpc::Status> {
        $stub::client::client_streaming::<$codec, _, _>(&self.client, &$CONSTANT.methods[$index], messages).await
    }
",
    r"
    pub async fn $function_with(
        &self,
        request: $stub::Request<impl $stub::Stream<Item = $Request>>,
    ) -> ::core::result::Result<$stub::Response<$Response>, $stub::Failure> {
        $stub::client::client_streaming_with::<$codec, _, _>(&self.client, &$CONSTANT.methods[$index], request).await
    }
",
];

const SERVER_STREAMING: [&str; 2] = [
    r"
    pub async fn $function(
        &self,
        message: $Request,
    ) -> ::core::result::Result<$stub::Messages<$Response>, $rpc::Status> {
        $stub::client::server_streaming::<$codec, _, _>(&self.client, &$CONSTANT.methods[$index], message).await
    }
",
    r"
    pub async fn $function_with(
        &self,
        request: $stub::Request<$Request>,
    ) -> ::core::result::Result<$stub::Messages<$Response>, $rpc::Status> {
        $stub::client::server_streaming_with::<$codec, _, _>(&self.client, &$CONSTANT.methods[$index], request).await
    }
",
];

const BIDIRECTIONAL: [&str; 2] = [
    r"
    pub async fn $function(
        &self,
    ) -> ::core::result::Result<($stub::Sink<$Request>, $stub::Messages<$Response>), $rpc::Status> {
        self.$function_streaming($stub::Request::new(())).await
    }
",
    r"
    pub async fn $function_with(
        &self,
        request: $stub::Request<()>,
    ) -> ::core::result::Result<($stub::Sink<$Request>, $stub::Messages<$Response>), $rpc::Status> {
        self.$function_streaming(request).await
    }
",
];

const STREAMING: &str = r"
    pub async fn $function_streaming(
        &self,
        request: $stub::Request<()>,
    ) -> ::core::result::Result<($stub::Sink<$Request>, $stub::Messages<$Response>), $rpc::Status> {
        $stub::client::streaming::<$codec, _, _>(&self.client, &$CONSTANT.methods[$index], request).await
    }
";

impl Generator {
    pub(super) fn client(&self, service: &ServiceCode, buf: &mut String) {
        let constant = service.constant();
        let words = [("$Service", service.rust.as_str())];
        service.document(buf);
        service.attributes(buf);
        self.write(STRUCT, &words, buf);
        buf.push_str(ALLOW);
        self.write("impl $ServiceClient {", &words, buf);
        self.write(CONSTRUCTOR, &words, buf);
        for method in &service.methods {
            self.functions(method, &constant, buf);
        }
        buf.push_str("}\n");
    }

    fn functions(&self, method: &MethodCode, constant: &str, buf: &mut String) {
        let [messages, objects] = match method.shape {
            Shape::Unary => UNARY,
            Shape::ClientStreaming => CLIENT_STREAMING,
            Shape::ServerStreaming => SERVER_STREAMING,
            Shape::Bidirectional => BIDIRECTIONAL,
        };
        let mut words = method.words().to_vec();
        words.push(("$CONSTANT", constant));
        method.document(buf);
        buf.push_str(
            "///\n/// # Errors\n///\n/// The status of the call.\n///\n/// # Cancel safety\n///\n\
             /// Dropped before it is done, the call is cancelled.\n",
        );
        method.attributes(buf);
        self.write(messages, &words, buf);
        let documentation = "\n/// [`Self::$function`] with all that goes with its messages: metadata, options, headers, trailers.\n\
             ///\n/// # Errors\n///\n/// The status of the call.\n";
        self.write(documentation, &words, buf);
        method.attributes(buf);
        self.write(objects, &words, buf);
        let documentation = "\n/// [`Self::$function`] as its two halves.\n\
             ///\n/// # Errors\n///\n/// The call could not be opened. What comes later is with the messages.\n";
        self.write(documentation, &words, buf);
        method.attributes(buf);
        self.write(STREAMING, &words, buf);
    }
}
