//! A pipeline's text for people: spread over lines, and as a command for a shell.

use super::property::Property;

/// One element, filter or reference of a text, with its properties.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    /// Whether a `!` stands before it.
    is_linked: bool,
    words: Vec<String>,
}

impl Step {
    fn is_named(&self, name: &str) -> bool {
        self.words.iter().any(|word| {
            word.strip_prefix("name=")
                .is_some_and(|own| own.trim_matches('"') == name)
        })
    }
}

/// Splits at white space outside of quotes.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let (mut quote, mut is_escaped) = (None, false);
    for c in text.chars() {
        if c.is_whitespace() && quote.is_none() && !is_escaped {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        if !is_escaped && matches!(c, '"' | '\'') {
            quote = match quote {
                None => Some(c),
                Some(open) if open == c => None,
                open => open,
            };
        }
        is_escaped = c == '\\' && !is_escaped;
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Finds the elements: one begins at the start, after a `!`, and at each word that is no property.
fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_linked = false;
    for word in words(text) {
        if word == "!" {
            is_linked = true;
            continue;
        }
        match steps.last_mut().filter(|_| !is_linked && word.contains('=')) {
            Some(step) => step.words.push(word),
            None => steps.push(Step {
                is_linked,
                words: vec![word],
            }),
        }
        is_linked = false;
    }
    steps
}

/// The text with one element a line; what is linked to the line above is indented.
pub fn spread(text: &str) -> String {
    let lines = steps(text).into_iter().map(|step| {
        let link = if step.is_linked { "    ! " } else { "" };
        format!("{link}{}", step.words.join(" "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A command that plays a text outside of camkeep.
#[derive(Debug)]
pub struct LaunchLine {
    steps: Vec<Step>,
}

impl LaunchLine {
    /// The line for a filled text.
    pub fn new(text: &str) -> Self {
        Self { steps: steps(text) }
    }

    /// Sets a property on a named element; `false` when the text has no such element.
    pub fn set(&mut self, element: &str, name: &str, value: &str) -> bool {
        match self.steps.iter_mut().find(|step| step.is_named(element)) {
            Some(step) => {
                step.words.push(format!("{name}={}", written(value)));
                true
            }
            None => false,
        }
    }

    /// Sets what a binder sets. Secrets are written as `***` unless they are to be revealed.
    pub fn set_all(&mut self, properties: &[Property], reveal: bool) {
        for property in properties {
            let value = if reveal {
                property.reveal().to_owned()
            } else {
                property.shown()
            };
            self.set(property.element, property.name, &value);
        }
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        for step in &self.steps {
            if step.is_linked {
                arguments.push("!".to_owned());
            }
            arguments.extend(step.words.iter().cloned());
        }
        arguments
    }
}

impl std::fmt::Display for LaunchLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("gst-launch-1.0 -e")?;
        for argument in self.arguments() {
            write!(f, " {}", quoted(&argument))?;
        }
        Ok(())
    }
}

/// A value as gst-launch reads it. What could mean anything to its grammar is written in octal, because its rules for
/// quotes and backslashes depend on where they stand.
fn written(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_/:.@?&=%+~*-".contains(c);
    if !value.is_empty() && value != "NULL" && value.chars().all(is_plain) {
        return value.to_owned();
    }
    let mut text = "\\\"".to_owned();
    for byte in value.bytes() {
        let c = char::from(byte);
        if byte.is_ascii() && is_plain(c) {
            text.push(c);
        } else {
            text.push_str(&format!("\\\\{byte:03o}"));
        }
    }
    text + "\\\""
}

/// A word as a POSIX shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if word == "!" || (!word.is_empty() && word.chars().all(is_plain)) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use gstreamer::prelude::*;
    use proptest::prelude::*;

    const TEXT: &str = "rtspsrc name=source latency=200 ! video/x-h264,alignment=au;video/x-h265 ! tee name=tap \
        tap. ! splitmuxsink name=segments muxer=\"mp4mux name=muxer fragment-duration=500\" fakesrc name=other";

    #[test]
    fn a_text_is_spread_with_one_element_a_line() {
        let lines = "rtspsrc name=source latency=200\n    ! video/x-h264,alignment=au;video/x-h265\n    ! tee name=tap\n\
            tap.\n    ! splitmuxsink name=segments muxer=\"mp4mux name=muxer fragment-duration=500\"\nfakesrc name=other";
        assert_eq!(spread(TEXT), lines);
    }

    #[test]
    fn a_line_is_quoted_for_a_shell_and_hides_what_is_hidden() {
        let properties = [
            Property::open("source", "location", "rtsp://cam/1?a=1&password=hunter2"),
            Property::hidden("source", "user-pw", "it's hunter2"),
        ];
        let mut line = LaunchLine::new(TEXT);
        line.set_all(&properties, false);
        assert!(
            !line.set("muxer", "x", "1"),
            "an element inside of quotes is none of the text's"
        );
        assert!(line.set("segments", "location", "front door-%05d.mp4"));
        let expected = "gst-launch-1.0 -e rtspsrc name=source latency=200 'location=rtsp://cam/1?a=1&password=***' \
            'user-pw=***' ! 'video/x-h264,alignment=au;video/x-h265' ! tee name=tap tap. ! splitmuxsink name=segments \
            'muxer=\"mp4mux name=muxer fragment-duration=500\"' 'location=\\\"front\\\\040door-%05d.mp4\\\"' fakesrc name=other";
        assert_eq!(line.to_string(), expected);
        let mut revealed = LaunchLine::new(TEXT);
        revealed.set_all(&properties, true);
        assert!(
            revealed.to_string().contains(r#"'user-pw=\"it\\047s\\040hunter2\"'"#),
            "{revealed}"
        );
    }

    proptest! {
        #[test]
        fn gst_launch_reads_every_value_as_it_was_meant(value in "[^\u{0}]{0,24}", path in "[ -~]{0,24}") {
            crate::pipeline::init().unwrap();
            for value in [&value, &path] {
                let mut line = LaunchLine::new("fakesrc name=before ! filesink name=file sync=false");
                line.set("file", "location", value);
                let arguments = line.arguments();
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let pipeline = gstreamer::parse::launchv(&arguments).unwrap();
                let file = pipeline.downcast::<gstreamer::Pipeline>().unwrap().by_name("file").unwrap();
                let read: Option<String> = file.property("location");
                prop_assert_eq!(read.unwrap_or_default(), value.clone());
            }
        }

        #[test]
        fn a_shell_reads_every_word_as_it_was_meant(word in "[^\u{0}]{1,40}") {
            let said = std::process::Command::new("sh").args(["-c", &format!("printf %s {}", quoted(&word))]).output();
            prop_assert_eq!(said.unwrap().stdout, word.into_bytes());
        }
    }
}
