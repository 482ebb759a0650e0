//! Writes the code of a service.

mod client;
mod descriptor;
mod server;

use prost_build::{Comments, Method, Service, ServiceGenerator};

use crate::{comments::document, descriptors::full_name, names::Names};

/// What to generate.
pub(crate) struct Settings {
    pub(crate) client: bool,
    pub(crate) server: bool,
    pub(crate) file_descriptor_sets: bool,
    pub(crate) partial: bool,
    pub(crate) codec: Option<String>,
    pub(crate) rpc: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            client: true,
            server: true,
            file_descriptor_sets: true,
            partial: false,
            codec: None,
            rpc: "::headwater_rpc".to_owned(),
        }
    }
}

pub(crate) struct Generator {
    settings: Settings,
    names: Names,
}

impl Generator {
    pub(crate) const fn new(settings: Settings, names: Names) -> Self {
        Self { settings, names }
    }

    fn service(&self, service: &Service) -> ServiceCode {
        let full = full_name(&service.package, &service.proto_name);
        let methods = service.methods.iter().enumerate();
        let methods = methods.map(|(index, method)| MethodCode {
            index: index.to_string(),
            function: self.names.method(&full, &method.proto_name),
            path: format!("/{full}/{}", method.proto_name),
            shape: Shape::of(method),
            method: method.clone(),
        });
        ServiceCode {
            rust: self.names.service(&full, &service.proto_name),
            package: service.package.clone(),
            methods: methods.collect(),
            comments: service.comments.clone(),
            deprecated: service.options.deprecated(),
            full,
        }
    }

    /// Appends a template, in which `$rpc`, `$stub` and `$codec` stand for paths, and other words for what is given.
    fn write(&self, template: &str, words: &[(&str, &str)], buf: &mut String) {
        let stub = format!("{}::stub", self.settings.rpc);
        let default = format!("{stub}::ProstCodec");
        let codec = self.settings.codec.as_ref().unwrap_or(&default);
        let paths = [
            ("$rpc", self.settings.rpc.as_str()),
            ("$stub", &stub),
            ("$codec", codec),
        ];
        let mut text = template.to_owned();
        for (word, value) in words.iter().chain(&paths) {
            text = text.replace(word, value);
        }
        buf.push_str(&text);
    }
}

impl ServiceGenerator for Generator {
    fn generate(&mut self, service: Service, buf: &mut String) {
        let service = self.service(&service);
        self.descriptor(&service, buf);
        if self.settings.client {
            self.client(&service, buf);
        }
        if self.settings.server {
            self.server(&service, buf);
        }
    }
}

/// What the code of a service is made of.
struct ServiceCode {
    rust: String,
    full: String,
    package: String,
    comments: Comments,
    deprecated: bool,
    methods: Vec<MethodCode>,
}

impl ServiceCode {
    /// The name of the descriptor.
    fn constant(&self) -> String {
        heck::AsShoutySnakeCase(&self.rust).to_string()
    }

    /// Appends documentation and attributes of a public item that stands for the service.
    fn document(&self, buf: &mut String) {
        document(
            &self.comments,
            &format!("The service `{}`.", self.full),
            buf,
        );
    }

    fn attributes(&self, buf: &mut String) {
        if self.deprecated {
            buf.push_str("#[deprecated]\n");
        }
        buf.push_str(ALLOW);
    }
}

/// What the code of a method is made of.
struct MethodCode {
    /// Its place in the descriptor.
    index: String,
    function: String,
    path: String,
    shape: Shape,
    method: Method,
}

impl MethodCode {
    /// What a template may say of a method.
    fn words(&self) -> [(&'static str, &str); 5] {
        [
            ("$function", &self.function),
            ("$index", &self.index),
            ("$path", &self.path),
            ("$Request", &self.method.input_type),
            ("$Response", &self.method.output_type),
        ]
    }

    fn document(&self, buf: &mut String) {
        document(&self.method.comments, &format!("`{}`.", self.path), buf);
    }

    fn attributes(&self, buf: &mut String) {
        if self.method.options.deprecated() {
            buf.push_str("#[deprecated]\n");
        }
    }
}

#[derive(Clone, Copy)]
enum Shape {
    Unary,
    ClientStreaming,
    ServerStreaming,
    Bidirectional,
}

impl Shape {
    const fn of(method: &Method) -> Self {
        match (method.client_streaming, method.server_streaming) {
            (false, false) => Self::Unary,
            (true, false) => Self::ClientStreaming,
            (false, true) => Self::ServerStreaming,
            (true, true) => Self::Bidirectional,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Unary => "Unary",
            Self::ClientStreaming => "ClientStreaming",
            Self::ServerStreaming => "ServerStreaming",
            Self::Bidirectional => "Bidirectional",
        }
    }
}

/// The lints of a user's crate are for what the user writes.
const ALLOW: &str =
    "#[allow(deprecated, dead_code, unreachable_pub, clippy::all, clippy::pedantic)]\n";
