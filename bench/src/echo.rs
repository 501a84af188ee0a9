//! The plain handshake's other end: the daemon's TLS settings, and nothing behind them.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use sealwright_softhsm_tests::site::Site;
use sealwrightd::authn::Tls;
use sealwrightd::config::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;

use crate::child::Worker;
use crate::tls::Endpoint;

/// The echoing child.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The daemon's configuration.
    #[arg(long)]
    config: PathBuf,
    /// Where to listen.
    #[arg(long)]
    socket: PathBuf,
}

/// Starts one beside the daemon of `site`, with its TLS settings.
pub fn beside(site: &Site) -> io::Result<(Worker, Endpoint)> {
    let socket = site.path("run/echo.sock");
    let config = site.path("etc/sealwright.toml");
    let args = ["echo", "--config"].map(Into::into).into_iter();
    let args = args.chain([config.into(), "--socket".into(), socket.clone().into()]);
    let echo = Worker::start(args, [], 0)?;
    Ok((echo, Endpoint::of(site, &socket)?))
}

/// Serves until its input ends.
pub fn run(args: &Args) -> io::Result<()> {
    let config = Config::read(&args.config).map_err(io::Error::other)?;
    let tls = Arc::new(Tls::new(&config.api, &config.domains).map_err(io::Error::other)?);
    // The daemon's runtime.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = UnixListener::bind(&args.socket)?;
        std::fs::set_permissions(&args.socket, std::fs::Permissions::from_mode(0o666))?;
        tokio::spawn(accept(listener, tls));
        tokio::task::spawn_blocking(|| {
            crate::child::serve(|_| Err(io::Error::other("an echo measures nothing")))
        })
        .await?
    })
}

async fn accept(listener: UnixListener, tls: Arc<Tls>) {
    while let Ok((stream, _)) = listener.accept().await {
        let tls = Arc::clone(&tls);
        tokio::spawn(async move {
            // Whoever hangs up ends here.
            let _ = connection(stream, &tls).await;
        });
    }
}

async fn connection(stream: UnixStream, tls: &Tls) -> io::Result<()> {
    let (config, _) = tls.for_connection().map_err(io::Error::other)?;
    let mut stream = TlsAcceptor::from(config).accept(stream).await?;
    let mut bytes = vec![0; 8 << 10];
    loop {
        let read = stream.read(&mut bytes).await?;
        if read == 0 {
            return Ok(());
        }
        // A request of the bench comes in one record; its own bytes are the answer's body.
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {read}\r\n\r\n");
        let answer = [head.as_bytes(), bytes.get(..read).unwrap_or_default()].concat();
        stream.write_all(&answer).await?;
        stream.flush().await?;
    }
}
