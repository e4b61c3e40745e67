//! `/metrics` as Prometheus reads it: the text format to the letter, its conventions, and the table in the documentation.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use super::desk::Desk;
use super::mirror::with_absent_mirror;
use crate::http::Keeping;
use crate::model::VolumeRole;
use crate::retain::{Retention, Rules};
use crate::timeline::fixture;

/// One figure with all its series.
#[derive(Debug, Default)]
struct Family {
    help: String,
    kind: String,
    /// Suffix of the name, labels and value, in the order of the text.
    samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// `name="value",…` with nothing else in it.
fn labels(text: &str) -> BTreeMap<String, String> {
    let (mut found, mut rest) = (BTreeMap::new(), text);
    while !rest.is_empty() {
        let (name, behind) = rest.split_once("=\"").unwrap();
        let (value, behind) = behind.split_once('"').unwrap();
        assert!(is_name(name) && !value.contains(['\\', '\n']), "{text}");
        assert!(found.insert(name.to_owned(), value.to_owned()).is_none(), "{text}");
        rest = behind.strip_prefix(',').unwrap_or(behind);
        assert!(rest.len() < behind.len() || behind.is_empty(), "{text}");
    }
    found
}

/// Reads the text format, version 0.0.4, of a writer who is strict: HELP, TYPE, then all series of one figure together.
fn parse(text: &str) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n') && !text.contains("\n\n"));
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let (name, help) = line.strip_prefix("# HELP ").unwrap().split_once(' ').unwrap();
        let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
        assert!(is_name(name), "{name}");
        let mut family = Family {
            help: help.to_owned(),
            kind: kind.to_owned(),
            samples: Vec::new(),
        };
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (full, inside) = match series.split_once('{') {
                Some((full, inside)) => (full, inside.strip_suffix('}').unwrap()),
                None => (series, ""),
            };
            let suffix = full
                .strip_prefix(name)
                .unwrap_or_else(|| panic!("{line} is not of {name}"));
            let sample = (suffix.to_owned(), labels(inside), value.parse().unwrap());
            let is_new = family
                .samples
                .iter()
                .all(|(known, labels, _)| (known, labels) != (&sample.0, &sample.1));
            assert!(is_new, "{line} is there twice");
            family.samples.push(sample);
        }
        assert!(
            families.insert(name.to_owned(), family).is_none(),
            "{name} is there twice"
        );
    }
    families
}

/// What `promtool check metrics` asks for, and that histograms add up.
fn check(name: &str, family: &Family) {
    assert!(family.help.len() > 10, "{name} has no help");
    assert_eq!(
        family.kind == "counter",
        name.ends_with("_total"),
        "{name} is a {}",
        family.kind
    );
    let words: BTreeSet<&str> = name.split('_').collect();
    for word in [
        "gauge",
        "counter",
        "histogram",
        "milliseconds",
        "minutes",
        "hours",
        "days",
        "ms",
        "kb",
        "mb",
        "gb",
    ] {
        assert!(!words.contains(word), "{name}: {word}");
    }
    if family.kind != "histogram" {
        assert!(
            !["_bucket", "_count", "_sum"].iter().any(|end| name.ends_with(end)),
            "{name}"
        );
        assert!(family.samples.iter().all(|(suffix, ..)| suffix.is_empty()), "{name}");
        return;
    }
    let mut classes = Vec::new();
    let mut ends = BTreeMap::new();
    for (suffix, labels, value) in &family.samples {
        match suffix.as_str() {
            "_bucket" => classes.push((labels["le"].parse::<f64>().unwrap(), *value)),
            "_sum" | "_count" => drop(ends.insert(suffix.as_str(), *value)),
            other => panic!("{name}{other}"),
        }
    }
    assert!(
        classes.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1),
        "{classes:?}"
    );
    assert_eq!(classes.last(), Some(&(f64::INFINITY, ends["_count"])), "{name}");
    assert!(ends["_sum"] >= 0.0 && classes.len() > 5);
}

/// A box that has everything that has figures.
fn desk() -> Desk {
    let desk = Desk::changed(|app, place, clock| {
        with_absent_mirror(app, place, clock).with_keeping(Keeping {
            primary: Retention::new(VolumeRole::Primary, Rules::default()),
            mirror: None,
            configured: Rules::default(),
        })
    });
    let recorder = desk.app.recorder.clone();
    let mut camera = fixture::camera("door");
    camera.enabled = false;
    let last = fixture::segment(0, 10, 1, 0);
    desk.wait_for(async move { recorder.adopt(camera, Some(last), Vec::new()) });
    desk
}

fn figures(desk: &Desk) -> BTreeMap<String, Family> {
    let answer = desk.get("/metrics");
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("text/plain; version=0.0.4; charset=utf-8"))
    );
    let families = parse(&String::from_utf8(answer.body).unwrap());
    families.iter().for_each(|(name, family)| check(name, family));
    families
}

#[test]
fn figures_are_text_that_prometheus_reads_and_the_documentation_lists_them() {
    let families = figures(&desk());
    let mut table = String::new();
    for (name, family) in &families {
        let mut labels: BTreeSet<&str> = family
            .samples
            .iter()
            .flat_map(|(_, labels, _)| labels.keys())
            .map(String::as_str)
            .collect();
        labels.remove("le");
        let labels: Vec<&str> = labels.into_iter().collect();
        table += &format!(
            "| {name} | {} | {} | {} |\n",
            family.kind,
            labels.join(", "),
            family.help
        );
    }
    let document = include_str!("../../../docs/metrics.md");
    assert!(
        document.contains(&format!("|---|---|---|---|\n{table}\n")),
        "docs/metrics.md has to have this table:\n{table}"
    );
}

#[test]
fn a_box_without_mirror_tells_how_its_cameras_are_and_what_waits() {
    let desk = Desk::new();
    let value = |families: &BTreeMap<String, Family>, name: &str, label: (&str, &str)| {
        let samples = &families[name].samples;
        let found = samples
            .iter()
            .find(|(_, labels, _)| labels.get(label.0).is_some_and(|value| value == label.1));
        found.map(|(_, _, value)| *value).unwrap()
    };
    let before = figures(&desk);
    assert_eq!(before["camkeep_cameras"].samples.len(), 6, "each state");
    assert_eq!(
        value(&before, "camkeep_cameras", ("state", "connecting")),
        1.0,
        "known, and not taken up yet"
    );
    assert_eq!(value(&before, "camkeep_export_jobs", ("state", "queued")), 0.0);
    let unrecorded = before.get("camkeep_camera_losses_total");
    assert!(unrecorded.is_none(), "nothing is recorded yet");

    let recorder = desk.app.recorder.clone();
    let mut camera = fixture::camera("door");
    camera.enabled = false;
    let last = fixture::segment(0, 10, 1, 0);
    desk.wait_for(async move { recorder.adopt(camera, Some(last), Vec::new()) });
    let after = figures(&desk);
    assert_eq!(
        value(&after, "camkeep_camera_last_frame_age_seconds", ("camera", "door")),
        890.0
    );
    assert_eq!(value(&after, "camkeep_camera_frames_total", ("camera", "door")), 0.0);
    assert_eq!(after["camkeep_camera_losses_total"].samples.len(), 8, "each kind");
}
