//! Which records a command is about.

use sealwright_client::RecordQuery;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Which records")]
pub(super) struct Filter {
    /// Records of this key.
    #[arg(long)]
    key: Option<String>,
    /// Records of this caller.
    #[arg(long)]
    principal: Option<String>,
    /// signed, denied, failed, discarded or outcome_unknown.
    #[arg(long)]
    outcome: Option<String>,
    /// Records with this subject: sha256:HEX.
    #[arg(long)]
    subject: Option<String>,
    /// Records of this kind, such as sign or key.enrolled.
    #[arg(long)]
    kind: Option<String>,
    /// Records of this time or later: 2026-01-31T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Records before this time.
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// Records of this tenant [default: your own].
    #[arg(long)]
    tenant: Option<String>,
}

impl Filter {
    /// The query for the first page.
    pub(super) fn query(self) -> RecordQuery {
        RecordQuery {
            from: None,
            limit: None,
            key: self.key,
            principal: self.principal,
            outcome: self.outcome,
            subject: self.subject,
            kind: self.kind,
            since: self.since,
            before: self.before,
            tenant: self.tenant,
            wait: false,
        }
    }
}
