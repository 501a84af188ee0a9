//! A token in this process. A worker thread of its own does the calls, so that one that hangs is noticed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::{Event, Failure, Reaction, SLACK, Subject};
use crate::wire::Answer;
use crate::{Descriptor, DriverError, KeyDriver, Progress, ProgressSink, SignContext, Task, Token};

type Open = Box<dyn Fn() -> Result<Box<dyn Token>, DriverError>>;

/// See the module's text.
pub struct InProcess {
    open: Open,
    token: Option<Arc<dyn Token>>,
    worker: Option<Sender<Order>>,
}

struct Order {
    task: Task,
    deadline: Instant,
    cancelled: Arc<AtomicBool>,
    news: Sender<News>,
}

enum News {
    Event(Event),
    Done(Box<Result<Answer, DriverError>>),
}

impl InProcess {
    /// Opens the token with `open` when it is first asked, and again after each restart.
    pub fn new(open: impl Fn() -> Result<Box<dyn Token>, DriverError> + 'static) -> Self {
        Self {
            open: Box::new(open),
            token: None,
            worker: None,
        }
    }

    fn token(&mut self) -> Result<Arc<dyn Token>, DriverError> {
        if let Some(token) = &self.token {
            return Ok(Arc::clone(token));
        }
        let token: Arc<dyn Token> = (self.open)()?.into();
        Ok(Arc::clone(self.token.insert(token)))
    }

    fn order(&mut self, order: Order) -> Result<(), Failure> {
        let token = self.token()?;
        let worker = self.worker.get_or_insert_with(|| {
            let (sender, orders) = channel();
            std::thread::spawn(move || work(&*token, &orders));
            sender
        });
        worker
            .send(order)
            .map_err(|_| Failure::Broken("its thread has ended".to_owned()))
    }
}

impl Subject for InProcess {
    fn descriptor(&mut self) -> Result<Descriptor, Failure> {
        Ok(self.token()?.descriptor().clone())
    }

    fn ask(
        &mut self,
        task: &Task,
        limit: Duration,
        watch: &mut dyn FnMut(Event) -> Reaction,
    ) -> Result<Answer, Failure> {
        let (sender, news) = channel();
        let (deadline, cancelled) = (Instant::now() + limit, Arc::new(AtomicBool::new(false)));
        self.order(Order {
            task: task.clone(),
            deadline,
            cancelled: Arc::clone(&cancelled),
            news: sender,
        })?;
        let answer = follow(&news, deadline + SLACK, &cancelled, watch);
        if matches!(answer, Err(Failure::Overdue | Failure::Broken(_))) {
            // The thread may never come back; the next task gets another.
            self.worker = None;
        }
        answer
    }

    fn restart(&mut self) {
        self.worker = None;
        self.token = None;
    }
}

fn follow(
    news: &Receiver<News>,
    until: Instant,
    cancelled: &AtomicBool,
    watch: &mut dyn FnMut(Event) -> Reaction,
) -> Result<Answer, Failure> {
    let mut until = until;
    loop {
        match news.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(News::Done(result)) => return Ok((*result)?),
            Ok(News::Event(event)) => {
                if watch(event) == Reaction::Cancel && !cancelled.swap(true, Ordering::Relaxed) {
                    until = until.min(Instant::now() + SLACK);
                }
            }
            Err(RecvTimeoutError::Timeout) => return Err(Failure::Overdue),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::Broken("the driver panicked".to_owned()));
            }
        }
    }
}

fn work(token: &dyn Token, orders: &Receiver<Order>) {
    let mut session = None;
    for Order {
        task,
        deadline,
        cancelled,
        news,
    } in orders
    {
        // Nobody may listen any more; then the result is for nobody.
        let _ = news.send(News::Event(Event::Begun));
        let sink = ChannelSink(news.clone());
        let ctx = SignContext::new(deadline, &cancelled, &sink);
        let _ = news.send(News::Done(Box::new(perform(
            token,
            &mut session,
            &task,
            &ctx,
        ))));
    }
}

fn perform(
    token: &dyn Token,
    session: &mut Option<Box<dyn KeyDriver>>,
    task: &Task,
    ctx: &SignContext<'_>,
) -> Result<Answer, DriverError> {
    let driver = match session {
        Some(driver) => driver,
        None => session.insert(token.open_worker()?),
    };
    task.perform(driver.as_mut(), ctx)
}

struct ChannelSink(Sender<News>);

impl ProgressSink for ChannelSink {
    fn progress(&self, progress: Progress) {
        let _ = self.0.send(News::Event(Event::Progress(progress)));
    }
}
