//! What a person may write, and what they are told when it is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use super::keys::{KEYS, Key};
use super::{Config, ConfigError, Flags, Level, Source};

const NOTHING: [(&str, &str); 0] = [];

fn written(text: impl AsRef<[u8]>) -> (tempfile::TempDir, Flags) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("box.toml");
    std::fs::write(&file, text).unwrap();
    (
        directory,
        Flags {
            config: Some(file),
            ..Flags::default()
        },
    )
}

/// Loads a wrong file; gives line, column, key and the whole message.
fn refusal(text: impl AsRef<[u8]>) -> (usize, usize, String, String) {
    let (_directory, flags) = written(text);
    let error = Config::load(&flags, NOTHING).expect_err("this file is wrong");
    let message = error.to_string();
    let ConfigError::File {
        path,
        line,
        column,
        key,
        ..
    } = error
    else {
        panic!("no place in {message}")
    };
    assert!(path.ends_with("box.toml"));
    assert!(
        message.contains(&format!("box.toml, line {line}, column {column}: ")),
        "{message}"
    );
    (line, column, key.unwrap_or_default(), message)
}

fn refused_variable(name: &str, value: &str) -> String {
    let message = Config::load(&Flags::default(), [(name, value)])
        .expect_err("this variable is wrong")
        .to_string();
    assert!(message.contains(name), "{message}");
    message
}

#[test]
fn without_anything_the_box_works_on_loopback() {
    let config = Config::load(&Flags::default(), NOTHING).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.storage.data, PathBuf::from("./camkeep-data"));
    assert!(
        config
            .settings()
            .iter()
            .all(|setting| setting.source == Source::BuiltIn)
    );
}

#[test]
fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
    let (directory, mut flags) =
        written("[http]\nlisten = '10.0.0.1:1'\n[storage]\ndata = '/file'\ntail_seconds = 30\n");
    flags.data = Some(PathBuf::from("/flag"));
    let variables = [
        ("CAMKEEP_STORAGE_DATA", "/variable"),
        ("CAMKEEP_HTTP_LISTEN", "[::1]:9000"),
    ];
    let config = Config::load(&flags, variables).unwrap();
    assert_eq!(config.storage.data, PathBuf::from("/flag"));
    assert_eq!(config.http.listen.to_string(), "[::1]:9000");
    assert_eq!(config.storage.tail, Duration::from_secs(30));
    assert_eq!(config.record.stall, Duration::from_secs(5));

    let source = |name: &str| {
        config
            .settings()
            .into_iter()
            .find(|setting| setting.key == name)
            .unwrap()
            .source
    };
    assert_eq!(source("storage.data"), Source::Flag("--data"));
    assert_eq!(
        source("http.listen"),
        Source::Variable("CAMKEEP_HTTP_LISTEN".to_owned())
    );
    assert_eq!(
        source("storage.tail_seconds"),
        Source::File {
            path: directory.path().join("box.toml"),
            line: 5
        }
    );
    assert_eq!(source("record.stall_seconds"), Source::BuiltIn);
}

#[test]
fn every_key_can_be_set_by_file_and_by_variable_alike() {
    let other = |key: &Key| match (key.slot)(&mut Config::default()).show().as_deref() {
        Some("true") => "false".to_owned(),
        Some("\"info\"") => "\"trace\"".to_owned(),
        Some("\"127.0.0.1:8080\"") => "\"0.0.0.0:80\"".to_owned(),
        Some(number) if number.parse::<u64>().is_ok() => "42".to_owned(),
        None if key.name.ends_with("_gb") => "42".to_owned(),
        _ => "\"/elsewhere\"".to_owned(),
    };
    for key in KEYS {
        let value = other(key);
        let (_directory, flags) = written(format!("[{}]\n{} = {value}\n", key.section, key.name));
        let by_file = Config::load(&flags, NOTHING).unwrap();
        let by_variable = Config::load(&Flags::default(), [(key.variable(), value.trim_matches('"'))]).unwrap();
        let shown = |config: &Config| (key.slot)(&mut config.clone()).show();
        assert_eq!(shown(&by_file), Some(value), "{}", key.path());
        assert_eq!(shown(&by_file), shown(&by_variable), "{}", key.path());
        assert_ne!(shown(&by_file), shown(&Config::default()), "{}", key.path());
    }
}

#[test]
fn a_named_and_missing_file_is_refused_with_its_name() {
    let flags = Flags {
        config: Some(PathBuf::from("/nowhere/box.toml")),
        ..Flags::default()
    };
    let by_flag = Config::load(&flags, NOTHING).unwrap_err().to_string();
    let by_variable = Config::load(&Flags::default(), [("CAMKEEP_CONFIG", "/nowhere/box.toml")])
        .unwrap_err()
        .to_string();
    assert!(by_flag.contains("/nowhere/box.toml"), "{by_flag}");
    assert_eq!(by_flag, by_variable);
}

#[test]
fn an_unknown_key_is_refused_where_it_stands_and_the_known_ones_are_named() {
    let (line, column, key, message) = refusal("[record]\nlatency_ms = 100\n  latencyms = 3\n");
    assert_eq!((line, column, key.as_str()), (3, 3, "record.latencyms"));
    assert!(
        message.contains("stall_seconds, latency_ms, connect_seconds"),
        "{message}"
    );

    let (line, _, key, message) = refusal("\n[recording]\nlatency_ms = 1\n");
    assert_eq!((line, key.as_str()), (2, "recording"));
    assert!(
        message.contains("[http], [storage], [record], [mirror], [refill], [clips], [pipelines], [log]"),
        "{message}"
    );

    let (line, column, key, message) = refusal("listen = '127.0.0.1:80'\n");
    assert_eq!((line, column, key.as_str()), (1, 1, "listen"));
    assert!(message.contains("belongs under [http]"), "{message}");
}

#[test]
fn a_value_of_the_wrong_kind_or_size_is_refused_with_what_is_allowed() {
    for (text, place, key, allowed) in [
        (
            "[record]\nstall_seconds = 0\n",
            (2, 17),
            "record.stall_seconds",
            "is 0; give a whole number of seconds from 2 to 60",
        ),
        (
            "[record]\nstall_seconds = -5\n",
            (2, 17),
            "record.stall_seconds",
            "is -5;",
        ),
        (
            "[record]\nstall_seconds = 99999999999999999999\n",
            (2, 17),
            "record.stall_seconds",
            "from 2 to 60",
        ),
        (
            "[record]\nlatency_ms = '200'\n",
            (2, 14),
            "record.latency_ms",
            "is \"200\"; give a whole number of milliseconds",
        ),
        ("[record]\nlatency_ms = 1.5\n", (2, 14), "record.latency_ms", "is 1.5;"),
        ("[http]\nlisten = 8080\n", (2, 10), "http.listen", "\"127.0.0.1:8080\""),
        (
            "[http]\nlisten = ':8080'\n",
            (2, 10),
            "http.listen",
            "an IP address and a port",
        ),
        (
            "[storage]\ndata = ''\n",
            (2, 8),
            "storage.data",
            "the path of a directory",
        ),
        (
            "[storage]\ntail_journal = 'yes'\n",
            (2, 16),
            "storage.tail_journal",
            "true or false",
        ),
        ("[storage]\ndata = ['a']\n", (2, 8), "storage.data", "is a list;"),
        (
            "[log]\nlevel = 'loud'\n",
            (2, 9),
            "log.level",
            "\"error\", \"warn\", \"info\", \"debug\", \"trace\"",
        ),
    ] {
        let (line, column, found, message) = refusal(text);
        assert_eq!(((line, column), found.as_str()), (place, key), "{message}");
        assert!(message.contains(allowed), "{message}");
    }
}

#[test]
fn broken_toml_is_refused_with_line_column_and_key() {
    let (line, _, key, message) = refusal("[http]\nlisten = 127.0.0.1:8080\n");
    assert_eq!((line, key.as_str()), (2, "http.listen"), "{message}");
    let (line, _, key, message) = refusal("# é\n[log]\nlevel = 'debug'\nlevel = 'info'\n");
    assert_eq!((line, key.as_str()), (4, "log.level"), "{message}");
    let (line, _, _, message) = refusal("[http\n");
    assert_eq!(line, 1, "{message}");
    let (line, column, key, message) = refusal(b"[storage]\ndata = '/\xff'\n");
    assert_eq!((line, column, key.as_str()), (2, 10, "storage.data"), "{message}");
    assert!(message.contains("UTF-8"), "{message}");
}

#[test]
fn a_column_counts_characters_not_bytes() {
    let (line, column, _, _) = refusal("[storage]\n'data' = 'é'\n\"né\" = 1\n");
    assert_eq!((line, column), (3, 1));
    let (line, column, _, _) = refusal("storage = { data = 'éé', tail_seconds = 0 }\n");
    assert_eq!((line, column), (1, 41));
}

#[test]
fn a_wrong_variable_is_refused_by_name() {
    let message = refused_variable("CAMKEEP_RECORD_STALL_SECONDS", "soon");
    assert!(
        message.contains("`record.stall_seconds` is \"soon\"; give a whole number of seconds"),
        "{message}"
    );
    let message = refused_variable("CAMKEEP_RECORD_STALL", "5");
    assert!(message.contains("CAMKEEP_RECORD_STALL_SECONDS"), "{message}");
    refused_variable("CAMKEEP_HTTP_LISTEN", "localhost");
    refused_variable("CAMKEEP_STORAGE_TAIL_JOURNAL", "1");
}

#[test]
fn variables_of_other_readers_and_empty_ones_are_left_alone() {
    let variables = [
        ("CAMKEEP_LOG", "debug"),
        ("CAMKEEP_SERVER", "http://127.0.0.1:1"),
        ("CAMKEEP_LONG", "1"),
        ("CAMKEEP_CONFIG", ""),
        ("CAMKEEP_HTTP_LISTEN", ""),
        ("CAMKEEP_LOG_LEVEL", "warn"),
        ("RUST_LOG", "x"),
    ];
    let config = Config::load(&Flags::default(), variables).unwrap();
    assert_eq!(config.log.level, Level::Warn);
    assert_eq!(config.http, Config::default().http);
}

#[test]
fn bytes_that_are_no_text_in_the_environment_are_a_message_and_no_panic() {
    use std::os::unix::ffi::OsStrExt;
    let broken = OsStr::from_bytes(b"/\xff");
    let config = Config::load(&Flags::default(), [(OsStr::new("SOMEBODY"), broken), (broken, broken)]).unwrap();
    assert_eq!(config, Config::default());
    let message = Config::load(&Flags::default(), [(OsStr::new("CAMKEEP_STORAGE_DATA"), broken)]).unwrap_err();
    assert!(message.to_string().contains("CAMKEEP_STORAGE_DATA"), "{message}");
}

proptest::proptest! {
    #[test]
    fn no_file_makes_the_reader_panic(text in "(\\[[a-z]{0,7}\\]?|[a-z_]{0,9}|=|\n|'|\"|[0-9.:é]{0,4}| ){0,40}") {
        let (_directory, flags) = written(&text);
        if let Err(error) = Config::load(&flags, NOTHING) {
            proptest::prop_assert!(error.to_string().contains("box.toml"));
        }
    }
}
