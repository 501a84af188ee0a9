//! Answers that come later: who prefers not to wait (`Prefer: respond-async`, RFC 7240) is told where the answer will be.
//!
//! The work goes on by itself, as one request like any other: recorded before it is answered. Its answer is kept in
//! memory; what a restart forgets is in the record all the same.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Response;
use tokio::sync::watch;

use crate::http::Answer;

/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_secs(600);
/// Bytes of answers kept at most; the oldest go first.
const KEPT_BYTES: usize = 32 << 20;
/// Requests at work or answered, at most; above, a request is answered on its own connection.
const REQUESTS_MAX: usize = 256;

/// An answer that can be given more than once.
///
/// Kept whole, extensions too: whoever dresses an answer before it goes out reads there what is to be added.
#[derive(Debug, Clone)]
struct Kept(Response<Bytes>);

impl Kept {
    async fn of(answer: Answer) -> Self {
        let (head, body) = answer.into_parts();
        // A whole body at hand cannot fail to come.
        let body = body.collect().await.map(|body| body.to_bytes());
        Self(Response::from_parts(head, body.unwrap_or_default()))
    }

    fn answer(&self) -> Answer {
        self.0.clone().map(Full::new)
    }

    fn bytes(&self) -> usize {
        self.0.body().len()
    }
}

#[derive(Debug)]
struct Entry {
    id: String,
    principal: String,
    touch: Vec<String>,
    made: Instant,
    answer: watch::Receiver<Option<Kept>>,
}

/// What becomes of a request whose answer comes later.
pub enum Found {
    /// It is answered.
    Answered(Answer),
    /// It is not, and these keys have to be touched for it.
    Working(Vec<String>),
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Later(Mutex<VecDeque<Entry>>);

impl Later {
    /// Starts `work`. It is answered at once where it is done within `patience`, or where too many others are kept;
    /// `None` where its answer comes later, under `id`, for `principal` alone. `touch`: keys that have to be touched.
    pub async fn start(
        &self,
        (id, principal, touch): (&str, &str, Vec<String>),
        patience: Duration,
        work: impl Future<Output = Answer> + Send + 'static,
    ) -> Option<Answer> {
        let (done, mut answer) = watch::channel(None);
        let entry = Entry {
            id: id.to_owned(),
            principal: principal.to_owned(),
            touch,
            made: Instant::now(),
            answer: answer.clone(),
        };
        if !self.keep(entry) {
            return Some(work.await);
        }
        tokio::spawn(async move { done.send(Some(Kept::of(work.await).await)) });
        let answered = tokio::time::timeout(patience, answer.wait_for(Option::is_some)).await;
        let kept = answered.ok()?.ok()?.as_ref().map(Kept::answer);
        self.entries().retain(|entry| entry.id != id);
        kept
    }

    /// What became of the request `id` of `principal`, after at most `patience`; `None` where there is none.
    pub async fn find(&self, id: &str, principal: &str, patience: Duration) -> Option<Found> {
        let (touch, mut answer) = {
            let entries = self.entries();
            let mut own = entries.iter().filter(|entry| entry.principal == principal);
            let entry = own.find(|entry| entry.id == id)?;
            (entry.touch.clone(), entry.answer.clone())
        };
        match tokio::time::timeout(patience, answer.wait_for(Option::is_some)).await {
            Err(_) => Some(Found::Working(touch)),
            // The work was dropped: the daemon is about to end.
            Ok(Err(_)) => None,
            Ok(Ok(kept)) => kept.as_ref().map(|kept| Found::Answered(kept.answer())),
        }
    }

    /// Takes an entry in, unless too many are there that have not grown old.
    fn keep(&self, entry: Entry) -> bool {
        let mut entries = self.entries();
        let size = |entry: &Entry| entry.answer.borrow().as_ref().map(Kept::bytes);
        entries.retain(|old| size(old).is_none() || old.made.elapsed() < KEPT_FOR);
        let mut bytes: usize = entries.iter().filter_map(size).sum();
        while bytes > KEPT_BYTES {
            let oldest = entries.iter().position(|entry| size(entry).is_some());
            let Some(oldest) = oldest.and_then(|at| entries.remove(at)) else {
                break;
            };
            bytes = bytes.saturating_sub(size(&oldest).unwrap_or_default());
        }
        let has_room = entries.len() < REQUESTS_MAX;
        if has_room {
            entries.push_back(entry);
        }
        has_room
    }

    // Held for table operations only.
    fn entries(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sealwright_core::error::Code;

    use super::*;
    use crate::http;
    use crate::refusal::Refusal;

    const SOON: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(20);

    async fn start(later: &Later, id: &str, work: watch::Receiver<bool>) -> Option<Answer> {
        let mut work = work;
        let answer = async move {
            let _ = work.wait_for(|done| *done).await;
            http::text("done".to_owned())
        };
        later
            .start((id, "ci", vec!["k".to_owned()]), SOON, answer)
            .await
    }

    #[tokio::test]
    async fn what_is_done_soon_is_answered_at_once_and_not_kept() {
        let later = Later::default();
        let (_done, work) = watch::channel(true);
        assert!(start(&later, "a", work).await.is_some());
        assert!(later.find("a", "ci", SOON).await.is_none());
    }

    #[tokio::test]
    async fn what_takes_longer_is_answered_later_and_to_who_asked_only() {
        let later = Later::default();
        let (done, work) = watch::channel(false);
        assert!(start(&later, "a", work).await.is_none());
        let found = later.find("a", "ci", SOON).await;
        assert!(matches!(found, Some(Found::Working(keys)) if keys == ["k"]));
        assert!(later.find("a", "other", SOON).await.is_none());
        done.send(true).unwrap();
        for _ in 0..2 {
            let found = later.find("a", "ci", LONG).await;
            assert!(matches!(found, Some(Found::Answered(answer)) if answer.status() == 200));
        }
    }

    #[tokio::test]
    async fn an_answer_that_comes_later_still_says_by_which_code_it_is_challenged() {
        let later = Later::default();
        let refusal = Refusal::denied(Code::TokenRequired, "no token");
        let problem = async move { http::problem(&refusal, "a") };
        let started = later.start(("a", "ci", Vec::new()), LONG, problem).await;
        let code = started.unwrap().extensions().get::<Code>().copied();
        assert_eq!(code, Some(Code::TokenRequired));
    }

    #[tokio::test]
    async fn one_more_than_are_kept_is_answered_on_its_own_connection() {
        let later = Arc::new(Later::default());
        let (done, work) = watch::channel(false);
        for number in 0..REQUESTS_MAX {
            let entry = Entry {
                id: number.to_string(),
                principal: "ci".to_owned(),
                touch: Vec::new(),
                made: Instant::now(),
                answer: watch::channel(None).1,
            };
            assert!(later.keep(entry));
        }
        let asked = {
            let later = Arc::clone(&later);
            tokio::spawn(async move { start(&later, "one more", work).await })
        };
        done.send(true).unwrap();
        assert!(asked.await.unwrap().is_some());
        assert!(later.find("one more", "ci", SOON).await.is_none());
    }
}
