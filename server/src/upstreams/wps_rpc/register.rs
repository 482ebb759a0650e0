//! `/WpsRpc/register`: the events of a hub, for as long as the call lasts.

use std::sync::Arc;

use headwater_core::{
    hub::{Input, LinkKey},
    link::calls::service::ServiceCalls,
};
use headwater_proto::{Code, Status, v1, wps_rpc::RegisterMessage};
use headwater_rpc::{CallError, CancelReason, Cancellation, IncomingCall, Metadata, Receiver};
use tokio::time::timeout;

use super::resolve;
use crate::{
    hub::{HubDriver, Link},
    random::unguessable_id,
    state::ServiceState,
    upstreams::{authenticate, decode},
};

/// Handles one call.
pub(super) async fn run(service: Arc<ServiceState>, mut call: IncomingCall) {
    let asked = ask(&service, &call.metadata, &mut call.receiver).await;
    let asked = asked.and_then(|(machine, register)| {
        let hub = service.hub(&register.hub)?;
        Ok((machine, register, hub))
    });
    let (machine, register, hub) = match asked {
        Ok(asked) => asked,
        Err(status) => {
            // An ended call has told its peer already.
            let _ = call.sender.finish(Err(status), Metadata::new());
            return;
        }
    };
    tracing::info!(
        hub = register.hub,
        app = register.app,
        version = register.app_version,
        peer = %call.peer,
        "an upstream registers in plain calls"
    );
    let key = hub.new_link_key();
    let link = Arc::new(Link::in_calls(call.sender, key, machine));
    let registered = Registered { hub, key, link };
    registered.enter(register);
    registered.stay(&call.cancellation).await;
}

/// What the call asks for, once it is known that it may.
async fn ask(
    service: &ServiceState,
    metadata: &Metadata,
    receiver: &mut Receiver,
) -> Result<(ServiceCalls, v1::Register), Status> {
    let token = authenticate(service, metadata)?;
    let mut messages = Vec::new();
    let reading = async {
        // The call lets no half-close through without the one message.
        while receiver.next_batch(&mut messages).await? > 0 {}
        Ok::<(), CallError>(())
    };
    let late = |_| Status::new(Code::DeadlineExceeded, "no register came in time");
    let patience = service.config.link.register_timeout;
    timeout(patience, reading).await.map_err(late)??;
    let mut message: RegisterMessage = decode(messages.pop().unwrap_or_default())?;
    message.hub = resolve(&token, &message.hub)?;
    ServiceCalls::new(message)
}

/// A registration and its call.
struct Registered {
    hub: Arc<HubDriver>,
    key: LinkKey,
    link: Arc<Link>,
}

impl Drop for Registered {
    /// However the task ends, the hub hears of it.
    fn drop(&mut self) {
        self.hub.leave_calls(&self.link);
    }
}

impl Registered {
    fn enter(&self, register: v1::Register) {
        let register = Input::Register {
            link: self.key,
            handle: Arc::clone(&self.link),
            register: Box::new(register),
            registration: unguessable_id(),
            resume_token: unguessable_id().into_bytes().into(),
        };
        self.hub.enter_calls(&self.link, register);
    }

    /// Until the hub ends the call, or the upstream does.
    async fn stay(&self, cancellation: &Cancellation) {
        let reason = tokio::select! {
            biased;
            () = self.link.ended() => return,
            reason = cancellation.cancelled() => reason,
        };
        if reason == CancelReason::Stopping {
            // It may still finish: with the answers to what it was sent.
            self.hub.turn([Input::Drain(self.key)]);
            tokio::select! {
                () = self.link.ended() => {}
                () = self.link.call_ended() => {}
            }
        }
    }
}
