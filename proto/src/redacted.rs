//! `Debug` of what holds a secret: the secret does not show.

use core::fmt;

use crate::v1;

/// Stands for a secret.
pub(crate) struct Redacted;

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl fmt::Debug for v1::Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered")
            .field("registration", &self.registration)
            .field("resume_token", &Redacted)
            .field("epoch", &self.epoch)
            .field("resumed", &self.resumed)
            .field("applied", &self.applied)
            .field("limits", &self.limits)
            .finish()
    }
}

impl fmt::Debug for v1::Resume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resume")
            .field("registration", &self.registration)
            .field("token", &Redacted)
            .finish()
    }
}

impl fmt::Debug for v1::Authenticate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticate")
            .field("token", &Redacted)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use crate::v1::{self, service_frame, upstream_frame};

    #[test]
    fn debug_hides_the_tokens_of_frames_and_shows_the_rest() {
        let registered = service_frame::Frame::Registered(
            v1::Registered {
                registration: "r1".into(),
                resume_token: (&b"secret"[..]).into(),
                ..Default::default()
            }
            .into(),
        );
        let register = upstream_frame::Frame::Register(
            v1::Register {
                resume: Some(v1::Resume {
                    registration: "r1".into(),
                    token: (&b"secret"[..]).into(),
                }),
                ..Default::default()
            }
            .into(),
        );
        let authenticate = upstream_frame::Frame::Authenticate(v1::Authenticate {
            token: "secret".into(),
        });
        let shown = [
            (format!("{registered:?}"), true),
            (format!("{register:?}"), true),
            (format!("{authenticate:?}"), false),
        ];
        for (text, names_registration) in shown {
            assert!(!text.contains("secret"), "{text}");
            assert!(text.contains("<redacted>"), "{text}");
            assert_eq!(text.contains("\"r1\""), names_registration, "{text}");
        }
    }
}
