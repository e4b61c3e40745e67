//! As much of XML as a camera needs to understand what it is asked: names without their prefixes, and text.

/// The text of the first element of this name, whatever its prefix.
pub(super) fn text_of(xml: &str, name: &str) -> Option<String> {
    let mut rest = xml;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let end = rest.find('>')?;
        let tag = &rest[..end];
        if local_name(tag) == name && !tag.ends_with('/') {
            let text = rest[end + 1..].split('<').next().unwrap_or_default();
            return Some(unescape(text.trim()));
        }
    }
    None
}

/// The name of the first element inside the body: what is asked for.
pub(super) fn operation(xml: &str) -> Option<&str> {
    let mut inside = false;
    for part in xml.split('<').skip(1) {
        if inside && !part.starts_with(['!', '?', '/']) {
            return Some(local_name(part));
        }
        inside |= local_name(part) == "Body" && !part.starts_with('/');
    }
    None
}

/// The name in a tag, without prefix and attributes.
fn local_name(tag: &str) -> &str {
    let name = tag
        .split(|c: char| c.is_whitespace() || c == '/' || c == '>')
        .next()
        .unwrap_or_default();
    name.rsplit(':').next().unwrap_or_default()
}

/// Text made fit to stand between tags.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_whatever_their_prefix() {
        let xml = "<?xml version=\"1.0\"?><s:Envelope><s:Header><w:Username>a&amp;b</w:Username></s:Header>\
            <s:Body xmlns:x=\"u\"><trp:GetReplayUri xmlns:trp=\"v\"><trp:RecordingToken> R1 </trp:RecordingToken>";
        assert_eq!(operation(xml), Some("GetReplayUri"));
        assert_eq!(text_of(xml, "RecordingToken").as_deref(), Some("R1"));
        assert_eq!(text_of(xml, "Username").as_deref(), Some("a&b"));
        assert_eq!(text_of(xml, "Password"), None);
        assert_eq!(operation("<s:Envelope/>"), None);
    }
}
