//! What can be wrong with a configuration, said with the place where it stands.

use std::path::PathBuf;

use crate::model::Fault;

/// Why a configuration is refused. Each variant says where the mistake stands and what would be allowed there.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file was named by a person and cannot be read.
    #[error(
        "cannot read the configuration {}: {cause}; give an existing file, or leave out --config and CAMKEEP_CONFIG to start with the defaults",
        path.display()
    )]
    Unreadable {
        /// The file as it was named.
        path: PathBuf,
        /// What the system answered.
        #[source]
        cause: std::io::Error,
    },
    /// A place in the file is wrong.
    #[error("{}, line {line}, column {column}: {problem}", path.display())]
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The column in characters, counted from 1.
        column: usize,
        /// The key, `section.name`, as far as one can be told.
        key: Option<String>,
        /// The key, what is wrong with it and what is allowed.
        problem: String,
    },
    /// An environment variable is wrong.
    #[error("environment variable {name}: {problem}")]
    Variable {
        /// The variable.
        name: String,
        /// What is wrong with it and what is allowed.
        problem: String,
    },
}

impl ConfigError {
    /// Which kind of trouble this is: always somebody's input, never the machine's.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::Invalid
    }
}
