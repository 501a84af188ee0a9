//! Places where a test can have the process killed: `SEALWRIGHT_FAILPOINT=<stage>:<n>` aborts it the n-th
//! time the stage is reached. Builds without debug assertions have none of it.

use std::sync::atomic::{AtomicU32, Ordering};

/// At most one armed place.
#[derive(Debug, Default)]
pub struct Failpoints {
    armed: Option<Armed>,
}

#[derive(Debug)]
struct Armed {
    stage: String,
    left: AtomicU32,
}

impl Failpoints {
    /// Arms what the environment names.
    pub fn from_env() -> Self {
        let text = std::env::var("SEALWRIGHT_FAILPOINT")
            .ok()
            .filter(|_| cfg!(debug_assertions));
        let armed = text.as_deref().and_then(|text| {
            let (stage, n) = text.split_once(':')?;
            Some(Armed {
                stage: stage.to_owned(),
                left: AtomicU32::new(n.parse().ok()?),
            })
        });
        Self { armed }
    }

    /// Dies here if it is the time.
    pub fn reach(&self, stage: &str) {
        let Some(armed) = self.armed.as_ref().filter(|armed| armed.stage == stage) else {
            return;
        };
        if armed.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            std::process::abort();
        }
    }
}
