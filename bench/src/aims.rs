//! The aims: what each figure shall be, and by how much it is missed.

use std::fmt;

/// What a figure shall be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aim {
    /// At least this much.
    AtLeast(f64),
    /// At most this much.
    AtMost(f64),
    /// Exactly this.
    Exactly(f64),
}

impl Aim {
    /// Whether `value` is what it shall be.
    pub fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(aim) => value >= aim,
            Self::AtMost(aim) => value <= aim,
            Self::Exactly(aim) => value == aim,
        }
    }

    /// How far `value` is on the wrong side, as a share of the aim; absolute where the aim is zero.
    pub fn missed_by(self, value: f64) -> Option<f64> {
        let (Self::AtLeast(aim) | Self::AtMost(aim) | Self::Exactly(aim)) = self;
        let miss = (value - aim).abs();
        let share = if aim == 0.0 { miss } else { miss / aim.abs() };
        (!self.is_met(value) && !share.is_nan()).then_some(share)
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(aim) => write!(f, ">= {aim}"),
            Self::AtMost(aim) => write!(f, "<= {aim}"),
            Self::Exactly(aim) => write!(f, "= {aim}"),
        }
    }
}

/// An aim by the name of its figure.
pub struct Named {
    /// The figure's name.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// What it shall be.
    pub aim: Aim,
    /// Below this it is not done at all.
    pub floor: Option<f64>,
}

const fn named(name: &'static str, unit: &'static str, aim: Aim) -> Named {
    Named {
        name,
        unit,
        aim,
        floor: None,
    }
}

const fn with_floor(named: Named, floor: f64) -> Named {
    Named {
        floor: Some(floor),
        ..named
    }
}

/// Signatures per second behind the daemon, as a share of the raw token's with one thread.
pub const SOFTHSM_C1: Named = with_floor(
    named("softhsm.p256.ratio.c1", "ratio", Aim::AtLeast(0.25)),
    0.18,
);
/// The same with sixteen clients and sixteen raw threads.
pub const SOFTHSM_C16: Named = with_floor(
    named("softhsm.p256.ratio.c16", "ratio", Aim::AtLeast(0.50)),
    0.40,
);
/// Requests that failed in any row of the token's table.
pub const SOFTHSM_ERRORS: Named = named("softhsm.p256.errors", "errors", Aim::Exactly(0.0));
/// CPU of daemon and driver host for one signature, without the token's own.
pub const SOFTHSM_CPU: Named = named("softhsm.p256.cpu_us", "us", Aim::AtMost(200.0));
/// Against the driver alone: a card takes a tenth of a second.
pub const PIV_C1: Named = named("piv.p256.ratio.c1", "ratio", Aim::AtLeast(0.95));
/// From the moment a card is put in again to the first good signature, reader and all.
pub const PIV_REPLUG: Named = named("piv.replug_s", "s", Aim::AtMost(2.0));
/// Against raw in the same kind of session.
pub const SWTPM_C16: Named = named("swtpm.p256.ratio.c16", "ratio", Aim::AtLeast(0.95));
/// Longest wait of sixteen clients: a FIFO keeps it near the median, an unfair lock does not.
pub const SWTPM_WAIT: Named = named("swtpm.p256.wait_over_median", "ratio", Aim::AtMost(16.0));
/// Against what sixteen sessions of 5 ms could do.
pub const SCRIPTED_RATIO: Named = named("scripted.5ms.ratio", "ratio", Aim::AtLeast(0.98));
/// At 80 % load, arrivals at fixed times, without the device's 5 ms and the disk's own p99.
pub const SCRIPTED_ADDED: Named = named("scripted.5ms.added_p99_ms", "ms", Aim::AtMost(1.0));
/// A new mTLS connection per signature against one per echo.
pub const HANDSHAKE: Named = named("handshake.ratio", "ratio", Aim::AtLeast(0.8));
/// Requests that failed while the key they use was rotated, 64 clients.
pub const ROTATION_ERRORS: Named = named("rotation.errors", "errors", Aim::Exactly(0.0));
/// Requests sent after a revocation was accepted that were signed all the same, 16 clients, worst round.
pub const REVOCATION: Named = named("revocation.next_request", "signed", Aim::Exactly(0.0));
/// From the accepted call to the first refusal.
pub const REVOCATION_MS: Named = named("revocation.to_refusal_ms", "ms", Aim::AtMost(50.0));
/// Old signatures that get their verdict, each verified under four versions of its key, on all cores.
pub const VERDICTS: Named = named("verdict.rate", "per s", Aim::AtLeast(500.0));
/// The daemon after its start, with one key and no client.
pub const RSS_IDLE: Named = named("daemon.rss_idle_mib", "MiB", Aim::AtMost(40.0));
/// CPU of the daemon for one signature over a statement of 5 MB.
pub const STATEMENT: Named = named("statement.5mb.daemon_cpu_ms", "ms", Aim::AtMost(40.0));
/// Ready records made durable 64 at a time, against one plain append and `fdatasync` of as many bytes.
pub const JOURNAL_RATIO: Named = named("journal.ratio.w64", "ratio", Aim::AtLeast(0.8));
/// Records per second that 64 callers get through the writer on tmpfs: decided, encoded, salted, hashed, durable.
pub const JOURNAL_WRITER: Named = named("journal.writer.w64", "per s", Aim::AtLeast(20_000.0));
/// The same with everything that follows a record: tree, snapshots and index, each record with another subject.
pub const WHOLE: Named = named("journal.whole.tmpfs", "per s", Aim::AtLeast(20_000.0));
/// The longest time that a durable record waited for the index meanwhile.
pub const WHOLE_LAG: Named = named("journal.whole.lag_ms", "ms", Aim::AtMost(1000.0));
/// The longest time but for one in a hundred that a caller waited for its record meanwhile. Reported.
pub const WHOLE_P99: Named = named("journal.whole.p99_ms", "ms", Aim::AtMost(1000.0));
/// An inclusion proof from the largest log, tiles in the page cache.
pub const PROOF_US: Named = named("log.proof_us", "us", Aim::AtMost(200.0));
/// The same against a log of a thousand records.
pub const PROOF_FLAT: Named = named("log.proof_over_1000", "ratio", Aim::AtMost(2.0));
/// From start to the first record that can be written, with a million records.
pub const READY: Named = named("log.1m.ready_ms", "ms", Aim::AtMost(300.0));
/// Most resident memory of that start, until index and background check are done or nearly so.
pub const LOG_RSS: Named = named("log.1m.rss_mib", "MiB", Aim::AtMost(96.0));
/// Records per second into a new index. Reported: the aim is to have it at all.
pub const REINDEX: Named = named("log.1m.reindex", "per s", Aim::AtLeast(0.0));
/// Journal and tiles. Reported as well.
pub const LOG_BYTES: Named = named("log.1m.bytes", "B/rec", Aim::AtMost(4096.0));
/// Canonical form of receipts over 5 MB of JSON, against `serde_json_canonicalizer` with the parser it needs.
pub const CANONICAL: Named = named("receipts.canonical.ratio", "ratio", Aim::AtLeast(1.0));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_met_on_its_own_side_and_missed_by_a_share_on_the_other() {
        assert_eq!(Aim::AtLeast(0.5).missed_by(0.5), None);
        assert_eq!(Aim::AtLeast(0.5).missed_by(0.4), Some(0.19999999999999996));
        assert_eq!(Aim::AtMost(40.0).missed_by(39.0), None);
        assert_eq!(Aim::AtMost(40.0).missed_by(50.0), Some(0.25));
        assert_eq!(Aim::Exactly(0.0).missed_by(3.0), Some(3.0));
    }

    #[test]
    fn a_figure_that_could_not_be_measured_meets_no_aim() {
        for aim in [Aim::AtLeast(1.0), Aim::AtMost(1.0), Aim::Exactly(0.0)] {
            assert!(!aim.is_met(f64::NAN), "{aim}");
        }
    }

    #[test]
    fn an_aim_is_written_as_it_is_read() {
        assert_eq!(Aim::AtLeast(0.25).to_string(), ">= 0.25");
        assert_eq!(Aim::AtMost(200.0).to_string(), "<= 200");
        assert_eq!(Aim::Exactly(0.0).to_string(), "= 0");
    }
}
