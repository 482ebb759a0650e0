//! The service: a trait of three tiers a method, and what makes handlers of it.

use super::{ALLOW, Generator, MethodCode, ServiceCode, Shape};

/// The simple tier: parameters, and what it gives.
struct Simple {
    parameters: &'static str,
    output: &'static str,
    arguments: &'static str,
}

/// The regular tier, and how it calls the simple one; and how the streaming tier calls it.
struct Tiers {
    simple: Simple,
    regular: &'static str,
    streaming: &'static str,
}

const UNARY: Tiers = Tiers {
    simple: Simple {
        parameters: "message: $Request",
        output: "$Response",
        arguments: "message",
    },
    regular: r"
    fn $function_with(
        &self,
        request: $stub::ServerRequest<$Request>,
    ) -> impl ::core::future::Future<Output = ::core::result::Result<$stub::Response<$Response>, $stub::Failure>> + ::core::marker::Send {
        async move {
            let message = self.$function(request.message).await?;
            ::core::result::Result::Ok($stub::Response::new(message))
        }
    }
",
    streaming: "$stub::server::unary(request, responses, |request| self.$function_with(request))",
};

const CLIENT_STREAMING: Tiers = Tiers {
    simple: Simple {
        parameters: "messages: $stub::Messages<$Request>",
        output: "$Response",
        arguments: "messages",
    },
    regular: r"
    fn $function_with(
        &self,
        request: $stub::ServerRequest<$stub::Messages<$Request>>,
    ) -> impl ::core::future::Future<Output = ::core::result::Result<$stub::Response<$Response>, $stub::Failure>> + ::core::marker::Send {
        async move {
            let message = self.$function(request.message).await?;
            ::core::result::Result::Ok($stub::Response::new(message))
        }
    }
",
    streaming: "$stub::server::client_streaming(request, responses, |request| self.$function_with(request))",
};

const SERVER_STREAMING: Tiers = Tiers {
    simple: Simple {
        parameters: "message: $Request, responses: $stub::Sink<$Response>",
        output: "()",
        arguments: "(message, responses)",
    },
    regular: r"
    fn $function_with(
        &self,
        request: $stub::ServerRequest<$Request>,
        responses: $stub::Sink<$Response>,
    ) -> impl ::core::future::Future<Output = ::core::result::Result<$rpc::Metadata, $stub::Failure>> + ::core::marker::Send {
        async move {
            self.$function(request.message, responses).await?;
            ::core::result::Result::Ok($rpc::Metadata::new())
        }
    }
",
    streaming: "$stub::server::server_streaming(request, responses, |request, responses| self.$function_with(request, responses))",
};

const BIDIRECTIONAL: Tiers = Tiers {
    simple: Simple {
        parameters: "messages: $stub::Messages<$Request>, responses: $stub::Sink<$Response>",
        output: "()",
        arguments: "(messages, responses)",
    },
    regular: r"
    fn $function_with(
        &self,
        request: $stub::ServerRequest<$stub::Messages<$Request>>,
        responses: $stub::Sink<$Response>,
    ) -> impl ::core::future::Future<Output = ::core::result::Result<$rpc::Metadata, $stub::Failure>> + ::core::marker::Send {
        async move {
            self.$function(request.message, responses).await?;
            ::core::result::Result::Ok($rpc::Metadata::new())
        }
    }
",
    streaming: "self.$function_with(request, responses)",
};

const SIMPLE: &str = r"
    fn $function(
        &self,
        $parameters,
    ) -> impl ::core::future::Future<Output = ::core::result::Result<$output, $rpc::Status>> + ::core::marker::Send {
        let _ = $arguments;
        $missing
        ::core::future::ready(::core::result::Result::Err($stub::server::unimplemented(&$CONSTANT.methods[$index])))
    }
";

const STREAMING: &str = r"
    fn $function_streaming(
        &self,
        request: $stub::ServerRequest<$stub::Messages<$Request>>,
        responses: $stub::Sink<$Response>,
    ) -> impl ::core::future::Future<Output = ::core::result::Result<$rpc::Metadata, $stub::Failure>> + ::core::marker::Send {
        $streaming
    }
";

const TRAIT: &str = r"///
/// Of each method, write one of three: with messages only; with all that goes with them, `…_with`; or as streams,
/// `…_streaming`. Each calls the one before.
";

const SERVER: &str = r"
/// Makes of a [`trait@$Service`] what a router serves. Clones share it.
#[derive(::core::fmt::Debug)]
pub struct $ServiceServer<S> {
    service: ::std::sync::Arc<S>,
}
";

const CONSTRUCTOR: &str = r"
    /// Serves `service`.
    pub fn new(service: S) -> Self {
        Self::shared(::std::sync::Arc::new(service))
    }

    /// Serves a service that others hold as well.
    pub const fn shared(service: ::std::sync::Arc<S>) -> Self {
        Self { service }
    }

    /// The methods, as [`$rpc::Router::add`] takes them.
    pub fn into_service(self) -> $rpc::Service {
        $rpc::Service {
            name: ::std::sync::Arc::from($CONSTANT.name),
            methods: ::std::vec![
";

const METHOD: &str = r"
                $stub::server::method::<$codec, _, _, _, _, _>(
                    &$CONSTANT.methods[$index],
                    &self.service,
                    |service, request, responses, finish| async move {
                        finish.with(service.$function_streaming(request, responses).await)
                    },
                ),
";

impl Generator {
    pub(super) fn server(&self, service: &ServiceCode, buf: &mut String) {
        let constant = service.constant();
        let words = [
            ("$Service", service.rust.as_str()),
            ("$CONSTANT", &constant),
        ];
        service.document(buf);
        if !service.methods.is_empty() {
            buf.push_str(TRAIT);
        }
        service.attributes(buf);
        let opening =
            "pub trait $Service: ::core::marker::Send + ::core::marker::Sync + 'static {\n";
        self.write(opening, &words, buf);
        for method in &service.methods {
            self.tiers(method, service, &constant, buf);
        }
        buf.push_str("}\n");
        buf.push_str(ALLOW);
        self.write(SERVER, &words, buf);
        buf.push_str(ALLOW);
        self.write("impl<S: self::$Service> $ServiceServer<S> {", &words, buf);
        self.write(CONSTRUCTOR, &words, buf);
        for method in &service.methods {
            let mut words = method.words().to_vec();
            words.push(("$CONSTANT", &constant));
            self.write(METHOD, &words, buf);
        }
        buf.push_str("],\n}\n}\n}\n");
        buf.push_str(ALLOW);
        let clone = r"
impl<S> ::core::clone::Clone for $ServiceServer<S> {
    fn clone(&self) -> Self {
        Self { service: ::std::sync::Arc::clone(&self.service) }
    }
}
";
        self.write(clone, &words, buf);
    }

    fn tiers(&self, method: &MethodCode, service: &ServiceCode, constant: &str, buf: &mut String) {
        let tiers = match method.shape {
            Shape::Unary => UNARY,
            Shape::ClientStreaming => CLIENT_STREAMING,
            Shape::ServerStreaming => SERVER_STREAMING,
            Shape::Bidirectional => BIDIRECTIONAL,
        };
        let missing = if self.settings.partial {
            ""
        } else {
            r#"const { panic!("the method `$function` of `$Service` is not implemented: write one of `$function`, `$function_with` and `$function_streaming`") }"#
        };
        // What is put into a template comes before what stands in it.
        let mut words = vec![
            ("$parameters", tiers.simple.parameters),
            ("$output", tiers.simple.output),
            ("$arguments", tiers.simple.arguments),
            ("$missing", missing),
            ("$streaming", tiers.streaming),
            ("$CONSTANT", constant),
            ("$Service", &service.rust),
        ];
        words.extend(method.words());
        method.document(buf);
        method.attributes(buf);
        buf.push_str("#[allow(unreachable_code)]\n");
        self.write(SIMPLE, &words, buf);
        let documentation = "\n/// [`Self::$function`] with all that goes with its messages. Calls it, unless it is written.\n";
        self.write(documentation, &words, buf);
        method.attributes(buf);
        self.write(tiers.regular, &words, buf);
        let documentation = "\n/// [`Self::$function_with`] as streams, whatever the shape. Calls it, unless it is written.\n";
        self.write(documentation, &words, buf);
        method.attributes(buf);
        self.write(STREAMING, &words, buf);
    }
}
