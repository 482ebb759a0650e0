//! How services and methods are named on the wire: by the hashes of their names.

/// The factor of the hash.
const FACTOR: u32 = 65599;

/// pw_rpc's hash of a name (`pw_rpc/py/pw_rpc/ids.py`): its length, plus each byte times a growing power of 65599, modulo
/// 2³². All of the name counts.
pub fn hash(name: &str) -> u32 {
    // A name of 4 GiB has a wrong hash, as any other two may share one.
    let mut hash = name.len() as u32;
    let mut coefficient = FACTOR;
    for byte in name.bytes() {
        hash = hash.wrapping_add(coefficient.wrapping_mul(u32::from(byte)));
        coefficient = coefficient.wrapping_mul(FACTOR);
    }
    hash
}

/// Which method of which service, as packets say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MethodId {
    /// The hash of the full name of the service, such as `package.Service`.
    pub service: u32,
    /// The hash of the name of the method, such as `Method`.
    pub method: u32,
}

impl MethodId {
    /// The ids of `Method` in `package.Service`.
    pub fn new(service: &str, method: &str) -> Self {
        Self {
            service: hash(service),
            method: hash(method),
        }
    }

    /// The ids of a path such as `/package.Service/Method`; `None` if it is no such path.
    pub fn of_path(path: &str) -> Option<Self> {
        let (service, method) = path.strip_prefix('/')?.split_once('/')?;
        if service.is_empty() || method.is_empty() {
            return None;
        }
        Some(Self::new(service, method))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values that Pigweed's own function gives (`pw_rpc.ids.calculate`).
    #[test]
    fn names_hash_as_in_pigweed() {
        let table = [
            ("", 0x00000000),
            ("a", 0x006117e0),
            ("pw.rpc.EchoService", 0x14fbd052),
            ("Echo", 0x8b470ee9),
            ("pw.rpc.Benchmark", 0xd7d70c1d),
            ("BidirectionalEcho", 0x651fd4a9),
            ("headwater.conformance.Control", 0x4ec320f0),
            ("xxxxxxxxxxxxxxxxxxxx", 0x051cd414),
        ];
        for (name, expected) in table {
            assert_eq!(hash(name), expected, "{name:?}");
        }
    }

    #[test]
    fn a_path_has_a_service_and_a_method() {
        let id = MethodId::new("pw.rpc.EchoService", "Echo");
        assert_eq!(MethodId::of_path("/pw.rpc.EchoService/Echo"), Some(id));
        for path in ["", "/", "a/b", "/a", "/a/", "//b"] {
            assert_eq!(MethodId::of_path(path), None, "{path:?}");
        }
    }
}
