//! All records that a query names, page by page.

use sealwright_client::{Client, RecordQuery, RecordView};

use crate::failure::Failure;
use crate::progress::Progress;

/// Records on one page.
const PAGE: usize = 1000;

/// Hands on what `query` finds in front of record `end`.
pub(super) async fn each(
    client: &mut Client,
    mut query: RecordQuery,
    end: u64,
    progress: &mut Progress,
    take: &mut dyn FnMut(&RecordView) -> Result<(), Failure>,
) -> Result<(), Failure> {
    query.limit = Some(PAGE);
    let count = |records: u64| usize::try_from(records).unwrap_or(usize::MAX);
    loop {
        let page = client.records(&query).await?;
        let wanted = page.records.iter().filter(|view| view.index < end);
        wanted.into_iter().try_for_each(&mut *take)?;
        match page.next.filter(|next| *next < end) {
            Some(next) => query.from = Some(next),
            None => return Ok(()),
        }
        let done = query.from.unwrap_or(0);
        progress.show("records", count(done), count(end));
    }
}
