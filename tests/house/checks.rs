//! Rules about the tests themselves, and about what the documents must not know.

use super::paths::paths;
use super::source::{Finding, Kind};
use super::tree::House;

/// The name of a test is a sentence.
pub(crate) fn sentences(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in &house.sources {
        for (name, line) in &file.tests {
            if name.split('_').filter(|word| !word.is_empty()).count() < 3 {
                found.push(file.finding("sentences", *line, format!("{name} is no sentence")));
            }
        }
    }
    found
}

/// A test that is left out says why.
pub(crate) fn left_out(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in &house.sources {
        for attribute in &file.attributes {
            let bare = match attribute.path.as_str() {
                "ignore" => !attribute.inside.iter().any(|word| word == "="),
                "cfg_attr" => {
                    let at = attribute.inside.iter().position(|word| word == "ignore");
                    at.is_some_and(|at| attribute.inside.get(at + 1).is_none_or(|word| word != "="))
                }
                _ => false,
            };
            if bare {
                found.push(file.finding("left_out", attribute.line, "an ignored test says why"));
            }
        }
    }
    found
}

/// Tests wait for the event itself: only `wait_until` and the file `wait.rs` may sleep, and a paused clock costs no time.
pub(crate) fn sleeps(house: &House) -> Vec<Finding> {
    const SLEEPS: [&[&str]; 5] = [
        &["thread", "sleep"],
        &["time", "sleep"],
        &["time", "sleep_until"],
        &["thread", "park_timeout"],
        &["runtime", "pause"],
    ];
    let mut found = Vec::new();
    for file in &house.sources {
        let allowed = |at: usize| {
            let function = file.tokens[at].function.as_ref();
            file.path.ends_with("/wait.rs")
                || function.is_some_and(|function| function.0.starts_with("wait_until") || function.1)
        };
        for path in paths(file)
            .iter()
            .filter(|path| path.token(file).in_test && !path.is_import)
        {
            if let Some(sleep) = SLEEPS.iter().find(|sleep| path.says(sleep))
                && !path.token(file).in_attribute
                && !allowed(path.at)
            {
                found.push(file.finding(
                    "sleeps",
                    path.line,
                    format!("{} outside of wait_until", sleep.join("::")),
                ));
            }
        }
        for (at, token) in file.tokens.iter().enumerate() {
            let is_command = match &token.kind {
                Kind::Text(text) if text == "sleep" => at > 1 && file.word(at - 2) == Some("new"),
                Kind::Text(text) => text
                    .split("sleep ")
                    .skip(1)
                    .any(|rest| rest.starts_with(|c: char| c.is_ascii_digit())),
                _ => false,
            };
            if token.in_test && is_command && !allowed(at) {
                found.push(file.finding("sleeps", token.line, "the command sleep outside of wait_until"));
            }
        }
    }
    found
}

/// Which package brings each program that a test starts; nothing for what every Debian has.
const PROGRAMS: [(&str, Option<&str>); 23] = [
    ("cat", None),
    ("chromium", Some("chromium")),
    ("curl", Some("curl")),
    ("date", None),
    ("dd", None),
    ("faketime", Some("faketime")),
    ("ffmpeg", Some("ffmpeg")),
    ("ffprobe", Some("ffmpeg")),
    ("fsfreeze", None),
    ("gst-launch-1.0", Some("gstreamer1.0-tools")),
    ("mkfifo", None),
    ("mkfs.ext4", Some("e2fsprogs")),
    ("mount", Some("mount")),
    ("openssl", Some("openssl")),
    ("pkg-config", Some("pkg-config")),
    ("prlimit", None),
    ("sh", None),
    ("sha256sum", None),
    ("sleep", None),
    ("sqlite3", Some("sqlite3")),
    ("strace", Some("strace")),
    ("sync", None),
    ("umount", Some("mount")),
];

/// What a test starts is installed before the tests run: `assets/packages.sh` names the package of each program.
pub(crate) fn programs(house: &House) -> Vec<Finding> {
    let lists = house.texts.iter().find(|(path, _)| path == "assets/packages.sh");
    let lists = lists.map_or("", |(_, text)| text.as_str());
    let is_listed = |package: &str| {
        let lines = lists.lines().filter(|line| line.starts_with("packages_to_"));
        lines
            .flat_map(|line| line.split(|c: char| c.is_whitespace() || "=()".contains(c)))
            .any(|word| word == package)
    };
    let mut found = Vec::new();
    for file in &house.sources {
        for (at, token) in file.tokens.iter().enumerate() {
            let Kind::Text(program) = &token.kind else { continue };
            let is_command = at > 3 && file.word(at - 2) == Some("new") && file.word(at - 4) == Some("Command");
            // `run` of the disks' kit takes a program too.
            let is_run = at > 1 && file.word(at - 2) == Some("run") && file.is_under("tests");
            if !(is_command || is_run) || file.path.starts_with("tests/house/") {
                continue;
            }
            match PROGRAMS.iter().find(|(name, _)| name == program) {
                None => found.push(file.finding(
                    "programs",
                    token.line,
                    format!("{program} is started; name its package in PROGRAMS (tests/house/checks.rs)"),
                )),
                Some((_, Some(package))) if !is_listed(package) => found.push(file.finding(
                    "programs",
                    token.line,
                    format!("{program} is started, and assets/packages.sh does not install {package}"),
                )),
                Some(_) => {}
            }
        }
    }
    found
}

/// No text knows the machine it was written on.
pub(crate) fn machine_paths(house: &House) -> Vec<Finding> {
    // Put together here, so that this file does not find itself.
    let words: Vec<String> = ["home", "Users", "work", "root", "tmp/ck", "tmp/team"]
        .iter()
        .map(|word| format!("/{word}/"))
        .collect();
    let mut found = Vec::new();
    for (path, text) in &house.texts {
        for (number, line) in text.lines().enumerate() {
            let said = words.iter().find(|word| {
                line.match_indices(word.as_str()).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    before.is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '}' | ')')))
                })
            });
            if let Some(said) = said {
                found.push(Finding {
                    rule: "machine_paths",
                    path: path.clone(),
                    line: number + 1,
                    what: format!("{said} is a place on somebody's machine"),
                });
            }
        }
    }
    found
}

/// Each promise of the README names the test that shows it, and that test exists.
pub(crate) fn promises(house: &House) -> Vec<Finding> {
    let Some((path, text)) = house.texts.iter().find(|(path, _)| path == "README.md") else {
        return Vec::new();
    };
    let tests: Vec<&str> = house
        .sources
        .iter()
        .flat_map(|file| &file.tests)
        .map(|(name, _)| name.as_str())
        .collect();
    let mut found = Vec::new();
    let mut finding = |line: usize, what: String| {
        found.push(Finding {
            rule: "promises",
            path: path.clone(),
            line,
            what,
        });
    };
    // A promise is a list item of this chapter: where it begins, and whether a test was named.
    let mut open: Option<(usize, bool)> = None;
    let mut in_chapter = false;
    for (number, line) in text.lines().chain(["##"]).enumerate() {
        if in_chapter && (line.starts_with("- ") || line.starts_with("##")) {
            if let Some((begun, false)) = open {
                finding(begun, "no test shows this promise".to_owned());
            }
            open = line.starts_with("- ").then_some((number + 1, false));
        }
        if line.starts_with("##") {
            in_chapter = line.contains("promises");
        }
        for word in line.split('`').skip(1).step_by(2).filter(|_| in_chapter) {
            let is_name = word.split('_').count() > 2 && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if is_name && !tests.contains(&word) {
                finding(number + 1, format!("there is no test called {word}"));
            }
            open = open.map(|(begun, named)| (begun, named || is_name));
        }
    }
    found
}
