//! A method's name in zrpc, and its path on a router.

use alloc::{format, string::String};

/// The path of a method on a router, or `None` if the name is no name: empty, or with an empty part in front.
///
/// The rules are the original's: the first part names the handler and the second its method; a third and later ones mean
/// nothing. A name of one part is a method of the handler `root`. A name that begins with a slash is a path already, for
/// services whose own name has dots.
///
/// ```
/// use headwater_proto::zrpc::path_of;
///
/// assert_eq!(path_of("dispatch.create_person", "zrpc").as_deref(), Some("/dispatch/create_person"));
/// assert_eq!(path_of("echo", "zrpc").as_deref(), Some("/zrpc/echo"));
/// assert_eq!(path_of("/grpc.health.v1.Health/Check", "zrpc").as_deref(), Some("/grpc.health.v1.Health/Check"));
/// ```
pub fn path_of(name: &str, root: &str) -> Option<String> {
    if name.starts_with('/') {
        return Some(name.into());
    }
    let mut parts = name.split('.');
    let (handler, method) = match (parts.next()?, parts.next()) {
        (method, None) => (root, method),
        (handler, Some(method)) => (handler, method),
    };
    if handler.is_empty() || method.is_empty() {
        return None;
    }
    Some(format!("/{handler}/{method}"))
}

/// The shortest name that [`path_of`] makes this path of again.
pub fn method_of(path: &str, root: &str) -> String {
    let parts = path.strip_prefix('/').and_then(|rest| rest.split_once('/'));
    let Some((handler, method)) = parts else {
        return path.into();
    };
    let name = if handler == root {
        method.into()
    } else {
        format!("{handler}.{method}")
    };
    if path_of(&name, root).as_deref() == Some(path) {
        return name;
    }
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s2_02_the_first_part_is_the_handler_and_a_single_part_is_a_method_of_the_root() {
        for (name, path) in [
            ("echo", "/zrpc/echo"),
            ("dispatch.create_person", "/dispatch/create_person"),
            ("zrpc.echo", "/zrpc/echo"),
        ] {
            assert_eq!(path_of(name, "zrpc").as_deref(), Some(path), "{name}");
        }
    }

    #[test]
    fn s2_03_the_third_part_and_later_ones_are_ignored() {
        for name in [
            "dispatch.create_person.x",
            "dispatch.create_person.x.y",
            "dispatch.create_person.",
        ] {
            let path = path_of(name, "zrpc");
            assert_eq!(path.as_deref(), Some("/dispatch/create_person"), "{name}");
        }
    }

    #[test]
    fn s2_43_names_with_nothing_in_them_are_no_names() {
        for name in ["", ".", ".echo", "dispatch.", "dispatch..x"] {
            assert_eq!(path_of(name, "zrpc"), None, "{name:?}");
        }
    }

    #[test]
    fn every_path_has_a_name_that_leads_back_to_it() {
        for (path, name) in [
            ("/zrpc/echo", "echo"),
            ("/People/Create", "People.Create"),
            ("/a.b.People/Create", "/a.b.People/Create"),
            ("/zrpc/a.b", "/zrpc/a.b"),
            ("/People/Create/more", "People.Create/more"),
            ("//", "//"),
            ("/", "/"),
        ] {
            assert_eq!(method_of(path, "zrpc"), name);
            assert_eq!(path_of(name, "zrpc").as_deref(), Some(path));
        }
    }
}
