//! Rules about what may be said, and where: names, SQL, GStreamer, clocks, tasks.

use super::paths::paths;
use super::source::{Finding, Kind, SourceFile};
use super::tree::House;

/// Names that say nothing. They hold for modules and types, as whole words.
const EMPTY_NAMES: [&str; 20] = [
    "base",
    "bases",
    "common",
    "core",
    "cores",
    "data",
    "handler",
    "handlers",
    "helper",
    "helpers",
    "info",
    "infos",
    "manager",
    "managers",
    "misc",
    "process",
    "processes",
    "types",
    "util",
    "utils",
];

/// Modules and types are called after what they are.
pub(crate) fn names(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in &house.sources {
        for part in file.path.trim_end_matches(".rs").split('/') {
            if let Some(word) = empty_word(part) {
                found.push(file.finding("names", 1, format!("a module called {word}: what does it do?")));
            }
        }
        for at in 0..file.tokens.len() {
            let defines = matches!(
                file.word(at),
                Some("struct" | "enum" | "union" | "trait" | "type" | "mod")
            );
            if let Some(name) = file.word(at + 1).filter(|_| defines)
                && let Some(word) = empty_word(name)
            {
                let line = file.tokens[at].line;
                found.push(file.finding("names", line, format!("{name} is called {word}: what is it?")));
            }
        }
    }
    found
}

fn empty_word(name: &str) -> Option<&'static str> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c == '-' || c.is_uppercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase().filter(|c| c.is_alphanumeric()));
        }
    }
    EMPTY_NAMES
        .iter()
        .find(|empty| words.iter().any(|word| word == *empty))
        .copied()
}

/// SQL is spoken in `src/index` and in migrations, and so are the crates that speak it.
pub(crate) fn sql(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in house.product().filter(|file| !file.is_under("src/index")) {
        for token in &file.tokens {
            if let Kind::Text(text) = &token.kind
                && is_sql(text)
            {
                found.push(file.finding("sql", token.line, "SQL lives in src/index and migrations"));
            }
        }
        for path in paths(file) {
            if let Some(database) = path
                .meanings
                .iter()
                .map(|words| &words[0])
                .find(|word| ["rusqlite", "r2d2", "r2d2_sqlite", "rusqlite_migration"].contains(&word.as_str()))
            {
                found.push(file.finding("sql", path.line, format!("{database} lives in src/index")));
            }
        }
    }
    found
}

/// A statement begins with its verb and goes on with its grammar; English does not.
fn is_sql(text: &str) -> bool {
    let text = text.replace("\\n", " ");
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let has = |wanted: &str| words.iter().any(|word| word == wanted);
    let begins = match word(0) {
        "select" => has("from") && !word(1).is_empty(),
        "insert" | "replace" => word(1) == "into" || word(1) == "or",
        "update" => has("set"),
        "delete" => word(1) == "from",
        "create" | "drop" | "alter" => {
            ["table", "index", "trigger", "view", "unique", "temp", "virtual"].contains(&word(1))
        }
        "with" => has("as") && has("select"),
        "pragma" => words.len() > 1,
        "vacuum" => words.len() == 1 || word(1) == "into",
        "begin" => ["immediate", "exclusive", "transaction", "deferred"].contains(&word(1)),
        _ => false,
    };
    // A fragment of one gives itself away by its capitals.
    let fragments = [
        "SELECT ",
        "INSERT INTO ",
        "DELETE FROM ",
        " WHERE ",
        "ORDER BY ",
        "PRAGMA ",
    ];
    begins || fragments.iter().any(|fragment| text.contains(fragment))
}

/// GStreamer is spoken in `src/pipeline` only.
pub(crate) fn gstreamer(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in house.product().filter(|file| !file.is_under("src/pipeline")) {
        for path in paths(file) {
            let said = path.meanings.iter().find_map(|words| {
                let first = words[0].as_str();
                let is_ours = ["gst", "glib", "gio"].contains(&first) && words.len() > 1;
                (is_ours || first.starts_with("gstreamer") || first.starts_with("gst_")).then_some(first)
            });
            if let Some(said) = said {
                found.push(file.finding("gstreamer", path.line, format!("{said} is spoken in src/pipeline only")));
            }
        }
    }
    found
}

/// A call that is wrapped once: what it says, the folder that may say it, what to use instead.
struct Wrapped {
    calls: &'static [&'static [&'static str]],
    room: &'static str,
    instead: &'static str,
}

const WRAPPED: [Wrapped; 5] = [
    Wrapped {
        calls: &[
            &["Utc", "now"],
            &["Local", "now"],
            &["SystemTime", "now"],
            &["time", "clock_gettime"],
        ],
        room: "src/runtime",
        instead: "take the time from a Clock",
    },
    Wrapped {
        calls: &[&["tokio", "spawn"], &["task", "spawn"], &["task", "JoinSet"]],
        room: "src/runtime",
        instead: "start tasks through runtime::Tasks",
    },
    Wrapped {
        calls: &[&["thread", "spawn"], &["thread", "Builder"]],
        room: "src/runtime",
        instead: "start threads through runtime::spawn_thread",
    },
    Wrapped {
        calls: &[&["thread", "sleep"]],
        room: "src/runtime",
        instead: "wait for the event itself, or use runtime::pause",
    },
    Wrapped {
        calls: &[
            &["parse", "launch"],
            &["parse", "launch_full"],
            &["parse", "bin_from_description"],
            &["parse", "bin_from_description_full"],
            &["parse", "bin_from_description_with_name"],
        ],
        room: "src/pipeline",
        instead: "launch a template from pipelines/",
    },
];

/// Each wrapped call stands in exactly one place.
pub(crate) fn wrapped_calls(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for wrapped in &WRAPPED {
        let mut places: Vec<Finding> = Vec::new();
        for file in house.product() {
            for path in paths(file) {
                let said = wrapped.calls.iter().find(|call| path.says(call));
                let Some(call) = said.filter(|_| !path.token(file).in_test && !path.token(file).in_attribute) else {
                    continue;
                };
                let finding = file.finding(
                    "wrapped_calls",
                    path.line,
                    format!("{}: {}", call.join("::"), wrapped.instead),
                );
                if !file.is_under(wrapped.room) {
                    found.push(finding);
                } else if !path.is_import {
                    places.push(finding);
                }
            }
        }
        let mut files: Vec<&str> = places.iter().map(|place| place.path.as_str()).collect();
        files.dedup();
        if files.len() > 1 {
            found.append(&mut places);
        }
    }
    found
}

/// Unsafe code stands in the files that are exceptions, and says there why.
pub(crate) fn unsafe_code(house: &House) -> Vec<Finding> {
    const EXCEPTIONS: [&str; 2] = ["src/pipeline/rtsp.rs", "src/runtime/heap.rs"];
    let mut found = Vec::new();
    for file in house.product().filter(|file| !EXCEPTIONS.contains(&file.path.as_str())) {
        let said = (0..file.tokens.len()).find(|at| file.word(*at) == Some("unsafe"));
        if let Some(at) = said {
            let line = file.tokens[at].line;
            found.push(file.finding(
                "unsafe_code",
                line,
                format!("only {} may be unsafe", EXCEPTIONS.join(" and ")),
            ));
        }
    }
    found
}

/// A lint is allowed with a reason only, outside of tests.
pub(crate) fn allowances(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in house.product() {
        let lints = file.attributes.iter().filter(|attribute| {
            let word = attribute.path.as_str();
            !attribute.in_test && (word == "allow" || word == "expect")
        });
        for attribute in lints {
            if !attribute.inside.windows(2).any(|pair| pair == ["reason", "="]) {
                found.push(file.finding("allowances", attribute.line, "an allowance says its reason"));
            }
        }
    }
    found
}

/// Nothing in the product panics on purpose, and only the command line prints.
pub(crate) fn panics_and_prints(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in house.product() {
        let may_print = file.room() == Some("cli");
        for (at, token) in file.product() {
            let is_macro = file.is(at + 1, &Kind::Sign('!'));
            let said = match file.word(at).filter(|_| is_macro) {
                Some(word @ ("panic" | "todo" | "unimplemented" | "unreachable")) => word,
                Some(word @ ("print" | "println" | "eprint" | "eprintln" | "dbg")) if !may_print => word,
                _ => continue,
            };
            found.push(file.finding("panics_and_prints", token.line, format!("{said}! has no place here")));
        }
    }
    found
}

/// The pure half of an engine has no clock, no task, no file and no socket.
pub(crate) fn plans(house: &House) -> Vec<Finding> {
    const IMPURE: [&[&str]; 9] = [
        &["tokio"],
        &["std", "fs"],
        &["std", "net"],
        &["std", "thread"],
        &["std", "process"],
        &["Instant", "now"],
        &["SystemTime"],
        &["fastrand"],
        &["tracing"],
    ];
    let mut found = Vec::new();
    for file in house.product() {
        let engine = file.room().is_some_and(|room| super::rooms::FLOORS[3].contains(&room));
        let name = file.path.rsplit('/').next().unwrap_or_default();
        if !engine || !["plan.rs", "state.rs"].contains(&name) {
            continue;
        }
        for path in paths(file).iter().filter(|path| !path.token(file).in_test) {
            let impure = IMPURE.iter().find(|words| match words {
                [krate] => path.meanings.iter().any(|path| path[0] == *krate && path.len() > 1),
                words => path.says(words),
            });
            if let Some(words) = impure {
                found.push(file.finding(
                    "plans",
                    path.line,
                    format!("a plan does not speak of {}", words.join("::")),
                ));
            }
        }
        found.extend(asynchronous(file));
    }
    found
}

fn asynchronous(file: &SourceFile) -> Vec<Finding> {
    file.product()
        .filter(|(at, _)| matches!(file.word(*at), Some("async" | "await")))
        .map(|(_, token)| file.finding("plans", token.line, "a plan waits for nothing"))
        .collect()
}
