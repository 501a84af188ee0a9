//! Rotation beside its endpoint: what is due, and what was put off to a time.

pub mod alerts;
