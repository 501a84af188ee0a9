//! Verifier keys: the public half of a note signature, with its name (C2SP `signed-note`, "Verifier keys").

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::pkcs8::DecodePublicKey as _;
use signature::Verifier as _;

use super::cosignature;
use crate::digest::Sha256Digest;

/// The first four bytes of a [`key_hash`]: a hint that picks a key, never a proof of one.
pub type KeyId = [u8; 4];

/// How a key signs a note, with its identifier byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum KeyType {
    /// Ed25519 over the text; the public key is its 32 bytes.
    Ed25519 = 0x01,
    /// ECDSA P-256 with SHA-256 over the text, DER; the public key is its SubjectPublicKeyInfo.
    EcdsaP256 = 0x02,
    /// Ed25519 `cosignature/v1` with the time of signing; the public key is its 32 bytes.
    CosignatureV1 = 0x04,
}

/// A key that note signatures are checked with: `<name>+<key id in hex>+<base64(type ‖ public key)>`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: KeyId,
    public: PublicKey,
}

#[derive(Clone, PartialEq, Eq)]
enum PublicKey {
    Ed25519(ed25519_dalek::VerifyingKey),
    EcdsaP256 {
        key: p256::ecdsa::VerifyingKey,
        spki: Vec<u8>,
    },
    CosignatureV1(ed25519_dalek::VerifyingKey),
}

/// Why a text is no verifier key, or a public key cannot become one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VkeyError {
    /// Not three parts with `+` between them, or a part is not in its encoding.
    #[error("not a verifier key: expected <name>+<8 hex digits>+<base64 of type and public key>")]
    Shape,
    /// The name cannot stand in a signature line.
    #[error(
        "{0:?} is no key name: it must not be empty or contain spaces, control characters or '+'"
    )]
    Name(String),
    /// A signature type that is not implemented.
    #[error(
        "key type {0:#04x} is not supported: use 0x01 Ed25519, 0x02 ECDSA P-256 or 0x04 cosignature/v1"
    )]
    UnknownType(u8),
    /// The bytes are no public key of the type.
    #[error(
        "not a usable public key of type {0:?}: Ed25519 takes 32 bytes, ECDSA a P-256 SubjectPublicKeyInfo"
    )]
    PublicKey(KeyType),
    /// The key id is not the one that follows from name, type and public key.
    #[error(
        "the key id is {found}, but name and public key give {expected}: one of the three was changed"
    )]
    KeyId {
        /// The id that follows from name, type and public key.
        expected: String,
        /// The id in the text.
        found: String,
    },
}

/// A signature that does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadSignature;

impl KeyType {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Ed25519, Self::EcdsaP256, Self::CosignatureV1]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// The hash whose first four bytes are the key id: `SHA-256(name ‖ 0x0A ‖ type ‖ public key)`, for ECDSA
/// `SHA-256(SubjectPublicKeyInfo)`. Rekor v2 uses all 32 bytes as the log id.
pub fn key_hash(name: &str, kind: KeyType, public_key: &[u8]) -> [u8; 32] {
    match kind {
        KeyType::EcdsaP256 => Sha256Digest::of(&[public_key]).0,
        KeyType::Ed25519 | KeyType::CosignatureV1 => {
            Sha256Digest::of(&[name.as_bytes(), &[b'\n', kind as u8], public_key]).0
        }
    }
}

/// The key id of a signature line: the first four bytes of [`key_hash`].
pub fn key_id(name: &str, kind: KeyType, public_key: &[u8]) -> KeyId {
    let [a, b, c, d, ..] = key_hash(name, kind, public_key);
    [a, b, c, d]
}

/// Whether a key name can stand in a signature line: not empty, no Unicode space, control character or `+`.
pub fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == '+' || c.is_whitespace() || c.is_control())
}

impl VerifierKey {
    /// Names a public key: 32 bytes of Ed25519, or the SubjectPublicKeyInfo DER of a P-256 key.
    ///
    /// # Errors
    /// [`VkeyError`]: the name or the public key is not usable.
    pub fn new(name: &str, kind: KeyType, public_key: &[u8]) -> Result<Self, VkeyError> {
        if !is_key_name(name) {
            return Err(VkeyError::Name(name.to_owned()));
        }
        let public = PublicKey::parse(kind, public_key).ok_or(VkeyError::PublicKey(kind))?;
        Ok(Self {
            name: name.to_owned(),
            id: key_id(name, kind, public_key),
            public,
        })
    }

    /// The key name; a log's is its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// How this key signs.
    pub fn kind(&self) -> KeyType {
        match self.public {
            PublicKey::Ed25519(_) => KeyType::Ed25519,
            PublicKey::EcdsaP256 { .. } => KeyType::EcdsaP256,
            PublicKey::CosignatureV1(_) => KeyType::CosignatureV1,
        }
    }

    /// The public key as [`VerifierKey::new`] takes it.
    pub fn public_key(&self) -> &[u8] {
        match &self.public {
            PublicKey::Ed25519(key) | PublicKey::CosignatureV1(key) => key.as_bytes(),
            PublicKey::EcdsaP256 { spki, .. } => spki,
        }
    }

    /// Whether both wrap the same key pair, whatever name and type they give it.
    pub fn same_key_pair(&self, other: &Self) -> bool {
        match (&self.public, &other.public) {
            (PublicKey::EcdsaP256 { key: a, .. }, PublicKey::EcdsaP256 { key: b, .. }) => a == b,
            _ => self.public_key() == other.public_key(),
        }
    }

    /// The same key under another id, as a chosen collision of ids would give.
    #[cfg(test)]
    pub(super) fn with_id(self, id: KeyId) -> Self {
        Self { id, ..self }
    }

    /// Checks a signature over `text`; for a cosignature, answers with its time in Unix seconds.
    pub(super) fn verify(&self, text: &str, signature: &[u8]) -> Result<Option<u64>, BadSignature> {
        match &self.public {
            PublicKey::Ed25519(key) => verify_ed25519(key, text, signature).map(|()| None),
            PublicKey::EcdsaP256 { key, .. } => {
                let signature =
                    p256::ecdsa::Signature::from_der(signature).map_err(|_| BadSignature)?;
                key.verify(text.as_bytes(), &signature)
                    .map(|()| None)
                    .map_err(|_| BadSignature)
            }
            PublicKey::CosignatureV1(key) => {
                let (time, signature) = cosignature::decode(signature).ok_or(BadSignature)?;
                verify_ed25519(key, &cosignature::message(time, text), signature)?;
                Ok(Some(time))
            }
        }
    }
}

fn verify_ed25519(
    key: &ed25519_dalek::VerifyingKey,
    text: &str,
    signature: &[u8],
) -> Result<(), BadSignature> {
    let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| BadSignature)?;
    // Strict: verifiers that disagree on small-order points would disagree on what was witnessed.
    key.verify_strict(text.as_bytes(), &signature)
        .map_err(|_| BadSignature)
}

impl PublicKey {
    fn parse(kind: KeyType, bytes: &[u8]) -> Option<Self> {
        let ed25519 = || {
            let key = ed25519_dalek::VerifyingKey::from_bytes(bytes.try_into().ok()?).ok()?;
            (!key.is_weak()).then_some(key)
        };
        match kind {
            KeyType::Ed25519 => ed25519().map(Self::Ed25519),
            KeyType::CosignatureV1 => ed25519().map(Self::CosignatureV1),
            KeyType::EcdsaP256 => Some(Self::EcdsaP256 {
                key: p256::ecdsa::VerifyingKey::from_public_key_der(bytes).ok()?,
                spki: bytes.to_vec(),
            }),
        }
    }
}

impl FromStr for VerifierKey {
    type Err = VkeyError;

    fn from_str(text: &str) -> Result<Self, VkeyError> {
        // The name has no '+', the base64 may have some.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(VkeyError::Shape);
        };
        let mut found = [0; 4];
        hex::decode_to_slice(id, &mut found).map_err(|_| VkeyError::Shape)?;
        let key = STANDARD.decode(key).map_err(|_| VkeyError::Shape)?;
        let (kind, public_key) = key.split_first().ok_or(VkeyError::Shape)?;
        let kind = KeyType::from_byte(*kind).ok_or(VkeyError::UnknownType(*kind))?;
        let key = Self::new(name, kind, public_key)?;
        if key.id != found {
            return Err(VkeyError::KeyId {
                expected: hex::encode(key.id),
                found: hex::encode(found),
            });
        }
        Ok(key)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.kind() as u8], self.public_key()].concat();
        let (id, key) = (hex::encode(self.id), STANDARD.encode(key));
        write!(f, "{}+{id}+{key}", self.name)
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const REKOR: &str = "rekor.sigstore.dev+c0d23d6a+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNhtmPtrWm3U1eQXBogSMdGvXwBcK5AW5i0hrZLOC96l+smGNM7nwZ4QvFK/4sueRoVj//QP22Ni4Qt9DPfkWLc=";

    fn refused(text: &str) -> VkeyError {
        text.parse::<VerifierKey>().expect_err("must be refused")
    }

    #[test]
    fn a_key_is_read_and_written_in_one_spelling() {
        for text in [PETER, REKOR] {
            let key: VerifierKey = text.parse().expect("a good key");
            assert_eq!(key.to_string(), text);
            let again = VerifierKey::new(key.name(), key.kind(), key.public_key());
            assert_eq!(again, Ok(key));
        }
    }

    #[test]
    fn an_ecdsa_key_id_is_that_of_the_key_without_its_name() {
        let key: VerifierKey = REKOR.parse().expect("a good key");
        let renamed = VerifierKey::new("elsewhere.example", key.kind(), key.public_key());
        assert_eq!(renamed.expect("good").id(), key.id());
        let key: VerifierKey = PETER.parse().expect("a good key");
        let renamed = VerifierKey::new("Mallory", key.kind(), key.public_key()).expect("good");
        assert_ne!(renamed.id(), key.id());
        assert!(renamed.same_key_pair(&key));
    }

    #[test]
    fn each_wrong_part_has_an_error_of_its_own() {
        assert_eq!(refused("PeterNeumann+c74f20a3"), VkeyError::Shape);
        assert_eq!(
            refused(&PETER.replace("c74f20a3", "c74f20")),
            VkeyError::Shape
        );
        assert_eq!(refused(&PETER.replace("+ARp", "+%Rp")), VkeyError::Shape);
        assert_eq!(refused("n+00000000+"), VkeyError::Shape);
        let expected = VkeyError::KeyId {
            expected: "c74f20a3".into(),
            found: "c74f20a4".into(),
        };
        assert_eq!(refused(&PETER.replace("20a3", "20a4")), expected);
        let spaced = PETER.replace("PeterN", "Peter\u{2003}N");
        assert!(matches!(refused(&spaced), VkeyError::Name(_)));
        assert_eq!(refused("n+00000000+BgAA"), VkeyError::UnknownType(6));
        assert_eq!(
            refused("n+00000000+AQAA"),
            VkeyError::PublicKey(KeyType::Ed25519)
        );
        assert_eq!(
            refused("n+00000000+AgAA"),
            VkeyError::PublicKey(KeyType::EcdsaP256)
        );
    }

    #[test]
    fn a_key_of_small_order_is_refused() {
        // The neutral point: with it, one signature would verify for many messages.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        assert_eq!(
            VerifierKey::new("n", KeyType::Ed25519, &neutral),
            Err(VkeyError::PublicKey(KeyType::Ed25519))
        );
    }

    #[test]
    fn names_that_cannot_stand_in_a_signature_line_are_refused() {
        for name in [
            "",
            "a b",
            "a+b",
            "a\u{a0}b",
            "a\u{2003}b",
            "a\nb",
            "a\0b",
            "a\u{85}b",
        ] {
            assert!(!is_key_name(name), "{name:?}");
        }
        assert!(is_key_name("sealwright.demo/log"));
        assert!(is_key_name("\u{fc}nic\u{f6}de"));
    }

    proptest! {
        #[test]
        fn another_implementation_reads_what_is_written_here(seed: [u8; 32], name in "[a-z./]{1,20}") {
            let public = ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key();
            let key = VerifierKey::new(&name, KeyType::Ed25519, public.as_bytes()).expect("good");
            let theirs = signed_note::StandardVerifier::new(&key.to_string()).expect("reads it");
            use signed_note::Verifier as _;
            prop_assert_eq!(theirs.key_id().to_be_bytes(), key.id());
            prop_assert_eq!(theirs.name(), name);
        }

        #[test]
        fn a_key_with_any_changed_byte_is_refused_or_still_itself(at: prop::sample::Index, to in 0_u8..128) {
            let mut bytes = PETER.as_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = to;
            let text = String::from_utf8(bytes).expect("ASCII");
            if let Ok(key) = text.parse::<VerifierKey>() {
                // The hex digits of the id may be upper case.
                prop_assert_eq!(key.to_string(), PETER);
            }
        }
    }
}
