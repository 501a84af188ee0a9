//! `sealwright audit export`.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use sealwright_client::{Client, RecordView};
use sealwright_core::tlog::exported::{CHECKPOINT, bundles};
use sealwright_core::tlog::tile::new_tiles;
use sealwright_core::tlog::{Policy, VerifierKey};

use super::{pages, view};
use crate::connect::Connection;
use crate::exported::{Checked, Folder, LOG_KEY, RECORDS, is_of};
use crate::failure::Failure;
use crate::files::{self, FileError};
use crate::output::Output;
use crate::progress::Progress;

/// Copy the log up to its newest checkpoint to a folder, and check the copy.
///
/// `sealwright verify --log DIR --policy FILE` checks it again anywhere, offline. A folder that holds an older
/// copy of the same log is brought up to date: only what is new is fetched.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder; with another format than tiles a file, `-` is stdout.
    dir: PathBuf,
    /// What is written: the log itself, or a view of its records for other programs, an event to a line.
    #[arg(long = "as", value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
    /// First record of a view.
    #[arg(long, value_name = "INDEX", default_value_t)]
    from: u64,
    /// Records of this tenant [default: your own]; may be repeated.
    #[arg(long = "tenant", value_name = "TENANT")]
    tenants: Vec<String>,
    /// No records: only what proves that the log was never rewritten.
    #[arg(long, conflicts_with = "tenants")]
    leaves_only: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What an export is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// C2SP tlog-tiles, with the records beside it.
    #[default]
    Tiles,
    /// CloudEvents 1.0, JSON lines.
    Cloudevents,
    /// OpenTelemetry log records, OTLP/JSON lines.
    Otel,
}

pub(super) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let Args {
        dir,
        format,
        from,
        tenants,
        leaves_only,
        connection,
    } = args;
    let form: view::Form = match format {
        Format::Tiles if from > 0 => {
            let why = "--from goes with --as cloudevents or otel: a copy of the log is whole";
            return Err(Failure::Local(why.to_owned()));
        }
        Format::Tiles => return copy(dir, &tenants, leaves_only, connection, output),
        _ if leaves_only => {
            let why = "--leaves-only goes with --as tiles: a view is made of records";
            return Err(Failure::Local(why.to_owned()));
        }
        Format::Cloudevents => view::cloudevents,
        Format::Otel => view::otel,
    };
    view::run(form, &dir, from, &tenants, connection, output)
}

fn copy(
    dir: PathBuf,
    tenants: &[String],
    leaves_only: bool,
    connection: Connection,
    output: Output,
) -> Result<(), Failure> {
    let policy = connection.run(async |client| {
        let mut export = Export::begin(client, dir.clone(), output).await?;
        export.tree().await?;
        if !leaves_only {
            export.records(tenants).await?;
        }
        export.end()
    })?;
    let checked = Folder(dir.clone()).check(&policy, None);
    let (checked, _) = checked.map_err(|e| Failure::NotGood(format!("{}: {e}", dir.display())))?;
    output.answer(&checked, || text(&dir, &checked))
}

fn text(dir: &Path, checked: &Checked) -> String {
    let Checked {
        origin,
        size,
        records,
        ..
    } = checked;
    format!(
        "{}: {origin}, {size} entries and {records} records, all checked",
        dir.display()
    )
}

/// An export under way: the checkpoint is put in its place last, so that a folder that was left halfway has
/// none, or the older one with everything it covers.
struct Export {
    client: Client,
    dir: PathBuf,
    note: String,
    size: u64,
    key: VerifierKey,
    progress: Progress,
}

impl Export {
    async fn begin(mut client: Client, dir: PathBuf, output: Output) -> Result<Self, Failure> {
        let line = client.log_key().await?;
        if !is_of(&dir, &line)? {
            let why = format!(
                "{} holds another log's export; name another folder",
                dir.display()
            );
            return Err(Failure::Local(why));
        }
        let key: VerifierKey = line.trim_end().parse().map_err(Failure::not_good)?;
        let note = client.checkpoint().await?;
        let accepted = Policy::of_log(key.clone()).accept(&note);
        let size = accepted.map_err(Failure::not_good)?.checkpoint.size();
        files::create_folder(&dir, 0o755, None)?;
        files::write_product(&dir.join(LOG_KEY), line.as_bytes())?;
        Ok(Self {
            client,
            dir,
            note,
            size,
            key,
            progress: Progress::new(output),
        })
    }

    /// Tiles and entry bundles. Whatever stands under such a path already never changes.
    async fn tree(&mut self) -> Result<(), Failure> {
        let tiles = new_tiles(0, self.size).map(|tile| tile.path());
        let paths: Vec<_> = tiles
            .chain(bundles(self.size).map(|bundle| bundle.path()))
            .collect();
        for (done, path) in paths.iter().enumerate() {
            self.progress.show("tiles", done, paths.len());
            let file = self.dir.join(path);
            if file.exists() {
                continue;
            }
            let bytes = self.client.tile(path).await?;
            if let Some(folder) = file.parent() {
                files::create_folder(folder, 0o755, None)?;
            }
            files::write_product(&file, &bytes)?;
        }
        Ok(())
    }

    /// Everything below the checkpoint's size; written anew each time, because another tenant may be wanted.
    async fn records(&mut self, tenants: &[String]) -> Result<(), Failure> {
        let path = self.dir.join(format!("{RECORDS}.tmp"));
        let failed = |source| FileError::Write {
            path: path.clone(),
            source,
        };
        let mut file = BufWriter::new(File::create(&path).map_err(failed)?);
        let take = |view: &RecordView| {
            let line = serde_json::to_string(view).map_err(Failure::local)?;
            writeln!(file, "{line}").map_err(Failure::local)
        };
        let (all, progress) = (0..self.size, &mut self.progress);
        pages::each(&mut self.client, tenants, all, progress, take).await?;
        file.flush().map_err(failed)?;
        file.get_ref().sync_all().map_err(failed)?;
        std::fs::rename(&path, self.dir.join(RECORDS)).map_err(failed)?;
        Ok(())
    }

    /// Puts the checkpoint in its place; the policy that the copy is checked with.
    fn end(self) -> Result<Policy, Failure> {
        files::write_product(&self.dir.join(CHECKPOINT), self.note.as_bytes())?;
        Ok(Policy::of_log(self.key))
    }
}
