//! A value in a JSON text that knows where it stands, so that an error can say so.

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
};
use core::time::Duration;

use serde_json::Value;

use super::duration;

/// Why a text is no service config.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct ConfigError {
    /// Where, such as `methodConfig[0].retryPolicy.maxAttempts`; `$` for the whole text.
    pub path: String,
    /// What is wrong there, for people.
    pub problem: String,
}

/// A value and its place.
pub(super) struct Node<'a> {
    value: &'a Value,
    path: String,
}

impl<'a> Node<'a> {
    pub(super) const fn root(value: &'a Value) -> Self {
        let path = String::new();
        Self { value, path }
    }

    pub(super) fn error(&self, problem: impl Into<String>) -> ConfigError {
        let path = match &*self.path {
            "" => "$",
            path => path,
        };
        ConfigError {
            path: path.to_owned(),
            problem: problem.into(),
        }
    }

    fn below(&self, value: &'a Value, name: &str) -> Self {
        let path = match &*self.path {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        Self { value, path }
    }

    pub(super) fn check_object(&self) -> Result<(), ConfigError> {
        if self.value.is_object() {
            return Ok(());
        }
        Err(self.error("must be an object"))
    }

    /// The field of an object, unless it is missing or `null`.
    pub(super) fn field(&self, name: &str) -> Option<Self> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        Some(self.below(value, name))
    }

    /// The field of an object that has to be there.
    pub(super) fn required(&self, name: &str) -> Result<Self, ConfigError> {
        let missing = || self.below(&Value::Null, name).error("is required");
        self.field(name).ok_or_else(missing)
    }

    /// The one field of an object, and its name.
    pub(super) fn only_field(&self) -> Result<(&'a str, Self), ConfigError> {
        let mut fields = self.value.as_object().into_iter().flatten();
        match (fields.next(), fields.next()) {
            (Some((name, value)), None) => Ok((name, self.below(value, name))),
            _ => Err(self.error("must be an object with exactly one field")),
        }
    }

    /// The items of an array.
    pub(super) fn items(&self) -> Result<impl Iterator<Item = Self>, ConfigError> {
        let Some(items) = self.value.as_array() else {
            return Err(self.error("must be an array"));
        };
        Ok(items.iter().enumerate().map(|(index, value)| Self {
            value,
            path: format!("{}[{index}]", self.path),
        }))
    }

    pub(super) fn text(&self) -> Result<&'a str, ConfigError> {
        let text = self.value.as_str();
        text.ok_or_else(|| self.error("must be a string"))
    }

    pub(super) fn flag(&self) -> Result<bool, ConfigError> {
        let flag = self.value.as_bool();
        flag.ok_or_else(|| self.error("must be true or false"))
    }

    /// A finite number; protobuf's JSON writes it as a string as well.
    pub(super) fn number(&self) -> Result<f64, ConfigError> {
        let number = match self.value.as_str() {
            Some(text) => text.parse().ok(),
            None => self.value.as_f64(),
        };
        let number = number.filter(|number: &f64| number.is_finite());
        number.ok_or_else(|| self.error("must be a number"))
    }

    /// A number without decimals that fits 32 bits, as a number or a string.
    pub(super) fn whole(&self) -> Result<u32, ConfigError> {
        let number = self.number()?;
        if number < 0.0 || number > f64::from(u32::MAX) || f64::from(number as u32) != number {
            return Err(self.error("must be a whole number from 0 to 4294967295"));
        }
        Ok(number as u32)
    }

    pub(super) fn duration(&self) -> Result<Duration, ConfigError> {
        let problem = || self.error("must be a duration such as \"1.5s\", and not below zero");
        let text = self.value.as_str();
        text.and_then(duration::parse).ok_or_else(problem)
    }

    /// A duration above zero.
    pub(super) fn some_time(&self) -> Result<Duration, ConfigError> {
        let duration = self.duration()?;
        if duration.is_zero() {
            return Err(self.error("must be more than zero"));
        }
        Ok(duration)
    }
}

/// Reads the text of a whole configuration.
pub(super) fn read(text: &str) -> Result<Value, ConfigError> {
    serde_json::from_str(text).map_err(|error| ConfigError {
        path: "$".to_owned(),
        problem: error.to_string(),
    })
}
