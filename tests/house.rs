//! The rules of the house that no lint can hold. `docs/architecture.md` says why they are there.
//!
//! Each rule is a function over a tree of files, so that it can be shown a tree in which it is broken: a rule that
//! finds nothing has to prove that it can find something.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "house/checks.rs"]
mod checks;
#[path = "house/language.rs"]
mod language;
#[path = "house/paths.rs"]
mod paths;
#[path = "house/planted.rs"]
mod planted;
#[path = "house/rooms.rs"]
mod rooms;
#[path = "house/source.rs"]
mod source;
#[path = "house/tree.rs"]
mod tree;

use std::path::Path;
use std::sync::LazyLock;

use source::Finding;
use tree::House;

type Rule = fn(&House) -> Vec<Finding>;

/// Every rule, by its name.
const RULES: [(&str, Rule); 20] = [
    ("readable", rooms::readable),
    ("floors", rooms::floors),
    ("length", rooms::length),
    ("doors", rooms::doors),
    ("map", rooms::map),
    ("top", rooms::top),
    ("names", language::names),
    ("sql", language::sql),
    ("gstreamer", language::gstreamer),
    ("wrapped_calls", language::wrapped_calls),
    ("unsafe_code", language::unsafe_code),
    ("allowances", language::allowances),
    ("panics_and_prints", language::panics_and_prints),
    ("plans", language::plans),
    ("sentences", checks::sentences),
    ("left_out", checks::left_out),
    ("sleeps", checks::sleeps),
    ("programs", checks::programs),
    ("machine_paths", checks::machine_paths),
    ("promises", checks::promises),
];

/// What every rule finds in a tree.
fn inspect(root: &Path) -> Vec<Finding> {
    let house = House::read(root);
    RULES.iter().flat_map(|(_, rule)| rule(&house)).collect()
}

/// This house, inspected once for all tests.
static HERE: LazyLock<Vec<String>> = LazyLock::new(|| {
    let found = inspect(Path::new(env!("CARGO_MANIFEST_DIR")));
    found.iter().map(ToString::to_string).collect()
});

#[track_caller]
fn holds(rules: &[&str]) {
    let broken: Vec<&str> = HERE
        .iter()
        .filter(|finding| rules.iter().any(|rule| finding.contains(&format!("[{rule}]"))))
        .map(String::as_str)
        .collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn imports_go_down_and_neighbours_never_meet() {
    holds(&["readable", "floors"]);
}

#[test]
fn no_file_holds_two_thoughts() {
    holds(&["length"]);
}

#[test]
fn every_mod_rs_is_a_door() {
    holds(&["doors"]);
}

#[test]
fn the_map_in_lib_rs_names_every_room() {
    holds(&["map", "top"]);
}

#[test]
fn names_say_what_a_thing_is() {
    holds(&["names"]);
}

#[test]
fn sql_and_gstreamer_are_spoken_in_one_room_each() {
    holds(&["sql", "gstreamer"]);
}

#[test]
fn clocks_tasks_threads_and_launches_have_one_door_each() {
    holds(&["wrapped_calls"]);
}

#[test]
fn exceptions_are_few_and_say_their_reason() {
    holds(&["unsafe_code", "allowances"]);
}

#[test]
fn nothing_panics_on_purpose_and_only_the_command_line_prints() {
    holds(&["panics_and_prints"]);
}

#[test]
fn plans_are_pure() {
    holds(&["plans"]);
}

#[test]
fn tests_are_sentences_that_never_sleep_and_hope() {
    holds(&["sentences", "left_out", "sleeps"]);
}

#[test]
fn every_program_that_a_test_starts_is_installed_first() {
    holds(&["programs"]);
}

#[test]
fn no_text_knows_the_machine_it_was_written_on() {
    holds(&["machine_paths"]);
}

#[test]
fn every_promise_of_the_readme_is_shown_by_a_test() {
    holds(&["promises"]);
}
