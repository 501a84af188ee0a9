//! `sealwright audit grep`.

use super::filter::Filter;
use super::listing;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What the record's JSON must contain, letter for letter.
    text: String,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let (mut query, text) = (args.filter.query(), args.text);
    args.connection.run(async |mut client| {
        loop {
            let page = client.records(&query).await?;
            for view in &page.records {
                if view.body().contains(&text) && !listing::print(view, output)? {
                    return Ok::<_, Failure>(());
                }
            }
            if page.next.is_none() {
                return Ok(());
            }
            query.from = page.next;
        }
    })
}
