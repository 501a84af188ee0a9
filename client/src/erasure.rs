//! Calls about retention, legal holds and erasure.

use sealwright_core::name::Tenant;
use sealwright_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::approvals::Gate;
use crate::connection::Client;
use crate::error::ClientError;

/// What is due of one tenant, by the configured retention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Whose records.
    pub tenant: Tenant,
    /// How long their bodies are kept.
    pub days: u32,
    /// Records before this may be erased.
    pub before: Timestamp,
    /// Bodies of such records.
    pub count: u64,
    /// Time of the oldest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Timestamp>,
    /// Bodies of such records that lie in the archive.
    pub archived: u64,
    /// Names of the holds that forbid it.
    pub holds: Vec<String>,
}

#[derive(Deserialize)]
struct RetentionList {
    retention: Vec<Retention>,
}

/// What is erased from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasing {
    /// The `audit.erased` records; [`crate::LogStatus::erasing`] has those whose bodies are still there.
    pub records: Vec<u64>,
    /// Bodies that they name.
    pub count: u64,
    /// Bodies that would be due as well and lie in the archive.
    pub archived: u64,
}

/// A hold in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Whose records.
    pub tenant: Tenant,
    /// Its name.
    pub name: String,
    /// The record that placed it.
    pub record: u64,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
    /// Who placed it.
    pub principal: String,
}

#[derive(Deserialize)]
struct HoldList {
    holds: Vec<Hold>,
}

/// A hold was placed or lifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldChanged {
    /// Whose records.
    pub tenant: Tenant,
    /// Its name.
    pub name: String,
    /// The record that says so.
    pub record: u64,
}

impl Client {
    /// What the configured retention proposes to erase.
    pub async fn retention(&mut self) -> Result<Vec<Retention>, ClientError> {
        let list: RetentionList = self.get("/v1/audit/retention").await?;
        Ok(list.retention)
    }

    /// Has the bodies of a tenant's records before that time destroyed. There is no way back.
    pub async fn erase(
        &mut self,
        tenant: &str,
        before: &str,
        reason: &str,
        gate: &Gate,
    ) -> Result<Erasing, ClientError> {
        let body = json!({ "tenant": tenant, "before": before, "reason": reason });
        self.post(&gate.on("/v1/audit/erasures"), &body).await
    }

    /// The holds in force.
    pub async fn holds(&mut self) -> Result<Vec<Hold>, ClientError> {
        let list: HoldList = self.get("/v1/audit/holds").await?;
        Ok(list.holds)
    }

    /// Nothing of the tenant is erased from now on.
    pub async fn place_hold(
        &mut self,
        tenant: &str,
        name: &str,
        reason: &str,
    ) -> Result<HoldChanged, ClientError> {
        let body = json!({ "tenant": tenant, "name": name, "reason": reason });
        self.post("/v1/audit/holds", &body).await
    }

    /// The hold has served its purpose.
    pub async fn lift_hold(
        &mut self,
        tenant: &str,
        name: &str,
        reason: &str,
    ) -> Result<HoldChanged, ClientError> {
        let body = json!({ "tenant": tenant, "name": name, "reason": reason });
        self.post("/v1/audit/holds/lift", &body).await
    }
}
