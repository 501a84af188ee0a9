//! The key file: a TSS2 PRIVATE KEY in PEM, the format that the TPM engines and providers of OpenSSL and the
//! Linux kernel share ("ASN.1 Specification for TPM 2.0 Key Files").

use der::asn1::OctetString;
use der::oid::ObjectIdentifier;
use der::pem::{self, LineEnding};
use der::{Decode as _, Encode as _, Sequence};
use tss_esapi::structures::{Private, Public, PublicBuffer};
use tss_esapi::traits::{Marshall as _, UnMarshall as _};

const LABEL: &str = "TSS2 PRIVATE KEY";
/// id-loadablekey: a key that TPM2_Load takes.
const LOADABLE_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.10.1.3");
/// TPM2_RH_OWNER: the parent is the primary made from the standard ECC P-256 template in the owner hierarchy.
const PARENT_OWNER: u32 = 0x4000_0001;

/// Both halves of a wrapped key as the TPM made them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) public: Public,
    pub(crate) private: Private,
}

/// Why a text is no key file of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BlobError {
    #[error("it is no PEM text labelled {LABEL}: {0}")]
    Pem(String),
    #[error("it is no loadable TPM key without policy: {0}")]
    Asn1(String),
    #[error("its type is {0}, not the loadable key {LOADABLE_KEY}")]
    Type(ObjectIdentifier),
    #[error("its auth value is empty, so everybody on this host could use it")]
    EmptyAuth,
    #[error(
        "its parent is {0:#010x}, not the owner hierarchy's storage root key {PARENT_OWNER:#010x}"
    )]
    Parent(u32),
    #[error("its {0} part is no TPM structure")]
    Part(&'static str),
}

/// `TPMKey` without the members for policies and secrets, which no key of ours has.
#[derive(Sequence)]
struct TpmKey {
    key_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    empty_auth: Option<bool>,
    parent: u32,
    /// TPM2B_PUBLIC.
    public: OctetString,
    /// TPM2B_PRIVATE.
    private: OctetString,
}

impl Blob {
    /// The PEM text.
    pub(crate) fn to_pem(&self) -> Result<String, BlobError> {
        let asn1 = |e: der::Error| BlobError::Asn1(e.to_string());
        let key = TpmKey {
            key_type: LOADABLE_KEY,
            // May be left out, which tpm2-openssl then reads as true and never asks for the value.
            empty_auth: Some(false),
            parent: PARENT_OWNER,
            public: OctetString::new(tpm2b_public(&self.public)?).map_err(asn1)?,
            private: OctetString::new(tpm2b(self.private.value())?).map_err(asn1)?,
        };
        let der = key.to_der().map_err(asn1)?;
        pem::encode_string(LABEL, LineEnding::LF, &der).map_err(|e| BlobError::Pem(e.to_string()))
    }

    /// Reads a PEM text.
    pub(crate) fn from_pem(text: &[u8]) -> Result<Self, BlobError> {
        let (label, der) = pem::decode_vec(text).map_err(|e| BlobError::Pem(e.to_string()))?;
        if label != LABEL {
            return Err(BlobError::Pem(format!("it is labelled {label}")));
        }
        let key = TpmKey::from_der(&der).map_err(|e| BlobError::Asn1(e.to_string()))?;
        if key.key_type != LOADABLE_KEY {
            return Err(BlobError::Type(key.key_type));
        }
        if key.empty_auth == Some(true) {
            return Err(BlobError::EmptyAuth);
        }
        if key.parent != PARENT_OWNER {
            return Err(BlobError::Parent(key.parent));
        }
        Ok(Self {
            public: public_from_tpm2b(key.public.as_bytes())?,
            private: private_from_tpm2b(key.private.as_bytes())?,
        })
    }
}

/// `Public::marshall` gives the bare TPMT_PUBLIC; key files hold it with its length in front.
fn tpm2b_public(public: &Public) -> Result<Vec<u8>, BlobError> {
    PublicBuffer::try_from(public.clone())
        .and_then(|buffer| buffer.marshall())
        .map_err(|_| BlobError::Part("public"))
}

fn public_from_tpm2b(bytes: &[u8]) -> Result<Public, BlobError> {
    contents_of_tpm2b(bytes)
        .and_then(|_| PublicBuffer::unmarshall(bytes).ok())
        .and_then(|buffer| Public::try_from(buffer).ok())
        .ok_or(BlobError::Part("public"))
}

fn private_from_tpm2b(bytes: &[u8]) -> Result<Private, BlobError> {
    contents_of_tpm2b(bytes)
        .filter(|private| !private.is_empty())
        .and_then(|private| Private::try_from(private).ok())
        .ok_or(BlobError::Part("private"))
}

/// `Private::value` lacks its length; this puts it in front.
fn tpm2b(contents: &[u8]) -> Result<Vec<u8>, BlobError> {
    let len = u16::try_from(contents.len()).map_err(|_| BlobError::Part("private"))?;
    Ok([&len.to_be_bytes(), contents].concat())
}

/// The bytes behind the length, which must be exactly as many as it says.
fn contents_of_tpm2b(bytes: &[u8]) -> Option<&[u8]> {
    let (len, contents) = bytes.split_first_chunk::<2>()?;
    (usize::from(u16::from_be_bytes(*len)) == contents.len()).then_some(contents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template;
    use proptest::prelude::*;
    use sealwright_driver_api::Scheme;

    fn blob() -> Blob {
        Blob {
            public: template::key(Scheme::EcdsaP256Sha256, 0).unwrap(),
            private: Private::try_from(vec![7; 100]).unwrap(),
        }
    }

    fn with_der(change: impl Fn(TpmKey) -> TpmKey) -> BlobError {
        let pem = blob().to_pem().unwrap();
        let key = TpmKey::from_der(&pem::decode_vec(pem.as_bytes()).unwrap().1).unwrap();
        let der = change(key).to_der().unwrap();
        let pem = pem::encode_string(LABEL, LineEnding::LF, &der).unwrap();
        Blob::from_pem(pem.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_key_file_is_read_as_it_was_written() {
        let pem = blob().to_pem().unwrap();
        assert!(pem.starts_with("-----BEGIN TSS2 PRIVATE KEY-----\n"));
        assert_eq!(Blob::from_pem(pem.as_bytes()), Ok(blob()));
    }

    #[test]
    fn key_files_of_other_kinds_are_refused_by_name() {
        let other = ObjectIdentifier::new_unwrap("2.23.133.10.1.4");
        assert_eq!(
            with_der(|k| TpmKey {
                key_type: other,
                ..k
            }),
            BlobError::Type(other)
        );
        assert_eq!(
            with_der(|k| TpmKey {
                empty_auth: Some(true),
                ..k
            }),
            BlobError::EmptyAuth
        );
        assert_eq!(
            with_der(|k| TpmKey {
                parent: 0x8100_0001,
                ..k
            }),
            BlobError::Parent(0x8100_0001)
        );
        let empty = || OctetString::new([0, 0].as_slice()).unwrap();
        assert_eq!(
            with_der(|k| TpmKey {
                public: empty(),
                ..k
            }),
            BlobError::Part("public")
        );
        assert_eq!(
            with_der(|k| TpmKey {
                private: empty(),
                ..k
            }),
            BlobError::Part("private")
        );
    }

    #[test]
    fn other_pem_texts_are_refused() {
        let pem = blob().to_pem().unwrap();
        assert!(matches!(Blob::from_pem(b""), Err(BlobError::Pem(_))));
        assert!(matches!(
            Blob::from_pem(&pem.as_bytes()[..100]),
            Err(BlobError::Pem(_))
        ));
        let other = pem.replace("TSS2 PRIVATE KEY", "PRIVATE KEY");
        assert!(matches!(
            Blob::from_pem(other.as_bytes()),
            Err(BlobError::Pem(_))
        ));
    }

    proptest! {
        #[test]
        fn a_damaged_key_file_is_read_without_a_panic(at in 0usize..400, byte in any::<u8>()) {
            let mut pem = blob().to_pem().unwrap().into_bytes();
            let at = at % pem.len();
            pem[at] = byte;
            let _ = Blob::from_pem(&pem);
        }
    }
}
