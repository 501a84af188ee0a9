//! `sealwrightd`: signs DSSE attestations for authorised local workloads with keys it cannot touch itself.
//!
//! Begin with [`pipeline`]: it is the product in one function. [`listen`] and [`api`] lead to it, [`authn`]
//! says who asks, [`tokens`] reaches the devices through processes that are not trusted, [`audit`] makes
//! every answer durable before it leaves.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api;
pub mod approvals;
pub mod audit;
pub mod authn;
pub mod binding;
pub mod body;
pub mod canary;
pub mod clock;
pub mod command;
pub mod config;
pub mod daemon;
pub mod denials;
pub mod deny;
pub mod evidence;
pub mod expiry;
pub mod failpoints;
pub mod health;
pub mod holder;
pub mod http;
pub mod kept;
pub mod kept_policy;
pub mod later;
pub mod listen;
pub mod log_proof;
pub mod metrics;
pub mod monitor;
mod own_words;
pub mod panics;
pub mod pipeline;
pub mod policy;
pub mod receipts;
pub mod refusal;
mod reload;
pub mod retries;
pub mod rotation;
pub mod run;
pub mod seal;
mod sockets;
pub mod suspects;
pub mod tokens;
pub mod verifier;
mod watchdog;
