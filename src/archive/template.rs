//! A replay's URL with holes for moments, as a vendor's rule or a person gives it.

use std::fmt;
use std::time::Duration;

use crate::model::{Address, AddressError, Span, Timestamp};

use super::offset::LocalTime;

/// How a moment is written where a hole does not say: as Hikvision's cameras read it.
const USUAL: &str = "%Y%m%dT%H%M%SZ";
/// What of the calendar a form may name.
const PARTS: &str = "YymdjHMS";

/// A URL with holes: `{start}` and `{end}`, each with a form if need be, and `{channel}`.
///
/// A form is `unix`, `unix_ms`, or `strftime` letters and harmless signs (`%Y%m%dT%H%M%SZ` where none is given); `local:` before
/// it writes the camera's local time instead of UTC. Holes stand behind the host only, and nothing that fills them has a
/// meaning in a URL: whatever is typed, the result is a URL of the same host.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
    unit: Duration,
}

#[derive(Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Channel,
    Moment { is_end: bool, local: bool, form: Form },
}

#[derive(Clone, PartialEq, Eq)]
enum Form {
    Unix,
    UnixMs,
    Calendar(String),
}

/// Why a text is no template, and what would be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It would give no URL.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A brace that does not belong to a hole.
    #[error("each `{{` needs its `}}`; write a brace that is part of the URL as %7B or %7D")]
    Brace,
    /// A hole before the path.
    #[error("`{{` may stand in the path and the query only; in a user name or password write it as %7B")]
    Place,
    /// A hole for something else.
    #[error("`{{{0}}}` is not known here; there are {{start}}, {{end}} and {{channel}}")]
    Hole(String),
    /// One of the two ends is missing.
    #[error("{{{0}}} is missing; a replay has to be told where it begins and where it ends")]
    Missing(&'static str),
    /// A form that cannot be written.
    #[error(
        "`{0}` is no form for a moment; write unix, unix_ms, or one like %Y-%m-%dT%H:%M:%SZ with the letters {letters}, \
         and local: before it for the camera's local time",
        letters = "Y y m d j H M S"
    )]
    Form(String),
    /// A form from which no second can be told.
    #[error("`{0}` leaves out a part of the time; it needs year, month, day, hour, minute and second")]
    Coarse(String),
}

impl fmt::Debug for Template {
    /// What stands between the holes may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Template(***)")
    }
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let pieces = pieces(text)?;
        let unit = |piece: &Piece| match piece {
            Piece::Moment { form: Form::UnixMs, .. } => Some(Duration::from_millis(1)),
            Piece::Moment { .. } => Some(Duration::from_secs(1)),
            _ => None,
        };
        let template = Self {
            unit: pieces.iter().filter_map(unit).max().unwrap_or(Duration::from_secs(1)),
            pieces,
        };
        for (is_end, name) in [(false, "start"), (true, "end")] {
            let is_it = |piece: &Piece| matches!(piece, Piece::Moment { is_end: end, .. } if *end == is_end);
            if !template.pieces.iter().any(is_it) {
                return Err(TemplateError::Missing(name));
            }
        }
        let moment = Timestamp::BUILT;
        template.fill(Span::new(moment, moment), LocalTime::East(0), 1)?;
        Ok(template)
    }

    /// The smallest span around one whose ends this can say. Most forms count whole seconds.
    pub fn widened(&self, span: Span) -> Span {
        let unit = i64::try_from(self.unit.as_nanos()).unwrap_or(i64::MAX);
        let down = |moment: Timestamp| moment.offset(moment.as_nanos().rem_euclid(unit).saturating_neg());
        let end = down(span.end);
        let end = if end < span.end { end.plus(self.unit) } else { end };
        Span::new(down(span.start), end)
    }

    /// The URL that asks for a span of the camera's time.
    pub fn fill(&self, span: Span, local: LocalTime, channel: u32) -> Result<Address, AddressError> {
        let mut url = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => url.push_str(text),
                Piece::Channel => url.push_str(&channel.to_string()),
                Piece::Moment {
                    is_end,
                    local: is_local,
                    form,
                } => {
                    let moment = if *is_end { span.end } else { span.start };
                    let zone = if *is_local { local } else { LocalTime::East(0) };
                    url.push_str(&form.write(moment, zone));
                }
            }
        }
        Address::parse(&url)
    }
}

impl Form {
    fn parse(text: &str) -> Result<Self, TemplateError> {
        let refused = || TemplateError::Form(shown(text));
        match text {
            "unix" => return Ok(Self::Unix),
            "unix_ms" => return Ok(Self::UnixMs),
            _ => {}
        }
        let mut named = String::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '%' => match letters.next() {
                    Some(part) if PARTS.contains(part) => named.push(part),
                    _ => return Err(refused()),
                },
                letter if letter.is_ascii_alphanumeric() || "_-.:/".contains(letter) => {}
                _ => return Err(refused()),
            }
        }
        let has = |part: char| named.contains(part);
        if named.is_empty() {
            return Err(refused());
        }
        let is_whole = (has('Y') || has('y')) && (has('j') || has('m') && has('d')) && "HMS".chars().all(has);
        if !is_whole {
            return Err(TemplateError::Coarse(shown(text)));
        }
        Ok(Self::Calendar(text.to_owned()))
    }

    fn write(&self, moment: Timestamp, zone: LocalTime) -> String {
        let millis = moment.as_millis() + i64::from(zone.east(moment)) * 1000;
        match self {
            Self::Unix => millis.div_euclid(1000).to_string(),
            Self::UnixMs => millis.to_string(),
            Self::Calendar(form) => zone.at(moment).format(form).to_string(),
        }
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, TemplateError> {
    // Where the path begins; what comes before is a place, and no hole may change it.
    let host = text.find("://").map_or(0, |at| at + 3);
    let path = text[host..].find(['/', '?', '#']).map_or(text.len(), |at| host + at);
    if text[..path].contains(['{', '}']) {
        return Err(TemplateError::Place);
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, hole) = rest.split_at(at);
        let hole = hole.strip_prefix('{').ok_or(TemplateError::Brace)?;
        let (hole, after) = hole.split_once('}').ok_or(TemplateError::Brace)?;
        if hole.contains('{') {
            return Err(TemplateError::Brace);
        }
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(self::hole(hole)?);
        rest = after;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(pieces)
}

fn hole(text: &str) -> Result<Piece, TemplateError> {
    let (name, form) = text
        .split_once(':')
        .map_or((text, None), |(name, form)| (name, Some(form)));
    let is_end = match (name, form) {
        ("start", _) => false,
        ("end", _) => true,
        ("channel", None) => return Ok(Piece::Channel),
        _ => return Err(TemplateError::Hole(shown(text))),
    };
    let form = form.unwrap_or(USUAL);
    let (local, form) = match form.strip_prefix("local") {
        Some("") => (true, USUAL),
        Some(rest) => (
            true,
            rest.strip_prefix(':').ok_or_else(|| TemplateError::Form(shown(form)))?,
        ),
        None => (false, form),
    };
    let form = Form::parse(form)?;
    Ok(Piece::Moment { is_end, local, form })
}

/// What was typed, short and fit to be shown.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(32).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn span() -> Span {
        Span::new(
            Timestamp::parse("2026-10-25T00:30:05.250Z").unwrap(),
            Timestamp::parse("2026-10-25T01:30:10.001Z").unwrap(),
        )
    }

    #[test]
    fn moments_are_written_in_the_form_that_is_asked_for() {
        let berlin = LocalTime::Zone(chrono_tz::Europe::Berlin);
        for (template, url) in [
            (
                "rtsp://cam/Streaming/tracks/{channel}01?starttime={start}&endtime={end}",
                "rtsp://cam/Streaming/tracks/301?starttime=20261025T003005Z&endtime=20261025T013011Z",
            ),
            (
                // Summer time ends between the two.
                "rtsp://cam/cam/playback?channel=1&starttime={start:local:%Y_%m_%d_%H_%M_%S}&endtime={end:local:%Y_%m_%d_%H_%M_%S}",
                "rtsp://cam/cam/playback?channel=1&starttime=2026_10_25_02_30_05&endtime=2026_10_25_02_30_11",
            ),
            (
                "rtsps://cam:322/{start:unix}/{end:unix}",
                "rtsps://cam:322/1792888205/1792891811",
            ),
            (
                "rtsp://cam/?a={start:%Y-%m-%dT%H:%M:%SZ}&b={end:%y/%j/%H%M%S}",
                "rtsp://cam/?a=2026-10-25T00:30:05Z&b=26/298/013011",
            ),
            (
                "rtsp://u:p@cam/{start:local}-{end:local}",
                "rtsp://cam/20261025T023005Z-20261025T023011Z",
            ),
        ] {
            let template = Template::parse(template).unwrap();
            let address = template.fill(template.widened(span()), berlin, 3).unwrap();
            assert_eq!(address.location(), url);
        }
    }

    #[test]
    fn a_form_with_milliseconds_is_widened_by_them_only() {
        let template = Template::parse("rtsp://cam/{start:unix_ms}/{end:unix_ms}").unwrap();
        assert_eq!(template.widened(span()), span());
        let address = template.fill(span(), LocalTime::East(0), 1).unwrap();
        assert_eq!(address.location(), "rtsp://cam/1792888205250/1792891810001");
        let mixed = Template::parse("rtsp://cam/{start:unix_ms}/{end:unix}").unwrap();
        assert_eq!(mixed.widened(span()).start.as_nanos() % 1_000_000_000, 0);
    }

    #[test]
    fn what_is_no_template_is_refused_with_what_is_wrong() {
        for (text, word) in [
            ("rtsp://cam/{start}", "{end} is missing"),
            ("rtsp://cam/{end}", "{start} is missing"),
            ("rtsp://cam/1", "{start} is missing"),
            (
                "rtsp://cam/{start}/{end}/{stop}",
                "`{stop}` is not known here; there are {start}, {end}",
            ),
            ("rtsp://cam/{start}/{end}/{channel:2}", "`{channel:2}` is not known"),
            ("rtsp://cam/{start}/{end", "each `{` needs its `}`"),
            ("rtsp://cam/{start}/end}", "each `{` needs its `}`"),
            ("rtsp://cam/{start{end}}", "each `{` needs its `}`"),
            ("rtsp://{start}/{end}", "`{` may stand in the path"),
            ("rtsp://u:{start}@cam/{start}/{end}", "`{` may stand in the path"),
            ("rtsp://cam:{start}/{start}/{end}", "`{` may stand in the path"),
            ("{start}://cam/{end}", "`{` may stand in the path"),
            ("http://cam/{start}/{end}", "the scheme must be rtsp"),
            ("rtsp:///{start}/{end}", "address is missing"),
            ("rtsp://cam/{start} {end}", "white space"),
            ("rtsp://cam/{start:%H%M%S}/{end}", "`%H%M%S` leaves out a part"),
            ("rtsp://cam/{start:%Y%m%dT%H%M}/{end}", "leaves out a part"),
            ("rtsp://cam/{start:%Y%m%d%H%M%S%Q}/{end}", "no form for a moment"),
            ("rtsp://cam/{start:%Y%m%d%H%M%S&x=}/{end}", "no form for a moment"),
            ("rtsp://cam/{start:%Y%m%d%H%M%S%}/{end}", "no form for a moment"),
            ("rtsp://cam/{start:localtime}/{end}", "no form for a moment"),
            ("rtsp://cam/{start:}/{end}", "no form for a moment"),
        ] {
            let error = Template::parse(text).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn a_secret_in_a_template_never_prints() {
        let template = Template::parse("rtsp://admin:hunter2@cam/{start}/{end}").unwrap();
        assert!(!format!("{template:?}").contains("hunter2"));
        let error = Template::parse("rtsp://admin:hun{ter2@cam/{start}/{end}").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("ter2"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "(rtsp://)?[a-z{}:%@/?.#]{0,12}\\PC{0,40}") {
            let _ = Template::parse(&text);
        }

        #[test]
        fn what_is_read_gives_a_url_of_the_same_host_at_any_time(
            before in "[a-z/?=&.{}:%]{0,12}",
            form in "(:(local:)?(unix|unix_ms|[%YmdHMSjy_./:-]{1,24}|%Y%m%d[a-zTZ_.-]{0,3}%H%M%S))?",
            start in any::<i64>(), length in 0..10_000_000_000_000i64, channel in 1..1024u32,
        ) {
            let text = format!("rtsp://cam.local:8554/{before}{{start{form}}}/{{end{form}}}");
            if let Ok(template) = Template::parse(&text) {
                let start = Timestamp::from_nanos(start / 2);
                let span = Span::new(start, start.offset(length));
                let wide = template.widened(span);
                prop_assert!(wide.start <= span.start && span.end <= wide.end);
                prop_assert!(wide.duration() <= span.duration() + Duration::from_secs(2));
                let address = template.fill(wide, LocalTime::Zone(chrono_tz::Europe::Berlin), channel).unwrap();
                prop_assert_eq!((address.host(), address.port(), address.username()), ("cam.local", 8554, None));
            }
        }
    }
}
