//! Which handler a path has.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::Future,
    ops::Bound,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak},
};

use bytes::Bytes;
use headwater_core::call::{Shape, Trailers};
use headwater_proto::Status;

use crate::{
    handler::{CallHandler, Request, Streaming, Unary},
    registry::Registry,
    server::IncomingCall,
    service::{RegisteredMethod, Service},
};

pub(crate) struct Route {
    /// Another one for every registration, also of the same path.
    pub(crate) id: u64,
    pub(crate) shape: Shape,
    pub(crate) handler: Arc<dyn CallHandler>,
}

/// What becomes of the running calls of a method that is taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunningCalls {
    /// They go on to their own end.
    Finish,
    /// They end with this status: the peer is told, after what was sent before, and the handler is told by its
    /// [`crate::Cancellation`] ([`crate::CancelReason::Withdrawn`]).
    End(Status),
}

/// Why a service was not added. The routes are as they were.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddError {
    /// This path of the service has a handler already: [`Router::replace`] exchanges it.
    Exists(Arc<str>),
    /// Two methods of the service have this name.
    Twice(Arc<str>),
    /// This name of the service or of a method is empty or has a slash, so that no path can be made of it.
    Name(Arc<str>),
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(path) => write!(f, "{path} has a handler already"),
            Self::Twice(name) => write!(f, "two methods are named {name}"),
            Self::Name(name) => write!(f, "{name:?} is no name of a service or method"),
        }
    }
}

impl std::error::Error for AddError {}

/// Handlers by path. Clones share the routes, which may change while a server runs.
#[derive(Clone, Default)]
pub struct Router {
    table: Arc<RwLock<Table>>,
}

type Routes = BTreeMap<Arc<str>, Arc<Route>>;

#[derive(Default)]
struct Table {
    routes: Routes,
    fallback: Option<Arc<Route>>,
    /// Of a route; and grows when one is removed, too, so that whoever knows it knows the routes.
    last_id: u64,
    /// The open calls of each server that has these routes.
    servers: Vec<Weak<Registry>>,
}

impl Table {
    fn insert(&mut self, path: Arc<str>, shape: Shape, handler: Arc<dyn CallHandler>) {
        let route = self.route(shape, handler);
        self.routes.insert(path, route);
    }

    fn route(&mut self, shape: Shape, handler: Arc<dyn CallHandler>) -> Arc<Route> {
        self.last_id += 1;
        let id = self.last_id;
        Arc::new(Route { id, shape, handler })
    }

    /// The paths under this prefix.
    fn under(&self, prefix: &str) -> Vec<Arc<str>> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let paths = self.routes.range::<str, _>(from).map(|(path, _)| path);
        paths
            .take_while(|path| path.starts_with(prefix))
            .cloned()
            .collect()
    }

    /// Removes these, and says which routes they were.
    fn remove(&mut self, paths: &[Arc<str>]) -> BTreeSet<u64> {
        self.last_id += 1;
        let removed = paths.iter().filter_map(|path| self.routes.remove(path));
        removed.map(|route| route.id).collect()
    }
}

impl Router {
    /// No methods: every call is `UNIMPLEMENTED`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has `handler` take the calls of `path`, in place of the one that may be there, whose running calls go on. `shape`
    /// says how many messages each direction has, which is checked before the handler sees them.
    pub fn insert(&self, path: impl Into<Arc<str>>, shape: Shape, handler: Arc<dyn CallHandler>) {
        self.write().insert(path.into(), shape, handler);
    }

    /// Has `handle` take the calls of a streaming method.
    ///
    /// An `async move` block takes only the fields of [`IncomingCall`] that it names, and the closure drops the others,
    /// which may end the call: take the call apart, or name it whole.
    pub fn stream<H, F>(&self, path: impl Into<Arc<str>>, handle: H)
    where
        H: Fn(IncomingCall) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        self.stream_of(path, Shape::Bidirectional, handle);
    }

    /// As [`Router::stream`], for a method of another shape, which is checked before the handler sees the messages.
    pub fn stream_of<H, F>(&self, path: impl Into<Arc<str>>, shape: Shape, handle: H)
    where
        H: Fn(IncomingCall) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        self.insert(path, shape, Arc::new(Streaming(handle)));
    }

    /// Has `handle` take the calls of all paths that have no handler, as streams, in place of what took them before: for a
    /// proxy, which knows no methods. Without it they are `UNIMPLEMENTED`. A server's interceptors see these calls too.
    ///
    /// What is said of an `async move` block at [`Router::stream`] is true here too.
    pub fn fallback<H, F>(&self, handle: H)
    where
        H: Fn(IncomingCall) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let mut table = self.write();
        let route = table.route(Shape::Bidirectional, Arc::new(Streaming(handle)));
        table.fallback = Some(route);
    }

    /// Has `handle` answer the calls of a unary method.
    pub fn unary<H, F>(&self, path: impl Into<Arc<str>>, handle: H)
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Bytes, Status>> + Send + 'static,
    {
        self.insert(path, Shape::Unary, Arc::new(Unary(handle)));
    }

    /// Serves all methods of a service, from one moment on.
    ///
    /// # Errors
    ///
    /// A method of a service of this name is there already, or a name cannot be one.
    pub fn add(&self, service: Service) -> Result<(), AddError> {
        let prefix = prefix(&service)?;
        let mut table = self.write();
        if let Some(path) = table.under(&prefix).into_iter().next() {
            return Err(AddError::Exists(path));
        }
        insert_all(&mut table, &prefix, service);
        Ok(())
    }

    /// Serves these methods of a service in place of all that it had, if it was there: a call finds the old service or
    /// the new one, never a mixture, and never none.
    ///
    /// # Errors
    ///
    /// A name cannot be one.
    pub fn replace(&self, service: Service, running: RunningCalls) -> Result<(), AddError> {
        let prefix = prefix(&service)?;
        let mut table = self.write();
        let old = table.under(&prefix);
        let removed = table.remove(&old);
        insert_all(&mut table, &prefix, service);
        drop(table);
        self.end_calls(&removed, running);
        Ok(())
    }

    /// Removes the handler of `path`; its next call is `UNIMPLEMENTED`, and running ones go on. Says if there was one.
    pub fn remove(&self, path: &str) -> bool {
        let mut table = self.write();
        table.last_id += 1;
        table.routes.remove(path).is_some()
    }

    /// Removes all methods of the service of this name, such as `package.Service`; their next calls are `UNIMPLEMENTED`.
    /// Says if there was one.
    ///
    /// With [`RunningCalls::End`] no call of it runs on with its peer, on any server that has these routes.
    pub fn remove_service(&self, name: &str, running: RunningCalls) -> bool {
        let mut table = self.write();
        let paths = table.under(&format!("/{name}/"));
        let removed = table.remove(&paths);
        drop(table);
        self.end_calls(&removed, running);
        !removed.is_empty()
    }

    /// Whether `path` has a handler.
    pub fn contains(&self, path: &str) -> bool {
        self.read().routes.contains_key(path)
    }

    /// All paths, in order.
    pub fn paths(&self) -> Vec<Arc<str>> {
        self.read().routes.keys().cloned().collect()
    }

    /// All methods, in the order of their paths.
    pub fn methods(&self) -> Vec<RegisteredMethod> {
        self.methods_since(None).map_or_else(Vec::new, |(_, it)| it)
    }

    /// All methods and their version, unless they are of the version that is known.
    pub(crate) fn methods_since(&self, known: Option<u64>) -> Option<(u64, Vec<RegisteredMethod>)> {
        let table = self.read();
        if known == Some(table.last_id) {
            return None;
        }
        let methods = table.routes.iter().map(|(path, route)| RegisteredMethod {
            path: Arc::clone(path),
            shape: route.shape,
        });
        Some((table.last_id, methods.collect()))
    }

    /// The names of all services of which there is a method, in order.
    pub fn services(&self) -> Vec<Arc<str>> {
        let table = self.read();
        let names = table.routes.keys().filter_map(|path| service_name(path));
        let names: BTreeSet<&str> = names.collect();
        names.into_iter().map(Arc::from).collect()
    }

    /// Looks a route up, and does something before it can be removed.
    pub(crate) fn with_route<R>(
        &self,
        path: &str,
        then: impl FnOnce(Option<&Arc<Route>>) -> R,
    ) -> R {
        let table = self.read();
        then(table.routes.get(path).or(table.fallback.as_ref()))
    }

    pub(crate) fn shape(&self, path: &str) -> Option<Shape> {
        self.read().routes.get(path).map(|route| route.shape)
    }

    /// Has the calls of a server end with the methods that they are of.
    pub(crate) fn join(&self, calls: &Arc<Registry>) {
        let mut table = self.write();
        table.servers.retain(|server| server.strong_count() > 0);
        table.servers.push(Arc::downgrade(calls));
    }

    /// Called after the routes were removed and the lock given back: whoever took one of them from under the lock has put
    /// its call into the registry by then.
    fn end_calls(&self, routes: &BTreeSet<u64>, running: RunningCalls) {
        let RunningCalls::End(status) = running else {
            return;
        };
        let servers = self.read().servers.clone();
        for registry in servers.iter().filter_map(Weak::upgrade) {
            for call in registry.of_routes(routes) {
                call.withdraw(Trailers::failed(status.clone()));
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The service of a path, such as `package.Service` of `/package.Service/Method`.
pub(crate) fn service_name(path: &str) -> Option<&str> {
    let (service, _) = path.strip_prefix('/')?.rsplit_once('/')?;
    Some(service)
}

/// What the paths of a service begin with, if all its names can be names.
fn prefix(service: &Service) -> Result<String, AddError> {
    let mut seen = BTreeSet::new();
    for name in service.methods.iter().map(|method| &method.name) {
        if !seen.insert(name) {
            return Err(AddError::Twice(Arc::clone(name)));
        }
    }
    let names = seen.into_iter().chain([&service.name]);
    for name in names {
        if name.is_empty() || name.contains('/') {
            return Err(AddError::Name(Arc::clone(name)));
        }
    }
    Ok(format!("/{}/", service.name))
}

fn insert_all(table: &mut Table, prefix: &str, service: Service) {
    for method in service.methods {
        let path = format!("{prefix}{}", method.name);
        table.insert(path.into(), method.shape, method.handler);
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.paths()).finish()
    }
}
