//! What is sent: a JSON object whose fields are taken one by one, so that each mistake has its field's name.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::lines::Line;
use super::problem::Problem;

/// The most bytes that are read of a body. A camera with every field filled takes about two thousand.
pub(super) const LIMIT: usize = 64 * 1024;
/// How long a body may take to come; a test need not wait so long for it.
const TIME: Duration = Duration::from_millis(if cfg!(test) { 500 } else { 15_000 });

/// The fields of a body, not yet taken.
#[derive(Debug)]
pub(super) struct Fields {
    given: Map<String, Value>,
}

/// What a request says about one field: nothing, that it be cleared, or what it shall be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said<T> {
    /// The field is absent: it stays as it is.
    Nothing,
    /// The field is `null`: back to what it is when nothing is said.
    Clear,
    /// The field is given.
    Set(T),
}

impl<S: Sync + Send> FromRequest<S> for Fields {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        // A page elsewhere cannot send this type without asking first, and is never answered when it asks.
        if !says_json(request.headers()) {
            return Err(Problem::media_type());
        }
        let too_long = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<u64>().ok())
            .is_some_and(|length| length > LIMIT as u64);
        if too_long {
            return Err(Problem::too_large(LIMIT));
        }
        let line = request.extensions().get::<Arc<Line>>().cloned();
        // Until it is here, this connection goes before others that are of use.
        let rest = line.map(|line| line.await_the_rest());
        let bytes = tokio::time::timeout(TIME, axum::body::to_bytes(request.into_body(), LIMIT))
            .await
            .map_err(|_| {
                let seconds = TIME.as_secs_f64();
                Problem::invalid(format!("the body did not come within {seconds} s"))
            })?
            .map_err(|error| {
                // The limit is the one thing that makes axum's own error; the other is a caller who left.
                if std::error::Error::source(&error).is_some_and(|cause| cause.to_string().contains("limit")) {
                    Problem::too_large(LIMIT)
                } else {
                    Problem::invalid("the request ended before its body did")
                }
            })?;
        drop(rest);
        Self::parse(&bytes)
    }
}

/// The fields of a body that may be left out altogether.
#[derive(Debug)]
pub(super) struct MaybeFields(pub(super) Fields);

impl<S: Sync + Send> FromRequest<S> for MaybeFields {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        use axum::body::HttpBody;
        if request.body().is_end_stream() {
            let given = Map::new();
            return Ok(Self(Fields { given }));
        }
        Fields::from_request(request, state).await.map(Self)
    }
}

fn says_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media| {
            let media = media.trim().to_ascii_lowercase();
            media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"))
        })
}

/// An object whose fields are given once each: of two that contradict one another, none is meant.
struct Object(Map<String, Value>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;
        impl<'de> Visitor<'de> for Once {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object, like {\"name\": \"Front door\"}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Object, A::Error> {
                let mut given = Map::new();
                while let Some((name, value)) = access.next_entry::<String, Value>()? {
                    if given.contains_key(&name) {
                        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
                        return Err(A::Error::custom(format!("{shown}: this field is given twice")));
                    }
                    given.insert(name, value);
                }
                Ok(Object(given))
            }
        }
        deserializer.deserialize_map(Once)
    }
}

impl Fields {
    /// Reads a body.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        match serde_json::from_slice(bytes) {
            Ok(Object(given)) => Ok(Self { given }),
            // Sound JSON, but no object, or one that says a thing twice.
            Err(error) if error.is_data() => {
                let said = error.to_string();
                let said = said.split(" at line ").next().unwrap_or_default();
                Err(Problem::invalid(said))
            }
            Err(error) => Err(Problem::invalid(format!(
                "this is not JSON: line {}, column {}",
                error.line(),
                error.column()
            ))),
        }
    }

    /// Takes a field.
    pub(super) fn take<T: FromField>(&mut self, name: &str) -> Result<Said<T>, Problem> {
        match self.given.remove(name) {
            None => Ok(Said::Nothing),
            Some(Value::Null) => Ok(Said::Clear),
            Some(value) => T::read(value)
                .map(Said::Set)
                .map_err(|message| Problem::field(name, message)),
        }
    }

    /// Whether a field is given, and not cleared.
    pub(super) fn gives(&self, name: &str) -> bool {
        self.given.get(name).is_some_and(|value| !value.is_null())
    }

    /// Lets a field go that only answers carry, so that an answer can be sent back whole.
    pub(super) fn ignore(&mut self, name: &str) {
        self.given.remove(name);
    }

    /// Refuses what nobody took.
    pub(super) fn done(self, known: &[&str]) -> Result<(), Problem> {
        let Some(name) = self.given.keys().next() else {
            return Ok(());
        };
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        Err(Problem::field(
            &shown,
            format!("unknown field; known are {}", known.join(", ")),
        ))
    }
}

/// A type that a field can hold.
pub(super) trait FromField: Sized {
    /// Reads it, or says what would be right. The value itself is repeated only where it can be no secret.
    fn read(value: Value) -> Result<Self, String>;
}

/// Longest text in any field.
const LONGEST: usize = 2048;

impl FromField for String {
    fn read(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) if text.len() > LONGEST => Err(format!("at most {LONGEST} bytes of text")),
            Value::String(text) if text.chars().any(char::is_control) => {
                Err("a text without control characters, please".to_owned())
            }
            Value::String(text) => Ok(text),
            other => Err(format!("expected a text, got {}", kind(&other))),
        }
    }
}

impl FromField for crate::model::Secret {
    fn read(value: Value) -> Result<Self, String> {
        String::read(value).map(Self::new)
    }
}

impl FromField for crate::model::Timestamp {
    fn read(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Self::parse(&text).map_err(|error| error.to_string()),
            other => Err(format!("expected a time, got {}", kind(&other))),
        }
    }
}

/// Longest list of texts.
const MOST: usize = 1000;

impl FromField for Vec<String> {
    fn read(value: Value) -> Result<Self, String> {
        match value {
            Value::Array(list) if list.len() > MOST => Err(format!("at most {MOST} of them")),
            Value::Array(list) => list.into_iter().map(String::read).collect(),
            other => Err(format!("expected a list of texts, got {}", kind(&other))),
        }
    }
}

impl FromField for f64 {
    fn read(value: Value) -> Result<Self, String> {
        value
            .as_f64()
            .ok_or_else(|| format!("expected a number, got {}", kind(&value)))
    }
}

impl FromField for bool {
    fn read(value: Value) -> Result<Self, String> {
        value
            .as_bool()
            .ok_or_else(|| format!("expected true or false, got {}", kind(&value)))
    }
}

macro_rules! whole_numbers {
    ($($type:ty),+) => {$(
        impl FromField for $type {
            fn read(value: Value) -> Result<Self, String> {
                let number = value.as_i64().and_then(|n| Self::try_from(n).ok());
                let number = number.or_else(|| value.as_u64().and_then(|n| Self::try_from(n).ok()));
                number.ok_or_else(|| match &value {
                    Value::Number(given) => format!("{given} is no whole number from {} to {}", Self::MIN, Self::MAX),
                    other => format!("expected a whole number, got {}", kind(other)),
                })
            }
        }
    )+};
}
whole_numbers!(u16, u32, u64, i32);

macro_rules! word_fields {
    ($($type:ty),+) => {$(
        impl FromField for $type {
            fn read(value: Value) -> Result<Self, String> {
                let words = || Self::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>().join(", ");
                match value.as_str() {
                    Some(word) => Self::parse(word).ok_or_else(|| {
                        let shown: String = word.chars().filter(|c| !c.is_control()).take(40).collect();
                        format!("`{shown}` is none of {}", words())
                    }),
                    None => Err(format!("expected one of {}, got {}", words(), kind(&value))),
                }
            }
        }
    )+};
}
word_fields!(
    crate::model::Vendor,
    crate::model::RecordStream,
    crate::model::Transport,
    crate::model::TimeSource,
    crate::model::RecordMode,
    crate::model::ClipMode
);

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{Secret, Vendor};

    fn fields(text: &str) -> Fields {
        Fields::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn absent_null_and_given_are_three_things() {
        let mut fields = fields(r#"{"a": null, "b": 5}"#);
        assert_eq!(fields.take::<u16>("a").unwrap(), Said::Clear);
        assert_eq!(fields.take::<u16>("b").unwrap(), Said::Set(5));
        assert_eq!(fields.take::<u16>("c").unwrap(), Said::Nothing);
        fields.done(&[]).unwrap();
    }

    #[test]
    fn each_mistake_names_its_field_and_what_would_be_right() {
        let detail = |problem: Problem| problem.detail().to_owned();
        let mut sent = fields(r#"{"port": "554", "big": 70000, "half": 1.5, "vendor": "acme", "on": 1, "x": 0}"#);
        assert_eq!(
            detail(sent.take::<u16>("port").unwrap_err()),
            "port: expected a whole number, got a text"
        );
        assert_eq!(
            detail(sent.take::<u16>("big").unwrap_err()),
            "big: 70000 is no whole number from 0 to 65535"
        );
        assert!(detail(sent.take::<u32>("half").unwrap_err()).starts_with("half: 1.5 is no whole number"));
        assert_eq!(
            detail(sent.take::<Vendor>("vendor").unwrap_err()),
            "vendor: `acme` is none of generic, hikvision, dahua, axis, onvif"
        );
        assert_eq!(
            detail(sent.take::<bool>("on").unwrap_err()),
            "on: expected true or false, got a number"
        );
        assert_eq!(
            detail(sent.done(&["port", "on"]).unwrap_err()),
            "x: unknown field; known are port, on"
        );
    }

    #[test]
    fn a_secret_of_the_wrong_type_is_not_repeated() {
        let mut sent = fields(r#"{"password": 123456, "url": "a\nhunter2"}"#);
        for name in ["password", "url"] {
            let problem = sent.take::<Secret>(name).unwrap_err();
            assert!(!problem.detail().contains("123456") && !problem.detail().contains("hunter2"));
        }
    }

    #[test]
    fn what_is_no_object_is_refused_with_its_place() {
        assert!(Fields::parse(b"[]").unwrap_err().detail().contains("JSON object"));
        let twice = Fields::parse(br#"{"a": 1, "b": 2, "a": 3}"#).unwrap_err();
        assert_eq!(twice.detail(), "a: this field is given twice");
        let problem = Fields::parse(b"{\"a\": }").unwrap_err();
        assert_eq!(problem.detail(), "this is not JSON: line 1, column 7");
        let deep = "[".repeat(100_000);
        assert!(Fields::parse(deep.as_bytes()).is_err());
    }
}
