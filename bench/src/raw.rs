//! The raw row: the driver's library in this process, as many threads as the token has use for.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sealwright_driver_api::{
    DriverError, KeyUri, Scheme, SignContext, SignInput, SignRequest, Token, TokenConfig,
};
use sealwright_driver_host::Secrets;

use crate::child;
use crate::sample::{Sample, Tally, Window};

/// Longer than any signature here.
const LIMIT: Duration = Duration::from_secs(60);

/// The raw child.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// tokens/NAME.toml.
    #[arg(long)]
    config: PathBuf,
    /// The key.
    #[arg(long)]
    key: KeyUri,
    /// A session per waiting request, whatever the configuration says.
    #[arg(long)]
    session_each: bool,
}

/// Opens the token once and measures what is ordered.
pub fn run(args: &Args) -> io::Result<()> {
    let config = TokenConfig::read(&args.config).map_err(io::Error::other)?;
    let token = open(&config).map_err(io::Error::other)?;
    let request = request(&args.key);
    child::serve(|order| {
        let sessions = usize::from(token.descriptor().sessions);
        let workers = if args.session_each {
            order.connections
        } else {
            order.connections.min(sessions)
        };
        let window = Window::of(order.time);
        let load = || closed_loop(&*token, &request, order.connections, workers, window);
        Ok(Sample::measure(window, &order.meter(), load))
    })
}

fn open(config: &TokenConfig) -> Result<Box<dyn Token>, DriverError> {
    let secrets = Secrets::new(config);
    match config.kind.as_str() {
        sealwright_driver_pkcs11::KIND => sealwright_driver_pkcs11::open(config, &secrets),
        sealwright_driver_tpm2::KIND => sealwright_driver_tpm2::open(config, &secrets),
        sealwright_driver_piv::KIND => sealwright_driver_piv::open(config, &secrets),
        _ => sealwright_driver_scripted::open(config, &secrets),
    }
}

/// A P-256 signature over a digest, always the same: ECDSA draws its own randomness.
pub fn request(key: &KeyUri) -> SignRequest {
    SignRequest {
        key: key.clone(),
        scheme: Scheme::EcdsaP256Sha256,
        input: SignInput::of(Scheme::EcdsaP256Sha256, &[b"bench"]),
    }
}

/// `waiting` requests at any time, worked on by `workers` threads in the order they came. A thread per waiting
/// request would measure the scheduler where the token has fewer sessions.
fn closed_loop(
    token: &dyn Token,
    request: &SignRequest,
    waiting: usize,
    workers: usize,
    window: Window,
) -> Tally {
    let queue = Mutex::new(VecDeque::from(vec![window.begin; waiting]));
    let tallies = thread::scope(|scope| {
        let work = || work(token, request, &queue, window);
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .collect::<Vec<_>>()
    });
    Tally::merged(window, tallies)
}

fn work(
    token: &dyn Token,
    request: &SignRequest,
    queue: &Mutex<VecDeque<Instant>>,
    window: Window,
) -> Tally {
    let mut tally = Tally::new(window);
    let mut driver = match token.open_worker() {
        Ok(driver) => driver,
        Err(error) => {
            eprintln!("raw: {error}");
            tally.note(window.begin, false);
            return tally;
        }
    };
    let never = AtomicBool::new(false);
    let take = |done: Option<Instant>| {
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.extend(done);
        queue.pop_front()
    };
    let mut next = take(None);
    while let Some(begun) = next {
        let ctx = SignContext::new(Instant::now() + LIMIT, &never, &());
        let result = driver.sign(request, &ctx);
        if let Err(error) = &result {
            eprintln!("raw: {error}");
        }
        if !tally.note(begun, result.is_ok()) {
            break;
        }
        next = take(Some(Instant::now()));
    }
    tally
}
