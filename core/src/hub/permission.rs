//! What a client may do: roles, as tokens and applications write them, and the permissions that they grant.

use alloc::{collections::BTreeSet, string::String};

const JOIN_LEAVE: &str = "webpubsub.joinLeaveGroup";
const SEND: &str = "webpubsub.sendToGroup";

/// What needs a permission. Events need none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Join and leave a group.
    JoinLeaveGroup,
    /// Publish to a group; membership is not needed, and does not suffice.
    SendToGroup,
}

/// The permissions of one connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Permissions {
    join_leave: Grants,
    send: Grants,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Grants {
    every_group: bool,
    groups: BTreeSet<String>,
}

impl Permissions {
    /// Adds what a role grants. A role that is not known grants nothing.
    pub(super) fn add_role(&mut self, role: &str) {
        for (name, permission) in [
            (JOIN_LEAVE, Permission::JoinLeaveGroup),
            (SEND, Permission::SendToGroup),
        ] {
            let Some(rest) = role.strip_prefix(name) else {
                continue;
            };
            match rest.strip_prefix('.') {
                Some(group) if !group.is_empty() => self.grant(permission, Some(group)),
                None if rest.is_empty() => self.grant(permission, None),
                Some(_) | None => false,
            };
        }
    }

    /// Grants a permission for one group, or for every group; whether that changed anything.
    pub(super) fn grant(&mut self, permission: Permission, group: Option<&str>) -> bool {
        let grants = self.grants_mut(permission);
        match group {
            Some(group) => grants.groups.insert(group.into()),
            None => !core::mem::replace(&mut grants.every_group, true),
        }
    }

    /// Takes back exactly what [`Permissions::grant`] gave; whether that changed anything.
    pub(super) fn revoke(&mut self, permission: Permission, group: Option<&str>) -> bool {
        let grants = self.grants_mut(permission);
        match group {
            Some(group) => grants.groups.remove(group),
            None => core::mem::replace(&mut grants.every_group, false),
        }
    }

    /// Whether the permission holds for this group; with `None`, whether it holds for every group.
    pub(super) fn allows(&self, permission: Permission, group: Option<&str>) -> bool {
        let grants = match permission {
            Permission::JoinLeaveGroup => &self.join_leave,
            Permission::SendToGroup => &self.send,
        };
        grants.every_group || group.is_some_and(|group| grants.groups.contains(group))
    }

    fn grants_mut(&mut self, permission: Permission) -> &mut Grants {
        match permission {
            Permission::JoinLeaveGroup => &mut self.join_leave,
            Permission::SendToGroup => &mut self.send,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(roles: &[&str]) -> Permissions {
        let mut permissions = Permissions::default();
        for role in roles {
            permissions.add_role(role);
        }
        permissions
    }

    #[test]
    fn without_a_role_nothing_is_allowed() {
        let none = of(&[]);
        assert!(
            !none.allows(Permission::JoinLeaveGroup, Some("g")),
            "join was allowed without a role"
        );
        assert!(
            !none.allows(Permission::SendToGroup, Some("g")),
            "send was allowed without a role"
        );
    }

    #[test]
    fn a_role_without_a_group_allows_every_group_of_its_kind_only() {
        let all = of(&["webpubsub.joinLeaveGroup"]);
        assert!(all.allows(Permission::JoinLeaveGroup, Some("any")));
        assert!(all.allows(Permission::JoinLeaveGroup, None));
        assert!(
            !all.allows(Permission::SendToGroup, Some("any")),
            "joining does not give the right to send"
        );
    }

    #[test]
    fn a_role_with_a_group_allows_that_group_dots_included() {
        let one = of(&["webpubsub.sendToGroup.a.b"]);
        assert!(one.allows(Permission::SendToGroup, Some("a.b")));
        assert!(
            !one.allows(Permission::SendToGroup, Some("a")),
            "a prefix of the group is another group"
        );
        assert!(!one.allows(Permission::SendToGroup, None));
    }

    #[test]
    fn roles_that_only_look_alike_grant_nothing() {
        let odd = of(&[
            "webpubsub.sendToGroup.",
            "webpubsub.sendToGroupX",
            "webpubsub.sendToGroups.*",
            "sendToGroup",
        ]);
        assert_eq!(odd, Permissions::default());
    }

    #[test]
    fn revoking_the_permission_for_every_group_keeps_the_one_for_a_single_group() {
        let mut both = of(&["webpubsub.sendToGroup", "webpubsub.sendToGroup.g"]);
        assert!(both.revoke(Permission::SendToGroup, None));
        assert!(
            !both.revoke(Permission::SendToGroup, None),
            "the second time changes nothing"
        );
        assert!(both.allows(Permission::SendToGroup, Some("g")));
        assert!(!both.allows(Permission::SendToGroup, Some("h")));
    }
}
