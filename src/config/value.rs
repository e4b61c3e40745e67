//! Values on their way into the configuration: what was found, where it goes and what may stand there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What people call a gigabyte.
const GIGABYTE: f64 = 1e9;
/// No disk is larger.
const MOST_GIGABYTES: f64 = 1_000_000.0;

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// Only what needs somebody.
    Error,
    /// Also what may need somebody.
    Warn,
    /// Also what happened.
    #[default]
    Info,
    /// Also why.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The word for it in the file and in log filters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// A value as it was found, not yet judged.
pub(super) enum Given<'a> {
    /// From the file, where values have types.
    Toml(&'a toml::de::DeValue<'a>),
    /// From the environment, where everything is text.
    Text(&'a str),
}

impl Given<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Toml(value) => value.as_str(),
            Self::Text(text) => Some(text),
        }
    }

    fn truth(&self) -> Option<bool> {
        match self {
            Self::Toml(value) => value.as_bool(),
            Self::Text(text) => text.parse().ok(),
        }
    }

    fn decimal(&self) -> Option<f64> {
        let number: f64 = match self {
            Self::Toml(value) => match value.as_float() {
                Some(float) => float.as_str().parse().ok()?,
                None => self.number()? as f64,
            },
            Self::Text(text) => text.parse().ok()?,
        };
        (0.0..=MOST_GIGABYTES).contains(&number).then_some(number)
    }

    fn number(&self) -> Option<u64> {
        match self {
            Self::Toml(value) => {
                let integer = value.as_integer()?;
                u64::from_str_radix(integer.as_str().trim_start_matches('+'), integer.radix()).ok()
            }
            Self::Text(text) => text.parse().ok(),
        }
    }

    pub(super) fn describe(&self) -> String {
        use toml::de::DeValue;
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Toml(value) => match value {
                DeValue::String(text) => format!("{text:?}"),
                DeValue::Integer(number) => number.as_str().to_owned(),
                DeValue::Float(number) => number.as_str().to_owned(),
                DeValue::Boolean(truth) => truth.to_string(),
                DeValue::Datetime(date) => format!("the date {date}"),
                DeValue::Array(_) => "a list".to_owned(),
                DeValue::Table(_) => "a table".to_owned(),
            },
        }
    }
}

/// The place of a value in [`Config`], and with it what the value may be.
pub(super) enum Slot<'a> {
    Address(&'a mut SocketAddr),
    Path(&'a mut PathBuf),
    OptionalPath(&'a mut Option<PathBuf>),
    Truth(&'a mut bool),
    Span {
        place: &'a mut Duration,
        unit: Duration,
        word: &'static str,
        least: u64,
        most: u64,
    },
    Number {
        place: &'a mut u64,
        least: u64,
        most: u64,
    },
    /// Gigabytes, held as bytes; nothing where nobody said any.
    Gigabytes(&'a mut Option<u64>),
    Level(&'a mut Level),
}

impl<'a> Slot<'a> {
    pub(super) fn seconds(place: &'a mut Duration, least: u64, most: u64) -> Self {
        Self::Span {
            place,
            unit: Duration::from_secs(1),
            word: "seconds",
            least,
            most,
        }
    }

    pub(super) fn hours(place: &'a mut Duration, least: u64, most: u64) -> Self {
        Self::Span {
            place,
            unit: Duration::from_secs(3600),
            word: "hours",
            least,
            most,
        }
    }

    pub(super) fn millis(place: &'a mut Duration, least: u64, most: u64) -> Self {
        Self::Span {
            place,
            unit: Duration::from_millis(1),
            word: "milliseconds",
            least,
            most,
        }
    }

    pub(super) fn number(place: &'a mut u64, least: u64, most: u64) -> Self {
        Self::Number { place, least, most }
    }

    /// Takes the value if it is allowed here; says whether it was.
    pub(super) fn set(self, given: &Given<'_>) -> bool {
        match self {
            Self::Address(place) => put(place, given.text().and_then(|text| text.parse().ok())),
            Self::Path(place) => put(place, path(given)),
            Self::OptionalPath(place) => put(place, path(given).map(Some)),
            Self::Truth(place) => put(place, given.truth()),
            Self::Span {
                place,
                unit,
                least,
                most,
                ..
            } => {
                let allowed = given.number().filter(|number| (least..=most).contains(number));
                let count = allowed.and_then(|number| u32::try_from(number).ok());
                put(place, count.and_then(|count| unit.checked_mul(count)))
            }
            Self::Number { place, least, most } => {
                put(place, given.number().filter(|number| (least..=most).contains(number)))
            }
            Self::Gigabytes(place) => put(place, given.decimal().map(|number| Some((number * GIGABYTE) as u64))),
            Self::Level(place) => put(
                place,
                given
                    .text()
                    .and_then(|text| Level::ALL.into_iter().find(|level| level.as_str() == text)),
            ),
        }
    }

    /// What may stand here, in words that end a sentence.
    pub(super) fn allowed(&self) -> String {
        match self {
            Self::Address(_) => "an IP address and a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"".to_owned(),
            Self::Path(_) | Self::OptionalPath(_) => "the path of a directory, as text".to_owned(),
            Self::Truth(_) => "true or false".to_owned(),
            Self::Span { word, least, most, .. } => format!("a whole number of {word} from {least} to {most}"),
            Self::Number { least, most, .. } => format!("a whole number from {least} to {most}"),
            Self::Gigabytes(_) => format!("a number of gigabytes from 0 to {MOST_GIGABYTES}"),
            Self::Level(_) => {
                let words: Vec<String> = Level::ALL.iter().map(|level| format!("{:?}", level.as_str())).collect();
                format!("one of {}", words.join(", "))
            }
        }
    }

    /// The value as it would stand in the file; nothing where there is none.
    pub(super) fn show(&self) -> Option<String> {
        let text = |text: &str| toml::Value::from(text).to_string();
        match self {
            Self::Address(place) => Some(text(&place.to_string())),
            Self::Path(place) => Some(text(&place.to_string_lossy())),
            Self::OptionalPath(place) => place.as_ref().map(|path| text(&path.to_string_lossy())),
            Self::Truth(place) => Some(place.to_string()),
            Self::Span { place, unit, .. } => Some((place.as_millis() / unit.as_millis().max(1)).to_string()),
            Self::Number { place, .. } => Some(place.to_string()),
            Self::Gigabytes(place) => place.map(|bytes| (bytes as f64 / GIGABYTE).to_string()),
            Self::Level(place) => Some(text(place.as_str())),
        }
    }
}

/// An empty path would silently mean the directory the daemon happens to be started in.
fn path(given: &Given<'_>) -> Option<PathBuf> {
    given
        .text()
        .filter(|text| !text.trim().is_empty() && !text.contains('\0'))
        .map(PathBuf::from)
}

fn put<T>(place: &mut T, value: Option<T>) -> bool {
    match value {
        Some(value) => {
            *place = value;
            true
        }
        None => false,
    }
}
