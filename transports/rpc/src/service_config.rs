//! What a client does for each method without being told at every call, after gRPC's service config (gRFC A2).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::client::CallOptions;

/// The bounds of one or more methods. What a call's own options say counts too: the tighter of both applies.
///
/// Retry and hedging policies will be fields here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MethodConfig {
    /// How long a call may take. Default: without bound.
    pub timeout: Option<Duration>,
    /// The largest request that is sent. Default: what the call's options say.
    pub request_message_bytes_max: Option<usize>,
    /// The largest response that is taken. Default: what the call's options say.
    pub response_message_bytes_max: Option<usize>,
}

/// The configuration of each method that a client calls, on whatever transport.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceConfig {
    /// By name: a method (`/package.Service/Method`), all of a service (`/package.Service/`), or all (empty). The most
    /// exact name counts alone. Default: none.
    pub methods: BTreeMap<Arc<str>, MethodConfig>,
}

impl ServiceConfig {
    /// The configuration of the method at this path.
    pub fn method(&self, path: &str) -> Option<&MethodConfig> {
        let service = path.rfind('/').map_or("", |slash| &path[..=slash]);
        let names = [path, service, ""];
        names.into_iter().find_map(|name| self.methods.get(name))
    }

    pub(crate) fn apply(&self, path: &str, options: CallOptions) -> CallOptions {
        let Some(method) = self.method(path) else {
            return options;
        };
        let tighter = |own: usize, bound: Option<usize>| bound.map_or(own, |bound| bound.min(own));
        CallOptions {
            timeout: options.timeout.into_iter().chain(method.timeout).min(),
            send_message_bytes_max: tighter(
                options.send_message_bytes_max,
                method.request_message_bytes_max,
            ),
            receive_message_bytes_max: tighter(
                options.receive_message_bytes_max,
                method.response_message_bytes_max,
            ),
            ..options
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(millis: u64) -> MethodConfig {
        MethodConfig {
            timeout: Some(Duration::from_millis(millis)),
            ..MethodConfig::default()
        }
    }

    #[test]
    fn the_most_exact_name_counts_alone() {
        let methods = [("", bound(1)), ("/a.B/", bound(2)), ("/a.B/C", bound(3))];
        let config = ServiceConfig {
            methods: methods.map(|(name, method)| (name.into(), method)).into(),
        };
        for (path, expected) in [("/a.B/C", 3), ("/a.B/D", 2), ("/a.Bc/D", 1), ("odd", 1)] {
            assert_eq!(config.method(path), Some(&bound(expected)), "{path}");
        }
        assert_eq!(ServiceConfig::default().method("/a.B/C"), None);
    }

    #[test]
    fn the_tighter_bound_applies() {
        let methods = [("".into(), bound(5))].into();
        let config = ServiceConfig { methods };
        for (own, expected) in [(None, 5), (Some(9), 5), (Some(2), 2)] {
            let options = CallOptions {
                timeout: own.map(Duration::from_millis),
                ..CallOptions::default()
            };
            let applied = config.apply("/x/y", options).timeout;
            assert_eq!(applied, Some(Duration::from_millis(expected)), "{own:?}");
        }
    }
}
