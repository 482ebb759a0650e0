//! What an endpoint can be asked to do.

use alloc::{collections::BTreeMap, sync::Arc};

use headwater_proto::pw_rpc::MethodId;

use crate::call::Shape;

/// One method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    /// Such as `/package.Service/Method`.
    pub path: Arc<str>,
    /// How many messages it has each way.
    pub shape: Shape,
    /// How many of its calls may run at once on one endpoint; one more is refused with `RESOURCE_EXHAUSTED`.
    pub calls_max: usize,
}

impl Method {
    /// A method without a limit of its own.
    pub fn new(path: impl Into<Arc<str>>, shape: Shape) -> Self {
        Self {
            path: path.into(),
            shape,
            calls_max: usize::MAX,
        }
    }
}

/// Why a method was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// It is not `/service/method`.
    #[error("not the path of a method")]
    Path,
    /// It is there already, or another has the same ids.
    #[error("a method of the same ids is there already")]
    AlreadyExists,
}

/// The methods that a peer can call, by their ids.
///
/// To register and unregister at run time, change a copy and give it to [`super::Endpoint::set_services`]; endpoints share it.
#[derive(Debug, Clone, Default)]
pub struct Services {
    methods: BTreeMap<MethodId, Method>,
    /// Whether calls of other methods are taken as well, of peers that say the path. Otherwise, and of peers that do not,
    /// they are answered with `NOT_FOUND`. Default: no.
    pub accepts_unknown: bool,
}

impl Services {
    /// No methods.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a method.
    ///
    /// # Errors
    ///
    /// The path is none; or there is a method of these ids. Then nothing has changed.
    pub fn add(&mut self, method: Method) -> Result<(), AddError> {
        let id = MethodId::of_path(&method.path).ok_or(AddError::Path)?;
        if self.methods.contains_key(&id) {
            return Err(AddError::AlreadyExists);
        }
        self.methods.insert(id, method);
        Ok(())
    }

    /// Removes all methods of this service, such as `package.Service`, and says how many there were.
    pub fn remove_service(&mut self, name: &str) -> usize {
        let before = self.methods.len();
        self.methods.retain(|_, method| {
            let path = method.path.strip_prefix('/');
            path.and_then(|path| path.split_once('/'))
                .is_none_or(|(service, _)| service != name)
        });
        before - self.methods.len()
    }

    /// The method of these ids.
    pub fn get(&self, id: MethodId) -> Option<&Method> {
        self.methods.get(&id)
    }
}
