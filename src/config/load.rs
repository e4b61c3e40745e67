//! Reading the configuration: defaults, then the file, then the environment, then flags, each over the one before.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::keys::{Config, KEYS, Key};
use super::source::{Setting, Source};
use super::value::Given;

/// What a person gave on the command line.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config FILE`
    pub config: Option<PathBuf>,
    /// `--data DIR`
    pub data: Option<PathBuf>,
    /// `--mirror DIR`
    pub mirror: Option<PathBuf>,
    /// `--listen ADDR:PORT`
    pub listen: Option<SocketAddr>,
}

const PREFIX: &str = "CAMKEEP_";
const FILE_VARIABLE: &str = "CAMKEEP_CONFIG";

impl Config {
    /// Puts the configuration together. Give it `std::env::vars_os()`: unlike `vars()` that does not panic on a variable,
    /// of whatever program, which is not UTF-8. A variable that is set to nothing counts as not set.
    ///
    /// # Errors
    /// The first mistake found, with its place: a file that is named and cannot be read, an unknown key or variable, a
    /// value that is not allowed.
    pub fn load<K, V>(flags: &Flags, environment: impl IntoIterator<Item = (K, V)>) -> Result<Self, ConfigError>
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let ours: BTreeMap<String, OsString> = environment
            .into_iter()
            .filter(|(_, value)| !value.as_ref().is_empty())
            .filter_map(|(name, value)| Some((name.as_ref().to_str()?.to_owned(), value.as_ref().to_owned())))
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect();
        let mut config = Self::default();
        if let Some(file) = flags
            .config
            .clone()
            .or_else(|| ours.get(FILE_VARIABLE).map(PathBuf::from))
        {
            config.read_file(&file)?;
        }
        for (name, value) in &ours {
            config.read_variable(name, value)?;
        }
        if let Some(data) = &flags.data {
            config.storage.data.clone_from(data);
            config.sources.put("storage.data".to_owned(), Source::Flag("--data"));
        }
        if let Some(mirror) = &flags.mirror {
            config.storage.mirror = Some(mirror.clone());
            config
                .sources
                .put("storage.mirror".to_owned(), Source::Flag("--mirror"));
        }
        if let Some(listen) = flags.listen {
            config.http.listen = listen;
            config.sources.put("http.listen".to_owned(), Source::Flag("--listen"));
        }
        Ok(config)
    }

    /// Every key with the value in force and who set it, in the order of the example file.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let mut copy = self.clone();
        KEYS.iter()
            .map(|key| Setting {
                key: key.path(),
                value: (key.slot)(&mut copy).show(),
                allowed: (key.slot)(&mut copy).allowed(),
                source: self.sources.of(&key.path()),
            })
            .collect()
    }

    fn read_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let bytes = std::fs::read(path).map_err(|cause| ConfigError::Unreadable {
            path: path.to_owned(),
            cause,
        })?;
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            Err(broken) => {
                let readable = String::from_utf8_lossy(&bytes[..broken.valid_up_to()]);
                let file = File { path, text: &readable };
                let key = file.key_at(readable.len());
                return Err(file.wrong(
                    readable.len(),
                    key,
                    "this is not UTF-8 text; save the file as UTF-8".to_owned(),
                ));
            }
        };
        let file = File { path, text };
        let table = DeTable::parse(text).map_err(|broken| {
            let at = broken.span().map_or(0, |span| span.start);
            let key = file.key_at(at);
            let problem = match &key {
                Some(key) => format!("`{key}`: {}", broken.message()),
                None => broken.message().to_owned(),
            };
            file.wrong(at, key, problem)
        })?;
        for (section, at, value) in in_order(table.get_ref()) {
            let DeValue::Table(keys) = value.get_ref() else {
                return Err(file.wrong(at.start, Some(section.to_owned()), not_a_section(section)));
            };
            if !sections().contains(&section) {
                let problem = format!("[{section}] is no section; the sections are {}", listed(sections()));
                return Err(file.wrong(at.start, Some(section.to_owned()), problem));
            }
            for (name, at, value) in in_order(keys) {
                let Some(key) = KEYS.iter().find(|key| key.section == section && key.name == name) else {
                    let problem = format!(
                        "`{section}.{name}` is no key; the keys of [{section}] are {}",
                        keys_of(section)
                    );
                    return Err(file.wrong(at.start, Some(format!("{section}.{name}")), problem));
                };
                let source = Source::File {
                    path: path.to_owned(),
                    line: file.place(at.start).0,
                };
                key.set(self, &Given::Toml(value.get_ref()), source)
                    .map_err(|problem| file.wrong(value.span().start, Some(key.path()), problem))?;
            }
        }
        Ok(())
    }

    fn read_variable(&mut self, name: &str, value: &OsStr) -> Result<(), ConfigError> {
        let wrong = |problem: String| ConfigError::Variable {
            name: name.to_owned(),
            problem,
        };
        let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
            // Other variables of ours (CAMKEEP_LOG, CAMKEEP_SERVER) belong to other readers; in one of our sections it
            // can only be a mistyped key, which must not go unseen.
            let section = sections().into_iter().find(|section| {
                name.strip_prefix(PREFIX)
                    .and_then(|rest| rest.strip_prefix(section.to_uppercase().as_str()))
                    .is_some_and(|rest| rest.starts_with('_'))
            });
            return match section {
                Some(section) => {
                    let known: Vec<String> = KEYS
                        .iter()
                        .filter(|key| key.section == section)
                        .map(Key::variable)
                        .collect();
                    Err(wrong(format!(
                        "no key has this name; for [{section}] there are {}",
                        known.join(", ")
                    )))
                }
                None => Ok(()),
            };
        };
        let text = value
            .to_str()
            .ok_or_else(|| wrong(format!("the value for `{}` is not UTF-8 text", key.path())))?;
        key.set(self, &Given::Text(text), Source::Variable(name.to_owned()))
            .map_err(wrong)
    }
}

/// The file being read, for saying where in it something stands.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    /// Line and column, from 1, the column in characters.
    fn place(&self, at: usize) -> (usize, usize) {
        let before = self.before(at);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (
            before.matches('\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }

    fn before(&self, at: usize) -> &str {
        let mut end = at.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        &self.text[..end]
    }

    /// The key that a place belongs to, where the parser gave up and cannot tell: the word left of the `=` in that line,
    /// under the last section header above it.
    fn key_at(&self, at: usize) -> Option<String> {
        let before = self.before(at);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[line_start..].lines().next().unwrap_or_default();
        let (name, _) = line.split_once('=')?;
        let name = name.trim();
        let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-' || letter == '.';
        if name.is_empty() || !name.chars().all(word) {
            return None;
        }
        let header = before[..line_start]
            .lines()
            .rev()
            .find_map(|line| line.trim().strip_prefix('[')?.split(']').next());
        Some(header.map_or_else(|| name.to_owned(), |section| format!("{}.{name}", section.trim())))
    }

    fn wrong(&self, at: usize, key: Option<String>, problem: String) -> ConfigError {
        let (line, column) = self.place(at);
        ConfigError::File {
            path: self.path.to_owned(),
            line,
            column,
            key,
            problem,
        }
    }
}

/// The entries of a table as they stand in the file, so that the first mistake a reader meets is the one reported.
fn in_order<'a, 'i>(table: &'a DeTable<'i>) -> Vec<(&'a str, Range<usize>, &'a Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(name, value)| (name.get_ref().as_ref(), name.span(), value))
        .collect();
    entries.sort_by_key(|(_, at, _)| at.start);
    entries
}

fn sections() -> Vec<&'static str> {
    let mut names: Vec<&'static str> = KEYS.iter().map(|key| key.section).collect();
    names.dedup();
    names
}

fn listed(names: Vec<&str>) -> String {
    names
        .iter()
        .map(|name| format!("[{name}]"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn keys_of(section: &str) -> String {
    KEYS.iter()
        .filter(|key| key.section == section)
        .map(|key| key.name)
        .collect::<Vec<_>>()
        .join(", ")
}

fn not_a_section(name: &str) -> String {
    let homes: Vec<String> = KEYS
        .iter()
        .filter(|key| key.name == name)
        .map(|key| format!("[{}]", key.section))
        .collect();
    if homes.is_empty() {
        format!(
            "`{name}` stands outside any section; the sections are {}",
            listed(sections())
        )
    } else {
        format!(
            "`{name}` stands outside any section; it belongs under {}",
            homes.join(" or ")
        )
    }
}
