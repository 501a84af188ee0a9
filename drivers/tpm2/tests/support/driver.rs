//! The built driver behind its socket, started again by each connection as the activator would.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::Host;

/// A socket whose connections are served by the driver's binary.
pub struct Activator {
    config: PathBuf,
    socket: PathBuf,
    listener: UnixListener,
    child: Option<Child>,
}

impl Activator {
    pub fn of(host: &Host) -> Self {
        let listener = UnixListener::bind(host.socket()).unwrap();
        Self {
            config: host.write(),
            socket: host.socket(),
            listener,
            child: None,
        }
    }

    /// Kills the process that runs, if any, starts another one and connects to it.
    pub fn connect(&mut self) -> io::Result<UnixStream> {
        self.kill();
        let uid = fs::metadata("/proc/self")?.uid().to_string();
        let child = Command::new("sh")
            .args([
                "-c",
                "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" \"$@\"",
            ])
            .arg(env!("CARGO_BIN_EXE_sealwright-driver-tpm2"))
            .arg("--config")
            .arg(&self.config)
            .args(["--peer-uid", &uid])
            .env("TSS2_LOG", "all+NONE")
            .stdin(Stdio::from(OwnedFd::from(self.listener.try_clone()?)))
            .spawn()?;
        self.child = Some(child);
        UnixStream::connect(&self.socket)
    }

    /// Ends the process without giving it a chance to tidy up.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Activator {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
