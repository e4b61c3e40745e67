//! The example configuration is the real one.

use camkeep::config::{Config, Flags, Source};

use super::root;

const NOTHING: [(&str, &str); 0] = [];

/// The example with its one commented key in force, and the comment block above each key.
fn example() -> (String, Vec<(String, String)>) {
    let text = std::fs::read_to_string(root().join("assets/example.toml")).unwrap();
    let (mut complete, mut comments) = (String::new(), Vec::new());
    let (mut section, mut comment) = (String::new(), String::new());
    for line in text.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let key = bare.split_once(" = ").map(|(name, _)| name);
        let is_key = key.is_some_and(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        if is_key {
            comments.push((format!("{section}.{}", key.unwrap()), std::mem::take(&mut comment)));
        } else if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
            comment.clear();
        } else {
            comment.push_str(bare);
            comment.push(' ');
        }
        complete.push_str(if is_key { bare } else { line });
        complete.push('\n');
    }
    (complete, comments)
}

#[test]
fn the_example_configuration_shows_every_key_and_changes_nothing() {
    let flags = Flags {
        config: Some(root().join("assets/example.toml")),
        ..Flags::default()
    };
    let shown = Config::load(&flags, NOTHING).unwrap().settings();
    for (example, default) in shown.iter().zip(Config::default().settings()) {
        assert_eq!(
            example.value, default.value,
            "the example gives another default for {}",
            example.key
        );
        let in_file = matches!(example.source, Source::File { .. });
        assert_eq!(
            in_file,
            default.value.is_some(),
            "{}: a key with a default stands in the example",
            example.key
        );
    }

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("complete.toml");
    std::fs::write(&file, example().0).unwrap();
    let complete = Config::load(
        &Flags {
            config: Some(file),
            ..Flags::default()
        },
        NOTHING,
    )
    .unwrap()
    .settings();
    for setting in &complete {
        assert!(
            matches!(setting.source, Source::File { .. }),
            "{} is not in the example",
            setting.key
        );
    }
}

#[test]
fn the_example_configuration_says_what_each_key_means_and_allows() {
    let (_, comments) = example();
    let settings = Config::default().settings();
    assert_eq!(
        comments.iter().map(|(key, _)| key).collect::<Vec<_>>(),
        settings.iter().map(|setting| &setting.key).collect::<Vec<_>>()
    );
    for (setting, (key, comment)) in settings.iter().zip(&comments) {
        assert!(comment.split_whitespace().count() > 5, "{key} is not explained");
        if let Some((_, range)) = setting.allowed.split_once(" from ") {
            assert!(
                comment.contains(range),
                "{key} allows {range}; the example says: {comment}"
            );
        }
    }
}
