//! What a PKCS#11 module says of a private key (PKCS#11 3.1, sections 4.9 and 4.10). Nothing signs it.

use serde::{Deserialize, Serialize};

use super::{Exclusive, Finding, Origin};
use crate::key::EvidenceGrade;

/// Attributes of the private key; `None` where the module does not tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Claims {
    /// `CKA_SENSITIVE`: its value cannot be read in clear.
    pub sensitive: Option<bool>,
    /// `CKA_EXTRACTABLE`: it can be wrapped and taken away.
    pub extractable: Option<bool>,
    /// `CKA_ALWAYS_SENSITIVE`.
    pub always_sensitive: Option<bool>,
    /// `CKA_NEVER_EXTRACTABLE`.
    pub never_extractable: Option<bool>,
    /// `CKA_LOCAL`: made on this token.
    pub local: Option<bool>,
    /// `CKA_KEY_GEN_MECHANISM`, as the driver names it.
    pub key_gen_mechanism: Option<String>,
}

impl Claims {
    /// A claim at best. What the module leaves open counts against the key.
    pub fn finding(&self) -> Finding {
        let life = [
            self.sensitive,
            self.always_sensitive,
            self.never_extractable,
            self.local,
        ];
        let stayed = life == [Some(true); 4] && self.extractable == Some(false);
        Finding {
            grade: EvidenceGrade::Claimed,
            origin: match self.local {
                Some(true) => Origin::Generated,
                Some(false) => Origin::Imported,
                None => Origin::Unknown,
            },
            exclusive: if stayed {
                Exclusive::Claimed
            } else {
                Exclusive::No
            },
        }
    }

    #[cfg(test)]
    pub(super) fn of_a_generated_key() -> Self {
        Self {
            sensitive: Some(true),
            extractable: Some(false),
            always_sensitive: Some(true),
            never_extractable: Some(true),
            local: Some(true),
            key_gen_mechanism: Some("CKM_EC_KEY_PAIR_GEN".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(change: impl Fn(&mut Claims)) -> Finding {
        let mut claims = Claims::of_a_generated_key();
        change(&mut claims);
        claims.finding()
    }

    #[test]
    fn a_key_made_on_the_token_is_claimed_to_be_nowhere_else() {
        let claimed = Finding {
            grade: EvidenceGrade::Claimed,
            origin: Origin::Generated,
            exclusive: Exclusive::Claimed,
        };
        assert_eq!(finding(|_| {}), claimed);
    }

    #[test]
    fn an_imported_key_is_shown_as_imported() {
        let found = finding(|claims| claims.local = Some(false));
        assert_eq!(found.origin, Origin::Imported);
        assert_eq!(found.exclusive, Exclusive::No);
    }

    #[test]
    fn each_attribute_that_allows_a_copy_or_is_not_told_makes_it_not_exclusive() {
        let changes: [fn(&mut Claims); 10] = [
            |c| c.sensitive = Some(false),
            |c| c.extractable = Some(true),
            |c| c.always_sensitive = Some(false),
            |c| c.never_extractable = Some(false),
            |c| c.local = Some(false),
            |c| c.sensitive = None,
            |c| c.extractable = None,
            |c| c.always_sensitive = None,
            |c| c.never_extractable = None,
            |c| c.local = None,
        ];
        for change in changes {
            assert_eq!(finding(change).exclusive, Exclusive::No);
        }
    }

    #[test]
    fn where_the_token_does_not_tell_the_origin_is_unknown() {
        assert_eq!(finding(|c| c.local = None).origin, Origin::Unknown);
    }
}
