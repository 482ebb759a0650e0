//! The sending half of a call that has said all, for whoever cancels the call.

use std::sync::{Mutex, PoisonError};

use crate::{codes, stream::Writer};

/// Where a sending half is left that has nothing more to do.
#[derive(Default)]
pub(super) struct SendCell(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    Sending,
    Finished(Writer),
    Over,
}

impl SendCell {
    /// All was said.
    pub(super) fn put(&self, writer: Writer) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = match std::mem::replace(&mut *state, State::Over) {
            State::Sending | State::Finished(_) => State::Finished(writer),
            State::Over => {
                cancel(writer);
                State::Over
            }
        };
    }

    /// The call was cancelled: what the server does not have yet need not come.
    pub(super) fn cancel(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Finished(writer) = std::mem::replace(&mut *state, State::Over) {
            cancel(writer);
        }
    }
}

fn cancel(mut writer: Writer) {
    writer.reset(codes::REQUEST_CANCELLED);
}
