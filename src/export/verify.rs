//! Holding a clip against its manifest, and a manifest against its signature, on any machine.
//!
//! Nothing here trusts what is checked: the files may be anything.

use std::path::{Component, Path, PathBuf};

use serde::Serialize;

use super::manifest::{
    ClipManifest, LONGEST_MANIFEST, MANIFEST_FORMAT, Source, is_as_written, manifest_path, signature_path,
};
use crate::model::{Fingerprint, Timestamp, counted};
use crate::storage::{PublicKey, StorageError, measure, read_small};

/// What lies between two sources and is no gap: frames are not where clocks say to the nanosecond.
const SEAM_NANOS: i64 = 1_000_000_000;

/// What came of it all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything that was to be checked was, and is as it was signed.
    Sound,
    /// Nothing is known to be wrong, but not everything could be checked.
    Unproven,
    /// Something is not what was signed.
    Altered,
}

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// The key that signed.
    Key,
    /// The signature.
    Signature,
    /// The manifest.
    Manifest,
    /// The clip's file.
    Clip,
    /// The file of a segment the clip was made of.
    Segment,
}

/// One check and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// What it is about.
    pub about: About,
    /// Whether it is right, or wrong, or could not be checked.
    pub outcome: Outcome,
    /// In a sentence.
    pub said: String,
}

/// All checks of one clip.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// The clip's file.
    pub clip: PathBuf,
    /// What came of it all.
    pub outcome: Outcome,
    /// The checks, one by one.
    pub checks: Vec<Checked>,
    /// What the manifest says; to be believed only as far as the checks go.
    pub manifest: Option<ClipManifest>,
}

/// What is to be checked.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The clip; its manifest and signature lie beside it.
    pub clip: &'a Path,
    /// Keys that the asker trusts. Without any, the one that the manifest brings is taken, which proves little.
    pub keys: &'a [PublicKey],
    /// Where the recordings lie that the clip was made of, when they are at hand: the primary's, the mirror's.
    pub recordings: &'a [PathBuf],
}

/// Checks a clip. An error means that it could not be looked at, not that something is wrong with it.
pub fn verify(question: &Question<'_>) -> Result<Verdict, StorageError> {
    let json = read_small(&manifest_path(question.clip), LONGEST_MANIFEST)?;
    let signature = read_small(&signature_path(question.clip), 4096)?;
    let mut checks = Checks(Vec::new());
    let manifest = checks.read_manifest(&json);
    checks.signature(&json, &signature, manifest.as_ref(), question.keys);
    if let Some(manifest) = &manifest {
        checks.clip(question.clip, manifest)?;
        checks.sense(manifest);
        if !question.recordings.is_empty() {
            for source in &manifest.sources {
                checks.segment(question.recordings, source)?;
            }
        }
    }
    Ok(Verdict {
        clip: question.clip.to_owned(),
        outcome: checks.outcome(),
        checks: checks.0,
        manifest,
    })
}

struct Checks(Vec<Checked>);

impl Checks {
    fn add(&mut self, about: About, outcome: Outcome, said: impl Into<String>) {
        let said = said.into();
        self.0.push(Checked { about, outcome, said });
    }

    fn outcome(&self) -> Outcome {
        let has = |outcome| self.0.iter().any(|check| check.outcome == outcome);
        match (has(Outcome::Altered), has(Outcome::Unproven)) {
            (true, _) => Outcome::Altered,
            (false, true) => Outcome::Unproven,
            (false, false) => Outcome::Sound,
        }
    }

    fn read_manifest(&mut self, json: &[u8]) -> Option<ClipManifest> {
        #[derive(serde::Deserialize)]
        struct Named {
            format: String,
        }
        let format = serde_json::from_slice::<Named>(json).map(|named| named.format);
        if let Ok(format) = &format
            && format != MANIFEST_FORMAT
        {
            self.add(
                About::Manifest,
                Outcome::Unproven,
                format!("it is a `{format}`, and this camkeep knows `{MANIFEST_FORMAT}`; take a newer camkeep"),
            );
            return None;
        }
        match serde_json::from_slice(json) {
            Ok(manifest) => Some(manifest),
            Err(error) => {
                self.add(
                    About::Manifest,
                    Outcome::Altered,
                    format!("it is no manifest any more: {error}"),
                );
                None
            }
        }
    }

    /// A signature that does not fit does not say what was changed; the manifest's own last line and the key that it names
    /// tell a changed manifest, a changed signature and another key apart.
    fn signature(&mut self, json: &[u8], signature: &[u8], manifest: Option<&ClipManifest>, keys: &[PublicKey]) {
        let named = manifest.and_then(|manifest| manifest.key.as_ref());
        if let Some(key) = keys.iter().find(|key| key.has_signed(json, signature)) {
            self.add(
                About::Key,
                Outcome::Sound,
                format!("{} is a key that you trust", key.id()),
            );
            self.add(About::Signature, Outcome::Sound, "it is this key's, for this manifest");
            self.add(
                About::Manifest,
                Outcome::Sound,
                "not a byte of it was changed since it was signed",
            );
            return;
        }
        let brought = named.and_then(|named| PublicKey::from_pem(&named.public_key));
        if let Some(key) = brought.filter(|key| key.has_signed(json, signature)) {
            let fits = "it is of the key that the manifest names, for this manifest";
            if keys.is_empty() {
                let unknown = format!(
                    "nobody said whether {} is the box's: give its public key with --key, or the box with --from",
                    key.id()
                );
                self.add(About::Key, Outcome::Unproven, unknown);
                self.add(About::Signature, Outcome::Sound, fits);
                self.add(
                    About::Manifest,
                    Outcome::Sound,
                    "not a byte of it was changed since that key signed it",
                );
            } else {
                let given: Vec<String> = keys.iter().map(|key| key.id().to_string()).collect();
                let other = format!("another one signed: {}, and not {}", key.id(), given.join(" or "));
                self.add(About::Key, Outcome::Altered, other);
                self.add(About::Signature, Outcome::Sound, fits);
            }
            return;
        }
        match is_as_written(json) {
            Some(true) => self.add(
                About::Signature,
                Outcome::Altered,
                "it is not the one of this manifest: changed, or taken from another clip, or the manifest was written by \
                 somebody who has not the key",
            ),
            _ => self.add(About::Manifest, Outcome::Altered, "it was changed after it was signed"),
        }
    }

    fn clip(&mut self, path: &Path, manifest: &ClipManifest) -> Result<(), StorageError> {
        let (found, signed) = (measure(path)?, &manifest.clip);
        let sha256 = Fingerprint(found.sha256);
        if found.size_bytes != signed.size_bytes {
            let said = format!(
                "it has {} bytes, and had {} when it was signed",
                found.size_bytes, signed.size_bytes
            );
            self.add(About::Clip, Outcome::Altered, said);
        } else if sha256 != signed.sha256 {
            let said = format!("its bytes were changed: SHA-256 {sha256}, and was {}", signed.sha256);
            self.add(About::Clip, Outcome::Altered, said);
        } else {
            let said = format!("all of its {} bytes are as they were signed", found.size_bytes);
            self.add(About::Clip, Outcome::Sound, said);
        }
        Ok(())
    }

    /// Whether what the manifest says fits itself. With a good signature nothing else can be; without one, it helps to see
    /// what was changed.
    fn sense(&mut self, manifest: &ClipManifest) {
        for nonsense in nonsense(manifest) {
            self.add(About::Manifest, Outcome::Altered, nonsense);
        }
        let is_wrong = |check: &Checked| check.about == About::Manifest && check.outcome == Outcome::Altered;
        if !self.0.iter().any(is_wrong) {
            let chained = manifest.sources.iter().filter(|source| source.chain.is_some()).count();
            let said = format!(
                "what it says fits together: {}, {chained} of them chained",
                counted(manifest.sources.len(), "segment", "segments")
            );
            self.add(About::Manifest, Outcome::Sound, said);
        }
    }

    fn segment(&mut self, recordings: &[PathBuf], source: &Source) -> Result<(), StorageError> {
        let name = &source.file;
        let inside = Path::new(name)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !inside {
            self.add(
                About::Segment,
                Outcome::Altered,
                format!("{name} is no path inside recordings"),
            );
            return Ok(());
        }
        let Some(sha256) = source.sha256 else {
            let why = match source.open {
                true if name.is_empty() => "the newest segment had no file yet when the clip was made",
                true => "was still being recorded when the clip was made",
                false => "had no hash when the clip was made",
            };
            self.add(
                About::Segment,
                Outcome::Unproven,
                format!("{name} {why}: nothing says how it has to be")
                    .trim_start()
                    .to_owned(),
            );
            return Ok(());
        };
        // One good copy is enough: where another one is damaged, that is no matter of the clip.
        let (mut changed, mut unread) = (None, None);
        for recordings in recordings {
            match measure(&recordings.join(name)) {
                Ok(found) if Fingerprint(found.sha256) == sha256 => {
                    let said = format!("{name} is as it was when the clip was made");
                    self.add(About::Segment, Outcome::Sound, said);
                    return Ok(());
                }
                Ok(found) => changed = changed.or(Some(Fingerprint(found.sha256))),
                Err(StorageError::Missing { .. }) => {}
                Err(error) => unread = unread.or(Some(error)),
            }
        }
        match (changed, unread) {
            (Some(found), _) => {
                let said = format!("{name} was changed since the clip was made: SHA-256 {found}, and was {sha256}");
                self.add(About::Segment, Outcome::Altered, said);
            }
            (None, Some(error)) => return Err(error),
            (None, None) => {
                let said = format!("{name} is not there (any more)");
                self.add(About::Segment, Outcome::Unproven, said);
            }
        }
        Ok(())
    }
}

/// What in a manifest cannot be.
fn nonsense(manifest: &ClipManifest) -> Vec<String> {
    let mut found = Vec::new();
    let shown = &manifest.shown;
    if manifest.sources.is_empty() {
        found.push("it names no segment".to_owned());
    }
    if shown.shown.end < shown.shown.start || shown.asked.end < shown.asked.start {
        found.push("its times run backwards".to_owned());
    }
    if shown
        .cut_to
        .is_some_and(|cut| cut < shown.asked.start || cut > shown.asked.end)
    {
        found.push("it was cut outside of what was asked for".to_owned());
    }
    let seconds = shown.shown.end.since(shown.shown.start).as_secs_f64();
    if shown.covered_seconds > seconds + 1.0 {
        found.push(format!("it covers {:.3} s of {seconds:.3} s", shown.covered_seconds));
    }
    for gap in &shown.gaps {
        if gap.end < gap.start || gap.start < shown.asked.start || gap.end > shown.asked.end {
            found.push(format!("the gap from {} lies outside of what was asked for", gap.start));
        }
    }
    for source in &manifest.sources {
        if source.span.end < source.span.start {
            found.push(format!("{} ends before it begins", source.file));
        }
        if let (Some(link), Some(sha256)) = (source.chain, source.sha256)
            && !link.fits(&manifest.camera.id, source.run, source.sequence, sha256)
        {
            found.push(format!(
                "the chain's value of {} is not made of what it says of it",
                source.file
            ));
        }
    }
    for pair in manifest.sources.windows(2) {
        let [one, next] = pair else { continue };
        if next.span.start < one.span.start {
            found.push(format!("{} comes after {} and begins before it", next.file, one.file));
        }
        let (end, start) = (one.span.end, next.span.start);
        if start.nanos_since(end) > SEAM_NANOS && !is_told(manifest, end, start) {
            found.push(format!("nothing is said of what is missing between {end} and {start}"));
        }
        let follows = one.run == next.run && next.sequence == one.sequence.saturating_add(1);
        if let (true, Some(link), Some(after)) = (follows, one.chain, next.chain)
            && after.previous != link.value
        {
            found.push(format!(
                "{} is not chained to {}, which it follows",
                next.file, one.file
            ));
        }
    }
    found
}

/// Whether a hole between two segments is among the gaps, as far as it was asked for.
fn is_told(manifest: &ClipManifest, from: Timestamp, to: Timestamp) -> bool {
    let shown = &manifest.shown;
    let (from, to) = (from.max(shown.asked.start), to.min(shown.asked.end));
    let gaps = shown.gaps.iter();
    to.nanos_since(from) <= SEAM_NANOS || gaps.into_iter().any(|gap| gap.start < to && gap.end > from)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::export::fixture::{self, SOURCES, bytes, manifest, segment};
    use crate::export::seal;
    use crate::storage::BoxKey;
    use proptest::prelude::*;
    use std::fs;

    struct Case {
        directory: tempfile::TempDir,
        key: BoxKey,
        clip: PathBuf,
    }

    impl Case {
        /// A clip, its manifest, and the recordings it was made of.
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let key = fixture::key(directory.path());
            let clip = directory.path().join("gate.mp4");
            fs::write(&clip, b"a clip").unwrap();
            seal(manifest(b"a clip"), &key).unwrap().write_beside(&clip).unwrap();
            for sequence in 0..SOURCES {
                let path = directory
                    .path()
                    .join("recordings")
                    .join(&segment(sequence).copies[0].path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes(sequence)).unwrap();
            }
            Self { directory, key, clip }
        }

        fn recordings(&self) -> PathBuf {
            self.directory.path().join("recordings")
        }

        fn ask(&self, keys: &[PublicKey], recordings: Option<&Path>) -> Verdict {
            let clip = &self.clip;
            let recordings: Vec<PathBuf> = recordings.map(Path::to_owned).into_iter().collect();
            let recordings = &recordings;
            verify(&Question { clip, keys, recordings }).unwrap()
        }

        fn asked(&self) -> Verdict {
            self.ask(&[self.key.public()], Some(&self.recordings()))
        }

        fn change(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
            let mut bytes = fs::read(path).unwrap();
            change(&mut bytes);
            fs::write(path, bytes).unwrap();
        }
    }

    fn wrong(verdict: &Verdict) -> Vec<(About, String)> {
        let wrong = verdict.checks.iter().filter(|check| check.outcome == Outcome::Altered);
        wrong.map(|check| (check.about, check.said.clone())).collect()
    }

    fn only(verdict: &Verdict, about: About, word: &str) {
        assert_eq!(verdict.outcome, Outcome::Altered);
        let wrong = wrong(verdict);
        assert!(
            wrong.len() == 1 && wrong[0].0 == about && wrong[0].1.contains(word),
            "{wrong:?}"
        );
    }

    #[test]
    fn what_nobody_touched_is_sound() {
        let case = Case::new();
        let verdict = case.asked();
        assert_eq!(
            (verdict.outcome, wrong(&verdict)),
            (Outcome::Sound, vec![]),
            "{verdict:?}"
        );
        let segments = verdict.checks.iter().filter(|check| check.about == About::Segment);
        assert_eq!(segments.count(), SOURCES as usize);
        let moved = case.directory.path().join("another name.mp4");
        for (from, to) in [
            (case.clip.clone(), moved.clone()),
            (manifest_path(&case.clip), manifest_path(&moved)),
            (signature_path(&case.clip), signature_path(&moved)),
        ] {
            fs::rename(from, to).unwrap();
        }
        let question = Question {
            clip: &moved,
            keys: &[case.key.public()],
            recordings: &[],
        };
        assert_eq!(
            verify(&question).unwrap().outcome,
            Outcome::Sound,
            "a name proves nothing"
        );
    }

    #[test]
    fn a_flipped_byte_of_the_clip_is_named() {
        let case = Case::new();
        case.change(&case.clip, |bytes| bytes[3] ^= 1);
        only(&case.asked(), About::Clip, "bytes were changed");
        case.change(&case.clip, |bytes| bytes.push(0));
        only(&case.asked(), About::Clip, "7 bytes, and had 6");
    }

    #[test]
    fn a_flipped_byte_of_a_segment_is_named_with_its_file() {
        let case = Case::new();
        let path = segment(1).copies[0].path.clone();
        case.change(&case.recordings().join(&path), |bytes| bytes[0] ^= 0x80);
        only(&case.asked(), About::Segment, &path);
        let without = case.ask(&[case.key.public()], None);
        assert_eq!(without.outcome, Outcome::Sound, "nobody asked about recordings");
    }

    #[test]
    fn a_segment_that_is_gone_or_was_open_leaves_something_unproven() {
        let case = Case::new();
        fs::remove_file(case.recordings().join(&segment(1).copies[0].path)).unwrap();
        assert_eq!(
            (case.asked().outcome, wrong(&case.asked())),
            (Outcome::Unproven, vec![])
        );
        let mut open = manifest(b"a clip");
        let last = open.sources.last_mut().unwrap();
        (last.open, last.sha256, last.size_bytes, last.chain) = (true, None, None, None);
        seal(open, &case.key).unwrap().write_beside(&case.clip).unwrap();
        let verdict = case.asked();
        assert!(
            verdict
                .checks
                .iter()
                .any(|check| check.said.contains("still being recorded"))
        );
        assert_eq!(case.ask(&[case.key.public()], None).outcome, Outcome::Sound);
    }

    #[test]
    fn a_changed_manifest_is_told_from_a_changed_signature() {
        let case = Case::new();
        let manifest = manifest_path(&case.clip);
        let whole = fs::read(&manifest).unwrap();
        case.change(&manifest, |bytes| {
            let at = bytes.windows(5).position(|word| word == b"Front").unwrap();
            bytes[at] = b'f';
        });
        only(&case.asked(), About::Manifest, "changed after it was signed");
        fs::write(&manifest, whole).unwrap();
        let signature = signature_path(&case.clip);
        case.change(&signature, |bytes| bytes[10] ^= 1);
        only(&case.asked(), About::Signature, "not the one of this manifest");

        let other = seal(super::tests::manifest(b"another clip"), &case.key).unwrap();
        fs::write(&signature, other.signature).unwrap();
        only(&case.asked(), About::Signature, "taken from another clip");
        fs::write(&signature, b"short").unwrap();
        only(&case.asked(), About::Signature, "not the one of this manifest");
    }

    #[test]
    fn any_flipped_byte_of_a_manifest_is_found_and_never_blamed_on_the_clip_alone() {
        let case = Case::new();
        let path = manifest_path(&case.clip);
        let whole = fs::read(&path).unwrap();
        // Each place in turn takes long where every one of them asks for three signatures.
        for at in (0..whole.len()).step_by(5) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x01;
            fs::write(&path, bytes).unwrap();
            let verdict = case.ask(&[case.key.public()], None);
            let wrong = wrong(&verdict);
            let blamed = wrong
                .iter()
                .any(|(about, _)| matches!(about, About::Manifest | About::Key));
            let unknown = verdict
                .checks
                .iter()
                .any(|check| check.said.contains("take a newer camkeep"));
            assert!(
                verdict.outcome != Outcome::Sound && (blamed || unknown),
                "byte {at}: {wrong:?}"
            );
        }
    }

    #[test]
    fn another_key_is_named_and_a_key_that_nobody_gave_proves_little() {
        let case = Case::new();
        let stranger = Case::new().key;
        let verdict = case.ask(&[stranger.public()], None);
        only(&verdict, About::Key, &stranger.public().id().to_string());
        assert!(wrong(&verdict)[0].1.contains(&case.key.public().id().to_string()));
        let both = case.ask(&[stranger.public(), case.key.public()], None);
        assert_eq!(both.outcome, Outcome::Sound, "a box may have had several");
        let unknown = case.ask(&[], None);
        assert_eq!((unknown.outcome, wrong(&unknown)), (Outcome::Unproven, vec![]));
        case.change(&case.clip, |bytes| bytes[0] ^= 1);
        only(&case.ask(&[], None), About::Clip, "changed");
    }

    #[test]
    fn a_forger_without_the_key_is_found_however_careful() {
        let case = Case::new();
        let forger = Case::new().key;
        fs::write(&case.clip, b"a lie!").unwrap();
        let mut lie = seal(manifest(b"a lie!"), &forger).unwrap();
        lie.write_beside(&case.clip).unwrap();
        only(&case.asked(), About::Key, "another one signed");
        // The same under the right key's name.
        let named = forger.public().id().to_string();
        let mut text = String::from_utf8(lie.json).unwrap();
        let (theirs, ours) = (forger.public().to_pem(), case.key.public().to_pem());
        let escaped = |pem: String| pem.replace('\n', "\\n");
        text = text.replace(&named, &case.key.public().id().to_string());
        text = text.replace(&escaped(theirs), &escaped(ours));
        let last = text.rfind("  \"lines_above").unwrap();
        let above = text[..last].to_owned();
        text = format!(
            "{above}  \"lines_above_sha256\": \"{}\"\n}}\n",
            Fingerprint::of(above.as_bytes())
        );
        lie.signature = forger.sign(text.as_bytes());
        lie.json = text.into_bytes();
        lie.write_beside(&case.clip).unwrap();
        only(&case.asked(), About::Signature, "who has not the key");
    }

    #[test]
    fn what_cannot_be_is_named_even_where_the_key_signed_it() {
        let case = Case::new();
        type Change = fn(&mut ClipManifest);
        let changes: Vec<(&str, Change)> = vec![
            ("names no segment", |m| m.sources.clear()),
            ("comes after", |m| m.sources.swap(0, 1)),
            ("covers", |m| m.shown.covered_seconds = 100.0),
            ("is missing between", |m| drop(m.sources.remove(1))),
            ("is not chained to", |m| m.sources[1].chain = m.sources[0].chain),
            ("chain's value", |m| m.sources[2].sha256 = Some(Fingerprint([0; 32]))),
            ("lies outside", |m| {
                m.shown.gaps = vec![super::super::Stretch {
                    start: Timestamp::EPOCH,
                    end: Timestamp::EPOCH,
                }];
            }),
        ];
        for (word, change) in changes {
            let mut changed = manifest(b"a clip");
            change(&mut changed);
            let found = nonsense(&changed);
            assert!(found.iter().any(|said| said.contains(word)), "{word}: {found:?}");
            seal(changed, &case.key).unwrap().write_beside(&case.clip).unwrap();
            assert_eq!(case.asked().outcome, Outcome::Altered, "{word}");
        }
        let mut told = manifest(b"a clip");
        let (start, end) = (told.sources[0].span.end, told.sources[2].span.start);
        told.sources.remove(1);
        told.shown.gaps = vec![super::super::Stretch { start, end }];
        assert_eq!(nonsense(&told), Vec::<String>::new(), "a hole that is told is none");
    }

    #[test]
    fn one_good_copy_of_a_segment_is_enough() {
        let case = Case::new();
        let mirror = tempfile::tempdir().unwrap();
        let path = segment(1).copies[0].path.clone();
        let second = mirror.path().join(&path);
        fs::create_dir_all(second.parent().unwrap()).unwrap();
        fs::copy(case.recordings().join(&path), &second).unwrap();
        case.change(&case.recordings().join(&path), |bytes| bytes[0] ^= 0x80);
        let both = [case.recordings(), mirror.path().to_owned()];
        let ask = |recordings| {
            let keys = [case.key.public()];
            let clip = &case.clip;
            let keys = &keys;
            verify(&Question { clip, keys, recordings }).unwrap().outcome
        };
        assert_eq!(ask(&both[..1]), Outcome::Altered);
        assert_eq!(ask(&both), Outcome::Sound);
        fs::remove_file(&second).unwrap();
        assert_eq!(ask(&both), Outcome::Altered);
    }

    #[test]
    fn a_path_that_leads_out_of_the_recordings_is_not_followed() {
        let case = Case::new();
        for path in ["../box.key", "/etc/hostname", "a/../../box.key"] {
            let mut lie = manifest(b"a clip");
            lie.sources[0].file = path.to_owned();
            seal(lie, &case.key).unwrap().write_beside(&case.clip).unwrap();
            only(&case.asked(), About::Segment, "no path inside");
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let case = Case::new();
        fs::remove_file(signature_path(&case.clip)).unwrap();
        let question = Question {
            clip: &case.clip,
            keys: &[],
            recordings: &[],
        };
        assert!(
            verify(&question)
                .unwrap_err()
                .to_string()
                .contains("gate.mp4.manifest.sig")
        );
        fs::remove_file(manifest_path(&case.clip)).unwrap();
        assert!(
            verify(&question)
                .unwrap_err()
                .to_string()
                .contains("gate.mp4.manifest.json")
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_at_all_are_judged_without_a_panic(json in proptest::collection::vec(any::<u8>(), 0..200), signature in proptest::collection::vec(any::<u8>(), 0..80)) {
            let case = Case::new();
            fs::write(manifest_path(&case.clip), json).unwrap();
            fs::write(signature_path(&case.clip), signature).unwrap();
            prop_assert_ne!(case.asked().outcome, Outcome::Sound);
        }
    }
}
