//! Whose word counts for where a device was made.

use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use crate::x509;

/// Most certificates that are trusted.
pub const ROOTS_MAX: usize = 256;

/// Certificates of device makers; each of them is trusted, whether it issued itself or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roots(Vec<Certificate>);

/// Why certificates cannot be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RootsError {
    /// Over [`ROOTS_MAX`].
    #[error("{0} certificates of device makers; at most {ROOTS_MAX} are taken")]
    Count(usize),
    /// Not X.509.
    #[error("certificate {0} is not X.509")]
    NotX509(usize),
}

impl Roots {
    /// Trusts these certificates, DER.
    ///
    /// # Errors
    /// [`RootsError`], with the position from 1.
    pub fn new(ders: &[impl AsRef<[u8]>]) -> Result<Self, RootsError> {
        if ders.len() > ROOTS_MAX {
            return Err(RootsError::Count(ders.len()));
        }
        let parse = |(position, der)| {
            let parsed = Certificate::from_der(AsRef::<[u8]>::as_ref(der));
            parsed.map_err(|_| RootsError::NotX509(position))
        };
        (1..)
            .zip(ders)
            .map(parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them issued `certificate`. Its dates are not judged: a device does not turn into another one
    /// when its certificate runs out, and evidence is looked at long afterwards.
    pub(super) fn have_issued(&self, certificate: &Certificate) -> bool {
        let mut roots = self.0.iter();
        roots.any(|root| x509::has_issued(root, certificate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_certificates_and_other_bytes_are_told_apart() {
        let none: [&[u8]; 0] = [];
        assert!(Roots::new(&none).unwrap().is_empty());
        assert_eq!(Roots::new(&[b"x"]), Err(RootsError::NotX509(1)));
        let many = vec![b"x"; ROOTS_MAX + 1];
        assert_eq!(Roots::new(&many), Err(RootsError::Count(ROOTS_MAX + 1)));
    }
}
