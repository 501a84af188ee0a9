//! `sealwright keys revoke|revocation`: a key may be in other hands, and those who verify hear of it from another key.
//!
//! That it signs no more is one call and comes first. What is told to others follows, step by step: one that is not
//! possible leaves the others, and the answer says what is left to do.

mod request;

use std::path::{Path, PathBuf};

use sealwright_client::{Client, ClientError, Crl, Gate, Key, PublishedTrust, Revocation};
use sealwright_core::name::{KeyName, KeyVersionId};
use sealwright_core::time::Timestamp;
use serde::Serialize;

use self::request::RevocationRequest;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::files;
use crate::gate::Approvals;
use crate::output::Output;

/// Say that a key version may be in other hands. It signs nothing from the next request on, and there is no way
/// back: to stop a key for a while, suspend it.
///
/// Then another key of the tenant signs a revocation statement and the next trust document. If the key has a
/// certificate, its authority signs a revocation list where its own key is enrolled for x509; else the answer holds
/// the request to send it.
#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    /// The version: release#1.
    key: KeyVersionId,
    /// Since when its signatures are not to be trusted by themselves [default: now].
    #[arg(long, value_name = "TIME")]
    effective_time: Option<Timestamp>,
    /// Why; goes into the audit log.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    approvals: Approvals,
    #[command(flatten)]
    telling: Telling,
}

/// Tell others once more of a version that was revoked before: statement, trust document, revocation list.
#[derive(Debug, clap::Args)]
pub(crate) struct Restate {
    /// The version: release#1.
    key: KeyVersionId,
    #[command(flatten)]
    telling: Telling,
}

/// How others are told.
#[derive(Debug, clap::Args)]
struct Telling {
    /// The key that signs what others are told [default: the one of the same name, if another version is active].
    #[arg(long, value_name = "KEY")]
    signed_by: Option<KeyName>,
    /// The key that signs the certificate revocation list [default: the x509 key that issued the certificate].
    #[arg(long, value_name = "KEY")]
    issuer: Option<KeyName>,
    /// A folder for what others are told: revocation.dsse.json, trust.dsse.json, and crl.pem or
    /// revocation-request.json.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

/// What others can be told of a version that is compromised.
#[derive(Debug, Default, Serialize)]
struct Told {
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation: Option<Revocation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trust: Option<PublishedTrust>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crl: Option<Crl>,
    /// For the certificate's authority, where it is not enrolled here.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<RevocationRequest>,
    files: Vec<PathBuf>,
    /// What could not be done, and what to do about it.
    left: Vec<String>,
    #[serde(skip)]
    failure: Option<ClientError>,
}

#[derive(Serialize)]
struct Revoked {
    #[serde(flatten)]
    key: Key,
    told: Told,
}

pub(super) fn revoke(args: Revoke, output: Output) -> Result<(), Failure> {
    let Revoke {
        key,
        effective_time,
        reason,
        approvals,
        telling,
    } = args;
    let mut revoked = telling.connection.clone().run(async |mut client| {
        let call = async |client: &mut Client, gate: &Gate| {
            client
                .compromise_key(&key, effective_time, &reason, gate)
                .await
        };
        let key = approvals.pass(&mut client, call).await?;
        let told = Told::by(&mut client, &key, &telling).await;
        Ok::<_, ClientError>(Revoked { key, told })
    })?;
    revoked.told.write(telling.output.as_deref())?;
    output.answer(&revoked, || {
        let compromise = revoked.key.compromise.as_ref();
        let since = compromise.map(|c| c.effective_time.to_string());
        let since = since.unwrap_or_default();
        let told = revoked.told.text();
        format!("{} is compromised from {since}{told}", revoked.key.key)
    })?;
    revoked.told.done()
}

pub(super) fn restate(args: Restate, output: Output) -> Result<(), Failure> {
    let Restate { key: id, telling } = args;
    let told = telling.connection.clone().run(async |mut client| {
        let versions = client.key(&id.key).await?;
        let version = versions.iter().find(|version| version.key == id);
        let Some(version) = version else {
            return Ok::<_, ClientError>(None);
        };
        Ok(Some(Told::by(&mut client, version, &telling).await))
    })?;
    let unknown = || Failure::NotGood(format!("no key version {id} that you may see"));
    let mut told = told.ok_or_else(unknown)?;
    told.write(telling.output.as_deref())?;
    output.answer(&told, || format!("{id}{}", told.text()))?;
    told.done()
}

impl Told {
    async fn by(client: &mut Client, key: &Key, telling: &Telling) -> Self {
        let mut told = Self::default();
        told.state(client, &key.key, telling.signed_by.as_ref())
            .await;
        if let Some(revocation) = &told.revocation {
            let by = revocation.signed_by.key.clone();
            told.publish(client, &by).await;
        }
        if key.certificate.is_some() {
            told.list(client, key, telling.issuer.as_ref()).await;
        }
        told
    }

    async fn state(&mut self, client: &mut Client, id: &KeyVersionId, by: Option<&KeyName>) {
        let next = format!("sealwright keys revocation {id} --signed-by KEY");
        match client.state_revocation(id, by).await {
            Ok(revocation) => self.revocation = Some(revocation),
            Err(ClientError::Api(refusal)) if refusal.code == "key_not_active" && by.is_none() => {
                let why = format!("no other version of {} is active", id.key);
                self.left
                    .push(format!("nothing was signed: {why}; next: {next}"));
            }
            Err(error) => self.missed("the revocation statement", error, &next),
        }
    }

    async fn publish(&mut self, client: &mut Client, by: &KeyName) {
        match client.publish_trust(by, None).await {
            Ok(trust) => self.trust = Some(trust),
            Err(error) => {
                let next = format!("sealwright trust export --format document --signed-by {by}");
                self.missed("the trust document", error, &next);
            }
        }
    }

    async fn list(&mut self, client: &mut Client, key: &Key, ca: Option<&KeyName>) {
        match client.crl(&key.key, ca).await {
            Ok(crl) => self.crl = Some(crl),
            Err(ClientError::Api(refusal)) if refusal.code == "unknown_key" && ca.is_none() => {
                self.request = RevocationRequest::of(key);
            }
            Err(error) => {
                let next = format!("sealwright keys revocation {} --issuer KEY", key.key);
                self.missed("the certificate revocation list", error, &next);
            }
        }
    }

    /// Notes a step that failed, with the command that makes up for it.
    fn missed(&mut self, what: &str, error: ClientError, next: &str) {
        self.left
            .push(format!("{what} is missing: {error}; next: {next}"));
        self.failure.get_or_insert(error);
    }

    fn write(&mut self, folder: Option<&Path>) -> Result<(), Failure> {
        let Some(folder) = folder else { return Ok(()) };
        files::create_folder(folder, 0o755, None)?;
        let request = self.request.as_ref().map(serde_json::to_string_pretty);
        let request = request.transpose().map_err(Failure::local)?;
        let revocation = self.revocation.as_ref().map(|r| r.statement.get());
        let trust = self.trust.as_ref().map(|t| t.envelope.get());
        let products = [
            ("revocation.dsse.json", revocation),
            ("trust.dsse.json", trust),
            ("crl.pem", self.crl.as_ref().map(|crl| &*crl.crl)),
            ("revocation-request.json", request.as_deref()),
        ];
        for (name, text) in products {
            if let Some(text) = text {
                let path = folder.join(name);
                files::write_product(&path, text.as_bytes())?;
                self.files.push(path);
            }
        }
        Ok(())
    }

    fn text(&self) -> String {
        let mut lines = Vec::new();
        if let Some(revocation) = &self.revocation {
            lines.push(format!(
                "{} signed the revocation statement",
                revocation.signed_by
            ));
        }
        if let Some(trust) = &self.trust {
            let PublishedTrust {
                signed_by, serial, ..
            } = trust;
            lines.push(format!("{signed_by} signed trust document {serial}"));
        }
        if let Some(crl) = &self.crl {
            let Crl { issuer, number, .. } = crl;
            lines.push(format!(
                "{issuer} signed certificate revocation list {number}"
            ));
        }
        lines.extend(self.request.iter().map(RevocationRequest::text));
        lines.extend(
            self.files
                .iter()
                .map(|path| format!("written: {}", path.display())),
        );
        lines.extend(self.left.iter().cloned());
        lines.iter().map(|line| format!("\n  {line}")).collect()
    }

    /// A step that failed is a failure of the command, after its answer.
    fn done(self) -> Result<(), Failure> {
        self.failure.map_or(Ok(()), |error| Err(error.into()))
    }
}
