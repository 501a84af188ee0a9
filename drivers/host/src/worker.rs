//! A worker: one thread, one session, one request at a time.

use std::sync::Arc;

use sealwright_driver_api::wire::Answer;
use sealwright_driver_api::{DriverError, ErrorClass, KeyDriver, SignContext, Task, Token};

use crate::exit;
use crate::replies::WireProgress;
use crate::work::{Job, Work};

/// Starts the token's workers, as many as its descriptor has sessions.
pub(crate) fn start(token: &Arc<dyn Token>, work: &Arc<Work>) -> std::io::Result<()> {
    for number in 0..token.descriptor().sessions.max(1) {
        let (token, work) = (Arc::clone(token), Arc::clone(work));
        std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                run(&*token, &work);
            })?;
    }
    Ok(())
}

fn run(token: &dyn Token, work: &Work) {
    // Opened by the first job, under that job's deadline.
    let mut session = None;
    let max_message = token.descriptor().max_message;
    loop {
        let (job, refusal) = work.take();
        let done = || perform(token, &mut session, &job, max_message);
        let result = refusal.map_or_else(done, Err);
        let lost = matches!(&result, Err(error) if error.class == ErrorClass::Lost);
        work.finish(job.ticket.id, lost);
        if let Err(error) = &result {
            tracing::info!(id = job.ticket.id, class = ?error.class, "{error}");
        }
        job.replies.reply(job.ticket.id, result);
        if lost {
            tracing::warn!("the device is lost; the next process starts over");
            exit::now(exit::LOST);
        }
    }
}

fn perform(
    token: &dyn Token,
    session: &mut Option<Box<dyn KeyDriver>>,
    job: &Job,
    max_message: u32,
) -> Result<Answer, DriverError> {
    let driver = match session {
        Some(driver) => driver,
        None => session.insert(token.open_worker()?),
    };
    if let Task::Sign(request) = &job.task {
        request.check(max_message)?;
    }
    let sink = WireProgress {
        id: job.ticket.id,
        replies: &job.replies,
    };
    let ctx = SignContext::new(job.ticket.deadline, &job.ticket.cancelled, &sink);
    job.task.perform(driver.as_mut(), &ctx)
}
