//! Paths as the compiler would follow them: groups unfolded, renamed imports resolved.

use std::collections::HashMap;

use super::source::{Kind, SourceFile, Token};

/// One path in a file, by every name it may mean.
#[derive(Debug)]
pub(crate) struct Path {
    /// Where it begins among the tokens.
    pub(crate) at: usize,
    pub(crate) line: usize,
    pub(crate) is_import: bool,
    /// As written, and with the first word replaced by what an import says it is.
    pub(crate) meanings: Vec<Vec<String>>,
}

impl Path {
    /// Whether it says these words, one after another.
    pub(crate) fn says(&self, words: &[&str]) -> bool {
        self.meanings
            .iter()
            .any(|path| path.windows(words.len()).any(|window| window == words))
    }

    pub(crate) fn token<'a>(&self, file: &'a SourceFile) -> &'a Token {
        &file.tokens[self.at]
    }
}

struct Written {
    at: usize,
    line: usize,
    is_import: bool,
    words: Vec<String>,
    name: Option<String>,
}

/// Every path of a file.
pub(crate) fn paths(file: &SourceFile) -> Vec<Path> {
    let mut written = Vec::new();
    let mut at = 0;
    while at < file.tokens.len() {
        let follows_path = at > 0 && file.is(at - 1, &Kind::Mark("::")) && at > 1 && ends_a_path(file, at - 2);
        let is_field = at > 0 && file.is(at - 1, &Kind::Sign('.'));
        if file.word(at).is_some() && !follows_path && !is_field {
            let before = if at > 0 && file.is(at - 1, &Kind::Mark("::")) {
                2
            } else {
                1
            };
            let is_import = at >= before && file.word(at - before) == Some("use");
            at = read(file, at, at, &[], is_import, &mut written).max(at + 1);
        } else {
            at += 1;
        }
    }
    let mut names: HashMap<&str, Vec<&Vec<String>>> = HashMap::new();
    for path in written.iter().filter(|path| path.is_import) {
        if let Some(name) = &path.name {
            names.entry(name).or_default().push(&path.words);
        }
    }
    written
        .iter()
        .map(|path| Path {
            at: path.at,
            line: path.line,
            is_import: path.is_import,
            meanings: meanings(&path.words, &names),
        })
        .collect()
}

/// Whether a path goes on over a `::` after this token: `<T>::new` and `Vec::<T>::new` begin anew.
fn ends_a_path(file: &SourceFile, at: usize) -> bool {
    file.word(at).is_some_and(|word| word != "use" && word != "in")
}

/// Reads the path that begins at `at`, and gives the place after it.
fn read(
    file: &SourceFile,
    mut at: usize,
    first: usize,
    before: &[String],
    is_import: bool,
    found: &mut Vec<Written>,
) -> usize {
    let mut words = before.to_vec();
    let line = file.tokens[at].line;
    loop {
        match &file.tokens.get(at).map(|token| &token.kind) {
            Some(Kind::Word(word)) => words.push(word.clone()),
            Some(Kind::Sign('*')) if is_import => words.push("*".to_owned()),
            Some(Kind::Open('{')) if is_import => {
                at += 1;
                while at < file.tokens.len() && !file.is(at, &Kind::Close('}')) {
                    at = if file.is(at, &Kind::Sign(',')) || file.is(at, &Kind::Mark("::")) {
                        at + 1
                    } else {
                        read(file, at, at, &words, true, found).max(at + 1)
                    };
                }
                return at + 1;
            }
            _ => break,
        }
        at += 1;
        let goes_on = file.is(at, &Kind::Mark("::"))
            && match file.tokens.get(at + 1).map(|token| &token.kind) {
                Some(Kind::Word(_)) => true,
                Some(Kind::Sign('*') | Kind::Open('{')) => is_import,
                _ => false,
            };
        if !goes_on {
            break;
        }
        at += 1;
    }
    if words.last().is_some_and(|word| word == "self") && words.len() > 1 {
        words.pop();
    }
    let mut name = words.last().cloned();
    if is_import && file.word(at) == Some("as") {
        name = file.word(at + 1).map(str::to_owned);
        at += 2;
    }
    found.push(Written {
        at: first,
        line,
        is_import,
        words,
        name,
    });
    at
}

fn meanings(words: &[String], names: &HashMap<&str, Vec<&Vec<String>>>) -> Vec<Vec<String>> {
    let mut all = vec![words.to_vec()];
    let mut at = 0;
    // Each import is followed once, so that `use a::b as a` comes to an end.
    while let Some(path) = all.get(at).cloned() {
        for import in names.get(path[0].as_str()).into_iter().flatten() {
            let full = [import.as_slice(), &path[1..]].concat();
            if all.len() < 16 && !all.contains(&full) && full.len() < 24 {
                all.push(full);
            }
        }
        at += 1;
    }
    all
}
