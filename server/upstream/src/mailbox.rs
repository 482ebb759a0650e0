//! The one queue from handlers and command handles to the link, in the order of the calls.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
};

use headwater_core::link::upstream::Delivery;
use headwater_proto::v1::{self, command::Operation};
use tokio::sync::oneshot;

use crate::{CommandError, answer::Answer};

/// Where a command's result goes.
pub(crate) type ResultSender = oneshot::Sender<Result<Option<v1::result::Value>, CommandError>>;

/// What the link is to do.
#[derive(Debug)]
pub(crate) enum Action {
    /// An early answer; the handler goes on.
    Answer { delivery: Delivery, answer: Answer },
    /// The handler has ended, with its answer if it gave none before.
    Finish {
        delivery: Delivery,
        answer: Option<Answer>,
    },
    /// A command.
    Command {
        operation: Box<Operation>,
        bytes: usize,
        result: ResultSender,
    },
}

/// What waits here is bounded: answers by the window of the link, commands by [`Bounds`].
#[derive(Debug)]
pub(crate) struct Mailbox {
    bounds: Bounds,
    state: Mutex<State>,
}

/// How many commands may wait for the service to grant them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) commands: usize,
    pub(crate) bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    actions: VecDeque<Action>,
    /// Of the commands that were put and not [`Freed`] yet.
    waiting: Freed,
    /// The link's task is at work and looks here before it rests: nobody needs to wake it.
    awake: bool,
    waker: Option<Waker>,
    closed: bool,
}

/// Commands that wait no longer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Freed {
    pub(crate) commands: usize,
    pub(crate) bytes: usize,
}

impl Mailbox {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            state: Mutex::default(),
        }
    }

    /// Puts an answer, for which there is always room.
    pub(crate) fn put(&self, action: Action) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        state.actions.push_back(action);
        Self::wake(state);
    }

    /// Puts a command, if there is room.
    pub(crate) fn put_command(
        &self,
        operation: Operation,
        result: ResultSender,
    ) -> Result<(), CommandError> {
        let bytes = payload_bytes(&operation);
        let mut state = self.lock();
        if state.closed {
            return Err(CommandError::NotRegistered);
        }
        let commands = state.waiting.commands + 1;
        let waiting = state.waiting.bytes + bytes;
        if commands > self.bounds.commands || waiting > self.bounds.bytes {
            return Err(CommandError::TooMany);
        }
        state.waiting = Freed {
            commands,
            bytes: waiting,
        };
        state.actions.push_back(Action::Command {
            operation: Box::new(operation),
            bytes,
            result,
        });
        Self::wake(state);
        Ok(())
    }

    /// The link's task is at work: no waking until [`Mailbox::take`] has found nothing.
    pub(crate) fn attend(&self) {
        self.lock().awake = true;
    }

    /// Moves all actions behind those in `to`. If there are none, the next one will wake the task of `cx`.
    pub(crate) fn take(&self, to: &mut VecDeque<Action>, freed: Freed, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        state.waiting.commands = state.waiting.commands.saturating_sub(freed.commands);
        state.waiting.bytes = state.waiting.bytes.saturating_sub(freed.bytes);
        if !state.actions.is_empty() {
            if to.is_empty() {
                std::mem::swap(to, &mut state.actions);
            } else {
                to.append(&mut state.actions);
            }
            return true;
        }
        state.awake = false;
        let same = |waker: &Waker| waker.will_wake(cx.waker());
        if !state.waker.as_ref().is_some_and(same) {
            state.waker = Some(cx.waker().clone());
        }
        false
    }

    /// Takes nothing any more, and gives out what waits.
    pub(crate) fn close(&self) -> VecDeque<Action> {
        let mut state = self.lock();
        state.closed = true;
        std::mem::take(&mut state.actions)
    }

    fn wake(mut state: MutexGuard<'_, State>) {
        if state.awake {
            return;
        }
        state.awake = true;
        let waker = state.waker.clone();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of the application runs under this lock; what it guards is whole at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a command holds in memory, near enough.
fn payload_bytes(operation: &Operation) -> usize {
    let payload = match operation {
        Operation::SendToAll(send) => send.payload.as_ref(),
        Operation::SendToGroup(send) => send.payload.as_ref(),
        Operation::SendToUser(send) => send.payload.as_ref(),
        Operation::SendToConnection(send) => send.payload.as_ref(),
        Operation::AddConnectionToGroup(_)
        | Operation::RemoveConnectionFromGroup(_)
        | Operation::RemoveConnectionFromAllGroups(_)
        | Operation::AddUserToGroup(_)
        | Operation::RemoveUserFromGroup(_)
        | Operation::RemoveUserFromAllGroups(_)
        | Operation::CloseConnection(_)
        | Operation::CloseUser(_)
        | Operation::CloseGroup(_)
        | Operation::CloseAll(_)
        | Operation::ConnectionExists(_)
        | Operation::UserExists(_)
        | Operation::GroupExists(_)
        | Operation::ConnectionInGroup(_)
        | Operation::UserInGroup(_)
        | Operation::ListMembers(_)
        | Operation::GrantPermission(_)
        | Operation::RevokePermission(_)
        | Operation::CheckPermission(_) => None,
    };
    payload.map_or(0, |payload| payload.data.len())
}
