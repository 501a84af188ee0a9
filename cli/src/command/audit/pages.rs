//! All records of some tenants, page by page.

use std::collections::BTreeSet;
use std::ops::Range;

use sealwright_client::{Client, RecordQuery, RecordView};

use crate::failure::Failure;
use crate::progress::Progress;

/// Records on one page.
const PAGE: usize = 1000;

/// Hands on the records in `range` that `tenants` have, or the caller's own tenant where none is named: each once.
/// How many there are.
pub(super) async fn each(
    client: &mut Client,
    tenants: &[String],
    range: Range<u64>,
    progress: &mut Progress,
    mut take: impl FnMut(&RecordView) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let own = [None];
    let given: Vec<_> = tenants.iter().cloned().map(Some).collect();
    // Records of no tenant come with every tenant's.
    let mut seen = BTreeSet::new();
    for tenant in if given.is_empty() { &own[..] } else { &given } {
        let query = RecordQuery {
            from: Some(range.start),
            limit: Some(PAGE),
            tenant: tenant.clone(),
            ..RecordQuery::default()
        };
        of_query(client, query, range.end, progress, &mut |view| {
            if seen.insert(view.index) {
                take(view)
            } else {
                Ok(())
            }
        })
        .await?;
    }
    Ok(seen.len() as u64)
}

/// Hands on what `query` finds in front of record `end`.
async fn of_query(
    client: &mut Client,
    mut query: RecordQuery,
    end: u64,
    progress: &mut Progress,
    take: &mut dyn FnMut(&RecordView) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let count = |records: u64| usize::try_from(records).unwrap_or(usize::MAX);
    loop {
        let page = client.records(&query).await?;
        let mut wanted = page.records.iter().filter(|view| view.index < end);
        wanted.try_for_each(&mut *take)?;
        match page.next.filter(|next| *next < end) {
            Some(next) => query.from = Some(next),
            None => return Ok(()),
        }
        let done = query.from.unwrap_or(0);
        progress.show("records", count(done), count(end));
    }
}
