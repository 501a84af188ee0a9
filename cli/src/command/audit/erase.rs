//! `sealwright audit erase`.

use std::time::Duration;

use sealwright_client::{Client, Erasing, Gate};
use serde::Serialize;

use crate::connect::Connection;
use crate::failure::Failure;
use crate::gate::Approvals;
use crate::output::Output;
use crate::progress::Progress;

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(200);

/// Destroy the bodies of a tenant's old records. There is no way back; the leaves stay, and with them every proof.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whose records.
    #[arg(long)]
    tenant: String,
    /// Records before this time: 2026-01-31T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    before: String,
    /// Why; goes into the audit log.
    #[arg(long)]
    reason: String,
    /// Do not wait until the bodies are destroyed.
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    approvals: Approvals,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Serialize)]
struct Erased {
    #[serde(flatten)]
    erasing: Erasing,
    /// Whether the bodies are gone from this host's journal, index and snapshot.
    done: bool,
}

pub(super) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let Args {
        tenant,
        before,
        reason,
        no_wait,
        approvals,
        connection,
    } = args;
    let erased = connection.run(async |mut client| {
        let call = async |client: &mut Client, gate: &Gate| {
            client.erase(&tenant, &before, &reason, gate).await
        };
        let erasing = approvals.pass(&mut client, call).await?;
        if !no_wait {
            wait(&mut client, &erasing, output).await?;
        }
        let done = !no_wait || erasing.records.is_empty();
        Ok::<_, Failure>(Erased { erasing, done })
    })?;
    output.answer(&erased, || text(&tenant, &erased))
}

async fn wait(client: &mut Client, erasing: &Erasing, output: Output) -> Result<(), Failure> {
    let mut progress = Progress::new(output);
    let all = erasing.records.len();
    loop {
        let log = client.status().await?.log;
        let left = erasing
            .records
            .iter()
            .filter(|record| log.erasing.contains(record));
        let left = left.count();
        if left == 0 {
            return Ok(());
        }
        if let Some(why) = log.erasing_failed {
            return Err(Failure::Local(format!(
                "the bodies are still there: {why}. They go at the next erasure or start, once that is mended"
            )));
        }
        progress.show("segments", all - left, all);
        tokio::time::sleep(LOOK).await;
    }
}

fn text(tenant: &str, erased: &Erased) -> String {
    let Erasing {
        records,
        count,
        archived,
    } = &erased.erasing;
    let records: Vec<String> = records.iter().map(ToString::to_string).collect();
    let records = records.join(", ");
    let mut text = match (count, erased.done) {
        (0, _) => format!("nothing of tenant {tenant} is that old, or it is erased already"),
        (_, true) => format!("{count} bodies of tenant {tenant} are erased (records {records})"),
        (_, false) => {
            format!("{count} bodies of tenant {tenant} are being erased (records {records})")
        }
    };
    if *count > 0 {
        text.push_str("\ncopies elsewhere are not reached: run `sealwrightd archive` for each archive, and see docs/runbooks/retention.md");
    }
    if *archived > 0 {
        text.push_str(&format!(
            "\n{archived} more lie in archived segments that were removed from this host: put those back first"
        ));
    }
    text
}
