//! `doctor --bundle`: one file with everything that is asked for first after an incident, and no secret.
//!
//! No credential and no key file is opened. To look for a PIN in the rest and to blot it out would tell it to whoever knows
//! what stood there before.

mod host;
mod redact;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::Finding;
use crate::config::{Site, token_files};
use crate::connect::Connection;
use crate::failure::Failure;
use crate::files;

/// Longest text of one configuration file or answer.
const TEXT_MAX: u64 = 1 << 20;
/// How long the monitoring socket may take.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Bundle<'b> {
    format: &'static str,
    version: &'static str,
    made_at: String,
    host: BTreeMap<&'static str, String>,
    findings: &'b [Finding],
    /// What `status` says, or why it is not known.
    status: Value,
    /// The answers of the monitoring socket, by path.
    monitor: BTreeMap<&'static str, String>,
    /// Configuration files by their names, secrets left out.
    config: BTreeMap<String, String>,
    /// The files of the state directory, without their contents.
    state: Vec<host::FileFacts>,
    /// The newest lines that daemon and drivers logged.
    log: String,
}

/// Writes the bundle to `out`, which must not be there yet.
pub(crate) fn write(
    out: &Path,
    config: &Path,
    connection: Connection,
    findings: &[Finding],
) -> Result<(), Failure> {
    let site = Site::read(config).ok();
    let monitor = site.as_ref().and_then(|site| site.monitor.as_ref());
    let state = site.as_ref().map(|site| host::listing(&site.state.dir));
    let bundle = Bundle {
        format: "sealwright-bundle/v1",
        version: env!("CARGO_PKG_VERSION"),
        made_at: crate::clock::now().to_string(),
        host: host::facts(),
        findings,
        status: status(connection),
        monitor: monitor
            .map(|monitor| answers(&monitor.socket))
            .unwrap_or_default(),
        config: texts(config, site.as_ref()),
        state: state.unwrap_or_default(),
        log: host::log(),
    };
    let text = serde_json::to_vec_pretty(&bundle).map_err(Failure::local)?;
    Ok(files::create(out, &text, 0o600, None)?)
}

fn status(connection: Connection) -> Value {
    if !connection.has_identity() {
        return "not asked: no client certificate was given".into();
    }
    match connection.run(async |mut client| client.status().await) {
        Ok(status) => serde_json::to_value(status).unwrap_or_default(),
        Err(error) => error.to_string().into(),
    }
}

fn answers(socket: &Path) -> BTreeMap<&'static str, String> {
    let paths = ["/livez", "/readyz", "/healthz", "/metrics"];
    let answer = |path| ask(socket, path).unwrap_or_else(|e| format!("{}: {e}", socket.display()));
    paths.into_iter().map(|path| (path, answer(path))).collect()
}

/// One request and its whole answer, head included: plain HTTP, no TLS.
fn ask(socket: &Path, path: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: monitor\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.take(TEXT_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The files that configure daemon and tokens, nothing else of their folder.
fn texts(config: &Path, site: Option<&Site>) -> BTreeMap<String, String> {
    let folder = config.parent().unwrap_or(Path::new("."));
    let mut paths = vec![config.to_owned(), folder.join("deny-spki")];
    paths.extend(site.map(|site| site.policy.file.clone()));
    paths.extend(token_files(config).unwrap_or_default());
    let texts = paths.into_iter().map(|path| {
        let name = path.strip_prefix(folder).unwrap_or(&path);
        (name.display().to_string(), text(&path))
    });
    texts.collect()
}

fn text(path: &Path) -> String {
    match fs::metadata(path) {
        Ok(facts) if facts.len() > TEXT_MAX => "[left out: too large]".to_owned(),
        Ok(_) => match files::read_text(path) {
            Ok(text) => redact::config(&text),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    }
}
