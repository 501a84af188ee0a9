//! SHA-256 as tokens write it: 43 characters of base64url.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize, de};

use crate::digest::Sha256Digest;

/// The thumbprint of a key (`jkt`, RFC 7638) or of a certificate (`x5t#S256`, RFC 8705 section 3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thumbprint(pub Sha256Digest);

/// Not 32 bytes in base64url without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a thumbprint is 43 characters of base64url without padding")]
pub struct NotAThumbprint;

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

impl FromStr for Thumbprint {
    type Err = NotAThumbprint;

    fn from_str(text: &str) -> Result<Self, NotAThumbprint> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotAThumbprint)?;
        let bytes = bytes.try_into().map_err(|_| NotAThumbprint)?;
        Ok(Self(Sha256Digest(bytes)))
    }
}

crate::name::serde_as_text!(Thumbprint);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbprint_has_one_spelling() {
        let thumbprint = Thumbprint(Sha256Digest::of(&[b"abc"]));
        let text = thumbprint.to_string();
        assert_eq!(text.len(), 43);
        assert_eq!(text.parse(), Ok(thumbprint));
        for other in [format!("{text}="), text[1..].to_owned(), format!("{text}A")] {
            assert_eq!(other.parse::<Thumbprint>(), Err(NotAThumbprint), "{other}");
        }
        // The last character carries four bits; one that sets the other two is another spelling.
        let (head, _) = text.split_at(42);
        let spellings = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars();
        let good = spellings.filter(|c| format!("{head}{c}").parse::<Thumbprint>().is_ok());
        assert_eq!(good.count(), 16);
    }
}
