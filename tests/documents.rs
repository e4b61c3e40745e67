//! Documents cannot lie: what they link, name and show is there, and the example configuration is the real one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

#[path = "documents/commands.rs"]
mod commands;
#[path = "documents/evidence.rs"]
mod evidence;
#[path = "documents/example.rs"]
mod example;
#[path = "documents/pipelines.rs"]
mod pipelines;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README, CHANGELOG and everything under docs/.
fn documents() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ["README.md", "CHANGELOG.md"]
        .iter()
        .map(|name| root().join(name))
        .filter(|path| path.exists())
        .collect();
    let mut rooms = vec![root().join("docs")];
    while let Some(room) = rooms.pop() {
        for entry in std::fs::read_dir(&room).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rooms.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The text without fenced blocks, and the lines of those blocks.
fn prose_and_code(text: &str) -> (String, Vec<&str>) {
    let (mut prose, mut code, mut fenced) = (String::new(), Vec::new(), false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            code.push(line);
        } else {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    (prose, code)
}

/// The targets of `[text](target)` and `![text](target)`.
fn links(prose: &str) -> Vec<&str> {
    prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ', '\n']).next())
        .collect()
}

/// What stands between single backticks.
fn quoted(prose: &str) -> Vec<&str> {
    prose
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect()
}

/// The anchor that a renderer gives a heading.
fn anchor(heading: &str) -> String {
    let plain = heading.trim_start_matches('#').trim().to_lowercase();
    plain
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .collect::<String>()
        .replace(' ', "-")
}

fn broken_link(document: &Path, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() {
        document.to_owned()
    } else {
        document.parent()?.join(file)
    };
    if !path.exists() {
        return Some(format!("links {target}, and {} does not exist", path.display()));
    }
    if fragment.is_empty() || path.extension().is_none_or(|ending| ending != "md") {
        return None;
    }
    let (prose, _) = prose_and_code(&std::fs::read_to_string(&path).unwrap());
    let known = prose
        .lines()
        .filter(|line| line.starts_with('#'))
        .any(|line| anchor(line) == fragment);
    (!known).then(|| format!("links {target}, and {} has no such heading", path.display()))
}

/// Whether a quoted word speaks of a place in this repository; the path if so.
fn mentioned_path(word: &str) -> Option<&str> {
    let word = word.strip_prefix("./").unwrap_or(word);
    // A line number after the path belongs to the reader.
    let word = word.split_once(':').map_or(word, |(path, _)| path);
    let plain = word
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '*'));
    let (first, rest) = word.split_once('/')?;
    let rooted = ["src", "pipelines", "migrations", "tests", "assets", "docs", ".ci"].contains(&first);
    let source = [".rs", ".gst", ".sql"].iter().any(|ending| rest.ends_with(ending));
    (plain && !word.contains("NAME") && (rooted || source)).then_some(word)
}

/// A path is there when it is in the repository or, spoken of as the rooms speak of each other, under src/.
fn is_there(path: &str) -> bool {
    ["", "src/"].iter().any(|base| match path.split_once('*') {
        None => root().join(base).join(path).exists(),
        Some((before, after)) => {
            let (folder, start) = before.rsplit_once('/').unwrap_or(("", before));
            std::fs::read_dir(root().join(base).join(folder))
                .into_iter()
                .flatten()
                .flatten()
                .any(|entry| {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    name.starts_with(start) && name.ends_with(after)
                })
        }
    })
}

#[test]
fn every_link_in_the_documents_leads_somewhere() {
    let mut broken = Vec::new();
    assert!(documents().iter().any(|path| path.ends_with("README.md")));
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        let (prose, _) = prose_and_code(&text);
        let found = links(&prose)
            .into_iter()
            .filter_map(|target| broken_link(&document, target));
        broken.extend(found.map(|problem| format!("{}: {problem}", document.display())));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_path_that_the_documents_mention_exists() {
    let mut missing = Vec::new();
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        let (prose, code) = prose_and_code(&text);
        let commands = code
            .iter()
            .flat_map(|line| line.split_whitespace())
            .filter(|word| word.starts_with("./"));
        for path in quoted(&prose).into_iter().chain(commands).filter_map(mentioned_path) {
            if !is_there(path) {
                missing.push(format!("{} mentions {path}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// The text of every source file and test.
fn sources() -> String {
    let (mut text, mut rooms) = (String::new(), vec![root().join("src"), root().join("tests")]);
    while let Some(room) = rooms.pop() {
        for entry in std::fs::read_dir(&room).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rooms.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                text.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    text
}

/// Whether a quoted word is the name of a test: a sentence of more than three words.
fn names_a_test(word: &str) -> bool {
    word.matches('_').count() > 2
        && word
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[test]
fn every_test_that_the_documents_name_exists() {
    let sources = sources();
    let mut missing = Vec::new();
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        let (prose, _) = prose_and_code(&text);
        // The longest field of a camera is as long as a sentence.
        let is_field = |word: &str| camkeep::http::CAMERA_FIELDS.contains(&word);
        let names = quoted(&prose).into_iter();
        for name in names.filter(|word| names_a_test(word) && !is_field(word)) {
            if !sources.contains(&format!("fn {name}(")) {
                missing.push(format!("{} names {name}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn a_planted_lie_is_found() {
    assert!(names_a_test("a_planted_lie_is_found") && !names_a_test("storage_quota_bytes"));
    assert!(sources().contains("fn a_planted_lie_is_found("));
    let readme = root().join("README.md");
    assert_eq!(
        links("see [a](docs/nowhere.md) and ![b](x.png \"t\")"),
        ["docs/nowhere.md", "x.png"]
    );
    assert!(broken_link(&readme, "docs/nowhere.md").is_some());
    assert!(broken_link(&readme, "README.md#no-such-heading").is_some());
    assert!(broken_link(&readme, "README.md#camkeep").is_none());
    assert!(broken_link(&readme, "https://example.org/x").is_none());
    assert_eq!(quoted("the `src/lib.rs` and `x`"), ["src/lib.rs", "x"]);
    assert_eq!(mentioned_path("./tests/run"), Some("tests/run"));
    assert_eq!(mentioned_path("src/config/load.rs:12"), Some("src/config/load.rs"));
    assert_eq!(mentioned_path("/api/v1/cameras"), None);
    assert_eq!(mentioned_path("pipelines/NAME.gst"), None);
    assert!(is_there("config/load.rs") && is_there("src/*.rs") && is_there("tests/documents.rs"));
    assert!(!is_there("config/nowhere.rs") && !is_there("src/*.pascal"));
}

#[test]
fn the_scripts_can_be_started() {
    for script in ["assets/try", "tests/run", ".ci/run"] {
        let mode = std::fs::metadata(root().join(script))
            .unwrap_or_else(|e| panic!("{script}: {e}"))
            .permissions()
            .mode();
        assert_eq!(mode & 0o111, 0o111, "{script} is not executable");
    }
}
