//! The registration.

use headwater_proto::{v1, wps_rpc};

/// The registration as the message of the call. What a Link resumes is left out.
pub fn register_message(register: v1::Register) -> wps_rpc::RegisterMessage {
    let window = register.window.unwrap_or_default();
    let filter = |events: v1::EventFilter| wps_rpc::EventFilter {
        connect: events.connect,
        connected: events.connected,
        disconnected: events.disconnected,
        messages: events.messages,
    };
    wps_rpc::RegisterMessage {
        app: register.app,
        events: register.events.map(filter),
        window_events: window.events,
        window_bytes: window.bytes,
        app_version: register.app_version,
        hub: register.hub,
    }
}

/// The message of the call as a registration, which resumes none.
pub fn register(message: wps_rpc::RegisterMessage) -> v1::Register {
    let filter = |events: wps_rpc::EventFilter| v1::EventFilter {
        connect: events.connect,
        connected: events.connected,
        disconnected: events.disconnected,
        messages: events.messages,
    };
    v1::Register {
        hub: message.hub,
        app: message.app,
        events: message.events.map(filter),
        window: Some(v1::Window {
            events: message.window_events,
            bytes: message.window_bytes,
        }),
        resume: None,
        app_version: message.app_version,
    }
}
