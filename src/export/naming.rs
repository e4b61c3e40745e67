//! Names of clips: a pattern with words in braces.

use crate::model::{CameraId, ClipMode, Span, Timestamp};
use crate::storage::plain_name;

/// The pattern when nobody gives one.
const USUAL: &str = "{camera}_{from}_{to}";
/// The words that may stand in braces.
const WORDS: [&str; 7] = ["camera", "name", "from", "to", "date", "mode", "part"];
/// Longest pattern.
const LONGEST: usize = 120;

/// How files are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Word>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Text(String),
    Hole(&'static str),
}

/// What a clip is called after.
#[derive(Debug, Clone)]
pub(super) struct Named<'a> {
    pub(super) camera: &'a CameraId,
    /// The camera's name for people.
    pub(super) name: &'a str,
    pub(super) window: Span,
    pub(super) mode: ClipMode,
    /// Its place among the files of one camera, from 1, when there are several.
    pub(super) part: Option<usize>,
    /// Whether files of other cameras are made by the same order.
    pub(super) is_among_others: bool,
}

impl Pattern {
    /// Reads a pattern, or says what is wrong with it.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, String> {
        let text = text.unwrap_or(USUAL).trim();
        let mut rest = text.strip_suffix(".mp4").unwrap_or(text);
        if rest.is_empty() || rest.len() > LONGEST {
            return Err(format!("give 1 to {LONGEST} characters, like {USUAL}"));
        }
        let mut words = Vec::new();
        while let Some((before, after)) = rest.split_once('{') {
            let (word, follows) = after
                .split_once('}')
                .ok_or_else(|| "a `{` is never closed".to_owned())?;
            let known = WORDS.into_iter().find(|known| *known == word).ok_or_else(|| {
                let word: String = word.chars().filter(|c| !c.is_control()).take(40).collect();
                format!("`{{{word}}}` is no word; there are {{{}}}", WORDS.join("}, {"))
            })?;
            words.push(Word::Text(before.to_owned()));
            words.push(Word::Hole(known));
            rest = follows;
        }
        words.push(Word::Text(rest.to_owned()));
        Ok(Self(words))
    }

    /// The name for a clip, without the ending. What several clips would share is put behind it.
    pub(super) fn fill(&self, named: &Named<'_>) -> String {
        let mut text = String::new();
        for word in &self.0 {
            match word {
                Word::Text(plain) => text.push_str(plain),
                Word::Hole("camera") => text.push_str(named.camera.as_str()),
                Word::Hole("name") => text.push_str(named.name),
                Word::Hole("from") => text.push_str(&stamp(named.window.start)),
                Word::Hole("to") => text.push_str(&stamp(named.window.end)),
                Word::Hole("date") => text.push_str(&named.window.start.to_utc().format("%Y-%m-%d").to_string()),
                Word::Hole("mode") => text.push_str(named.mode.as_str()),
                Word::Hole(_) => text.push_str(&named.part.unwrap_or(1).to_string()),
            }
        }
        let has = |wanted: &str| {
            self.0
                .iter()
                .any(|word| matches!(word, Word::Hole(hole) if *hole == wanted))
        };
        // What tells the files of an order apart is put behind what is cut to size, so that it is never cut away.
        let mut stem: String = plain_name(&text).chars().take(LONGEST).collect();
        if named.is_among_others && !has("camera") && !has("name") {
            stem.push('_');
            stem.push_str(named.camera.as_str());
        }
        if let Some(part) = named.part.filter(|_| !has("part")) {
            stem.push_str(&format!("_part{part}"));
        }
        plain_name(&stem)
    }
}

/// A time as names have it, in UTC: `20261120_103000.125Z`, and without milliseconds where there are none.
fn stamp(at: Timestamp) -> String {
    let time = at.to_utc();
    let millis = at.as_millis().rem_euclid(1000);
    let whole = time.format("%Y%m%d_%H%M%S");
    if millis == 0 {
        format!("{whole}Z")
    } else {
        format!("{whole}.{millis:03}Z")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn filled(pattern: Option<&str>, part: Option<usize>, is_among_others: bool) -> String {
        let at = |text| Timestamp::parse(text).unwrap();
        Pattern::parse(pattern).unwrap().fill(&Named {
            camera: &CameraId::parse("front-door").unwrap(),
            name: "Front door / é",
            window: Span::new(at("2026-11-20T10:30:00Z"), at("2026-11-20T10:31:00.250Z")),
            mode: ClipMode::Exact,
            part,
            is_among_others,
        })
    }

    #[test]
    fn words_are_filled_in_and_every_file_of_an_order_has_its_own_name() {
        let usual = "front-door_20261120_103000Z_20261120_103100.250Z";
        assert_eq!(filled(None, None, false), usual);
        assert_eq!(filled(None, Some(2), true), format!("{usual}_part2"));
        assert_eq!(
            filled(Some("case 12/{name} {date}.mp4"), None, false),
            "case-12-Front-door-2026-11-20"
        );
        assert_eq!(filled(Some("theft"), Some(1), true), "theft_front-door_part1");
        assert_eq!(
            filled(Some("{part}-{mode}-{camera}"), Some(3), true),
            "3-exact-front-door"
        );
        assert_eq!(filled(Some("../../etc/passwd"), None, false), "etc-passwd");
    }

    #[test]
    fn a_pattern_that_cannot_be_is_refused_with_the_words_there_are() {
        assert_eq!(
            Pattern::parse(Some("{kamera}")).unwrap_err(),
            "`{kamera}` is no word; there are {camera}, {name}, {from}, {to}, {date}, {mode}, {part}"
        );
        assert_eq!(Pattern::parse(Some("a{camera")).unwrap_err(), "a `{` is never closed");
        for text in ["", "  ", ".mp4", &"x".repeat(121)] {
            assert!(
                Pattern::parse(Some(text)).unwrap_err().starts_with("give 1 to 120"),
                "{text}"
            );
        }
    }
}
