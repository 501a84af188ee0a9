//! The calls that answer JSON or text.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::CONTENT_TYPE;
use sealwright_core::evidence::Nonce;
use sealwright_core::key::KeyEvent;
use sealwright_core::name::{KeyName, KeyVersionId};
use sealwright_core::record::FreezeScope;
use sealwright_core::time::Timestamp;
use sealwright_core::uri::KeyUri;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::approvals::{Gate, Operation, OperationList, PolicyActivated};
use crate::connection::{Answer, Client};
use crate::error::ClientError;
use crate::types::{
    Attested, ClockAccepted, Consistency, CosignaturesTaken, Crl, DescribedKey, Enrol,
    FreezeChange, Generate, Key, KeyList, PublishedTrust, RecordPage, RecordQuery, RecordView,
    Revocation, Rotated, Status,
};

impl Client {
    /// How the daemon, its log and its tokens are.
    pub async fn status(&mut self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    /// The key versions that the caller may see.
    pub async fn keys(&mut self) -> Result<Vec<Key>, ClientError> {
        Ok(self.get::<KeyList>("/v1/keys").await?.keys)
    }

    /// The versions of one key.
    pub async fn key(&mut self, name: &KeyName) -> Result<Vec<Key>, ClientError> {
        Ok(self.get::<KeyList>(&format!("/v1/keys/{name}")).await?.keys)
    }

    /// Asks a token for a key; enrols nothing.
    pub async fn describe_key(
        &mut self,
        token: &str,
        uri: &KeyUri,
    ) -> Result<DescribedKey, ClientError> {
        self.post("/v1/keys/describe", &json!({ "token": token, "uri": uri }))
            .await
    }

    /// Makes a key on a token; enrols nothing.
    pub async fn generate_key(
        &mut self,
        wanted: &Generate,
        gate: &Gate,
    ) -> Result<DescribedKey, ClientError> {
        self.post(&gate.on("/v1/keys/generate"), wanted).await
    }

    /// Enrols a key whose fingerprint was confirmed.
    pub async fn enrol_key(&mut self, wanted: &Enrol) -> Result<Key, ClientError> {
        self.post("/v1/keys", wanted).await
    }

    /// Brings a key version into another state.
    pub async fn change_key(
        &mut self,
        id: &KeyVersionId,
        event: KeyEvent,
        reason: &str,
        gate: &Gate,
    ) -> Result<Key, ClientError> {
        let path = format!("/v1/keys/{}/{}/events", id.key, id.version);
        self.post(
            &gate.on(&path),
            &json!({ "event": event, "reason": reason }),
        )
        .await
    }

    /// Lets version `to` take the place of the one that signs.
    pub async fn rotate_key(
        &mut self,
        to: &KeyVersionId,
        reason: &str,
        gate: &Gate,
    ) -> Result<Rotated, ClientError> {
        let path = format!("/v1/keys/{}/rotate", to.key);
        self.post(
            &gate.on(&path),
            &json!({ "to": to.version, "reason": reason }),
        )
        .await
    }

    /// Lets version `to` take the place of the one that signs at a time.
    pub async fn schedule_rotation(
        &mut self,
        to: &KeyVersionId,
        at: Timestamp,
        reason: &str,
        gate: &Gate,
    ) -> Result<Key, ClientError> {
        let path = format!("/v1/keys/{}/rotate/schedule", to.key);
        let body = json!({ "to": to.version, "at": at, "reason": reason });
        self.post(&gate.on(&path), &body).await
    }

    /// Takes back what [`Client::schedule_rotation`] asked for.
    pub async fn cancel_rotation(
        &mut self,
        key: &KeyName,
        reason: &str,
    ) -> Result<Key, ClientError> {
        let path = format!("/v1/keys/{key}/rotate/cancel");
        self.post(&path, &json!({ "reason": reason })).await
    }

    /// Asks a key version's token for evidence of its origin; the daemon chooses a nonce where none is given.
    pub async fn attest_key(
        &mut self,
        id: &KeyVersionId,
        nonce: Option<Nonce>,
    ) -> Result<Attested, ClientError> {
        let path = format!("/v1/keys/{}/{}/attest", id.key, id.version);
        let body = nonce.map_or(json!({}), |nonce| json!({ "nonce": nonce }));
        self.post(&path, &body).await
    }

    /// Says that a key version may be in other hands since `effective_time`, or now. There is no way back.
    pub async fn compromise_key(
        &mut self,
        id: &KeyVersionId,
        effective_time: Option<Timestamp>,
        reason: &str,
        gate: &Gate,
    ) -> Result<Key, ClientError> {
        let path = format!("/v1/keys/{}/{}/compromise", id.key, id.version);
        let body = match effective_time {
            Some(time) => json!({ "effective_time": time, "reason": reason }),
            None => json!({ "reason": reason }),
        };
        self.post(&gate.on(&path), &body).await
    }

    /// Has the private part of a version destroyed. There is no way back.
    pub async fn destroy_key(
        &mut self,
        id: &KeyVersionId,
        reason: &str,
        gate: &Gate,
    ) -> Result<Key, ClientError> {
        let path = format!("/v1/keys/{}/{}/destroy", id.key, id.version);
        self.post(&gate.on(&path), &json!({ "reason": reason }))
            .await
    }

    /// Brings the policy file as it is now into force; its digest.
    pub async fn activate_policy(&mut self, gate: &Gate) -> Result<PolicyActivated, ClientError> {
        self.post(&gate.on("/v1/policy/activate"), &json!({})).await
    }

    /// What waits for approvals, and what became of those before.
    pub async fn operations(&mut self) -> Result<Vec<Operation>, ClientError> {
        let list = self.get::<OperationList>("/v1/operations").await?;
        Ok(list.operations)
    }

    /// One of them.
    pub async fn operation(&mut self, operation: u64) -> Result<Operation, ClientError> {
        self.get(&format!("/v1/operations/{operation}")).await
    }

    /// Brings an approval, or a denial, whoever signed it.
    pub async fn bring_approval(
        &mut self,
        operation: u64,
        file: String,
    ) -> Result<Operation, ClientError> {
        let path = format!("/v1/operations/{operation}/approvals");
        self.post_text(&path, file).await
    }

    /// Has the active version of `signed_by` (or of the key itself) say that a compromised version is revoked.
    pub async fn state_revocation(
        &mut self,
        id: &KeyVersionId,
        signed_by: Option<&KeyName>,
    ) -> Result<Revocation, ClientError> {
        let path = format!("/v1/keys/{}/{}/revocation", id.key, id.version);
        let body = signed_by.map_or(json!({}), |name| json!({ "signed_by": name }));
        self.post(&path, &body).await
    }

    /// The next revocation list of the authority that certified a compromised version; with `ca`, only of that one.
    pub async fn crl(
        &mut self,
        id: &KeyVersionId,
        ca: Option<&KeyName>,
    ) -> Result<Crl, ClientError> {
        let path = format!("/v1/keys/{}/{}/crl", id.key, id.version);
        let body = ca.map_or(json!({}), |name| json!({ "ca": name }));
        self.post(&path, &body).await
    }

    /// Publishes the tenant's next trust document, signed by the active version of `signed_by`.
    pub async fn publish_trust(
        &mut self,
        signed_by: &KeyName,
        valid_until: Option<Timestamp>,
    ) -> Result<PublishedTrust, ClientError> {
        let body = match valid_until {
            Some(time) => json!({ "signed_by": signed_by, "valid_until": time }),
            None => json!({ "signed_by": signed_by }),
        };
        self.post("/v1/trust", &body).await
    }

    /// Takes the suspicion from a token, after somebody looked into it.
    pub async fn clear_token(&mut self, token: &str, reason: &str) -> Result<(), ClientError> {
        let token: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
        let path = format!("/v1/tokens/{token}/clear");
        self.post::<serde_json::Value>(&path, &json!({ "reason": reason }))
            .await
            .map(|_| ())
    }

    /// Says that a clock which the daemon doubts is right.
    pub async fn accept_clock(
        &mut self,
        reason: &str,
        gate: &Gate,
    ) -> Result<ClockAccepted, ClientError> {
        let body = json!({ "reason": reason });
        self.post(&gate.on("/v1/clock/accept"), &body).await
    }

    /// Stops all use of the keys in `scope`.
    pub async fn freeze(
        &mut self,
        scope: &FreezeScope,
        reason: &str,
    ) -> Result<FreezeChange, ClientError> {
        self.post("/v1/freeze", &json!({ "scope": scope, "reason": reason }))
            .await
    }

    /// Lifts a freeze of `scope`.
    pub async fn thaw(
        &mut self,
        scope: &FreezeScope,
        reason: &str,
        gate: &Gate,
    ) -> Result<FreezeChange, ClientError> {
        let body = json!({ "scope": scope, "reason": reason });
        self.post(&gate.on("/v1/freeze/lift"), &body).await
    }

    /// Lists records.
    pub async fn records(&mut self, query: &RecordQuery) -> Result<RecordPage, ClientError> {
        self.get(&format!("/v1/audit/records{}", query_text(query)))
            .await
    }

    /// One record.
    pub async fn record(&mut self, index: u64) -> Result<RecordView, ClientError> {
        self.get(&format!("/v1/audit/records/{index}")).await
    }

    /// The newest checkpoint, a signed note.
    pub async fn checkpoint(&mut self) -> Result<String, ClientError> {
        self.get_text("/v1/log/checkpoint").await
    }

    /// A tile or entry bundle by its C2SP path, such as `tile/0/x001/234.p/7`.
    pub async fn tile(&mut self, path: &str) -> Result<Vec<u8>, ClientError> {
        Ok(self.get_bytes(&format!("/v1/log/{path}")).await?.into())
    }

    /// The proof that the tree of `from` records is a prefix of that of `to`; base64 hashes.
    pub async fn consistency(&mut self, from: u64, to: u64) -> Result<Vec<String>, ClientError> {
        let path = format!("/v1/log/consistency?from={from}&to={to}");
        Ok(self.get::<Consistency>(&path).await?.hashes)
    }

    /// Brings cosignature lines over the checkpoint of `size`; the daemon verifies them.
    pub async fn cosignatures(
        &mut self,
        size: u64,
        lines: &str,
    ) -> Result<CosignaturesTaken, ClientError> {
        let body = json!({ "size": size, "cosignatures": lines });
        self.post("/v1/log/cosignatures", &body).await
    }

    /// The log's key, one C2SP vkey line.
    pub async fn log_key(&mut self) -> Result<String, ClientError> {
        self.get_text("/v1/log/key").await
    }

    /// The proof that a record is in the log (C2SP `tlog-proof`); with `wait`, as soon as there is one.
    pub async fn proof(&mut self, index: u64, wait: bool) -> Result<String, ClientError> {
        self.get_text(&format!("/v1/log/proof/{index}?wait={wait}"))
            .await
    }

    pub(crate) async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, ClientError> {
        parse(&self.get_bytes(path).await?)
    }

    async fn get_text(&mut self, path: &str) -> Result<String, ClientError> {
        let body = self.get_bytes(path).await?;
        let not_text = |_| ClientError::Unexpected("the answer is not UTF-8 text".to_owned());
        String::from_utf8(body.into()).map_err(not_text)
    }

    async fn get_bytes(&mut self, path: &str) -> Result<Bytes, ClientError> {
        Ok(self.fetch(path).await?.body)
    }

    pub(crate) async fn fetch(&mut self, path: &str) -> Result<Answer, ClientError> {
        let request = Request::get(path).body(Full::default());
        let request = request.map_err(|e| ClientError::Request(e.to_string()))?;
        self.send(request).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_string(body).map_err(|e| ClientError::Request(e.to_string()))?;
        self.post_text(path, body).await
    }

    async fn post_text<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: String,
    ) -> Result<T, ClientError> {
        let request = Request::post(path)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body.into()));
        let request = request.map_err(|e| ClientError::Request(e.to_string()))?;
        parse(&self.send(request).await?.body)
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(body).map_err(|e| {
        ClientError::Unexpected(format!("{e}; are daemon and client of the same release?"))
    })
}

fn query_text(query: &RecordQuery) -> String {
    let number = |value: Option<u64>| value.map(|value| value.to_string());
    let pairs = [
        ("from", number(query.from)),
        ("limit", query.limit.map(|value| value.to_string())),
        ("key", query.key.clone()),
        ("principal", query.principal.clone()),
        ("outcome", query.outcome.clone()),
        ("subject", query.subject.clone()),
        ("kind", query.kind.clone()),
        ("since", query.since.clone()),
        ("before", query.before.clone()),
        ("tenant", query.tenant.clone()),
        ("wait", query.wait.then(|| true.to_string())),
    ];
    let mut text = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        if let Some(value) = value {
            text.append_pair(name, &value);
        }
    }
    let text = text.finish();
    if text.is_empty() {
        text
    } else {
        format!("?{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_holds_only_what_was_asked_for() {
        assert_eq!(query_text(&RecordQuery::default()), "");
        let query = RecordQuery {
            from: Some(7),
            principal: Some("spiffe://a/b c".to_owned()),
            ..RecordQuery::default()
        };
        assert_eq!(
            query_text(&query),
            "?from=7&principal=spiffe%3A%2F%2Fa%2Fb+c"
        );
    }
}
