//! XML as a stranger sends it: a small tree, without document types, of limited depth and size.

use quick_xml::Reader;
use quick_xml::escape::{escape, resolve_predefined_entity};
use quick_xml::events::{BytesStart, Event};

/// Deeper than any answer that is meant well.
const DEEPEST: usize = 48;
/// More elements than any answer that is meant well.
const MOST: usize = 50_000;

/// An element: its name without a prefix, for every vendor has its own, its text, and what is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<Element>,
}

/// Why a text is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum XmlError {
    /// No XML, or broken off.
    #[error("it is no XML")]
    Malformed,
    /// A document type, with which a few lines can become gigabytes or another file.
    #[error("it has a document type or entities of its own")]
    Type,
    /// More than is meant well.
    #[error("it is nested too deeply or has too many parts")]
    TooMuch,
}

impl Element {
    /// Reads a document.
    pub(super) fn parse(text: &str) -> Result<Self, XmlError> {
        let mut reader = Reader::from_str(text);
        let mut open: Vec<Self> = vec![Self::default()];
        let mut count = 0;
        loop {
            match reader.read_event().map_err(|_| XmlError::Malformed)? {
                Event::Start(start) => {
                    count += 1;
                    if open.len() > DEEPEST || count > MOST {
                        return Err(XmlError::TooMuch);
                    }
                    open.push(Self::begin(&start));
                }
                Event::Empty(start) => {
                    count += 1;
                    if count > MOST {
                        return Err(XmlError::TooMuch);
                    }
                    let element = Self::begin(&start);
                    open.last_mut().ok_or(XmlError::Malformed)?.children.push(element);
                }
                Event::End(_) => {
                    let mut element = open.pop().ok_or(XmlError::Malformed)?;
                    element.text = element.text.trim().to_owned();
                    open.last_mut().ok_or(XmlError::Malformed)?.children.push(element);
                }
                Event::Text(text) => open.last_mut().ok_or(XmlError::Malformed)?.text.push_str(&text),
                Event::CData(text) => open.last_mut().ok_or(XmlError::Malformed)?.text.push_str(&text),
                Event::GeneralRef(name) => {
                    let last = open.last_mut().ok_or(XmlError::Malformed)?;
                    match name.resolve_char_ref() {
                        Ok(Some(character)) => last.text.push(character),
                        _ => last
                            .text
                            .push_str(resolve_predefined_entity(&name).ok_or(XmlError::Type)?),
                    }
                }
                Event::DocType(_) => return Err(XmlError::Type),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
                Event::Eof => break,
            }
        }
        let root = open.pop().filter(|_| open.is_empty()).ok_or(XmlError::Malformed)?;
        root.children.into_iter().next().ok_or(XmlError::Malformed)
    }

    fn begin(start: &BytesStart<'_>) -> Self {
        let attributes = start.attributes().filter_map(Result::ok).map(|attribute| {
            let value = quick_xml::escape::unescape(&attribute.value).unwrap_or_default();
            (attribute.key.local_name().as_ref().to_owned(), value.into_owned())
        });
        Self {
            name: start.local_name().as_ref().to_owned(),
            attributes: attributes.collect(),
            ..Self::default()
        }
    }

    /// The first child of a name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The children of a name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// What a way of names leads to.
    pub(super) fn at(&self, way: &[&str]) -> Option<&Self> {
        way.iter().try_fold(self, |element, name| element.child(name))
    }

    /// The text at a way of names, if there is any.
    pub(super) fn text_at(&self, way: &[&str]) -> Option<&str> {
        self.at(way)
            .map(|element| &*element.text)
            .filter(|text| !text.is_empty())
    }

    /// The value of an attribute.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(is, _)| is == name);
        found.map(|(_, value)| &**value)
    }
}

/// A text, fit to stand in XML.
pub(super) fn escaped(text: &str) -> String {
    escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prefixes_do_not_matter_and_texts_are_unescaped() {
        let root = Element::parse(
            "<?xml version=\"1.0\"?><!-- hello --><a:R xmlns:a='urn:1'><b:X n=\"1&amp;2\"> rtsp://c/?a=1&amp;b&#61;2 </b:X>\
             <X/><Y><![CDATA[<z>]]></Y></a:R>",
        )
        .unwrap();
        assert_eq!(root.name, "R");
        assert_eq!(root.text_at(&["X"]), Some("rtsp://c/?a=1&b=2"));
        assert_eq!(root.child("X").unwrap().attribute("n"), Some("1&2"));
        assert_eq!(root.all("X").count(), 2);
        assert_eq!(root.text_at(&["Y"]), Some("<z>"));
        assert_eq!(root.text_at(&["X", "Z"]), None);
    }

    #[test]
    fn what_would_grow_or_reach_out_is_refused() {
        let laughs = "<!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;\">]><l>&b;</l>";
        assert_eq!(Element::parse(laughs), Err(XmlError::Type));
        let file = "<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><r>&x;</r>";
        assert_eq!(Element::parse(file), Err(XmlError::Type));
        assert_eq!(Element::parse("<r>&x;</r>"), Err(XmlError::Type));
        let deep = "<a>".repeat(100_000);
        assert_eq!(Element::parse(&deep), Err(XmlError::TooMuch));
        let wide = format!("<a>{}</a>", "<b/>".repeat(MOST + 1));
        assert_eq!(Element::parse(&wide), Err(XmlError::TooMuch));
        for text in ["", "garbage", "<a>", "<a></b>", "</a>", "<a><b></a>", "\0\u{1}"] {
            assert_eq!(Element::parse(text), Err(XmlError::Malformed), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_at_all_is_read_without_a_panic(text in "([<>/a-c&;#!\\[\\]\"= ]|\\PC){0,60}") {
            let _ = Element::parse(&text);
        }

        #[test]
        fn what_is_escaped_comes_back(text in "[ -~]{0,30}") {
            let root = Element::parse(&format!("<a>{}</a>", escaped(&text))).unwrap();
            prop_assert_eq!(root.text, text.trim());
        }
    }
}
