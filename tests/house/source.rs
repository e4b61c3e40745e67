//! A source file as the rules see it: words, marks and texts, each with its line and where it stands.
//!
//! The lexer is the compiler's own kind (`proc-macro2`), so a comment is no code and a string is a string. Tokens and
//! not a syntax tree, because a tree ends at every macro, and rules hold inside `tokio::select!` too.

use std::rc::Rc;
use std::str::FromStr;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// A rule that was broken, and where.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) rule: &'static str,
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: [{}] {}", self.path, self.line, self.rule, self.what)
    }
}

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Word(String),
    /// One character of punctuation, but `::` is one mark.
    Mark(&'static str),
    Sign(char),
    /// A string literal, without its quotes; escapes stay as written.
    Text(String),
    Number,
    Open(char),
    Close(char),
}

/// A token and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) line: usize,
    /// Compiled for tests only.
    pub(crate) in_test: bool,
    /// Part of an attribute.
    pub(crate) in_attribute: bool,
    /// How many inline modules are around it.
    pub(crate) inline_modules: usize,
    /// How many brackets are around it.
    pub(crate) depth: usize,
    /// The innermost named function around it; whether that runs on tokio's paused clock.
    pub(crate) function: Option<Rc<(String, bool)>>,
}

/// One `.rs` file.
#[derive(Debug, Default)]
pub(crate) struct SourceFile {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) tokens: Vec<Token>,
    /// The lines of the file's own doc comment.
    pub(crate) doc: Vec<String>,
    pub(crate) lines: usize,
    /// First and last lines of what is compiled for tests only.
    pub(crate) test_lines: Vec<(usize, usize)>,
    /// Modules in files of their own: name, line, for tests only.
    pub(crate) children: Vec<(String, usize, bool)>,
    /// Test functions: name and line.
    pub(crate) tests: Vec<(String, usize)>,
    /// Attributes: the line, the path, the words inside in order with `=` kept.
    pub(crate) attributes: Vec<Attribute>,
    /// Why it could not be read.
    pub(crate) unreadable: Option<String>,
}

/// An attribute but a doc comment.
#[derive(Debug, Clone)]
pub(crate) struct Attribute {
    pub(crate) line: usize,
    pub(crate) path: String,
    /// The words and `=` signs after the path.
    pub(crate) inside: Vec<String>,
    pub(crate) in_test: bool,
}

impl SourceFile {
    pub(crate) fn finding(&self, rule: &'static str, line: usize, what: impl Into<String>) -> Finding {
        Finding {
            rule,
            path: self.path.clone(),
            line,
            what: what.into(),
        }
    }

    pub(crate) fn is_under(&self, folder: &str) -> bool {
        self.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The room of a file under `src/`: its first folder, or its own name.
    pub(crate) fn room(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let first = inside.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }

    /// The module that the file is, from the crate's root: `src/index/write/mod.rs` is `index`, `write`.
    pub(crate) fn module(&self) -> Vec<String> {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let mut parts: Vec<String> = inside.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            parts.pop();
        }
        parts
    }

    /// Tokens that are not compiled for tests only.
    pub(crate) fn product(&self) -> impl Iterator<Item = (usize, &Token)> {
        self.tokens.iter().enumerate().filter(|(_, token)| !token.in_test)
    }

    pub(crate) fn word(&self, at: usize) -> Option<&str> {
        match &self.tokens.get(at)?.kind {
            Kind::Word(word) => Some(word),
            _ => None,
        }
    }

    pub(crate) fn is(&self, at: usize, kind: &Kind) -> bool {
        self.tokens.get(at).is_some_and(|token| token.kind == *kind)
    }

    pub(crate) fn parse(path: String, text: &str) -> Self {
        let mut file = Self {
            path,
            lines: text.lines().count(),
            ..Self::default()
        };
        match TokenStream::from_str(text) {
            Ok(stream) => {
                let whole = file.is_under("tests");
                file.flatten(
                    stream,
                    &Around {
                        in_test: whole,
                        ..Around::default()
                    },
                );
            }
            Err(error) => file.unreadable = Some(error.to_string()),
        }
        file
    }

    fn push(&mut self, kind: Kind, line: usize, around: &Around) {
        self.tokens.push(Token {
            kind,
            line,
            in_test: around.in_test,
            in_attribute: around.in_attribute,
            inline_modules: around.inline_modules,
            depth: around.depth,
            function: around.function.clone(),
        });
    }

    fn flatten(&mut self, stream: TokenStream, outside: &Around) {
        let trees: Vec<TokenTree> = stream.into_iter().collect();
        let mut around = outside.clone();
        let mut item = Item::default();
        let mut at = 0;
        while let Some(tree) = trees.get(at) {
            let line = tree.span().start().line;
            if let Some((skip, inner, body)) = attribute_at(&trees, at).filter(|_| !around.in_attribute) {
                self.attribute(&body, line, inner, &mut item, &mut around);
                at += skip;
                continue;
            }
            let mut inside = around.clone();
            inside.in_test |= item.test_from.is_some();
            match tree {
                TokenTree::Ident(ident) => {
                    let word = ident.to_string().trim_start_matches("r#").to_owned();
                    item.meets(&word, self, line, inside.in_test, trees.get(at + 1), trees.get(at + 2));
                    self.push(Kind::Word(word), line, &inside);
                }
                TokenTree::Punct(punct) => {
                    let next = trees.get(at + 1);
                    let double = punct.as_char() == ':'
                        && punct.spacing() == Spacing::Joint
                        && matches!(next, Some(TokenTree::Punct(p)) if p.as_char() == ':');
                    if double {
                        self.push(Kind::Mark("::"), line, &inside);
                        at += 1;
                    } else {
                        self.push(Kind::Sign(punct.as_char()), line, &inside);
                    }
                    if punct.as_char() == ';' {
                        item.ends(self, line);
                    }
                }
                TokenTree::Literal(literal) => {
                    let kind = text_of(&literal.to_string()).map_or(Kind::Number, Kind::Text);
                    self.push(kind, line, &inside);
                }
                TokenTree::Group(group) => {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Parenthesis => ('(', ')'),
                        Delimiter::Brace => ('{', '}'),
                        Delimiter::Bracket => ('[', ']'),
                        Delimiter::None => (' ', ' '),
                    };
                    let last = group.span_close().end().line;
                    self.push(Kind::Open(open), line, &inside);
                    let mut deeper = inside.clone();
                    deeper.depth += 1;
                    if open == '{' {
                        deeper.inline_modules += usize::from(item.module);
                        deeper.function = item.function.take().or(deeper.function);
                    }
                    self.flatten(group.stream(), &deeper);
                    self.push(Kind::Close(close), last, &inside);
                    if open == '{' {
                        item.ends(self, last);
                    }
                }
            }
            at += 1;
        }
    }

    fn attribute(&mut self, body: &TokenStream, line: usize, inner: bool, item: &mut Item, around: &mut Around) {
        let words = words_of(body);
        let path_length = words
            .iter()
            .position(|word| word == "=" || word == "(")
            .unwrap_or(words.len());
        let path = words[..path_length].join("::");
        if path == "doc" && words.get(path_length).is_some_and(|word| word == "=") {
            if inner && around.depth == 0 {
                let text = body.clone().into_iter().last().map(|literal| literal.to_string());
                self.doc.extend(text.and_then(|text| text_of(&text)));
            }
            return;
        }
        let has_test =
            path == "cfg" && words.iter().any(|word| word == "test") && !words.iter().any(|word| word == "not");
        let is_test = path == "test" || path.ends_with("::test");
        if inner && has_test {
            around.in_test = true;
            self.test_lines.push((1, self.lines));
        } else if has_test || is_test {
            item.test_from.get_or_insert(line);
            item.is_test |= is_test;
            item.paused |= is_test && words.iter().any(|word| word == "start_paused");
        }
        let mut inside = around.clone();
        inside.in_attribute = true;
        inside.in_test |= item.test_from.is_some();
        inside.depth += 1;
        self.attributes.push(Attribute {
            line,
            path,
            inside: words[path_length..].to_vec(),
            in_test: inside.in_test,
        });
        self.flatten(body.clone(), &inside);
    }
}

/// What is around a token.
#[derive(Debug, Clone, Default)]
struct Around {
    in_test: bool,
    in_attribute: bool,
    inline_modules: usize,
    depth: usize,
    function: Option<Rc<(String, bool)>>,
}

/// What is known of the item that is being read at one level.
#[derive(Debug, Default)]
struct Item {
    /// The line of the attribute that makes it a test's.
    test_from: Option<usize>,
    is_test: bool,
    paused: bool,
    module: bool,
    function: Option<Rc<(String, bool)>>,
}

impl Item {
    fn meets(
        &mut self,
        word: &str,
        file: &mut SourceFile,
        line: usize,
        in_test: bool,
        next: Option<&TokenTree>,
        after: Option<&TokenTree>,
    ) {
        let Some(TokenTree::Ident(name)) = next else {
            return;
        };
        let name = name.to_string().trim_start_matches("r#").to_owned();
        if word == "mod" {
            self.module = true;
            if matches!(after, Some(TokenTree::Punct(end)) if end.as_char() == ';') {
                file.children.push((name, line, in_test));
            }
        } else if word == "fn" {
            if self.is_test {
                file.tests.push((name.clone(), line));
            }
            self.function = Some(Rc::new((name, self.paused)));
        }
    }

    fn ends(&mut self, file: &mut SourceFile, line: usize) {
        if let Some(from) = self.test_from {
            file.test_lines.push((from, line));
        }
        *self = Self::default();
    }
}

/// How many trees an attribute that begins here takes, whether it is an inner one, and what it says.
fn attribute_at(trees: &[TokenTree], at: usize) -> Option<(usize, bool, TokenStream)> {
    let is = |index: usize, sign: char| matches!(trees.get(index), Some(TokenTree::Punct(p)) if p.as_char() == sign);
    if !is(at, '#') {
        return None;
    }
    let inner = is(at + 1, '!');
    match trees.get(at + 1 + usize::from(inner)) {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => {
            Some((2 + usize::from(inner), inner, group.stream()))
        }
        _ => None,
    }
}

/// The words of an attribute, with its `=` and opening brackets, at every depth.
fn words_of(stream: &TokenStream) -> Vec<String> {
    let mut words = Vec::new();
    for tree in stream.clone() {
        match tree {
            TokenTree::Ident(ident) => words.push(ident.to_string()),
            TokenTree::Punct(punct) if punct.as_char() == '=' => words.push("=".to_owned()),
            TokenTree::Group(group) => {
                words.push("(".to_owned());
                words.extend(words_of(&group.stream()));
            }
            _ => {}
        }
    }
    words
}

/// What stands in a string literal of any form; nothing when it is another literal.
fn text_of(literal: &str) -> Option<String> {
    let body = literal.trim_start_matches(['b', 'c', 'r', '#']);
    let body = body.strip_prefix('"')?;
    Some(body.trim_end_matches('#').strip_suffix('"').unwrap_or(body).to_owned())
}
