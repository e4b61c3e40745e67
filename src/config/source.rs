//! Who set which value, for the merged view and for messages.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Source {
    /// Nobody set it.
    #[default]
    BuiltIn,
    /// The configuration file, at this line.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// This environment variable.
    Variable(String),
    /// This flag.
    Flag(&'static str),
}

/// One line of the merged view: a key, the value in force and who set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// `section.name`
    pub key: String,
    /// The value as it would stand in the file; none where there is no value.
    pub value: Option<String>,
    /// What may stand there, in words.
    pub allowed: String,
    /// Who set it.
    pub source: Source,
}

/// Who set which key; what is not listed has its default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct KeySources(BTreeMap<String, Source>);

impl KeySources {
    pub(super) fn put(&mut self, key: String, source: Source) {
        self.0.insert(key, source);
    }

    pub(super) fn of(&self, key: &str) -> Source {
        self.0.get(key).cloned().unwrap_or_default()
    }
}
