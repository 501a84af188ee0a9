//! `sealwright freeze` and `sealwright thaw`.

use sealwright_client::{Client, Gate};
use sealwright_core::name::Tenant;
use sealwright_core::record::FreezeScope;

use crate::connect::Connection;
use crate::failure::Failure;
use crate::gate::Approvals;
use crate::output::Output;

/// What both of them are about; one of the two has to be said.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    scope: Scope,
    /// Why; goes into the audit log.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    connection: Connection,
}

/// The end of a freeze is guarded, its beginning is not.
#[derive(Debug, clap::Args)]
pub(crate) struct Thaw {
    #[command(flatten)]
    args: Args,
    #[command(flatten)]
    approvals: Approvals,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Scope {
    /// All keys of one tenant.
    #[arg(long)]
    tenant: Option<Tenant>,
    /// All keys of all tenants; for operators of tenant `default`.
    #[arg(long)]
    all: bool,
}

impl From<Scope> for FreezeScope {
    fn from(scope: Scope) -> Self {
        scope.tenant.map_or(Self::All, Self::Tenant)
    }
}

pub(super) fn freeze(args: Args, output: Output) -> Result<(), Failure> {
    let (scope, reason) = (args.scope.into(), args.reason);
    let changed = args
        .connection
        .run(async |mut client| client.freeze(&scope, &reason).await)?;
    output.answer(&changed, || {
        format!(
            "{} is frozen since record {}: nothing is signed there, and no key is made or taken into use",
            changed.scope, changed.record
        )
    })
}

pub(super) fn thaw(args: Thaw, output: Output) -> Result<(), Failure> {
    let Thaw { args, approvals } = args;
    let (scope, reason) = (args.scope.into(), args.reason);
    let changed = args.connection.run(async |mut client| {
        let call =
            async |client: &mut Client, gate: &Gate| client.thaw(&scope, &reason, gate).await;
        approvals.pass(&mut client, call).await
    })?;
    output.answer(&changed, || {
        format!(
            "{} is no longer frozen since record {}",
            changed.scope, changed.record
        )
    })
}
