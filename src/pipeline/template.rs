//! A pipeline's text: a header that promises, and gst-launch syntax with closed holes.
//!
//! Text is structure, properties are data. A hole takes a word from a set that the header closes, a number within the
//! header's bounds, or another pipeline file as a part. Nothing a person types can become an element this way.
//!
//! ```text
//! #: purpose  one line
//! #: engine   record
//! #: binder   record
//! #: element  source   rtspsrc       what the binder does with it
//! #: hole     codec    h264 | h265
//! #: hole     latency  0..10000
//! #: part     sound    none | sound-aac
//! ```
//!
//! Other lines that begin with `#` are comments. gst-launch knows neither, so both are stripped.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// A pipeline file, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its file name without `.gst`.
    pub name: String,
    /// What it is for, in one line.
    pub purpose: String,
    /// The engine that plays it; parts have none.
    pub engine: Option<String>,
    /// The file of `src/pipeline/` that binds it, without `.rs`: the one of its own name unless the header says another.
    pub binder: String,
    /// The file that it was read from; nothing when it is the built-in one.
    pub file: Option<PathBuf>,
    /// The elements that the binder relies on.
    pub elements: Vec<Element>,
    holes: BTreeMap<String, Hole>,
    body: String,
}

/// One promise of a header: an element of this name and kind is in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The name in the text.
    pub name: String,
    /// The factory that makes it, which may hold a hole.
    pub factory: String,
    /// What the binder does with it.
    pub note: String,
}

/// What may stand in a hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hole {
    /// One of these words.
    Words(Vec<String>),
    /// A number between these, both included.
    Number(u64, u64),
    /// The text of one of these pipelines, or nothing for `none`.
    Part(Vec<String>),
}

/// Values for holes, by name.
pub type Filling = BTreeMap<String, String>;

/// Why a text cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A header line that makes no sense.
    #[error("pipelines/{name}.gst, line {line}: {reason}")]
    Header {
        /// The pipeline.
        name: String,
        /// The line in its file.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A value that the header does not allow, or a hole without a value.
    #[error("pipelines/{name}.gst: {reason}")]
    Hole {
        /// The pipeline.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

impl Template {
    /// Reads a file's text.
    pub fn parse(name: &str, text: &str) -> Result<Self, TemplateError> {
        let mut template = Self {
            name: name.to_owned(),
            purpose: String::new(),
            engine: None,
            binder: name.to_owned(),
            file: None,
            elements: Vec::new(),
            holes: BTreeMap::new(),
            body: String::new(),
        };
        for (index, line) in text.lines().enumerate() {
            let fail = |reason: String| TemplateError::Header {
                name: name.to_owned(),
                line: index + 1,
                reason,
            };
            if let Some(promise) = line.strip_prefix("#:") {
                template.read_promise(promise).map_err(fail)?;
            } else if !line.trim_start().starts_with('#') {
                let line = line.trim();
                if !line.is_empty() {
                    if !template.body.is_empty() {
                        template.body.push(' ');
                    }
                    template.body.push_str(line);
                }
            }
        }
        let fail = |reason: &str| TemplateError::Hole {
            name: name.to_owned(),
            reason: reason.to_owned(),
        };
        if template.purpose.is_empty() {
            return Err(fail("the header lacks `#: purpose`"));
        }
        if template.body.is_empty() {
            return Err(fail("there is no pipeline below the header"));
        }
        for hole in holes_in(&template.body) {
            if !template.holes.contains_key(hole) {
                return Err(fail(&format!("the hole {{{hole}}} is not declared in the header")));
            }
        }
        for hole in template.holes.keys() {
            if !holes_in(&template.body).any(|used| used == hole) {
                return Err(fail(&format!(
                    "the header declares the hole {{{hole}}}, which the text does not have"
                )));
            }
        }
        Ok(template)
    }

    fn read_promise(&mut self, promise: &str) -> Result<(), String> {
        let mut words = promise.trim().splitn(2, char::is_whitespace);
        let (kind, rest) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default().trim(),
        );
        let (name, rest_of) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let rest_of = rest_of.trim();
        match kind {
            "purpose" => self.purpose = rest.to_owned(),
            "engine" => self.engine = Some(rest.to_owned()),
            "binder" => self.binder = rest.to_owned(),
            "element" => {
                let (factory, note) = rest_of.split_once(char::is_whitespace).unwrap_or((rest_of, ""));
                if factory.is_empty() {
                    return Err("an element needs a name and a factory".to_owned());
                }
                self.elements.push(Element {
                    name: name.to_owned(),
                    factory: factory.to_owned(),
                    note: note.trim().to_owned(),
                });
            }
            "hole" | "part" => {
                let hole = Hole::read(kind == "part", rest_of)?;
                self.holes.insert(name.to_owned(), hole);
            }
            other => {
                return Err(format!(
                    "`{other}` is no header word; use purpose, engine, binder, element, hole or part"
                ));
            }
        }
        Ok(())
    }

    /// What may stand in each hole.
    pub fn holes(&self) -> impl Iterator<Item = (&str, &Hole)> {
        self.holes.iter().map(|(name, hole)| (name.as_str(), hole))
    }

    /// Whether it takes its frames from us rather than from an element of its own.
    pub fn is_fed(&self) -> bool {
        self.elements.iter().any(|element| element.factory == "appsrc")
    }

    /// The parts that a filling puts into the text.
    pub fn parts<'a>(&'a self, filling: &'a Filling) -> impl Iterator<Item = &'a str> {
        let parts = self.holes.iter().filter(|(_, hole)| matches!(hole, Hole::Part(_)));
        parts
            .filter_map(|(name, _)| filling.get(name))
            .map(String::as_str)
            .filter(|part| *part != "none")
    }

    /// The first allowed value of each hole: enough to read and draw the pipeline without a camera.
    pub fn sample(&self) -> Filling {
        self.holes
            .iter()
            .map(|(name, hole)| (name.clone(), hole.first()))
            .collect()
    }

    /// The text with its holes filled. `part` gives the filled text of a part by name.
    pub fn fill(
        &self,
        filling: &Filling,
        part: &dyn Fn(&str) -> Result<String, TemplateError>,
    ) -> Result<String, TemplateError> {
        let fail = |reason: String| TemplateError::Hole {
            name: self.name.clone(),
            reason,
        };
        let mut text = self.body.clone();
        for (name, hole) in &self.holes {
            let value = filling
                .get(name)
                .ok_or_else(|| fail(format!("the hole {{{name}}} has no value")))?;
            hole.check(value)
                .map_err(|reason| fail(format!("{{{name}}} {reason}")))?;
            let value = match hole {
                Hole::Part(_) if value == "none" => String::new(),
                Hole::Part(_) => part(value)?,
                _ => value.clone(),
            };
            text = text.replace(&format!("{{{name}}}"), &value);
        }
        Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

impl Hole {
    fn read(is_part: bool, text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a hole needs a set of words or bounds, like `h264 | h265` or `0..10000`".to_owned());
        }
        if let (false, Some((least, most))) = (is_part, text.split_once("..")) {
            let bound = |text: &str| text.trim().parse().map_err(|_| format!("`{text}` is not a number"));
            return Ok(Self::Number(bound(least)?, bound(most)?));
        }
        let words: Vec<String> = text.split('|').map(|word| word.trim().to_owned()).collect();
        let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+');
        match words.iter().find(|word| word.is_empty() || !word.chars().all(safe)) {
            Some(word) => Err(format!(
                "`{word}` cannot stand in a hole; words have letters, digits, `-`, `_` and `+`"
            )),
            None if is_part => Ok(Self::Part(words)),
            None => Ok(Self::Words(words)),
        }
    }

    fn first(&self) -> String {
        match self {
            Self::Words(words) | Self::Part(words) => words.first().cloned().unwrap_or_default(),
            Self::Number(least, _) => least.to_string(),
        }
    }

    fn check(&self, value: &str) -> Result<(), String> {
        match self {
            Self::Words(words) | Self::Part(words) if words.iter().any(|word| word == value) => Ok(()),
            Self::Words(words) | Self::Part(words) => Err(format!(
                "cannot be `{}`; it may be {}",
                value.escape_debug(),
                words.join(", ")
            )),
            Self::Number(least, most) => match value.parse::<u64>() {
                Ok(number) if (*least..=*most).contains(&number) && number.to_string() == value => Ok(()),
                _ => Err(format!(
                    "cannot be `{}`; it may be {least} to {most}",
                    value.escape_debug()
                )),
            },
        }
    }
}

impl fmt::Display for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words(words) | Self::Part(words) => f.write_str(&words.join(" | ")),
            Self::Number(least, most) => write!(f, "{least}..{most}"),
        }
    }
}

fn holes_in(body: &str) -> impl Iterator<Item = &str> {
    body.split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}').map(|(hole, _)| hole))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "#: purpose tries\n#: element sink fakesink eats\n#: hole codec h264 | h265\n#: hole ms 0..500\n\
        #: part sound none | sound-aac\n# a remark\nvideotestsrc ! rtp{codec}depay latency={ms} ! fakesink name=sink\n{sound}\n";

    fn filled(codec: &str, ms: &str, sound: &str) -> Result<String, TemplateError> {
        let filling = [("codec", codec), ("ms", ms), ("sound", sound)];
        let filling = filling
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Template::parse("try", TEXT)?.fill(&filling, &|name| Ok(format!("<{name}>")))
    }

    #[test]
    fn holes_are_filled_and_comments_are_gone() {
        assert_eq!(
            filled("h265", "200", "sound-aac").unwrap(),
            "videotestsrc ! rtph265depay latency=200 ! fakesink name=sink <sound-aac>"
        );
        assert_eq!(
            filled("h264", "0", "none").unwrap(),
            "videotestsrc ! rtph264depay latency=0 ! fakesink name=sink"
        );
    }

    #[test]
    fn a_hole_takes_only_what_its_header_allows() {
        assert!(
            filled("h264 ! filesink location=x", "0", "none")
                .unwrap_err()
                .to_string()
                .contains("h264, h265")
        );
        for ms in ["501", "-1", "1e2", "", "0x1", "+1", "01"] {
            assert!(filled("h264", ms, "none").is_err(), "{ms}");
        }
        assert!(filled("h264", "0", "other").is_err());
    }

    #[test]
    fn a_header_that_lies_is_refused_with_its_line() {
        for (text, reason) in [
            ("#: purpose x\n#: whole y\na", "line 2: `whole`"),
            ("#: purpose x\n", "no pipeline"),
            ("fakesrc", "purpose"),
            ("#: purpose x\nfakesrc a={b}", "{b} is not declared"),
            ("#: purpose x\n#: hole b 1..2\nfakesrc", "the text does not have"),
            (
                "#: purpose x\n#: hole b a!b | c\nfakesrc x={b}",
                "cannot stand in a hole",
            ),
        ] {
            let error = Template::parse("try", text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_typed_into_a_hole_becomes_an_element(value in "\\PC*") {
            if let Ok(text) = filled(&value, "0", "none") {
                prop_assert!(value == "h264" || value == "h265");
                prop_assert_eq!(text.matches('!').count(), 2);
            }
        }
    }
}
