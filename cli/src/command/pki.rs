//! `sealwright pki`.

use std::path::{Path, PathBuf};

use sealwright_client::SERVER_NAME;
use serde::Serialize;

use crate::failure::Failure;
use crate::files;
use crate::output::Output;
use crate::pki::{Authority, CA_DAYS, Issued, LEAF_DAYS};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a CA: ca.pem and ca.key. Keep ca.key off this host where you can.
    Init(Init),
    /// Make the daemon's certificate: server.pem and server.key.
    Server(Server),
    /// Make a caller's certificate: NAME.pem and NAME.key.
    Client(Client),
    /// Deny a caller's key: it is refused from the daemon's next reload on, whatever certificate it is in.
    Deny(super::deny::Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// Where the files go.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// The CA's name.
    #[arg(long, default_value = "Sealwright local CA")]
    name: String,
    /// Days until it expires.
    #[arg(long, default_value_t = CA_DAYS)]
    days: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Issue {
    /// The folder with ca.pem and ca.key.
    #[arg(long, value_name = "FOLDER")]
    ca_dir: PathBuf,
    /// Where the files go [default: the CA's folder].
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Days until it expires.
    #[arg(long, default_value_t = LEAF_DAYS)]
    days: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Server {
    #[command(flatten)]
    issue: Issue,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Client {
    #[command(flatten)]
    issue: Issue,
    /// The caller's identity, a URI such as spiffe://site/ci; the same text stands in sealwright.toml.
    #[arg(long, value_name = "URI")]
    id: String,
    /// The files' name without extension.
    #[arg(long, default_value = "client")]
    name: String,
}

#[derive(Serialize)]
struct Made {
    certificate: PathBuf,
    key: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
}

pub(crate) fn run(command: Command, output: Output) -> Result<(), Failure> {
    let (made, next) = match command {
        Command::Deny(args) => return super::deny::run(args, output),
        Command::Init(Init { out, name, days }) => {
            let (_, issued) = Authority::create(&name, days)?;
            let next =
                "next: `sealwright pki server` and `sealwright pki client`, then take ca.key away";
            (write(&issued, &out, "ca", None)?, next.to_owned())
        }
        Command::Server(Server { issue }) => {
            let issued = Authority::load(&issue.ca_dir)?.server(issue.days)?;
            let made = write(&issued, issue.out(), "server", Some(SERVER_NAME.to_owned()))?;
            (
                made,
                "next: name both files under [api] in sealwright.toml".to_owned(),
            )
        }
        Command::Client(Client { issue, id, name }) => {
            let issued = Authority::load(&issue.ca_dir)?.client(&id, issue.days)?;
            let next = format!("next: add a [[principal]] with id = {id:?} to sealwright.toml");
            (write(&issued, issue.out(), &name, Some(id))?, next)
        }
    };
    output.answer(&made, || {
        format!(
            "wrote {} and {}\n{next}",
            made.certificate.display(),
            made.key.display()
        )
    })
}

impl Issue {
    fn out(&self) -> &Path {
        self.out.as_deref().unwrap_or(&self.ca_dir)
    }
}

fn write(
    issued: &Issued,
    folder: &Path,
    stem: &str,
    identity: Option<String>,
) -> Result<Made, Failure> {
    files::create_folder(folder, 0o755, None)?;
    let [certificate, key] = issued.write(folder, stem, None)?;
    Ok(Made {
        certificate,
        key,
        identity,
    })
}
