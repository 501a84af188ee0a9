//! `/v1/receipts`.

use bytes::Bytes;
use form_urlencoded::Serializer;
use http_body_util::Full;
use hyper::Request;
use hyper::header::CONTENT_TYPE;
use sealwright_core::receipt::{Follows, ReceiptId};
use sealwright_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::connection::Client;
use crate::error::ClientError;
use crate::sign::{Signed, signed, text};

/// A receipt's place in its chain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReceiptLink {
    /// Its id.
    pub receipt_id: ReceiptId,
    /// Index of its record.
    pub record: u64,
    /// When it was made.
    pub issued_at: Timestamp,
    /// The receipt before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<Follows>,
    /// The receipt after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub followed_by: Option<ReceiptId>,
}

/// A receipt with its envelope, and the proof that it is in the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShownReceipt {
    /// Its id.
    pub receipt_id: ReceiptId,
    /// Index of its record.
    pub record: u64,
    /// When it was made.
    pub issued_at: Timestamp,
    /// The receipt before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<Follows>,
    /// The receipt after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub followed_by: Option<ReceiptId>,
    /// DSSE envelope, canonical JSON byte for byte.
    pub envelope: Box<RawValue>,
    /// C2SP `tlog-proof` of its record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// Why there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_proof: Option<String>,
}

#[derive(Deserialize)]
struct History {
    receipts: Vec<ReceiptLink>,
}

impl Client {
    /// Has a receipt signed; `request` is its JSON text, see `docs/receipts.md`.
    pub async fn issue_receipt(
        &mut self,
        key: &str,
        request: Bytes,
    ) -> Result<(ReceiptId, Signed), ClientError> {
        let query = Serializer::new(String::new())
            .append_pair("key", key)
            .finish();
        let request = Request::post(format!("/v1/receipts?{query}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(request));
        let request = request.map_err(|e| ClientError::Request(e.to_string()))?;
        let answer = self.send(request).await?;
        let id = text(&answer.headers, "sealwright-receipt").and_then(|text| text.parse().ok());
        let missing = || ClientError::Unexpected("the answer names no receipt".to_owned());
        Ok((id.ok_or_else(missing)?, signed(answer)?))
    }

    /// A receipt of the caller's tenant; with `wait`, as soon as there is a proof.
    pub async fn receipt(
        &mut self,
        id: ReceiptId,
        wait: bool,
    ) -> Result<ShownReceipt, ClientError> {
        self.get(&format!("/v1/receipts/{id}?wait={wait}")).await
    }

    /// The receipt about something that counts, or counted at a time.
    pub async fn current_receipt(
        &mut self,
        receipt_type: &str,
        subject: &str,
        at: Option<Timestamp>,
        wait: bool,
    ) -> Result<ShownReceipt, ClientError> {
        let mut query = Serializer::new(String::new());
        query.append_pair("type", receipt_type);
        query.append_pair("subject", subject);
        if let Some(at) = at {
            query.append_pair("at", &at.to_string());
        }
        query.append_pair("wait", &wait.to_string());
        self.get(&format!("/v1/receipts?{}", query.finish())).await
    }

    /// The chain that a receipt belongs to, oldest first.
    pub async fn receipt_history(
        &mut self,
        id: ReceiptId,
    ) -> Result<Vec<ReceiptLink>, ClientError> {
        let history: History = self.get(&format!("/v1/receipts/{id}/history")).await?;
        Ok(history.receipts)
    }
}
