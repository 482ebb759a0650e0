//! Which methods an interceptor is for.

use std::{collections::BTreeSet, fmt, sync::Arc};

use crate::router::service_name;

/// Which methods an interceptor sees. Services are named as `package.Service`, methods as `/package.Service/Method`.
///
/// What a filter says is remembered for the first 4096 paths that are called, if they have at most 256 bytes: for each of
/// these it is asked once. For any other path it is asked at every call.
#[derive(Clone)]
pub struct Filter(Kind);

#[derive(Clone)]
enum Kind {
    Named { named: Named, excluded: bool },
    Matching(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

#[derive(Debug, Clone, Default)]
struct Named {
    services: BTreeSet<String>,
    methods: BTreeSet<String>,
}

impl Filter {
    /// Every method.
    pub fn all() -> Self {
        Self::all_excluding(NONE, NONE)
    }

    /// The methods of these services.
    pub fn services<S: Into<String>>(services: impl IntoIterator<Item = S>) -> Self {
        Self::only(services, NONE)
    }

    /// These methods.
    pub fn methods<S: Into<String>>(methods: impl IntoIterator<Item = S>) -> Self {
        Self::only(NONE, methods)
    }

    /// The methods of these services, and these methods.
    pub fn only<S: Into<String>, M: Into<String>>(
        services: impl IntoIterator<Item = S>,
        methods: impl IntoIterator<Item = M>,
    ) -> Self {
        let named = Named::new(services, methods);
        Self(Kind::Named {
            named,
            excluded: false,
        })
    }

    /// Every method but those of these services, and these.
    pub fn all_excluding<S: Into<String>, M: Into<String>>(
        services: impl IntoIterator<Item = S>,
        methods: impl IntoIterator<Item = M>,
    ) -> Self {
        let named = Named::new(services, methods);
        Self(Kind::Named {
            named,
            excluded: true,
        })
    }

    /// The methods for whose path `predicate` is true. It has to say the same whenever it is asked, and not to block.
    pub fn matching(predicate: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Kind::Matching(Arc::new(predicate)))
    }

    pub(crate) fn admits(&self, path: &str) -> bool {
        match &self.0 {
            Kind::Named { named, excluded } => named.contains(path) != *excluded,
            Kind::Matching(predicate) => predicate(path),
        }
    }
}

const NONE: [&str; 0] = [];

impl Named {
    fn new<S: Into<String>, M: Into<String>>(
        services: impl IntoIterator<Item = S>,
        methods: impl IntoIterator<Item = M>,
    ) -> Self {
        Self {
            services: services.into_iter().map(Into::into).collect(),
            methods: methods.into_iter().map(Into::into).collect(),
        }
    }

    fn contains(&self, path: &str) -> bool {
        let service = service_name(path);
        self.methods.contains(path) || service.is_some_and(|name| self.services.contains(name))
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Named { named, excluded } => f
                .debug_struct("Filter")
                .field("services", &named.services)
                .field("methods", &named.methods)
                .field("excluded", excluded)
                .finish(),
            Kind::Matching(_) => f.write_str("Filter(matching)"),
        }
    }
}
