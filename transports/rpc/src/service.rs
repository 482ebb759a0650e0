//! A service: a named set of methods that is put on a router as one.

use std::{fmt, future::Future, sync::Arc};

use bytes::Bytes;
use headwater_core::call::Shape;
use headwater_proto::Status;

use crate::{
    handler::{CallHandler, Request, Streaming, Unary},
    server::IncomingCall,
};

/// The methods of one service. [`crate::Router::add`] serves it, [`crate::Router::replace`] exchanges it.
#[derive(Debug, Clone)]
pub struct Service {
    /// The full name, such as `package.Service`.
    pub name: Arc<str>,
    /// What it can be asked to do. No two have the same name.
    pub methods: Vec<Method>,
}

/// One method of a service, and what answers it.
#[derive(Clone)]
pub struct Method {
    /// The name within the service, such as `Get`.
    pub name: Arc<str>,
    /// How many messages it has each way; checked before the handler sees them.
    pub shape: Shape,
    /// What takes its calls.
    pub handler: Arc<dyn CallHandler>,
}

impl Method {
    /// A method whose calls `handle` takes as streams, whatever its shape.
    pub fn stream<H, F>(name: impl Into<Arc<str>>, shape: Shape, handle: H) -> Self
    where
        H: Fn(IncomingCall) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self {
            name: name.into(),
            shape,
            handler: Arc::new(Streaming(handle)),
        }
    }

    /// A unary method that `handle` answers. What it fails with is told as the status that it converts to.
    pub fn unary<H, F, E>(name: impl Into<Arc<str>>, handle: H) -> Self
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Bytes, E>> + Send + 'static,
        E: Into<Status> + Send + 'static,
    {
        Self {
            name: name.into(),
            shape: Shape::Unary,
            handler: Arc::new(Unary(handle)),
        }
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Method")
            .field("name", &self.name)
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

/// A method that a router has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RegisteredMethod {
    /// Such as `/package.Service/Method`.
    pub path: Arc<str>,
    /// How many messages it has each way.
    pub shape: Shape,
}
