//! What applications ask about members.

use alloc::{string::String, vec::Vec};

use headwater_proto::{
    Code, Status,
    v1::{self, result::Value},
};

use super::{ConnectionKey, Hub};

/// Members on one page.
const PAGE_MAX: usize = 200;

impl<C: Clone, L: Clone> Hub<C, L> {
    pub(super) fn list_members(&self, request: &v1::ListMembersRequest) -> Result<Value, Status> {
        let bad_page = || {
            Status::new(
                Code::InvalidArgument,
                "the continuation is none of this service's",
            )
        };
        let from: usize = match request.continuation.as_str() {
            "" => 0,
            place => place.parse().map_err(|_| bad_page())?,
        };
        let limit = match request.limit as usize {
            0 => PAGE_MAX,
            limit @ 1..=PAGE_MAX => limit,
            _ => return Err(Status::new(Code::InvalidArgument, "the limit is over 200")),
        };
        let Some(group) = self.members.group(&request.group) else {
            return Ok(Value::Members(v1::Members::default()));
        };
        let page = group
            .members()
            .skip(from)
            .take(limit)
            .filter_map(|key| self.members.connection(key));
        let members = page.map(|connection| v1::Member {
            connection_id: connection.id.as_ref().into(),
            user_id: connection.user_id.as_deref().map(Into::into),
        });
        let next = from.saturating_add(limit);
        let continuation = if next < group.len() {
            alloc::format!("{next}")
        } else {
            String::new()
        };
        Ok(Value::Members(v1::Members {
            members: members.collect(),
            continuation,
        }))
    }

    pub(super) fn is_in_group(&self, key: ConnectionKey, group: &str) -> bool {
        self.members
            .group(group)
            .is_some_and(|group| group.contains(key))
    }

    pub(super) fn user_connections(&self, user_id: &str) -> Vec<ConnectionKey> {
        self.members
            .user(user_id)
            .map(|user| user.members().collect())
            .unwrap_or_default()
    }
}
