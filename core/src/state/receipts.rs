//! Receipts in the fold: a chain per tenant and thing, each with one newest receipt.

use std::collections::BTreeMap;
use std::iter::successors;

use serde::{Deserialize, Serialize};

use super::State;
use super::parts::Parts;
use crate::digest::Sha256Digest;
use crate::error::Code;
use crate::name::Tenant;
use crate::receipt::{Follows, ReceiptId};
use crate::record::{ReceiptLink, SignRecord};
use crate::time::Timestamp;

/// Receipts of one tenant; each takes about 250 bytes of memory. Never lowered: journals up to it exist.
pub const RECEIPTS_MAX: usize = 1_000_000;

/// A receipt that was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Its `sign` record.
    pub index: u64,
    /// When it was made.
    pub issued_at: Timestamp,
    /// What it is about, see [`crate::receipt::about`].
    pub about: Sha256Digest,
    /// The receipt before it.
    pub follows: Option<Follows>,
    /// The receipt after it.
    pub followed_by: Option<ReceiptId>,
}

/// Per tenant, so that nobody learns of another's, not even by the limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Receipts(BTreeMap<Tenant, OfTenant>);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct OfTenant {
    issued: Parts<ReceiptId, Issued>,
    /// The newest receipt about each thing.
    newest: Parts<Sha256Digest, ReceiptId>,
}

/// A receipt cannot be issued. The client is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptConflict {
    /// The tenant has none of this id; whether another has is not said.
    #[error("there is no receipt {0}")]
    Unknown(ReceiptId),
    /// A receipt names itself.
    #[error("receipt {0} would follow itself")]
    Itself(ReceiptId),
    /// The receipt has a successor.
    #[error("receipt {receipt} is followed by {by} already; follow the newest one")]
    Followed {
        /// The receipt that was named.
        receipt: ReceiptId,
        /// Its successor.
        by: ReceiptId,
    },
    /// A second beginning for the same thing.
    #[error(
        "there is a receipt about this already, {0}; name it in supersedesReceiptId or amendsReceiptId"
    )]
    Exists(ReceiptId),
    /// The receipt that was named is about something else.
    #[error("receipt {0} is about something else: type and subject stay the same along a chain")]
    OtherSubject(ReceiptId),
    /// No further receipt.
    #[error("the tenant has {RECEIPTS_MAX} receipts, which is all that one log holds")]
    Full,
}

impl ReceiptConflict {
    /// What the client is told.
    pub fn code(&self) -> Code {
        match self {
            Self::Unknown(_) => Code::UnknownReceipt,
            Self::Itself(_) => Code::ReceiptFollowsItself,
            Self::Followed { .. } => Code::ReceiptFollowed,
            Self::Exists(_) => Code::ReceiptExists,
            Self::OtherSubject(_) => Code::ReceiptOtherSubject,
            Self::Full => Code::ReceiptsFull,
        }
    }
}

impl OfTenant {
    fn check(&self, link: &ReceiptLink) -> Result<(), ReceiptConflict> {
        if self.issued.count >= RECEIPTS_MAX {
            return Err(ReceiptConflict::Full);
        }
        if self.issued.get(&link.id).is_some() {
            return Err(ReceiptConflict::Exists(link.id));
        }
        let Some(Follows { receipt, .. }) = link.follows else {
            return match self.newest.get(&link.about) {
                Some(newest) => Err(ReceiptConflict::Exists(*newest)),
                None => Ok(()),
            };
        };
        if receipt == link.id {
            return Err(ReceiptConflict::Itself(receipt));
        }
        let before = self.issued.get(&receipt);
        let before = before.ok_or(ReceiptConflict::Unknown(receipt))?;
        if before.about != link.about {
            return Err(ReceiptConflict::OtherSubject(receipt));
        }
        match before.followed_by {
            Some(by) => Err(ReceiptConflict::Followed { receipt, by }),
            None => Ok(()),
        }
    }

    fn add(&mut self, index: u64, link: &ReceiptLink) {
        let before = link.follows.and_then(|f| self.issued.get_mut(&f.receipt));
        if let Some(before) = before {
            before.followed_by = Some(link.id);
        }
        self.newest.insert(link.about, link.id);
        let issued = Issued {
            index,
            issued_at: link.issued_at,
            about: link.about,
            follows: link.follows,
            followed_by: None,
        };
        self.issued.insert(link.id, issued);
    }
}

impl State {
    /// Whether the receipt of `sign`, if it is for one, may be released. What it follows is there before it, so no chain
    /// comes back to itself.
    pub fn check_receipt(&self, sign: &SignRecord) -> Result<(), ReceiptConflict> {
        let Some(link) = ReceiptLink::of_request(sign) else {
            return Ok(());
        };
        let none = OfTenant::default();
        self.receipts
            .0
            .get(&link.tenant)
            .unwrap_or(&none)
            .check(&link)
    }

    pub(super) fn add_receipt(&mut self, index: u64, link: &ReceiptLink) {
        let of_tenant = self.receipts.0.entry(link.tenant.clone()).or_default();
        of_tenant.add(index, link);
    }

    /// A receipt of the tenant.
    pub fn receipt(&self, tenant: &Tenant, id: ReceiptId) -> Option<&Issued> {
        self.receipts.0.get(tenant)?.issued.get(&id)
    }

    /// The chain of which `id` is a part, oldest first; empty where the tenant has no such receipt.
    pub fn receipt_chain(&self, tenant: &Tenant, id: ReceiptId) -> Vec<(ReceiptId, &Issued)> {
        let issued = self.receipt(tenant, id).into_iter();
        let mut chain: Vec<_> = issued
            .flat_map(|issued| self.chain_about(tenant, issued.about))
            .collect();
        chain.reverse();
        chain
    }

    /// The receipt that counted at a time: the newest of those about `about` that were there. Without a time, now.
    pub fn current_receipt(
        &self,
        tenant: &Tenant,
        about: Sha256Digest,
        at: Option<Timestamp>,
    ) -> Option<(ReceiptId, &Issued)> {
        let was_there = |issued: &Issued| at.is_none_or(|at| issued.issued_at <= at);
        self.chain_about(tenant, about)
            .find(|(_, issued)| was_there(issued))
    }

    /// Newest first.
    fn chain_about(
        &self,
        tenant: &Tenant,
        about: Sha256Digest,
    ) -> impl Iterator<Item = (ReceiptId, &Issued)> {
        let receipts = self.receipts.0.get(tenant);
        let found = move |id| Some((id, receipts?.issued.get(&id)?));
        let newest = receipts.and_then(|receipts| receipts.newest.get(&about));
        successors(newest.copied().and_then(found), move |(_, issued)| {
            found(issued.follows?.receipt)
        })
    }
}
