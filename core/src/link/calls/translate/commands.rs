//! Commands and their results: one method for each.

use bytes::Bytes;
use headwater_proto::{
    Code, Status,
    v1::{self, command::Operation, result::Value},
    wps_rpc,
};
use prost::Message as _;

/// Each method once: its path, its request, what it answers, the operation that it stands for, and which field of the
/// request is which of the operation; `hub` is in all of them.
macro_rules! methods {
    ($(
        $(#[$doc:meta])*
        $method:ident $name:literal ($request:ident) -> $answer:ident = $operation:ident($of:ident) {
            $($theirs:ident: $ours:ident),* $(,)?
        } $(left out { $($left_out:ident),* } by $prepare:path)?;
    )*) => {
        /// A method that commands something.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Method {
            $($(#[$doc])* $method,)*
        }

        impl Method {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$method),*];

            /// The path of its calls.
            pub const fn path(self) -> &'static str {
                match self {
                    $(Self::$method => concat!("/WpsRpc/", $name),)*
                }
            }

            /// The operation that a request stands for, with the hub that it names.
            ///
            /// # Errors
            ///
            /// [`Code::InvalidArgument`] for what cannot be decoded.
            pub fn decode(self, request: Bytes) -> Result<Operation, Status> {
                match self {
                    $(Self::$method => {
                        let request = wps_rpc::$request::decode(request).map_err(undecodable)?;
                        $(let request = $prepare(request);)?
                        Ok(Operation::$operation(v1::$of {
                            $($ours: Field::translate(request.$theirs)?,)*
                            hub: request.hub,
                        }))
                    })*
                }
            }

            /// The method for an operation, and its request for this hub, unless the operation names one.
            ///
            /// # Errors
            ///
            /// [`Code::InvalidArgument`] for a payload that is not what its type says.
            pub fn encode(operation: Operation, hub: &str) -> Result<(Self, Bytes), Status> {
                match operation {
                    $(Operation::$operation(operation) => {
                        let request = wps_rpc::$request {
                            $($theirs: Field::translate(operation.$ours)?,)*
                            $($($left_out: Default::default(),)*)?
                            hub: if operation.hub.is_empty() { hub.into() } else { operation.hub },
                        };
                        Ok((Self::$method, request.encode_to_vec().into()))
                    })*
                }
            }

            const fn answers(self) -> Answers {
                match self {
                    $(Self::$method => Answers::$answer,)*
                }
            }
        }
    };
}

methods! {
    /// To the members of a group.
    SendToGroup "sendToGroup" (SendToGroupRequest) -> Delivered = SendToGroup(SendToGroupRequest) {
        connection_id: origin_connection,
        group_name: group,
        message: payload,
        no_echo: no_echo,
        excluded_connections: excluded_connections,
    };
    /// To every connection. An origin that wants no echo is one of those left out.
    SendToAll "SendToAll" (SendToAllRequest) -> Delivered = SendToAll(SendToAllRequest) {
        message: payload,
        excluded_connections: excluded_connections,
    } left out { connection_id, no_echo } by without_echo;
    /// To the connections of a user.
    SendToUser "sendToUser" (SendToUserRequest) -> Delivered = SendToUser(SendToUserRequest) {
        user_id: user_id,
        message: payload,
    };
    /// To one connection.
    SendToConnection "sendToConnection" (SendToConnectionRequest) -> Delivered
        = SendToConnection(SendToConnectionRequest) {
        connection_id: connection_id,
        message: payload,
    };
    /// A connection into a group.
    JoinGroup "joinGroup" (JoinGroupRequest) -> Changed
        = AddConnectionToGroup(AddConnectionToGroupRequest) {
        connection_id: connection_id,
        group_name: group,
    };
    /// A connection out of a group.
    LeaveGroup "leaveGroup" (LeaveGroupRequest) -> Changed
        = RemoveConnectionFromGroup(RemoveConnectionFromGroupRequest) {
        connection_id: connection_id,
        group_name: group,
    };
    /// A connection out of all its groups.
    LeaveAllGroups "leaveAllGroups" (LeaveAllGroupsRequest) -> Changed
        = RemoveConnectionFromAllGroups(RemoveConnectionFromAllGroupsRequest) {
        connection_id: connection_id,
    };
    /// The connections of a user into a group.
    AddUserToGroup "addUserToGroup" (AddUserToGroupRequest) -> Changed
        = AddUserToGroup(AddUserToGroupRequest) {
        user_id: user_id,
        group_name: group,
    };
    /// The connections of a user out of a group.
    RemoveUserFromGroup "removeUserFromGroup" (RemoveUserFromGroupRequest) -> Changed
        = RemoveUserFromGroup(RemoveUserFromGroupRequest) {
        user_id: user_id,
        group_name: group,
    };
    /// The connections of a user out of all their groups.
    RemoveUserFromAllGroups "removeUserFromAllGroups" (RemoveUserFromAllGroupsRequest) -> Changed
        = RemoveUserFromAllGroups(RemoveUserFromAllGroupsRequest) {
        user_id: user_id,
    };
    /// Closes one connection.
    CloseConnection "closeConnection" (CloseConnectionRequest) -> Changed
        = CloseConnection(CloseConnectionRequest) {
        connection_id: connection_id,
        reason: reason,
    };
    /// Closes the connections of a user.
    CloseUser "closeUser" (CloseUserRequest) -> Changed = CloseUser(CloseUserRequest) {
        user_id: user_id,
        reason: reason,
        excluded_connections: excluded_connections,
    };
    /// Closes the members of a group.
    CloseGroup "closeGroup" (CloseGroupRequest) -> Changed = CloseGroup(CloseGroupRequest) {
        group_name: group,
        reason: reason,
        excluded_connections: excluded_connections,
    };
    /// Closes every connection.
    CloseAll "closeAll" (CloseAllRequest) -> Changed = CloseAll(CloseAllRequest) {
        reason: reason,
        excluded_connections: excluded_connections,
    };
    /// Whether there is such a connection.
    ConnectionExists "connectionExists" (ConnectionExistsRequest) -> Answer
        = ConnectionExists(ConnectionExistsRequest) {
        connection_id: connection_id,
    };
    /// Whether a user has a connection.
    UserExists "userExists" (UserExistsRequest) -> Answer = UserExists(UserExistsRequest) {
        user_id: user_id,
    };
    /// Whether a group has a member.
    GroupExists "groupExists" (GroupExistsRequest) -> Answer = GroupExists(GroupExistsRequest) {
        group_name: group,
    };
    /// Whether a connection is in a group.
    ConnectionInGroup "connectionInGroup" (ConnectionInGroupRequest) -> Answer
        = ConnectionInGroup(ConnectionInGroupRequest) {
        connection_id: connection_id,
        group_name: group,
    };
    /// Whether a connection of a user is in a group.
    UserInGroup "userInGroup" (UserInGroupRequest) -> Answer = UserInGroup(UserInGroupRequest) {
        user_id: user_id,
        group_name: group,
    };
    /// The members of a group, a page at a time.
    ListMembers "listMembers" (ListMembersRequest) -> Members = ListMembers(ListMembersRequest) {
        group_name: group,
        limit: limit,
        continuation: continuation,
    };
    /// Gives a connection a permission.
    GrantPermission "grantPermission" (GrantPermissionRequest) -> Changed
        = GrantPermission(GrantPermissionRequest) {
        connection_id: connection_id,
        group_name: group,
        permission: permission,
    };
    /// Takes a permission from a connection.
    RevokePermission "revokePermission" (RevokePermissionRequest) -> Changed
        = RevokePermission(RevokePermissionRequest) {
        connection_id: connection_id,
        group_name: group,
        permission: permission,
    };
    /// Whether a connection has a permission.
    CheckPermission "checkPermission" (CheckPermissionRequest) -> Answer
        = CheckPermission(CheckPermissionRequest) {
        connection_id: connection_id,
        group_name: group,
        permission: permission,
    };
}

/// What a call answers that did what it was asked.
#[derive(Clone, Copy)]
enum Answers {
    /// To how many it was handed.
    Delivered,
    /// How many it changed.
    Changed,
    Answer,
    Members,
}

impl Method {
    /// The response that holds this value.
    ///
    /// # Errors
    ///
    /// [`Code::Internal`] for a value that is not what this method answers, which no hub gives.
    pub fn encode_response(self, value: Value) -> Result<Bytes, Status> {
        let bytes = match (self.answers(), value) {
            (Answers::Delivered, Value::Delivered(v1::Delivered { connections }))
            | (Answers::Changed, Value::Changed(v1::Changed { connections })) => {
                wps_rpc::Done { connections }.encode_to_vec()
            }
            (Answers::Answer, Value::Answer(v1::Answer { yes })) => {
                wps_rpc::Answer { yes }.encode_to_vec()
            }
            (Answers::Members, Value::Members(page)) => members_out(page).encode_to_vec(),
            (Answers::Delivered | Answers::Changed | Answers::Answer | Answers::Members, _) => {
                return Err(Status::new(
                    Code::Internal,
                    "the hub gave a value of another kind",
                ));
            }
        };
        Ok(bytes.into())
    }

    /// The value in a response. One that says nothing, as the scheme has it, is of no connection.
    ///
    /// # Errors
    ///
    /// [`Code::Internal`] for what cannot be decoded, as gRPC has it for a response.
    pub fn decode_response(self, response: Bytes) -> Result<Value, Status> {
        let broken = |_| Status::new(Code::Internal, "the response could not be decoded");
        Ok(match self.answers() {
            Answers::Delivered => {
                let wps_rpc::Done { connections } =
                    wps_rpc::Done::decode(response).map_err(broken)?;
                Value::Delivered(v1::Delivered { connections })
            }
            Answers::Changed => {
                let wps_rpc::Done { connections } =
                    wps_rpc::Done::decode(response).map_err(broken)?;
                Value::Changed(v1::Changed { connections })
            }
            Answers::Answer => {
                let wps_rpc::Answer { yes } = wps_rpc::Answer::decode(response).map_err(broken)?;
                Value::Answer(v1::Answer { yes })
            }
            Answers::Members => {
                let page = wps_rpc::Members::decode(response).map_err(broken)?;
                Value::Members(members_in(page))
            }
        })
    }
}

/// A field that stands in both, in the type that each has for it.
trait Field<T> {
    fn translate(self) -> Result<T, Status>;
}

impl<T> Field<T> for T {
    fn translate(self) -> Result<T, Status> {
        Ok(self)
    }
}

impl Field<Option<v1::Payload>> for Option<wps_rpc::Message> {
    fn translate(self) -> Result<Option<v1::Payload>, Status> {
        Ok(self.and_then(super::payload))
    }
}

impl Field<Option<wps_rpc::Message>> for Option<v1::Payload> {
    fn translate(self) -> Result<Option<wps_rpc::Message>, Status> {
        self.map(super::message).transpose()
    }
}

/// `headwater.v1` has no origin here, only those left out.
fn without_echo(mut request: wps_rpc::SendToAllRequest) -> wps_rpc::SendToAllRequest {
    if request.no_echo && !request.connection_id.is_empty() {
        let origin = core::mem::take(&mut request.connection_id);
        request.excluded_connections.push(origin);
    }
    request
}

fn members_out(page: v1::Members) -> wps_rpc::Members {
    let member = |member: v1::Member| wps_rpc::Member {
        connection_id: member.connection_id,
        user_id: member.user_id,
    };
    wps_rpc::Members {
        members: page.members.into_iter().map(member).collect(),
        continuation: page.continuation,
    }
}

fn members_in(page: wps_rpc::Members) -> v1::Members {
    let member = |member: wps_rpc::Member| v1::Member {
        connection_id: member.connection_id,
        user_id: member.user_id,
    };
    v1::Members {
        members: page.members.into_iter().map(member).collect(),
        continuation: page.continuation,
    }
}

fn undecodable(_: prost::DecodeError) -> Status {
    Status::new(Code::InvalidArgument, "the request could not be decoded")
}
