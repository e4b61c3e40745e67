//! SOAP as ONVIF speaks it: one question, one answer, or a fault and what it means.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::model::{Secret, Timestamp, scrub};

use super::digest::prove;
use super::error::ArchiveError;
use super::line::{Answer, Ask, Line, Place, Proof};
use super::xml::{Element, escaped};

/// A camera's side of SOAP.
#[derive(Debug)]
pub(super) struct Soap<'a> {
    pub(super) line: &'a Line,
    /// Whether this camera asked for HTTP digest, and so gets nothing else.
    pub(super) by_digest: &'a AtomicBool,
}

impl Soap<'_> {
    /// Asks what everybody may ask.
    pub(super) fn ask_openly(
        &self,
        place: &Place,
        action: &str,
        body: &str,
    ) -> Result<(Element, Answer), ArchiveError> {
        let envelope = envelope("", body);
        let kind = kind(action);
        let mut answer = self.line.ask(place, post(&kind, &envelope), Proof::None)?;
        let content = self.content(&mut answer)?;
        Ok((content, answer))
    }

    /// Asks as the camera's user, at a moment of the camera's clock. A camera that wants HTTP digest says so, and gets that from
    /// then on; one that refuses is not asked a third time.
    pub(super) fn ask(&self, place: &Place, action: &str, body: &str, now: Timestamp) -> Result<Element, ArchiveError> {
        let kind = kind(action);
        if !self.by_digest.load(Ordering::Relaxed) {
            let envelope = envelope(&self.token(now), body);
            let mut answer = self.line.ask(place, post(&kind, &envelope), Proof::None)?;
            let wants_digest = answer.status == 401 && answer.header("www-authenticate").is_some();
            if !wants_digest {
                return self.content(&mut answer);
            }
            self.by_digest.store(true, Ordering::Relaxed);
        }
        let envelope = envelope("", body);
        let mut answer = self.line.ask(place, post(&kind, &envelope), Proof::Digest)?;
        self.content(&mut answer)
    }

    fn token(&self, now: Timestamp) -> String {
        let Some(username) = &self.line.username else {
            return String::new();
        };
        let created = moment(now);
        let nothing = Secret::new("");
        let proof = prove(self.line.password.as_ref().unwrap_or(&nothing), &created);
        format!(
            "<s:Header><wsse:Security s:mustUnderstand=\"1\" \
             xmlns:wsse=\"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd\" \
             xmlns:wsu=\"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd\">\
             <wsse:UsernameToken><wsse:Username>{}</wsse:Username>\
             <wsse:Password Type=\"http://docs.oasis-open.org/wss/2004/01/\
             oasis-200401-wss-username-token-profile-1.0#PasswordDigest\">{}</wsse:Password>\
             <wsse:Nonce EncodingType=\"http://docs.oasis-open.org/wss/2004/01/\
             oasis-200401-wss-soap-message-security-1.0#Base64Binary\">{}</wsse:Nonce>\
             <wsu:Created>{created}</wsu:Created></wsse:UsernameToken></wsse:Security></s:Header>",
            escaped(username),
            proof.digest,
            proof.nonce
        )
    }

    /// What the body of an answer holds, or what its fault means.
    fn content(&self, answer: &mut Answer) -> Result<Element, ArchiveError> {
        let body = answer.body()?;
        let place = answer.place();
        let status = answer.status;
        let envelope = Element::parse(&body).ok().filter(|root| root.name == "Envelope");
        let content = envelope.as_ref().and_then(|root| root.child("Body")?.children.first());
        if let Some(fault) = content.filter(|content| content.name == "Fault") {
            return Err(self.fault(fault, status, place));
        }
        match (status, content) {
            (200, Some(content)) => Ok(content.clone()),
            (401 | 403, _) => Err(self.line.unauthorised(place)),
            (404 | 405 | 501, _) => Err(ArchiveError::Unsupported(format!(
                "no ONVIF service answers at {place}; switch ONVIF on in the camera, or check `http_port`"
            ))),
            (429 | 503, _) => Err(ArchiveError::Busy(format!(
                "the camera at {place} has no hand free ({status})"
            ))),
            (300..=399, _) => Err(ArchiveError::Unsupported(format!(
                "the camera at {place} sends ONVIF elsewhere ({status}), which is not followed; allow plain HTTP in the camera, \
                 or check `http_port`"
            ))),
            (200, None) => Err(ArchiveError::Broken(format!("what {place} answers is no SOAP"))),
            _ => Err(ArchiveError::Broken(format!(
                "the camera at {place} fails at it ({status})"
            ))),
        }
    }

    fn fault(&self, fault: &Element, status: u16, place: &str) -> ArchiveError {
        let mut codes = Vec::new();
        let mut code = fault.child("Code");
        while let Some(here) = code {
            codes.extend(here.text_at(&["Value"]));
            code = here.child("Subcode");
        }
        // SOAP 1.1, which some answer with in spite of what they were asked in.
        codes.extend(fault.text_at(&["faultcode"]));
        let reason = fault.text_at(&["Reason", "Text"]).or(fault.text_at(&["faultstring"]));
        let reason = clean(reason.unwrap_or_default());
        let says = |words: &[&str]| {
            let found = |text: &str| {
                let text = text.to_ascii_lowercase();
                words.iter().any(|word| text.contains(word))
            };
            codes.iter().any(|code| found(code)) || found(&reason)
        };
        if status == 401
            || status == 403
            || says(&[
                "notauthorized",
                "not authorized",
                "failedauthentication",
                "unauthorized",
                "failedcheck",
            ])
        {
            return self.line.unauthorised(place);
        }
        let told = if reason.is_empty() {
            clean(codes.last().copied().unwrap_or("no reason"))
        } else {
            reason.clone()
        };
        if says(&["norecording", "nosuchrecording", "recordingtoken", "invalidtoken"]) {
            ArchiveError::NoFootage(format!("the camera at {place} has no such recording: {told}"))
        } else if says(&[
            "actionnotsupported",
            "notimplemented",
            "not implemented",
            "not supported",
            "unknownaction",
        ]) {
            ArchiveError::Unsupported(format!("the camera at {place} cannot do this: {told}"))
        } else if says(&[
            "maxsearch",
            "outofresources",
            "outofmemory",
            "resourceproblem",
            "busy",
            "toomany",
        ]) {
            ArchiveError::Busy(format!("the camera at {place} has no hand free: {told}"))
        } else {
            ArchiveError::Broken(format!("the camera at {place} refuses: {told}"))
        }
    }
}

fn post<'a>(kind: &'a str, body: &'a str) -> Ask<'a> {
    Ask::Post { kind, body }
}

fn kind(action: &str) -> String {
    format!("application/soap+xml; charset=utf-8; action=\"{action}\"")
}

fn envelope(header: &str, body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\">{header}<s:Body>{body}</s:Body></s:Envelope>"
    )
}

/// A moment as XML Schema writes it, to the second below: some cameras cannot read fractions.
pub(super) fn moment(moment: Timestamp) -> String {
    moment.to_utc().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What a camera says, short, without secrets and fit to be shown.
fn clean(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).take(160).collect();
    scrub(text.trim())
}
