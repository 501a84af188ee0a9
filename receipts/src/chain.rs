//! The chain of receipts about one thing, put together from receipts that somebody has: for those who verify without the
//! daemon, which keeps its chains in the fold.

use std::collections::BTreeMap;

use sealwright_core::receipt::ReceiptId;
use sealwright_core::time::Timestamp;

use crate::receipt::Receipt;

/// Receipts about one thing, oldest first.
#[derive(Debug, Clone)]
pub struct Chain(Vec<Receipt>);

/// Why receipts are no chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadChain {
    /// None at all.
    #[error("there is no receipt")]
    Empty,
    /// A receipt follows one that is not among them.
    #[error("receipt {receipt} follows {missing}, which is not here")]
    Missing {
        /// The receipt.
        receipt: ReceiptId,
        /// The one before it.
        missing: ReceiptId,
    },
    /// A receipt follows itself.
    #[error("receipt {0} follows itself")]
    Itself(ReceiptId),
    /// Two receipts follow the same one.
    #[error("receipts {0} and {1} both follow the same one")]
    TwoSuccessors(ReceiptId, ReceiptId),
    /// Two receipts follow none.
    #[error("receipts {0} and {1} both follow none")]
    TwoBeginnings(ReceiptId, ReceiptId),
    /// Every receipt follows another.
    #[error("the receipts follow one another in a circle")]
    Cycle,
    /// A receipt of another tenant.
    #[error("receipt {0} is of another tenant than the one it follows")]
    OtherTenant(ReceiptId),
    /// A receipt about something else.
    #[error("receipt {0} is about something else than the one it follows")]
    OtherSubject(ReceiptId),
    /// A receipt that is older than the one it follows.
    #[error("receipt {0} is older than the one it follows")]
    Older(ReceiptId),
}

impl Chain {
    /// Puts receipts in order.
    ///
    /// # Errors
    /// See [`BadChain`].
    pub fn of(receipts: Vec<Receipt>) -> Result<Self, BadChain> {
        let ids: Vec<_> = receipts.iter().map(|receipt| receipt.id).collect();
        let mut by_before: BTreeMap<Option<ReceiptId>, Receipt> = BTreeMap::new();
        for receipt in receipts {
            let before = receipt.follows.map(|follows| follows.receipt);
            check_place(&receipt, before, &ids)?;
            if let Some(other) = by_before.get(&before) {
                return Err(match before {
                    Some(_) => BadChain::TwoSuccessors(other.id, receipt.id),
                    None => BadChain::TwoBeginnings(other.id, receipt.id),
                });
            }
            by_before.insert(before, receipt);
        }
        let mut chain: Vec<Receipt> = Vec::with_capacity(ids.len());
        while let Some(next) = by_before.remove(&chain.last().map(|receipt| receipt.id)) {
            chain
                .last()
                .map_or(Ok(()), |before| check_step(before, &next))?;
            chain.push(next);
        }
        match (chain.is_empty(), by_before.is_empty()) {
            (true, true) => Err(BadChain::Empty),
            (_, false) => Err(BadChain::Cycle),
            (false, true) => Ok(Self(chain)),
        }
    }

    /// Oldest first.
    pub fn receipts(&self) -> &[Receipt] {
        &self.0
    }

    /// Oldest first.
    pub fn into_receipts(self) -> Vec<Receipt> {
        self.0
    }

    /// The receipt that counted at a time.
    pub fn current(&self, at: Timestamp) -> Option<&Receipt> {
        let mut newest_first = self.0.iter().rev();
        newest_first.find(|receipt| receipt.created_at <= at)
    }
}

fn check_place(
    receipt: &Receipt,
    before: Option<ReceiptId>,
    ids: &[ReceiptId],
) -> Result<(), BadChain> {
    let id = receipt.id;
    match before {
        Some(before) if before == id => Err(BadChain::Itself(id)),
        Some(missing) if !ids.contains(&missing) => Err(BadChain::Missing {
            receipt: id,
            missing,
        }),
        _ => Ok(()),
    }
}

fn check_step(before: &Receipt, next: &Receipt) -> Result<(), BadChain> {
    if before.tenant != next.tenant {
        return Err(BadChain::OtherTenant(next.id));
    }
    if (before.receipt_type, &before.subject) != (next.receipt_type, &next.subject) {
        return Err(BadChain::OtherSubject(next.id));
    }
    if next.created_at < before.created_at {
        return Err(BadChain::Older(next.id));
    }
    Ok(())
}
