//! `sealwright audit tail`.

use super::filter::Filter;
use super::listing;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::output::Output;

/// Beyond the end of any log: what is asked for from here is only where the log ends.
const FAR: u64 = i64::MAX.cast_unsigned();

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Begin with those of the log's last N records that match.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    last: u64,
    /// End after those instead of waiting for more.
    #[arg(long)]
    no_follow: bool,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let mut query = args.filter.query();
    args.connection.run(async |mut client| {
        query.from = Some(FAR);
        let end = client.records(&query).await?.end;
        query.from = Some(end.saturating_sub(args.last));
        loop {
            let page = client.records(&query).await?;
            for view in &page.records {
                if !listing::print(view, output)? {
                    return Ok::<_, Failure>(());
                }
            }
            if args.no_follow && page.next.is_none() {
                return Ok(());
            }
            query.wait = page.next.is_none();
            query.from = page.next.or(Some(page.end));
        }
    })
}
