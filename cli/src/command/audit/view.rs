//! Records as other programs take them: an event to a line. A view proves nothing; each event carries the hash of its leaf,
//! by which it is found in a copy of the log that does.

mod cloudevents;
mod otel;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use sealwright_client::{Client, RecordView};
use sealwright_core::digest::Sha256Digest;
use sealwright_core::record::Leaf;
use sealwright_core::time::Timestamp;
use sealwright_core::tlog::Policy;
use sealwright_core::tlog::merkle::leaf_hash;
use serde::Serialize;
use serde_json::Value;

pub(super) use self::cloudevents::line as cloudevents;
pub(super) use self::otel::line as otel;
use super::pages;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::files::FileError;
use crate::output::Output;
use crate::progress::Progress;

/// Makes the line of one event.
pub(super) type Form = fn(&Recorded<'_>) -> serde_json::Result<String>;

/// A record, and what every form says of it.
pub(super) struct Recorded<'v> {
    origin: &'v str,
    view: &'v RecordView,
    leaf: Leaf,
    leaf_hash: String,
}

#[derive(Serialize)]
struct Written {
    origin: String,
    events: u64,
    /// Where the next view begins.
    next: u64,
}

/// Writes the records from `from` to the newest checkpoint.
pub(super) fn run(
    form: Form,
    file: &Path,
    from: u64,
    tenants: &[String],
    connection: Connection,
    output: Output,
) -> Result<(), Failure> {
    let written = connection.run(async |client| {
        let mut out: Box<dyn Write> = match file == Path::new("-") {
            true => Box::new(std::io::stdout()),
            false => Box::new(File::create(file).map_err(|source| FileError::Write {
                path: file.to_owned(),
                source,
            })?),
        };
        let mut out = BufWriter::new(&mut out);
        let mut progress = Progress::new(output);
        let written = write(form, client, from, tenants, &mut progress, &mut out).await?;
        out.flush().map_err(Failure::local)?;
        Ok::<_, Failure>(written)
    })?;
    let text = || {
        let Written {
            origin,
            events,
            next,
        } = &written;
        format!("{origin}: {events} events; the next ones: --from {next}")
    };
    output.beside(file, &written, text)
}

async fn write(
    form: Form,
    mut client: Client,
    from: u64,
    tenants: &[String],
    progress: &mut Progress,
    out: &mut impl Write,
) -> Result<Written, Failure> {
    let key = client.log_key().await?;
    let key = key.trim_end().parse().map_err(Failure::not_good)?;
    let note = client.checkpoint().await?;
    let accepted = Policy::of_log(key).accept(&note);
    let checkpoint = accepted.map_err(Failure::not_good)?.checkpoint;
    let (origin, size) = (checkpoint.origin(), checkpoint.size());
    let take = |view: &RecordView| {
        let line = form(&Recorded::of(origin, view)?).map_err(Failure::local)?;
        writeln!(out, "{line}").map_err(Failure::local)
    };
    let events = pages::each(&mut client, tenants, from..size, progress, take).await?;
    Ok(Written {
        origin: origin.to_owned(),
        events,
        next: size.max(from),
    })
}

impl<'v> Recorded<'v> {
    fn of(origin: &'v str, view: &'v RecordView) -> Result<Self, Failure> {
        let leaf = Leaf::from_bytes(view.leaf.as_bytes());
        let leaf = leaf.map_err(|e| Failure::NotGood(format!("record {}: {e}", view.index)))?;
        Ok(Self {
            origin,
            view,
            leaf_hash: Sha256Digest(leaf_hash(view.leaf.as_bytes())).to_string(),
            leaf,
        })
    }

    fn index(&self) -> u64 {
        self.view.index
    }

    fn time(&self) -> Timestamp {
        self.leaf.time()
    }

    fn kind(&self) -> &str {
        self.leaf.kind()
    }

    /// The body, or what became of it.
    fn data(&self) -> Value {
        let RecordView {
            record,
            erased,
            archived,
            ..
        } = self.view;
        match record {
            Some(record) => serde_json::from_str(record.get()).unwrap_or_default(),
            None => serde_json::json!({ "erased": erased, "archived": archived }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of this outcome, or one whose body was erased.
    pub(super) fn view(outcome: Option<&str>) -> RecordView {
        let leaf = r#"{"body":"","i":7,"kind":"sign","t":"2026-11-25T08:00:00.123Z","v":1}"#;
        let leaf = leaf.replace(
            "\"body\":\"\"",
            &format!("\"body\":\"{}\"", "00".repeat(32)),
        );
        let body = serde_json::json!({
            "v": 1, "seq": 7, "time": "2026-11-25T08:00:00.123Z", "kind": "sign", "outcome": outcome,
            "key": "default/release", "key_version": 2, "once": true, "signature_sha256": ["ab"],
            "peer": { "uid": 64010 },
        });
        serde_json::from_value(match outcome {
            Some(_) => serde_json::json!({ "index": 7, "leaf": leaf, "salt": "", "record": body }),
            None => serde_json::json!({ "index": 7, "leaf": leaf, "erased": { "by": 9 } }),
        })
        .unwrap()
    }

    pub(super) fn line_of(form: Form, view: &RecordView) -> Value {
        let line = form(&Recorded::of("site.example/log", view).unwrap()).unwrap();
        assert!(!line.contains('\n'));
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn a_record_whose_leaf_is_none_is_in_no_view() {
        let mut view = view(Some("signed"));
        view.leaf.push(' ');
        assert!(Recorded::of("site.example/log", &view).is_err());
    }
}
