//! What is known of a service without running it.

use headwater_core::call::Shape;

/// A method of a service.
///
/// Exhaustive, because generated code makes constants of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodDescriptor {
    /// The name, such as `GetFeature`.
    pub name: &'static str,
    /// Where it is called, such as `/routeguide.RouteGuide/GetFeature`.
    pub path: &'static str,
    /// How many messages it has each way.
    pub shape: Shape,
    /// The full name of the request message, such as `routeguide.Point`.
    pub request: &'static str,
    /// The full name of the response message.
    pub response: &'static str,
}

/// A service: what reflection, a router and a log need to know of it.
///
/// Exhaustive, because generated code makes constants of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceDescriptor {
    /// The full name, such as `routeguide.RouteGuide`.
    pub name: &'static str,
    /// The package, such as `routeguide`; empty if the `.proto` has none.
    pub package: &'static str,
    /// The methods, in the order of the `.proto`.
    pub methods: &'static [MethodDescriptor],
    /// An encoded `google.protobuf.FileDescriptorSet`: the file of the service and all that it imports, each after what
    /// it imports itself. Empty if the code was generated without.
    pub file_descriptor_set: &'static [u8],
}

impl ServiceDescriptor {
    /// The method of this name.
    pub fn method(&self, name: &str) -> Option<&'static MethodDescriptor> {
        self.methods.iter().find(|method| method.name == name)
    }
}
