//! The house as the rules see it: its sources, its other texts, and what stands at the top.

use std::path::{Path, PathBuf};

use super::source::SourceFile;

/// A house: a root with its sources and its other texts.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) sources: Vec<SourceFile>,
    /// Every text file: path and content.
    pub(crate) texts: Vec<(String, String)>,
    /// What stands at the top.
    pub(crate) top: Vec<String>,
}

/// Made by tools and never committed.
const MADE: [&str; 4] = [".git", "target", "camkeep-data", "node_modules"];

impl House {
    pub(crate) fn read(root: &Path) -> Self {
        let mut paths = Vec::new();
        walk(root, root, &mut paths);
        paths.sort();
        let mut top: Vec<String> = paths
            .iter()
            .filter_map(|path| path.split('/').next())
            .map(str::to_owned)
            .collect();
        top.dedup();
        let (mut sources, mut texts) = (Vec::new(), Vec::new());
        for path in paths {
            // Pictures and the like are no texts.
            let Ok(text) = std::fs::read_to_string(root.join(&path)) else {
                continue;
            };
            if path.ends_with(".rs") && (path.starts_with("src/") || path.starts_with("tests/")) {
                sources.push(SourceFile::parse(path.clone(), &text));
            }
            texts.push((path, text));
        }
        let mut house = Self { sources, texts, top };
        house.give_test_files_away();
        house
    }

    pub(crate) fn product(&self) -> impl Iterator<Item = &SourceFile> {
        self.sources.iter().filter(|file| file.is_under("src"))
    }

    /// `#[cfg(test)] mod tests;` makes the whole file behind it a test's.
    fn give_test_files_away(&mut self) {
        let mut files: Vec<String> = Vec::new();
        for file in self.sources.iter().filter(|file| file.is_under("src")) {
            for (name, _, in_test) in &file.children {
                if *in_test {
                    let module = [file.module(), vec![name.clone()]].concat().join("/");
                    files.extend([format!("src/{module}.rs"), format!("src/{module}/")]);
                }
            }
        }
        for file in &mut self.sources {
            if files
                .iter()
                .any(|path| file.path == *path || (path.ends_with('/') && file.path.starts_with(path)))
            {
                file.test_lines = vec![(1, file.lines)];
                file.tokens.iter_mut().for_each(|token| token.in_test = true);
                file.attributes
                    .iter_mut()
                    .for_each(|attribute| attribute.in_test = true);
            }
        }
    }
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path: PathBuf = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if MADE.contains(&name.as_str()) {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(root, &path, found);
        } else if let Ok(relative) = path.strip_prefix(root) {
            found.push(relative.to_string_lossy().replace('\\', "/"));
        }
    }
}
