//! From configuration to serving, and back down again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealwright_core::digest::Sha256Digest;
use sealwright_core::evidence::Roots;
use sealwright_core::permit::PolicyEngine as _;
use sealwright_core::record::{Activated, DaemonStarted, Event, PolicyActivated, Warrant};
use sealwright_core::state::State;
use sealwright_core::tlog::quorum::QuorumError;
use sealwright_policy::{CedarPolicy, PolicyError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::audit::checkpoint::{CheckpointError, Checkpointer, LogSigner};
use crate::audit::witnesses::Witnesses;
use crate::audit::writer::RecordError;
use crate::audit::{self, Audit, OpenError, Settings};
use crate::authn::{Directory, Tls, TlsError};
use crate::binding::{Binding, IssuerError, Known, StoreGone, Tenants};
use crate::body::Budget;
use crate::canary::{self, Canaries};
use crate::clock::{self, Clock, SystemClock, TrustedClock};
use crate::config::{Anchor, Config, ConfigError};
use crate::daemon::Daemon;
use crate::denials::{self, Denials};
use crate::deny::{Denied, DenyFileError};
use crate::evidence;
use crate::expiry::Expiries;
use crate::failpoints::Failpoints;
use crate::holder::Holder;
use crate::kept::Folder;
use crate::kept_policy;
use crate::later::Later;
use crate::metrics::Metrics;
use crate::policy::{ActivationError, PolicyHolder};
use crate::receipts;
use crate::retries::Retries;
use crate::rotation::schedule::Attempts;
use crate::sockets::Listeners;
use crate::suspects::Suspects;
use crate::tokens::Tokens;
use crate::verifier::AwsLcVerifier;
use crate::{authn, listen, monitor, reload, rotation, watchdog};

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Policy.
    #[error("{path}: {source}")]
    Policy {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: PolicyError,
    },
    /// Under dual control, the policy in force is not the file's, and its text is gone.
    #[error(
        "the policy in force has SHA-256 {digest} and cannot be read from {dir}/policies: {source}; put that policy back into {file}"
    )]
    PolicyLost {
        /// Of the policy in force.
        digest: Sha256Digest,
        /// The state directory.
        dir: PathBuf,
        /// The policy file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or socket.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Root.
    #[error(
        "sealwrightd does not run as root: start it as its own user (dev.allow_root = true allows it for development)"
    )]
    Root,
    /// The log.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log key.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The witnesses.
    #[error(transparent)]
    Quorum(#[from] QuorumError),
    /// The deny list.
    #[error(transparent)]
    Deny(#[from] DenyFileError),
    /// The keys of an issuer of access tokens.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// The store of nonces and proofs.
    #[error(transparent)]
    Store(#[from] StoreGone),
    /// What begins a run or comes into force.
    #[error("a record could not be written: {0}")]
    Record(#[from] RecordError),
    /// Another policy.
    #[error(transparent)]
    Activation(#[from] ActivationError),
    /// Device makers.
    #[error(transparent)]
    Roots(#[from] evidence::RootsFileError),
    /// The log has no genesis although it was opened.
    #[error("the log has no genesis record")]
    Genesis,
    /// One of the commands beside running.
    #[error(transparent)]
    Command(io::Error),
    /// Runtime or signals.
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
}

/// Reads everything that the configuration names.
pub fn check(config: &Config) -> Result<(), RunError> {
    Files::read(config).map(drop)
}

/// What is in the files that the configuration names.
struct Files {
    tls: Tls,
    policy: (String, CedarPolicy),
    device_roots: Roots,
    known: Known,
    denied: Denied,
}

impl Files {
    fn read(config: &Config) -> Result<Self, RunError> {
        let tls = Tls::new(&config.api, &config.domains)?;
        let policy = read_policy(config)?;
        let device_roots = evidence::roots(config.evidence.roots.as_deref())?;
        let known = Known::read(&config.security.issuers, config.digest)?;
        let denied = Denied::read(&config.api.deny_spki, known.config_digest())?;
        Ok(Self {
            tls,
            policy,
            device_roots,
            known,
            denied,
        })
    }
}

/// The policy file, its text and what it says.
pub(crate) fn read_policy(config: &Config) -> Result<(String, CedarPolicy), RunError> {
    let path = config.policy.file.clone();
    let text = std::fs::read_to_string(&path).map_err(|source| RunError::Io {
        path: path.clone(),
        source,
    })?;
    let policy = parse_policy(config, &text).map_err(|source| RunError::Policy { path, source })?;
    Ok((text, policy))
}

fn parse_policy(config: &Config, text: &str) -> Result<CedarPolicy, PolicyError> {
    let principals = Directory::new(&config.principals, &config.domains).principals();
    CedarPolicy::parse(text, &principals)
}

/// The policy that decides from the start: the file's, or under dual control the one in force as long as nobody approved
/// another. Its text is kept.
fn policy_in_force(
    config: &Config,
    state: &State,
    (text, policy): (String, CedarPolicy),
) -> Result<CedarPolicy, RunError> {
    let dir = &config.state.dir;
    let in_force = state
        .policy_digest()
        .filter(|digest| state.approvals_required() > 0 && *digest != policy.digest());
    let Some(digest) = in_force else {
        let kept = kept_policy::keep(dir, &text);
        let path = dir.clone();
        return kept
            .map(|()| policy)
            .map_err(|source| RunError::Io { path, source });
    };
    let lost = |source| RunError::PolicyLost {
        digest,
        dir: dir.clone(),
        file: config.policy.file.clone(),
        source,
    };
    let text = kept_policy::read(dir, digest).map_err(lost)?;
    let path = config.policy.file.clone();
    parse_policy(config, &text).map_err(|source| RunError::Policy { path, source })
}

/// Runs until SIGTERM or SIGINT.
pub fn run(config: Config) -> Result<(), RunError> {
    if rustix::process::geteuid().is_root() && !config.dev.allow_root {
        return Err(RunError::Root);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
        .map_err(RunError::Start)?;
    let served = runtime.block_on(serve(config));
    // The process ends now and takes what still runs with it. To shut the runtime down would be worse: a task that
    // asks for a timer meanwhile panics.
    std::mem::forget(runtime);
    served
}

/// How long the index may take to put the last records on disk.
const INDEX_END: Duration = Duration::from_secs(5);

/// Half of the CPUs: the journal, the drivers and the callers live on the same machine, and a worker that finds
/// nothing to do costs a signature two changes of thread.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cpus| cpus.get().div_ceil(2))
}

async fn serve(config: Config) -> Result<(), RunError> {
    // Before anything else, so that a mistake in them costs nothing.
    let Files {
        tls,
        policy: from_file,
        device_roots,
        known,
        denied,
    } = Files::read(&config)?;
    let file_digest = from_file.1.digest();
    let binding = Binding::new(&config.security, known)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let failpoints = Arc::new(Failpoints::from_env());
    let settings = Settings {
        state_dir: config.state.dir.clone(),
        segment_bytes: config.state.segment_bytes,
        low_water_bytes: config.state.low_water_bytes,
    };
    let audit = audit::open(&settings, Arc::clone(&clock), Arc::clone(&failpoints)).await?;
    let trusted_clock = TrustedClock::starting(Arc::clone(&clock), audit.clock_basis);
    clock::note(&audit.journal, &trusted_clock).await?;
    // What a run that ended too early left.
    audit.eraser.wake();
    let policy = audit
        .journal
        .with_state(|state| policy_in_force(&config, state, from_file))?;
    let waiting = Some(file_digest).filter(|digest| *digest != policy.digest());
    begin_run(&audit, &*clock, policy.digest(), denied.config_digest()).await?;
    let directory = Directory::new(&config.principals, &config.domains);
    let (evidence, receipts) = kept_documents(&config.state.dir, &directory)?;
    let tokens = Arc::new(Tokens::start(config.tokens.clone(), config.limits.queue));
    let (published, checkpoints) = watch::channel(audit.newest.clone());
    let signer = log_signer(&audit, &tokens)?;
    let log_key = signer.verifier_key().clone();
    let tiles = audit.tree.tiles();
    let suspects = Suspects::new(audit.journal.clone());
    let pending = Arc::clone(&audit.pending);
    let witnesses = Witnesses::open(config.log.quorum()?, Arc::clone(&audit.checkpoints))?;
    let checkpointer = Checkpointer {
        suspects: suspects.clone(),
        signer,
        store: Arc::clone(&audit.checkpoints),
        tree: audit.tree,
        pending: audit.pending,
        published,
        interval: Duration::from_millis(config.log.checkpoint_interval_ms.max(1)),
    };
    let series = config.monitor_series();
    let metrics = Metrics::new(series, audit.journal.commits(), &binding.counts);
    let daemon = Arc::new(Daemon {
        tls,
        directory,
        deny: Holder::new(denied),
        binding,
        expiries: Expiries::new(
            authn::own_certificates(&config.api, &config.domains),
            config.api.expires_soon_days,
        ),
        policy: PolicyHolder::new(
            Arc::new(policy),
            Tenants::new(&config.security.sender_constraints),
        ),
        journal: audit.journal.clone(),
        eraser: audit.eraser,
        disk: audit.disk,
        archived: audit.archived,
        index: audit.index,
        evidence,
        device_roots,
        receipts,
        space: audit.space,
        tokens,
        budget: Budget::new(config.limits.body_budget),
        retries: Retries::default(),
        later: Later::default(),
        denials: Denials::new(config.limits.denials_per_minute),
        checkpoints,
        store: audit.checkpoints,
        witnesses,
        tiles,
        log_key,
        clock,
        trusted_clock,
        failpoints,
        verifier: AwsLcVerifier,
        stopping: watch::Sender::new(false),
        pending,
        canaries: Canaries::default(),
        metrics,
        suspects,
        scheduled: Attempts::default(),
        config,
    });
    note_waiting(&daemon, waiting);
    let checkpointer = tokio::spawn(checkpointer.run());
    tokio::spawn(summarise_denials(Arc::clone(&daemon)));
    tokio::spawn(watch_anchor(Arc::clone(&daemon)));
    tokio::spawn(canary::run(Arc::clone(&daemon)));
    tokio::spawn(clock::watch(Arc::clone(&daemon)));
    tokio::spawn(rotation::schedule::run(Arc::clone(&daemon)));
    tokio::spawn(rotation::alerts::warn_daily(Arc::clone(&daemon)));
    until_stopped(daemon).await?;
    checkpointer.abort();
    // Requests that outlived the drain time may still hold the journal; none of them is answered any more.
    audit.journal.close();
    let _ = tokio::task::spawn_blocking(move || audit.writer.join()).await;
    // One that is being made anew is left as it is: the next start goes on with it, or begins again.
    let indexed = tokio::task::spawn_blocking(move || audit.indexer.join());
    let _ = tokio::time::timeout(INDEX_END, indexed).await;
    Ok(())
}

/// The folders of evidence, and of the receipts of each tenant.
fn kept_documents(
    state_dir: &Path,
    directory: &Directory,
) -> Result<(Arc<Folder>, Arc<receipts::Store>), RunError> {
    let io = |name: &'static str| {
        let path = state_dir.join(name);
        move |source| RunError::Io { path, source }
    };
    let evidence = Folder::open(state_dir, "evidence").map_err(io("evidence"))?;
    let principals = directory.principals().into_iter();
    let tenants = principals.map(|principal| principal.tenant);
    let receipts = receipts::Store::open(state_dir, tenants).map_err(io("receipts"))?;
    Ok((Arc::new(evidence), Arc::new(receipts)))
}

/// The records that begin a run; policy and configuration only where they are not those in force already.
async fn begin_run(
    audit: &Audit,
    clock: &dyn Clock,
    policy: Sha256Digest,
    config: Sha256Digest,
) -> Result<(), RunError> {
    let journal = &audit.journal;
    let open: Vec<u64> = journal.with_state(|state| state.open_intents().collect());
    for intent in &open {
        tracing::warn!(
            record = intent,
            "sealwrightd ended while this request was signed: a signature may exist in the device's memory, none was released; its names stay reserved for its digests"
        );
    }
    let started = DaemonStarted {
        run_id: uuid::Uuid::now_v7().to_string(),
        boottime_ms: clock.boottime_ms(),
        boot_id: clock.boot_id(),
        wall: Some(clock.now()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        open_intents: open,
    };
    let _ = journal.record(Event::DaemonStarted(started)).await?;
    let (old_policy, old_config) =
        journal.with_state(|state| (state.policy_digest(), state.config_digest()));
    if old_policy != Some(policy) {
        let _ = journal
            .record(Event::PolicyActivated(activated(policy)))
            .await?;
    }
    if old_config != Some(config) {
        let _ = journal
            .record(Event::ConfigActivated(Activated { digest: config }))
            .await?;
    }
    Ok(())
}

pub(crate) fn activated(digest: Sha256Digest) -> PolicyActivated {
    PolicyActivated {
        digest,
        by: None,
        warrant: Warrant::default(),
    }
}

fn log_signer(audit: &Audit, tokens: &Arc<Tokens>) -> Result<Arc<LogSigner>, RunError> {
    let genesis = audit.journal.with_state(|state| state.genesis().cloned());
    let genesis = genesis.ok_or(RunError::Genesis)?;
    Ok(Arc::new(LogSigner::new(
        &genesis.origin,
        genesis.log_key,
        Arc::clone(tokens),
    )?))
}

async fn summarise_denials(daemon: Arc<Daemon>) {
    let mut tick = tokio::time::interval(denials::WINDOW);
    loop {
        tick.tick().await;
        record_summaries(&daemon, Instant::now()).await;
    }
}

/// Between two looks at the age of the witnesses' quorum.
const ANCHOR_LOOK: Duration = Duration::from_secs(1);

/// Says once that the quorum has become too old, and once that it is young again.
async fn watch_anchor(daemon: Arc<Daemon>) {
    let log = &daemon.config.log;
    if log.anchor == Anchor::None {
        return;
    }
    let mut tick = tokio::time::interval(ANCHOR_LOOK);
    let mut was_stale = false;
    loop {
        tick.tick().await;
        let is_stale = daemon.is_anchor_stale();
        match (was_stale, is_stale) {
            (false, true) => tracing::warn!(
                max_anchor_age_s = log.max_anchor_age_s,
                "the witnesses' quorum is too old: look at sealwright-courier and docs/runbooks/witnesses.md"
            ),
            (true, false) => tracing::info!("the witnesses' quorum is young enough again"),
            _ => {}
        }
        was_stale = is_stale;
    }
}

/// Records what was only counted in windows that are over at `now`.
async fn record_summaries(daemon: &Daemon, now: Instant) {
    for summary in daemon.denials.close_windows(now) {
        if let Err(error) = daemon
            .journal
            .record(Event::DenialsSummarised(summary))
            .await
        {
            tracing::error!(%error, "denials could not be summarised");
        }
    }
}

async fn until_stopped(daemon: Arc<Daemon>) -> Result<(), RunError> {
    let Listeners {
        api,
        monitor,
        bound,
    } = Listeners::open(&daemon.config)?;
    let signal = |kind| signal(kind).map_err(RunError::Start);
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let hangup = signal(SignalKind::hangup())?;
    if let Some(listener) = monitor {
        tokio::spawn(monitor::serve(listener, Arc::clone(&daemon)));
    }
    tokio::spawn(reload::on(hangup, Arc::clone(&daemon)));
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(listen::serve(api, Arc::clone(&daemon), stopped));
    // A manager that is not there does not want to know.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    watchdog::start(Arc::clone(&daemon));
    tracing::info!(socket = %daemon.config.api.socket.display(), "serving");
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    tracing::info!("stopping: requests in flight are finished, new ones refused");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    daemon.stopping.send_replace(true);
    stop.send_replace(true);
    let _ = serving.await;
    bound.remove();
    record_summaries(&daemon, Instant::now() + denials::WINDOW).await;
    Ok(())
}

/// Says that the policy file needs approvals before it decides.
pub(crate) fn note_waiting(daemon: &Daemon, waiting: Option<Sha256Digest>) {
    if let Some(digest) = waiting {
        tracing::warn!(%digest, "the policy file needs approvals and the policy stays as it was: sealwright policy activate");
    }
    daemon.policy.wait(waiting);
}
