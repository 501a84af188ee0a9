//! Reading a body: bounded in bytes, in time, and in what all bodies together may hold in memory.

use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use sealwright_core::error::Code;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::config::Limits;
use crate::refusal::Refusal;

/// The budget counts in units of 1 KiB.
const UNIT: usize = 1024;

/// Bytes that all bodies may hold in memory at one time.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Semaphore>);

/// A whole body, and its share of the budget.
#[derive(Debug)]
pub struct Payload {
    bytes: Vec<u8>,
    // Goes back when the body is dropped.
    _share: OwnedSemaphorePermit,
}

impl Payload {
    /// The bytes as they came.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Other bytes that were made of them, in their share of the budget.
    #[must_use]
    pub fn made_into(self, bytes: Vec<u8>) -> Self {
        Self { bytes, ..self }
    }
}

impl Budget {
    /// A budget of `bytes`.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.div_ceil(UNIT))))
    }

    /// Reads `body` whole.
    pub async fn read(&self, body: Incoming, limits: &Limits) -> Result<Payload, Refusal> {
        let too_large = || {
            Refusal::bad_input(
                Code::PayloadTooLarge,
                format!("the body has more than {} bytes", limits.max_body),
            )
        };
        // Without a Content-Length the body could become as large as the limit.
        let announced = body.size_hint().exact().map_or(limits.max_body, |len| {
            usize::try_from(len).unwrap_or(usize::MAX)
        });
        if announced > limits.max_body {
            return Err(too_large());
        }
        // One deadline for both waits: whoever waited for memory has less time left to send.
        let deadline = Instant::now() + limits.body();
        let share = timeout_at(deadline, self.share(announced))
            .await
            .map_err(|_| no_room(limits))??;
        let late = || {
            let ms = limits.body_ms;
            Refusal::bad_input(
                Code::BodyTimeout,
                format!("the body did not arrive within {ms} ms"),
            )
        };
        let read = async {
            let has_length = body.size_hint().exact().is_some();
            let mut bytes = Vec::with_capacity(if has_length { announced } else { 0 });
            let mut body = body;
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|e| {
                    Refusal::bad_input(Code::InvalidRequest, format!("the body broke off: {e}"))
                })?;
                if let Some(data) = frame.data_ref() {
                    if bytes.len() + data.len() > limits.max_body {
                        return Err(too_large());
                    }
                    bytes.extend_from_slice(data);
                }
            }
            Ok(Payload {
                bytes,
                _share: share,
            })
        };
        timeout_at(deadline, read)
            .await
            .unwrap_or_else(|_| Err(late()))
    }

    /// Waits for a share; the caller's time-out bounds the wait.
    async fn share(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let closed = |_| Refusal::failed(Code::ShuttingDown, "the body budget is closed");
        Arc::clone(&self.0)
            .acquire_many_owned(units)
            .await
            .map_err(closed)
    }
}

fn no_room(limits: &Limits) -> Refusal {
    let ms = limits.body_ms;
    let reason = format!("no room for another body within {ms} ms");
    Refusal::failed(Code::BodyBudget, reason)
}
