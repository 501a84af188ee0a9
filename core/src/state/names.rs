//! The names that one key reserved, in memory and in a snapshot.

use std::ops::{Deref, DerefMut};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::parts::Parts;
use super::reservations::{RESERVATIONS_MAX, Reserved};
use crate::digest::Sha256Digest;

/// SHA-256 of a subject's name, so that a long one takes no more memory than a short one.
pub(super) type NameHash = Sha256Digest;

/// The names of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names(Parts<NameHash, Reserved>);

impl Deref for Names {
    type Target = Parts<NameHash, Reserved>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Names {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// Of exactly 32 bytes.
pub(super) fn digest_from(bytes: &[u8]) -> Sha256Digest {
    bytes.try_into().map(Sha256Digest).unwrap_or_default()
}

/// Bytes of a name in a snapshot: its hash, that of its digests, index, whether it was released.
const NAME_BYTES: usize = 32 + 32 + 8 + 1;

/// Base64 of all of them, in the order of their hashes.
impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(self.count * NAME_BYTES);
        for (hash, reserved) in self.iter() {
            bytes.extend_from_slice(&hash.0);
            bytes.extend_from_slice(&reserved.digests.0);
            bytes.extend_from_slice(&reserved.index.to_le_bytes());
            bytes.push(u8::from(reserved.is_released));
        }
        serializer.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(de::Error::custom)?;
        let (entries, rest) = bytes.as_chunks::<NAME_BYTES>();
        if !rest.is_empty() || entries.len() > RESERVATIONS_MAX {
            return Err(de::Error::custom("not a list of reserved names"));
        }
        let mut names = Self::default();
        for entry in entries {
            let (hash, rest) = entry.split_at(32);
            let (digests, rest) = rest.split_at(32);
            let (index, is_released) = rest.split_at(8);
            let reserved = Reserved {
                digests: digest_from(digests),
                index: u64::from_le_bytes(index.try_into().unwrap_or_default()),
                is_released: is_released == [1],
            };
            names.insert(digest_from(hash), reserved);
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_that_stands_for_names_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = serde_json::to_string(&STANDARD.encode(&bytes)).unwrap();
            let _ = serde_json::from_str::<Names>(&text);
        }
    }
}
