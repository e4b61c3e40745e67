//! Pipeline files keep what their headers promise, in every way they can be filled.

use std::collections::BTreeSet;
use std::path::PathBuf;

use camkeep::pipeline::{Catalog, Filling, Hole, Template, draw};

use super::root;

fn files() -> Vec<(String, PathBuf)> {
    let listing = std::fs::read_dir(root().join("pipelines")).unwrap();
    let mut files: Vec<(String, PathBuf)> = listing
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path))
        .collect();
    files.sort();
    files
}

/// What stands in a hole: every word and part, and both ends of a range of numbers.
fn values(hole: &Hole) -> Vec<String> {
    match hole {
        Hole::Words(words) | Hole::Part(words) => words.clone(),
        Hole::Number(least, most) => vec![least.to_string(), most.to_string()],
    }
}

/// Every way to fill a pipeline and the parts that it may have.
fn fillings(catalog: &Catalog, template: &Template) -> Vec<Filling> {
    let mut all = vec![Filling::new()];
    let mut holes: Vec<(&str, &Hole)> = template.holes().collect();
    let parts: BTreeSet<String> = holes
        .iter()
        .filter(|(_, hole)| matches!(hole, Hole::Part(_)))
        .flat_map(|(_, hole)| values(hole))
        .filter(|part| part != "none")
        .collect();
    holes.extend(parts.iter().flat_map(|part| catalog.get(part).unwrap().holes()));
    for (name, hole) in holes {
        all = all
            .into_iter()
            .flat_map(|filling| {
                values(hole).into_iter().map(move |value| {
                    let mut filling = filling.clone();
                    filling.insert(name.to_owned(), value);
                    filling
                })
            })
            .collect();
    }
    all
}

#[test]
fn every_pipeline_is_a_file_and_every_file_a_pipeline() {
    let catalog = Catalog::built_in().unwrap();
    let files = files();
    assert!(
        files
            .iter()
            .all(|(_, path)| path.extension().is_some_and(|end| end == "gst"))
    );
    let in_files: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let known: Vec<&str> = catalog.iter().map(|template| template.name.as_str()).collect();
    assert_eq!(in_files, known);
    for (name, path) in &files {
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(
            catalog.get(name).unwrap(),
            &Template::parse(name, &text).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn every_pipeline_parses_in_every_way_it_can_be_filled_and_has_the_elements_it_names() {
    let catalog = Catalog::built_in().unwrap();
    let mut seen = BTreeSet::new();
    for template in catalog.iter().filter(|template| template.engine.is_some()) {
        let fillings = fillings(&catalog, template);
        for filling in &fillings {
            // Building it holds every named element and its factory against the text.
            let dot = draw(&catalog, &template.name, filling)
                .unwrap_or_else(|error| panic!("{} filled with {filling:?}: {error}", template.name));
            let parts = template.parts(filling).map(|part| catalog.get(part).unwrap());
            for one in std::iter::once(template).chain(parts) {
                seen.insert(one.name.clone());
                for element in &one.elements {
                    assert!(!element.note.is_empty(), "{}: {} has no note", one.name, element.name);
                    let label = format!("\\n{}\\n", element.name);
                    assert!(dot.contains(&label), "{} is not in {}: {dot}", element.name, one.name);
                }
            }
        }
    }
    let all: BTreeSet<String> = catalog.iter().map(|template| template.name.clone()).collect();
    assert_eq!(seen, all, "a part that no pipeline has cannot be tried");
}

#[test]
fn who_finds_a_pipeline_finds_its_binder_and_its_engine() {
    let catalog = Catalog::built_in().unwrap();
    for template in catalog.iter() {
        let binder = root().join(format!("src/pipeline/{}.rs", template.binder));
        let source = std::fs::read_to_string(&binder)
            .unwrap_or_else(|error| panic!("{} is bound by {}: {error}", template.name, binder.display()));
        let named = format!("\"{}\"", template.name);
        assert!(source.contains(&named), "{} never says {named}", binder.display());
        match &template.engine {
            Some(engine) => assert!(root().join("src").join(engine).is_dir(), "no engine {engine}"),
            None => assert!(
                catalog.whole_of(&template.name).is_some(),
                "{} is a part of nothing",
                template.name
            ),
        }
    }
}

#[test]
fn a_file_that_breaks_its_promise_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let good = std::fs::read_to_string(root().join("pipelines/mend.gst")).unwrap();
    for (lie, reason) in [
        (
            good.replace("mp4mux name=muxer", "matroskamux name=muxer")
                .replace(" movie-timescale=90000", ""),
            "no mp4mux named `muxer`",
        ),
        (
            good.replace("filesink name=file", "filesink name=sink"),
            "no filesink named `file`",
        ),
        (good.replace("! filesink", "! nosuchsink"), "`nosuchsink` is missing"),
        (good.replace("! filesink", "! ! filesink"), "does not parse"),
    ] {
        assert_ne!(lie, good);
        std::fs::write(folder.path().join("mend.gst"), &lie).unwrap();
        let catalog = Catalog::with_overrides(folder.path()).unwrap();
        let filling = catalog.sample("mend").unwrap();
        let error = draw(&catalog, "mend", &filling).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    assert!(
        draw(
            &Catalog::built_in().unwrap(),
            "mend",
            &Catalog::built_in().unwrap().sample("mend").unwrap()
        )
        .is_ok()
    );
}
