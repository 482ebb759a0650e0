//! Which protocol a socket speaks, by the name that the handshake agreed on (RFC 6455, section 1.9).

/// pw_rpc's packets with Headwater's extension fields, which both ends are then known to understand.
pub(crate) const HEADWATER: &str = "headwater.v1.pw_rpc";
/// pw_rpc's packets.
pub(crate) const PW_RPC: &str = "pw_rpc";

/// What a socket speaks whose client named no subprotocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Unnamed {
    /// pw_rpc's packets, one in each binary message.
    #[default]
    PwRpc,
    /// zrpc's frames.
    Zrpc,
}

/// What a session speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    PwRpc { extended: bool },
    Zrpc { name: Option<&'static str> },
}

/// What to speak with a client that offers these, and the name to answer with. The first name that is known wins, for a
/// client names the one that it likes best first. `None`: it offers only names that nobody here knows.
pub(crate) fn choose<'a>(
    offered: impl Iterator<Item = &'a str>,
    unnamed: Unnamed,
) -> Option<(Protocol, Option<&'static str>)> {
    let mut none_offered = true;
    for name in offered {
        none_offered = false;
        let known = match name {
            HEADWATER => Some((Protocol::PwRpc { extended: true }, HEADWATER)),
            PW_RPC => Some((Protocol::PwRpc { extended: false }, PW_RPC)),
            _ => crate::zrpc::SUBPROTOCOLS
                .iter()
                .find(|known| **known == name)
                .map(|known| (Protocol::Zrpc { name: Some(known) }, *known)),
        };
        if let Some((protocol, name)) = known {
            return Some((protocol, Some(name)));
        }
    }
    let protocol = match unnamed {
        Unnamed::PwRpc => Protocol::PwRpc { extended: false },
        Unnamed::Zrpc => Protocol::Zrpc { name: None },
    };
    none_offered.then_some((protocol, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_name_wins_and_no_name_is_a_setting() {
        let extended = (Protocol::PwRpc { extended: true }, Some(HEADWATER));
        let plain = (Protocol::PwRpc { extended: false }, Some(PW_RPC));
        let name = Some("zrpc");
        let zrpc = (Protocol::Zrpc { name }, name);
        let cases: [(&[&str], _); 6] = [
            (&["headwater.v1.pw_rpc", "pw_rpc"], Some(extended)),
            (&["pw_rpc", "headwater.v1.pw_rpc"], Some(plain)),
            (&["chat", "zrpc"], Some(zrpc)),
            (&["ZRPC"], None),
            (&["chat"], None),
            (&[], Some((Protocol::PwRpc { extended: false }, None))),
        ];
        for (offered, expected) in cases {
            let chosen = choose(offered.iter().copied(), Unnamed::PwRpc);
            assert_eq!(chosen, expected, "{offered:?}");
        }
        let old = choose([].into_iter(), Unnamed::Zrpc);
        assert_eq!(old, Some((Protocol::Zrpc { name: None }, None)));
    }
}
