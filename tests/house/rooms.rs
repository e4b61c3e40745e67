//! Rules about the rooms: who may import whom, how long a file may be, what a door may hold, what the map names.

use std::collections::BTreeSet;

use super::paths::paths;
use super::source::{Finding, Kind, SourceFile};
use super::tree::House;

/// The floors, lowest first. Rooms that share one never import each other.
pub(crate) const FLOORS: [&[&str]; 8] = [
    &["model"],
    &["runtime"],
    &["config", "pipeline", "index", "storage", "archive"],
    &["record", "mirror", "refill", "export", "retain", "check", "timeline"],
    &["http"],
    &["daemon"],
    &["cli"],
    &["main", "lib"],
];

/// A file is one thought; past this it is two.
pub(crate) const LONGEST: usize = 400;

/// What the project's owner fixed, what every project has, and tool configuration.
const TOP: [&str; 20] = [
    ".ci",
    ".editorconfig",
    ".gitattributes",
    ".gitignore",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "assets",
    "clippy.toml",
    "deny.toml",
    "docs",
    "flake.lock",
    "flake.nix",
    "migrations",
    "pipelines",
    "rustfmt.toml",
    "src",
    "tests",
];

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Every file can be read as Rust, else no rule could say anything about it.
pub(crate) fn readable(house: &House) -> Vec<Finding> {
    house
        .sources
        .iter()
        .filter_map(|file| {
            let error = file.unreadable.as_ref()?;
            Some(file.finding("readable", 1, format!("not Rust: {error}")))
        })
        .collect()
}

/// A file imports only from floors below its own, and from its own room.
pub(crate) fn floors(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in house.product() {
        let Some(room) = file.room() else { continue };
        let Some(own) = floor(room) else {
            found.push(file.finding("floors", 1, format!("the room `{room}` stands on no floor")));
            continue;
        };
        for (line, other) in imports(file) {
            let complaint = match floor(&other) {
                _ if other == room => continue,
                Some(there) if there < own => continue,
                Some(there) if there == own => format!("`{room}` and `{other}` share a floor and never meet"),
                Some(_) => format!("`{room}` stands below `{other}`"),
                None => format!("`{other}` is no room"),
            };
            found.push(file.finding("floors", line, complaint));
        }
    }
    found
}

/// The rooms that a file names, each with its line.
fn imports(file: &SourceFile) -> Vec<(usize, String)> {
    let own = file.module();
    let mut rooms = Vec::new();
    for path in paths(file) {
        for (meaning, words) in path.meanings.iter().enumerate() {
            let depth = own.len() + path.token(file).inline_modules;
            let ups = words.iter().take_while(|word| *word == "super").count();
            let start = match words[0].as_str() {
                "crate" => 1,
                // From the binary, the library is another crate.
                "camkeep" if words.len() > 1 => 1,
                "self" if own.is_empty() => 1,
                // What `super` means depends on where it stands, so it counts where it is written only.
                "super" if ups >= depth && meaning == 0 => ups,
                _ => continue,
            };
            match words.get(start) {
                Some(room) => rooms.push((path.line, room.clone())),
                None if words[0] == "super" => rooms.push((path.line, "super".to_owned())),
                None => {}
            }
        }
    }
    rooms
}

/// A file has at most [`LONGEST`] lines outside of what is compiled for tests only.
pub(crate) fn length(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in house.product() {
        let tests: BTreeSet<usize> = file.test_lines.iter().flat_map(|(from, to)| *from..=*to).collect();
        let lines = file.lines - tests.len();
        if lines > LONGEST {
            found.push(file.finding("length", LONGEST, format!("{lines} lines are two thoughts")));
        }
    }
    found
}

/// `mod.rs` holds the room's doc comment, `mod`, `pub use` and conditions on them.
pub(crate) fn doors(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in house.product().filter(|file| file.path.ends_with("/mod.rs")) {
        if file.doc.is_empty() {
            found.push(file.finding("doors", 1, "a room says in a doc comment what it is for"));
        }
        for attribute in file.attributes.iter().filter(|attribute| attribute.path != "cfg") {
            found.push(file.finding("doors", attribute.line, format!("`{}` in a door", attribute.path)));
        }
        let outer: Vec<usize> = (0..file.tokens.len())
            .filter(|at| file.tokens[*at].depth == 0)
            .collect();
        let mut at = 0;
        while at < outer.len() {
            let first = outer[at];
            let is_public = file.word(first) == Some("pub");
            let mut word = at + usize::from(is_public);
            if is_public && outer.get(word).is_some_and(|token| file.is(*token, &Kind::Open('('))) {
                word += 2;
            }
            let says = outer.get(word).and_then(|token| file.word(*token));
            let end = (word..outer.len())
                .find(|index| {
                    let kind = &file.tokens[outer[*index]].kind;
                    *kind == Kind::Sign(';') || (says != Some("use") && *kind == Kind::Close('}'))
                })
                .unwrap_or(outer.len());
            let is_short = outer.get(end).is_some_and(|token| file.is(*token, &Kind::Sign(';')));
            if !(is_short && (says == Some("mod") || (says == Some("use") && is_public))) {
                found.push(file.finding(
                    "doors",
                    file.tokens[first].line,
                    "a door holds `mod` and `pub use` only",
                ));
            }
            at = end + 1;
        }
    }
    found
}

/// Every module of the library stands in the table of its doc comment, on its floor.
pub(crate) fn map(house: &House) -> Vec<Finding> {
    let Some(library) = house.sources.iter().find(|file| file.path == "src/lib.rs") else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut named: Vec<String> = Vec::new();
    for row in library.doc.iter().filter(|line| line.trim_start().starts_with('|')) {
        let number: Option<usize> = row.split('|').nth(1).and_then(|cell| cell.trim().parse().ok());
        for room in row
            .split('`')
            .skip(1)
            .step_by(2)
            .map(|word| word.trim_end_matches(".rs"))
        {
            if number.is_none() || number != floor(room).map(|floor| floor + 1) {
                found.push(library.finding(
                    "map",
                    1,
                    format!("the table puts `{room}` on another floor than this test"),
                ));
            }
            named.push(room.to_owned());
        }
    }
    for (room, line, _) in library.children.iter().filter(|(room, _, _)| !named.contains(room)) {
        found.push(library.finding("map", *line, format!("`{room}` is missing from the table of rooms")));
    }
    found
}

/// At the top stands what is fixed, and nothing else.
pub(crate) fn top(house: &House) -> Vec<Finding> {
    house
        .top
        .iter()
        .filter(|name| !TOP.contains(&name.as_str()))
        .map(|name| Finding {
            rule: "top",
            path: name.clone(),
            line: 1,
            what: "scripts and folders live with what they serve, not at the top".to_owned(),
        })
        .collect()
}
