//! The test of the test: a clean tree passes, and each rule finds what is planted against it.

use std::path::Path;

use super::{RULES, inspect};

/// A small house in order. Its comments and strings say everything that its code must not.
const CLEAN: [(&str, &str); 10] = [
    ("Cargo.toml", "[package]\n"),
    (
        "src/lib.rs",
        "//! A house.\n//!\n//! | floor | rooms |\n//! |---|---|\n//! | 4 | `record` |\n//! | 3 | `pipeline`, `index` |\n//! | 2 | `runtime` |\n//! | 1 | [`model`] |\n\n\
         pub mod index;\npub mod model;\npub mod pipeline;\npub mod record;\npub mod runtime;\n",
    ),
    (
        "src/model/mod.rs",
        "//! Nouns.\n\nmod time;\n#[cfg(test)]\nmod trials;\n\npub use time::{Moment, Span};\npub(crate) use time::Tick;\n",
    ),
    (
        "src/model/time.rs",
        r##"//! Time. `std::thread::sleep`, tokio::spawn, crate::http::Door; SELECT a FROM b.
/* crate::record::Engine /* nested */ gst::init() */
/// A database is no base, metadata no data.
pub struct Metadata { pub process_id: u32 }
pub const TEXT: &str = "use crate::http::Door; tokio::spawn(x); panic!()";
pub const RAW: &str = r#"gst::init(); "SystemTime::now()" // "#;
pub const QUOTE: char = '"'; // gst::init()
pub fn update<'a>(text: &'a str) -> &'a str { text }
pub const ENGLISH: [&str; 3] = ["select a camera", "update it", "Delete the camera from the list, or create a new one"];
#[allow(dead_code, reason = "shown to the rule")]
pub const LINK: &str = "https://example.org/docs/work/here";
"##,
    ),
    (
        "src/model/trials.rs",
        "use std::time::SystemTime;\n#[test]\nfn a_moment_passes_by() { let _ = SystemTime::now(); panic!(\"on purpose\"); }\n",
    ),
    (
        "src/runtime/mod.rs",
        "//! Patience.\n\nmod task;\n\npub use task::pause;\n",
    ),
    (
        "src/runtime/task.rs",
        "//! Tasks.\nuse std::thread;\npub fn pause() { thread::sleep(crate::model::SHORT); }\n\
         #[cfg(test)]\nmod tests {\n    use super::*;\n    #[tokio::test(start_paused = true)]\n    async fn a_paused_clock_costs_nothing() { tokio::time::sleep(X).await; }\n}\n",
    ),
    (
        "src/index/mod.rs",
        "//! The index.\n\npub const ALL: &str = \"SELECT * FROM segment\";\n",
    ),
    (
        "src/record/state.rs",
        "//! States.\nuse super::driver;\nuse crate::{model::{Span, self}, index};\npub fn next(at: crate::runtime::Instant) {}\n\
         #[cfg(test)]\nmod tests { use super::super::driver; use super::super::index::all; fn f() { all(); } #[ignore = \"long\"] #[test] fn a_state_goes_forward() { let _ = std::fs::read(x); } }\n",
    ),
    (
        "tests/media/main.rs",
        "//! Media.\nfn wait_until(done: impl Fn() -> bool) { while !done() { std::thread::sleep(STEP); } }\n\
         #[test]\nfn three_segments_join_up() { wait_until(|| true); }\n",
    ),
];

fn tree(planted: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let clean = CLEAN
        .iter()
        .filter(|(path, _)| !planted.iter().any(|(other, _)| other == path));
    for (path, text) in clean.chain(planted) {
        // A door of the clean tree holds a constant only so that the statement has a place.
        let path = if *path == "src/index/mod.rs" && !text.contains("pub use") {
            "src/index/segment.rs"
        } else {
            path
        };
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}

fn findings(root: &Path) -> Vec<String> {
    inspect(root).iter().map(ToString::to_string).collect()
}

/// Plants one text and expects exactly these places to be found, by this rule.
#[track_caller]
fn planted(rule: &str, path: &str, text: &str, lines: &[usize]) {
    assert!(RULES.iter().any(|(name, _)| *name == rule), "no rule is called {rule}");
    let root = tree(&[(path, text)]);
    let found = findings(root.path());
    let mut at: Vec<usize> = Vec::new();
    for finding in inspect(root.path()) {
        assert_eq!((finding.rule, finding.path.as_str()), (rule, path), "{found:#?}");
        at.push(finding.line);
    }
    at.dedup();
    assert_eq!(at, lines, "{found:#?}");
}

#[test]
fn a_house_in_order_passes_every_rule() {
    let root = tree(&[]);
    assert_eq!(findings(root.path()), Vec::<String>::new());
}

#[test]
fn an_import_from_above_is_found_however_it_is_written() {
    let path = "src/model/time.rs";
    planted("floors", path, "use crate::record::Engine;\n", &[1]);
    planted(
        "floors",
        path,
        "use crate::{\n    model::Span,\n    record::{Engine, Other},\n};\n",
        &[3],
    );
    planted("floors", path, "use super::super::record;\n", &[1]);
    planted(
        "floors",
        path,
        "mod inner {\n    use super::super::super::record;\n}\n",
        &[2],
    );
    planted(
        "floors",
        path,
        "use crate as house;\nfn f() { house::record::go(); }\n",
        &[2],
    );
    planted("floors", path, "fn f() { crate::record::go::<u8>(); }\n", &[1]);
    planted(
        "floors",
        path,
        "macro_rules! m { () => { $crate::record::go() } }\n",
        &[1],
    );
    planted("floors", path, "use crate::*;\n", &[1]);
    planted(
        "floors",
        path,
        "fn f() -> Vec<crate::record::Engine> { select! { _ = crate::record::go() => {} } }\n",
        &[1],
    );
    planted(
        "floors",
        path,
        "#[cfg(test)]\nmod tests {\n    use crate::record::Engine;\n}\n",
        &[3],
    );
}

#[test]
fn neighbours_that_meet_are_found() {
    planted("floors", "src/record/driver.rs", "use crate::timeline::View;\n", &[1]);
    planted(
        "floors",
        "src/index/write.rs",
        "//! W.\nuse crate::{model, storage::Volume};\n",
        &[2],
    );
    planted(
        "floors",
        "src/main.rs",
        "fn main() { camkeep::nowhere::run(); }\n",
        &[1],
    );
    planted("floors", "src/attic/mod.rs", "//! An attic.\n", &[1]);
}

#[test]
fn a_file_of_two_thoughts_is_found_and_its_tests_do_not_count() {
    let long = "//! Long.\n".to_owned() + &"const A: u8 = 1;\n".repeat(400);
    planted("length", "src/record/driver.rs", &long, &[400]);
    let tests = "const A: u8 = 1;\n".repeat(399) + "#[cfg(test)]\nmod tests {\n" + &"\n".repeat(300) + "}\n";
    let root = tree(&[("src/record/driver.rs", &tests)]);
    assert_eq!(findings(root.path()), Vec::<String>::new());
}

#[test]
fn a_door_with_furniture_is_found() {
    let path = "src/record/mod.rs";
    planted("doors", path, "mod state;\n", &[1]);
    planted(
        "doors",
        path,
        "//! R.\nmod state;\nfn furniture() {}\npub use state::S;\n",
        &[3],
    );
    planted("doors", path, "//! R.\nuse crate::model;\n", &[2]);
    planted("doors", path, "//! R.\nmod inline {\n    pub struct S;\n}\n", &[2]);
    planted("doors", path, "//! R.\npub const A: u8 = 1;\n", &[2]);
    planted(
        "doors",
        path,
        "//! R.\n#[allow(unused, reason = \"x\")]\nmod state;\n",
        &[2],
    );
}

#[test]
fn a_room_that_the_map_forgets_or_puts_elsewhere_is_found() {
    planted(
        "map",
        "src/lib.rs",
        "//! | 1 | `model` |\npub mod model;\npub mod record;\n",
        &[3],
    );
    planted(
        "map",
        "src/lib.rs",
        "//! | 1 | `model`, `attic` |\npub mod model;\n",
        &[1],
    );
    planted(
        "map",
        "src/lib.rs",
        "//! | 1 | `model`, `runtime` |\npub mod model;\npub mod runtime;\n",
        &[1],
    );
    planted("top", "scripts", "what lies at the top\n", &[1]);
}

#[test]
fn names_that_say_nothing_are_found() {
    let path = "src/record/driver.rs";
    planted("names", path, "struct CameraManager;\n", &[1]);
    planted("names", path, "enum X {}\ntype SegmentInfo = u8;\n", &[2]);
    planted("names", path, "trait DataSource {}\n", &[1]);
    planted("names", path, "mod url_utils {}\n", &[1]);
    planted("names", "src/record/helpers.rs", "const A: u8 = 1;\n", &[1]);
    planted("names", "tests/media/common/camera.rs", "const A: u8 = 1;\n", &[1]);
}

#[test]
fn sql_outside_its_room_is_found() {
    let path = "src/record/driver.rs";
    planted("sql", path, "const A: &str = \"SELECT id FROM camera\";\n", &[1]);
    planted(
        "sql",
        path,
        "const A: &str = \"\n  insert into camera values (?1)\";\n",
        &[1],
    );
    planted("sql", path, "const A: &str = r#\"update camera set id = 1\"#;\n", &[1]);
    planted("sql", path, "fn f() { format!(\"{x} WHERE id = 1\"); }\n", &[1]);
    planted("sql", path, "const A: &str = \"PRAGMA user_version\";\n", &[1]);
    planted("sql", path, "use rusqlite::Connection;\n", &[1]);
}

#[test]
fn gstreamer_outside_its_room_is_found() {
    let path = "src/record/driver.rs";
    planted("gstreamer", path, "fn f(p: &gst::Pipeline) {}\n", &[1]);
    planted(
        "gstreamer",
        path,
        "use gstreamer as media;\nfn f(p: media::Pipeline) {}\n",
        &[1, 2],
    );
    planted("gstreamer", path, "use {gstreamer_app::AppSink};\n", &[1]);
    planted("gstreamer", path, "fn f() { ::gstreamer::init(); }\n", &[1]);
}

#[test]
fn a_second_door_to_clock_task_thread_or_launch_is_found() {
    let path = "src/record/driver.rs";
    planted(
        "wrapped_calls",
        path,
        "fn f() { std::time::SystemTime::now(); }\n",
        &[1],
    );
    planted(
        "wrapped_calls",
        path,
        "use chrono::Utc as World;\nfn f() { World::now(); }\n",
        &[2],
    );
    planted(
        "wrapped_calls",
        path,
        "use tokio::{task, time};\nfn f() { task::spawn(x); }\n",
        &[2],
    );
    planted(
        "wrapped_calls",
        path,
        "use std::thread::{self as threads, sleep};\nfn f() { sleep(x); }\n",
        &[1, 2],
    );
    planted("wrapped_calls", path, "fn f() { join!(tokio::spawn(x), y); }\n", &[1]);
    planted("wrapped_calls", path, "fn f() { std::thread::Builder::new(); }\n", &[1]);
    // In the right room, but in a second place.
    let root = tree(&[("src/runtime/other.rs", "fn f() { std::thread::sleep(x); }\n")]);
    let found = findings(root.path());
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found[0].starts_with("src/runtime/other.rs:1: [wrapped_calls]"),
        "{found:#?}"
    );
    let twice = "fn a() { gst::parse::launch(x); }\n";
    let root = tree(&[("src/pipeline/launch.rs", twice), ("src/pipeline/run.rs", twice)]);
    assert_eq!(findings(root.path()).len(), 2);
}

#[test]
fn allowances_without_a_reason_and_panics_are_found() {
    let path = "src/record/driver.rs";
    planted("allowances", path, "#[allow(dead_code)]\nfn f() {}\n", &[1]);
    planted("unsafe_code", path, "fn f() {\n    unsafe { g() }\n}\n", &[2]);
    planted("allowances", path, "#![expect(clippy::unwrap_used)]\n", &[1]);
    planted("panics_and_prints", path, "fn f() { unreachable!(\"never\"); }\n", &[1]);
    planted("panics_and_prints", path, "fn f() {\n    println!();\n}\n", &[2]);
    planted(
        "panics_and_prints",
        path,
        "#[cfg(not(test))]\nfn f() { panic!(); }\n",
        &[2],
    );
}

#[test]
fn an_impure_plan_is_found() {
    let path = "src/record/state.rs";
    planted("plans", path, "use std::fs::File;\n", &[1]);
    planted("plans", path, "async fn f() {}\n", &[1]);
    planted("plans", path, "use tokio::sync::mpsc;\n", &[1]);
    planted(
        "plans",
        path,
        "use std::time::Instant;\nfn f() { Instant::now(); }\n",
        &[2],
    );
}

#[test]
fn tests_that_are_no_sentence_are_left_out_or_sleep_are_found() {
    let path = "tests/media/main.rs";
    planted("sentences", path, "#[test]\nfn it_works() {}\n", &[2]);
    planted(
        "sentences",
        path,
        "#[tokio::test(flavor = \"multi_thread\")]\nasync fn works() {}\n",
        &[2],
    );
    planted(
        "sentences",
        path,
        "proptest! {\n    #[test]\n    fn spans(x in 0..9) {}\n}\n",
        &[3],
    );
    planted("left_out", path, "#[test]\n#[ignore]\nfn a_long_test_runs() {}\n", &[2]);
    planted(
        "left_out",
        path,
        "#[cfg_attr(miri, ignore)]\n#[test]\nfn a_long_test_runs() {}\n",
        &[1],
    );
    planted(
        "sleeps",
        path,
        "#[test]\nfn a_frame_comes_soon() {\n    std::thread::sleep(x);\n}\n",
        &[3],
    );
    planted(
        "sleeps",
        path,
        "use tokio::time::sleep;\nasync fn f() { sleep(x).await; }\n",
        &[2],
    );
    planted(
        "sleeps",
        path,
        "use camkeep::runtime::pause;\nfn f() { pause(x); }\n",
        &[2],
    );
    planted("sleeps", path, "fn f() { Command::new(\"sleep\"); }\n", &[1]);
    planted(
        "sleeps",
        path,
        &format!("fn f() {{ sh(\"x; {} 3\"); }}\n", "sleep"),
        &[1],
    );
    let unit = "#[cfg(test)]\nmod tests {\n    fn f() { tokio::time::sleep(x); }\n}\n";
    planted("sleeps", "src/record/driver.rs", unit, &[3]);
}

#[test]
fn a_program_that_nothing_installs_is_found() {
    let path = "tests/media/main.rs";
    planted("programs", path, "fn f() { Command::new(\"ffmpeg\"); }\n", &[1]);
    planted("programs", path, "fn f() {\n    run(\"mkfs.ext4\", &[]);\n}\n", &[2]);
    planted(
        "programs",
        path,
        "fn f() { std::process::Command::new(\"unheard-of\"); }\n",
        &[1],
    );
    // Every Debian has it.
    planted("programs", path, "fn f() { Command::new(\"sh\"); }\n", &[]);
}

#[test]
fn a_place_on_somebodys_machine_is_found_in_any_text() {
    let place = ["", "home", "somebody", "camkeep"].join("/");
    planted(
        "machine_paths",
        "docs/guide.md",
        &format!("Look into\n`{place}`.\n"),
        &[2],
    );
    planted("machine_paths", "tests/media/main.rs", &format!("// {place}\n"), &[1]);
}

#[test]
fn a_promise_that_no_test_shows_is_found() {
    let shown = "- It joins (`three_segments_join_up`).\n";
    let text = format!("# House\n\n- No promise.\n\n## What it promises\n\n{shown}- It flies.\n\n## More\n- x\n");
    planted("promises", "README.md", &text, &[8]);
    let text = format!("## What it promises\n{shown}- It flies,\n  high (`a_house_can_fly`).\n");
    planted("promises", "README.md", &text, &[4]);
    planted("promises", "README.md", "## What it promises\n- It flies.", &[2]);
}

#[test]
fn a_file_that_is_no_rust_is_found() {
    planted("readable", "src/record/driver.rs", "fn f( {\n", &[1]);
}
