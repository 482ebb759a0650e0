//! The query of a client's URL.

use std::collections::BTreeMap;

use headwater_core::hub::SimpleMode;
use headwater_proto::{subprotocol::group_name_is_valid, v1::Values};

/// The parameters, each with its values in their order.
#[derive(Debug, Default)]
pub(super) struct Query {
    parameters: BTreeMap<String, Vec<String>>,
}

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        let mut parameters = BTreeMap::<_, Vec<_>>::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            parameters
                .entry(name.into_owned())
                .or_default()
                .push(value.into_owned());
        }
        Self { parameters }
    }

    /// The first value of this name.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.parameters.get(name)?.first().map(String::as_str)
    }

    /// What simple frames are.
    ///
    /// # Errors
    ///
    /// Why the request is refused with 400.
    pub(super) fn simple_mode(&self) -> Result<SimpleMode, &'static str> {
        match self.first("webpubsub_mode") {
            None => Ok(SimpleMode::SendEvent),
            Some(mode) if mode.eq_ignore_ascii_case("sendEvent") => Ok(SimpleMode::SendEvent),
            Some(mode) if mode.eq_ignore_ascii_case("sendToGroup") => {
                self.group().map(SimpleMode::SendToGroup)
            }
            Some(_) => Err("webpubsub_mode is neither sendEvent nor sendToGroup"),
        }
    }

    fn group(&self) -> Result<String, &'static str> {
        match self.parameters.get("group").map(Vec::as_slice) {
            Some([group]) if group_name_is_valid(group) => Ok(group.clone()),
            Some([_]) => Err("this is not the name of a group"),
            Some(_) | None => Err("webpubsub_mode=sendToGroup needs exactly one group"),
        }
    }

    /// What the application is shown: everything but the token.
    pub(super) fn shown(self) -> BTreeMap<String, Values> {
        let shown = self
            .parameters
            .into_iter()
            .filter(|(name, _)| name != "access_token");
        shown
            .map(|(name, values)| (name, Values { values }))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s1_18_every_value_reaches_the_application_but_not_the_token() {
        let shown = Query::parse("a=1&access_token=secret&a=2&b=%20x").shown();
        let values = |values: &[&str]| Values {
            values: values.iter().map(|&value| value.into()).collect(),
        };
        assert_eq!(
            shown,
            BTreeMap::from([
                ("a".into(), values(&["1", "2"])),
                ("b".into(), values(&[" x"]))
            ])
        );
    }

    #[test]
    fn the_mode_of_simple_frames_is_checked() {
        let mode = |query| Query::parse(query).simple_mode();
        assert_eq!(mode(""), Ok(SimpleMode::SendEvent));
        assert_eq!(mode("webpubsub_mode=sendEvent"), Ok(SimpleMode::SendEvent));
        assert_eq!(
            mode("webpubsub_mode=sendToGroup&group=g"),
            Ok(SimpleMode::SendToGroup("g".into()))
        );
        for bad in [
            "webpubsub_mode=x",
            "webpubsub_mode=sendToGroup",
            "webpubsub_mode=sendToGroup&group=a&group=b",
        ] {
            assert!(mode(bad).is_err(), "{bad}");
        }
    }
}
