//! Commands that may have to wait for approvals.

use std::time::Duration;

use sealwright_client::{Client, ClientError, Gate};
use sealwright_core::state::approvals::Status;

/// Between two looks at what waits.
const LOOK: Duration = Duration::from_secs(1);

/// Flags of every command that dual control may guard.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Dual control")]
pub(crate) struct Approvals {
    /// Where approvals are needed, wait for them.
    #[arg(long)]
    wait: bool,
    /// Do it now and have it approved afterwards, for this reason; the daemon's configuration has to allow it.
    #[arg(long, value_name = "REASON", conflicts_with = "wait")]
    break_glass: Option<String>,
}

impl Approvals {
    /// Waits, or does not, and breaks no glass.
    pub(crate) fn waiting(wait: bool) -> Self {
        Self {
            wait,
            break_glass: None,
        }
    }

    /// Makes `call`; where it has to wait for approvals that are there already, or come with `--wait`, makes it again
    /// with them.
    pub(crate) async fn pass<T>(
        &self,
        client: &mut Client,
        call: impl AsyncFn(&mut Client, &Gate) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let gate = Gate {
            operation: None,
            break_glass: self.break_glass.clone(),
        };
        let operation = match call(client, &gate).await {
            Err(ClientError::Waits(operation)) => operation,
            done => return done,
        };
        if operation.missing > 0 && !self.wait {
            return Err(ClientError::Waits(operation));
        }
        let operation = operation.operation;
        wait(client, operation).await?;
        let gate = Gate {
            operation: Some(operation),
            break_glass: None,
        };
        call(client, &gate).await
    }
}

/// Until approvals are no longer missing, or will not come: the call that follows says which.
async fn wait(client: &mut Client, operation: u64) -> Result<(), ClientError> {
    let mut is_first = true;
    while client.operation(operation).await?.status == Status::Waiting {
        if is_first {
            eprintln!(
                "operation {operation} waits for approvals: sealwright approve grant {operation}"
            );
            is_first = false;
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
