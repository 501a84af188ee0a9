//! Signed notes: a text with signature lines under it (C2SP `signed-note` v1.0.0).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::vkey::{KeyId, VerifierKey, is_key_name};

/// The most signature lines of a note; the standard asks for at least 16.
pub const MAX_SIGNATURES: usize = 64;

/// The longest note, text and signatures together.
pub const MAX_NOTE_BYTES: usize = 1 << 20;

/// Begins a signature line.
const EM_DASH: &str = "\u{2014} ";

/// Text with signatures. What a note says means nothing before [`Note::verify`] has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// One signature line: `— <name> <base64(key id ‖ signature)>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    key_id: KeyId,
    signature: Vec<u8>,
}

/// A key that signed the note, and for a cosignature when, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedSignature<'k> {
    /// One of the keys that were given.
    pub key: &'k VerifierKey,
    /// The time a witness put into its cosignature; `None` for other types.
    pub time: Option<u64>,
}

/// Why bytes are no note, or a note is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`MAX_NOTE_BYTES`].
    #[error("a note has at most {MAX_NOTE_BYTES} bytes, not {0}")]
    TooLong(usize),
    /// More than [`MAX_SIGNATURES`] signature lines.
    #[error("a note has at most {MAX_SIGNATURES} signatures, not {0}")]
    TooManySignatures(usize),
    /// A control character other than line feed.
    #[error("control character {0:#04x} in a note: only line feeds are allowed, check for \\r")]
    Control(u32),
    /// The text does not end in a line feed.
    #[error("the text of a note must end in a line feed")]
    UnfinishedText,
    /// No empty line with at least one signature line after it.
    #[error("the note is not signed: expected an empty line and signature lines after the text")]
    Unsigned,
    /// A line after the text is no signature line.
    #[error(
        "signature line {0} is malformed: expected '\u{2014} <name> <base64 of key id and signature>'"
    )]
    SignatureLine(usize),
    /// The key name cannot stand in a signature line.
    #[error(
        "{0:?} is no key name: it must not be empty or contain spaces, control characters or '+'"
    )]
    Name(String),
    /// Two different trusted keys have the same name and id, so a signature belongs to neither.
    #[error("two trusted keys are called {0}: remove one, or rename it")]
    AmbiguousKey(String),
    /// A trusted key's signature does not verify: the text or the line was changed.
    #[error("the signature of {0} does not verify: the note was changed, or is another note's")]
    BadSignature(String),
    /// No trusted key signed.
    #[error("no trusted key signed the note: check the verifier key's name and id")]
    NoKnownSignature,
}

impl NoteSignature {
    /// Puts signature bytes made elsewhere under a name; for a cosignature see [`super::cosignature::encode`].
    ///
    /// # Errors
    /// [`NoteError::Name`].
    pub fn new(name: &str, key_id: KeyId, signature: Vec<u8>) -> Result<Self, NoteError> {
        if !is_key_name(name) {
            return Err(NoteError::Name(name.to_owned()));
        }
        Ok(Self {
            name: name.to_owned(),
            key_id,
            signature,
        })
    }

    /// Reads signature lines alone, as a witness answers with.
    ///
    /// # Errors
    /// [`NoteError`]: no line, too many, or a malformed one.
    pub fn parse_lines(lines: &str) -> Result<Vec<Self>, NoteError> {
        check_size(lines)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Unsigned)?;
        let count = lines.split('\n').count();
        if count > MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures(count));
        }
        (1..)
            .zip(lines.split('\n'))
            .map(|(number, line)| Self::parse(line).ok_or(NoteError::SignatureLine(number)))
            .collect()
    }

    fn parse(line: &str) -> Option<Self> {
        let (name, base64) = line.strip_prefix(EM_DASH)?.split_once(' ')?;
        let bytes = STANDARD.decode(base64).ok()?;
        let (key_id, signature) = bytes.split_first_chunk()?;
        if signature.is_empty() {
            return None;
        }
        Self::new(name, *key_id, signature.to_vec()).ok()
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key's id.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The bytes after the key id.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    fn is_by(&self, key: &VerifierKey) -> bool {
        key.name() == self.name && key.id() == self.key_id
    }
}

/// The line with its line feed.
impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base64 = STANDARD.encode([&self.key_id[..], &self.signature].concat());
        writeln!(f, "{EM_DASH}{} {base64}", self.name)
    }
}

impl Note {
    /// Puts signatures under a text.
    ///
    /// # Errors
    /// [`NoteError`]: the text does not end in a line feed or has control characters; no signature, or too
    /// many; the note would be too long.
    pub fn new(text: String, signatures: Vec<NoteSignature>) -> Result<Self, NoteError> {
        if !text.ends_with('\n') {
            return Err(NoteError::UnfinishedText);
        }
        if signatures.is_empty() {
            return Err(NoteError::Unsigned);
        }
        if signatures.len() > MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures(signatures.len()));
        }
        let note = Self { text, signatures };
        check_size(&note.to_string())?;
        check_characters(&note.text)?;
        Ok(note)
    }

    /// Reads a note. The last empty line separates text and signatures, so the text may have empty lines.
    ///
    /// # Errors
    /// [`NoteError`]: too long, control characters, no signatures, too many, or a malformed signature line.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        check_size(note)?;
        check_characters(note)?;
        let end = note.rfind("\n\n").ok_or(NoteError::Unsigned)? + 1;
        let (text, rest) = note.split_at(end);
        let lines = rest.strip_prefix('\n').unwrap_or(rest);
        Ok(Self {
            text: text.to_owned(),
            signatures: NoteSignature::parse_lines(lines)?,
        })
    }

    /// The text, with its last line feed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signatures, verified or not.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// The keys among `keys` that signed, each once, in the order of the signature lines.
    ///
    /// Lines of other keys are ignored. Of a key that signed twice, every line must verify and the first counts.
    ///
    /// # Errors
    /// [`NoteError`]: a line of one of the keys does not verify, none of them signed, or two different keys
    /// have the same name and id.
    pub fn verify<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k VerifierKey>,
    ) -> Result<Vec<VerifiedSignature<'k>>, NoteError> {
        let keys: Vec<_> = keys.into_iter().collect();
        let mut verified: Vec<VerifiedSignature<'k>> = Vec::new();
        for line in &self.signatures {
            let Some(key) = the_key_of(line, &keys)? else {
                continue;
            };
            let time = key
                .verify(&self.text, &line.signature)
                .map_err(|_| NoteError::BadSignature(line.name.clone()))?;
            if !verified.iter().any(|earlier| earlier.key == key) {
                verified.push(VerifiedSignature { key, time });
            }
        }
        if verified.is_empty() {
            return Err(NoteError::NoKnownSignature);
        }
        Ok(verified)
    }
}

/// The note as it is stored and sent.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| line.fmt(f))
    }
}

/// The one trusted key with the line's name and id.
fn the_key_of<'k>(
    line: &NoteSignature,
    keys: &[&'k VerifierKey],
) -> Result<Option<&'k VerifierKey>, NoteError> {
    let mut matching = keys.iter().filter(|key| line.is_by(key));
    let Some(key) = matching.next() else {
        return Ok(None);
    };
    if matching.any(|other| other != key) {
        return Err(NoteError::AmbiguousKey(line.name.clone()));
    }
    Ok(Some(key))
}

fn check_size(note: &str) -> Result<(), NoteError> {
    if note.len() > MAX_NOTE_BYTES {
        return Err(NoteError::TooLong(note.len()));
    }
    Ok(())
}

fn check_characters(note: &str) -> Result<(), NoteError> {
    match note.chars().find(|&c| c < ' ' && c != '\n') {
        Some(control) => Err(NoteError::Control(control.into())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::signature::Signer as _;
    use p256::pkcs8::EncodePublicKey as _;
    use proptest::prelude::*;

    use super::super::signers::{TestKey, signed};
    use super::super::vkey::KeyType;
    use super::*;

    const TEXT: &str = "one line\n\nand after an empty one another\n";

    fn names(note: &Note, keys: &[&TestKey]) -> Result<Vec<String>, NoteError> {
        let verified = note.verify(keys.iter().map(|key| &key.public))?;
        let names = verified.iter().map(|v| v.key.name().to_owned());
        Ok(names.collect())
    }

    #[test]
    fn only_trusted_keys_that_signed_are_named() {
        let (a, b, c) = (
            TestKey::log("a", 1),
            TestKey::witness("b", 2),
            TestKey::log("c", 3),
        );
        let note = signed(TEXT, [&a, &b]);
        assert_eq!(
            names(&note, &[&b, &a, &c]),
            Ok(vec!["a".into(), "b".into()])
        );
        assert_eq!(names(&note, &[&b]), Ok(vec!["b".into()]));
        assert_eq!(names(&note, &[&c]), Err(NoteError::NoKnownSignature));
        assert_eq!(names(&note, &[]), Err(NoteError::NoKnownSignature));
    }

    #[test]
    fn a_cosignature_tells_its_time_and_a_plain_signature_none() {
        let (log, witness) = (TestKey::log("log", 1), TestKey::witness("w", 2));
        let note = signed(TEXT, [&log, &witness]);
        let verified = note
            .verify([&log.public, &witness.public])
            .expect("both signed");
        let times: Vec<_> = verified.iter().map(|v| v.time).collect();
        assert_eq!(times, [None, Some(2)]);
    }

    #[test]
    fn one_bad_signature_of_a_trusted_key_rejects_the_note() {
        let (a, b) = (TestKey::log("a", 1), TestKey::log("b", 2));
        let good = a.sign(TEXT, 0);
        let bad = b.sign("another text\n", 0);
        let note = Note::new(TEXT.into(), vec![good, bad]).expect("well-formed");
        assert_eq!(
            names(&note, &[&a, &b]),
            Err(NoteError::BadSignature("b".into()))
        );
        assert_eq!(names(&note, &[&a]), Ok(vec!["a".into()]));
    }

    #[test]
    fn a_signature_under_the_same_name_or_the_same_id_alone_is_ignored() {
        let a = TestKey::log("a", 1);
        let good = a.sign(TEXT, 0);
        let same_name = NoteSignature::new("a", [9; 4], vec![0; 64]).expect("a name");
        let same_id = NoteSignature::new("b", a.public.id(), vec![0; 64]).expect("a name");
        let note = Note::new(TEXT.into(), vec![same_name, same_id, good]).expect("well-formed");
        assert_eq!(names(&note, &[&a]), Ok(vec!["a".into()]));
    }

    #[test]
    fn a_key_that_signed_twice_counts_once_and_each_of_its_lines_must_verify() {
        let witness = TestKey::witness("w", 1);
        let lines = vec![witness.sign(TEXT, 7), witness.sign(TEXT, 5)];
        let note = Note::new(TEXT.into(), lines).expect("well-formed");
        let verified = note
            .verify([&witness.public, &witness.public])
            .expect("signed");
        assert_eq!(verified.len(), 1);
        assert_eq!(verified[0].time, Some(7));
        let lines = vec![witness.sign(TEXT, 7), witness.sign("other\n", 7)];
        let note = Note::new(TEXT.into(), lines).expect("well-formed");
        assert_eq!(
            names(&note, &[&witness]),
            Err(NoteError::BadSignature("w".into()))
        );
    }

    #[test]
    fn two_keys_of_one_name_and_id_are_ambiguous() {
        // ECDSA ids do not depend on the name: only a chosen collision can bring this about.
        let key =
            |number: u8| p256::ecdsa::SigningKey::from_slice(&[number; 32]).expect("a scalar");
        let spki = |number| {
            key(number)
                .verifying_key()
                .to_public_key_der()
                .expect("encodes")
        };
        let public = VerifierKey::new("log", KeyType::EcdsaP256, spki(1).as_bytes()).expect("good");
        let signature: p256::ecdsa::DerSignature = key(1).sign(TEXT.as_bytes());
        let line = NoteSignature::new("log", public.id(), signature.as_bytes().to_vec());
        let note = Note::new(TEXT.into(), vec![line.expect("a name")]).expect("well-formed");
        assert_eq!(note.verify([&public]).map(|v| v.len()), Ok(1));
        let other = VerifierKey::new("log", KeyType::EcdsaP256, spki(2).as_bytes()).expect("good");
        let collided = other.with_id(public.id());
        assert_eq!(
            note.verify([&public, &collided]),
            Err(NoteError::AmbiguousKey("log".into()))
        );
    }

    #[test]
    fn the_last_empty_line_separates_text_and_signatures() {
        for text in ["a\n", "\n", "a\n\n", "a\n\n\nb\n", "a\n\n\u{2014} a AAAA\n"] {
            let note = signed(text, [&TestKey::log("a", 1)]);
            let again = Note::parse(&note.to_string()).expect("its own spelling");
            assert_eq!(again.text(), text);
            assert_eq!(again, note);
        }
    }

    #[test]
    fn each_malformed_note_has_an_error_of_its_own() {
        let good = signed("a\n", [&TestKey::log("a", 1)]).to_string();
        let refused = |note: &str| Note::parse(note).expect_err("must be refused");
        assert_eq!(refused(""), NoteError::Unsigned);
        assert_eq!(refused("a\n"), NoteError::Unsigned);
        assert_eq!(refused("a\n\n"), NoteError::Unsigned);
        assert_eq!(refused("a\n\n\n"), NoteError::Unsigned);
        assert_eq!(refused(good.trim_end()), NoteError::Unsigned);
        assert_eq!(refused(&good.replace("\n\n", "\n")), NoteError::Unsigned);
        assert_eq!(refused(&good.replace('\n', "\r\n")), NoteError::Control(13));
        assert_eq!(refused(&good.replacen('a', "\t", 1)), NoteError::Control(9));
        assert_eq!(
            refused(&format!("{good}\u{2014} a AAAAAAE\n")),
            NoteError::SignatureLine(2)
        );
        for line in [
            "\u{2014} a AAAAAA==",
            "\u{2014} a",
            "\u{2014}a AAAAAAE=",
            "- a AAAAAAE=",
            "\u{2014}  AAAAAAE=",
            "\u{2014} a+b AAAAAAE=",
            "\u{2014} a b AAAAAAE=",
            "\u{2014} a AAAAAAE= ",
            "\u{2014} a -AAAAAE=",
        ] {
            assert_eq!(
                refused(&format!("a\n\n{line}\n")),
                NoteError::SignatureLine(1),
                "{line}"
            );
        }
    }

    #[test]
    fn sixty_four_signatures_are_read_and_sixty_five_are_not() {
        let line = NoteSignature::new("a", [0; 4], vec![0; 64]).expect("a name");
        let full = Note::new("a\n".into(), vec![line.clone(); MAX_SIGNATURES]).expect("full");
        assert_eq!(Note::parse(&full.to_string()), Ok(full.clone()));
        let over = NoteError::TooManySignatures(MAX_SIGNATURES + 1);
        assert_eq!(Note::parse(&format!("{full}{line}")), Err(over.clone()));
        assert_eq!(
            Note::new("a\n".into(), vec![line; MAX_SIGNATURES + 1]),
            Err(over)
        );
    }

    #[test]
    fn a_note_at_the_limit_is_read_and_one_byte_more_is_not() {
        let line = NoteSignature::new("a", [0; 4], vec![0; 64]).expect("a name");
        let text = |length: usize| format!("{}\n", "a".repeat(length - 1));
        let room = MAX_NOTE_BYTES - line.to_string().len() - 1;
        let full = Note::new(text(room), vec![line.clone()])
            .expect("full")
            .to_string();
        assert_eq!(full.len(), MAX_NOTE_BYTES);
        assert!(Note::parse(&full).is_ok());
        let over = NoteError::TooLong(MAX_NOTE_BYTES + 1);
        assert_eq!(Note::parse(&format!("a{full}")), Err(over.clone()));
        assert_eq!(Note::new(text(room + 1), vec![line]), Err(over));
    }

    #[test]
    fn nothing_is_built_that_could_not_be_read() {
        let line = || vec![NoteSignature::new("a", [0; 4], vec![0]).expect("a name")];
        assert_eq!(
            Note::new("a".into(), line()),
            Err(NoteError::UnfinishedText)
        );
        assert_eq!(Note::new("a\n".into(), vec![]), Err(NoteError::Unsigned));
        assert_eq!(
            Note::new("a\r\n".into(), line()),
            Err(NoteError::Control(13))
        );
        let named = NoteSignature::new("a b", [0; 4], vec![0]);
        assert_eq!(named, Err(NoteError::Name("a b".into())));
    }

    #[test]
    fn lines_of_a_witness_are_read_without_a_text() {
        let line = TestKey::witness("w", 1).sign(TEXT, 3);
        assert_eq!(
            NoteSignature::parse_lines(&line.to_string()),
            Ok(vec![line.clone()])
        );
        assert_eq!(NoteSignature::parse_lines(""), Err(NoteError::Unsigned));
        assert_eq!(
            NoteSignature::parse_lines("\n"),
            Err(NoteError::SignatureLine(1))
        );
        let spaced = format!("{line}\n{line}");
        assert_eq!(
            NoteSignature::parse_lines(&spaced),
            Err(NoteError::SignatureLine(2))
        );
    }

    proptest! {
        #[test]
        fn a_note_with_any_changed_byte_is_not_believed(at: prop::sample::Index, to: u8) {
            let key = TestKey::log("a", 1);
            let note = signed(TEXT, [&key]).to_string();
            let mut bytes = note.clone().into_bytes();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != to);
            bytes[at] = to;
            if let Ok(changed) = String::from_utf8(bytes) {
                let verdict = Note::parse(&changed).and_then(|note| names(&note, &[&key]));
                prop_assert!(verdict.is_err(), "{changed}");
            }
        }

        #[test]
        fn any_text_is_refused_or_keeps_its_spelling(note in "(.|\n){0,40}\n\n(\u{2014} [a-z]{0,3} [A-Za-z]{8}\n){0,3}") {
            if let Ok(parsed) = Note::parse(&note) {
                prop_assert_eq!(parsed.to_string(), note);
            }
        }

        #[test]
        fn another_implementation_verifies_what_is_written_here(seed: u8, text in "[ -~]{0,30}\n") {
            let key = TestKey::log("a.example/log", seed);
            let note = signed(&text, [&key]).to_string();
            let theirs = signed_note::Note::from_bytes(note.as_bytes()).expect("reads it");
            let verifier = signed_note::StandardVerifier::new(&key.public.to_string()).expect("reads it");
            let known = signed_note::VerifierList::new(vec![Box::new(verifier)]);
            let (verified, _) = theirs.verify(&known).expect("verifies it");
            prop_assert_eq!(verified.len(), 1);
        }
    }
}
