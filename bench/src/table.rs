//! Tables for people.

use std::fmt::Write as _;

use crate::disk::Sync;
use crate::figures::Figure;
use crate::parts::Parts;
use crate::point::Point;
use crate::sample::{Sample, median};

/// One line of a token's table.
#[derive(Debug)]
pub struct Row {
    connections: usize,
    way: &'static str,
    sample: Sample,
    ratio: Option<f64>,
    cpu_beyond: Option<f64>,
}

impl Row {
    /// The row that others are compared with.
    pub fn plain(connections: usize, way: &'static str, sample: Sample) -> Self {
        Self {
            connections,
            way,
            sample,
            ratio: None,
            cpu_beyond: None,
        }
    }

    /// A row with its rate as a share of the plain one's.
    pub fn compared(connections: usize, way: &'static str, sample: Sample, ratio: f64) -> Self {
        Self {
            ratio: Some(ratio),
            ..Self::plain(connections, way, sample)
        }
    }

    /// With its CPU per operation that is not the plain row's.
    pub fn beyond(self, cpu_us: f64) -> Self {
        Self {
            cpu_beyond: Some(cpu_us),
            ..self
        }
    }
}

/// The table of one token.
pub fn token(title: &str, rows: &[Row]) -> String {
    let mut out = format!(
        "{title}\n{:>5} {:<7} {:>9} {:>7} {:>9} {:>9} {:>9} {:>8} {:>8} {:>7} {:>6}\n",
        "conns",
        "way",
        "per s",
        "of raw",
        "p50 ms",
        "p99 ms",
        "max ms",
        "CPU us",
        "- raw",
        "RSS MiB",
        "errors"
    );
    let optional = |value: Option<f64>, digits| {
        value.map_or_else(String::new, |value| format!("{value:.digits$}"))
    };
    for Row {
        connections,
        way,
        sample,
        ratio,
        cpu_beyond,
    } in rows
    {
        let line = format!(
            "{connections:>5} {way:<7} {:>9.0} {:>7} {:>9.3} {:>9.3} {:>9.3} {:>8.0} {:>8} {:>7.1} {:>6}",
            sample.rate,
            optional(*ratio, 3),
            sample.p50_us / 1e3,
            sample.p99_us / 1e3,
            sample.max_us / 1e3,
            sample.cpu_us,
            optional(*cpu_beyond, 0),
            sample.rss_mib,
            sample.errors,
        );
        let _ = writeln!(out, "{line}");
    }
    out
}

/// Where the CPU of each row goes, by thread name.
pub fn threads(rows: &[Row]) -> String {
    let mut out = "CPU us per signature by thread\n".to_owned();
    for row in rows {
        let _ = write!(out, "{:>5} {:<7}", row.connections, row.way);
        let shown = row.sample.threads_us.iter().filter(|(_, us)| *us >= 0.5);
        for (name, us) in shown {
            let _ = write!(out, " {name} {us:.0}");
        }
        out.push('\n');
    }
    out
}

/// The line of an open loop.
pub fn open_loop(rate: f64, all: &Sample) -> String {
    format!(
        "{rate:.0} arrivals/s: {:.0} signatures/s, p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms, {} errors\n",
        all.rate,
        all.p50_us / 1e3,
        all.p99_us / 1e3,
        all.max_us / 1e3,
        all.errors,
    )
}

/// The disk's line.
pub fn syncs(syncs: &[Sync]) -> String {
    let p50 = median(syncs.iter().map(|sync| sync.p50_us));
    let p99 = median(syncs.iter().map(|sync| sync.p99_us));
    format!("fdatasync after 512 bytes, preallocated: p50 {p50:.0} us, p99 {p99:.0} us\n")
}

/// What a signature cannot do without, and the ratios that it leaves possible.
pub fn parts(parts: &Parts, points: &[Point], syncs: &[Sync]) -> String {
    let sync = median(syncs.iter().map(|sync| sync.p50_us));
    let mut out = format!(
        "alone: verification {:.0} us, mTLS echo {:.0} us (both ends' CPU {:.0} us), sync {sync:.0} us\n",
        parts.verify, parts.echo, parts.echo_cpu
    );
    for point in points {
        let raw = Sample::median(&point.raw);
        let ceiling = match point.connections {
            1 => parts.ceiling_of_one(raw.p50_us, sync),
            16 => parts.ceiling_of_many(raw.cpu_us),
            _ => continue,
        };
        let reached = point.ratio(&point.daemon);
        let _ = writeln!(
            out,
            "{:>5} conns: with the token's own time they allow {ceiling:.2} of raw; reached {reached:.2}",
            point.connections
        );
    }
    out
}

/// The aims, and what was missed.
pub fn aims(figures: &[Figure]) -> String {
    let mut out = format!(
        "{:<28} {:>10} {:<7} {:<8} met\n",
        "figure", "value", "unit", "aim"
    );
    for figure in figures {
        let verdict = match (figure.missed_by, figure.floor) {
            (None, _) if figure.met => "yes".to_owned(),
            (None, _) => "not measured".to_owned(),
            (Some(by), Some(floor)) if figure.value < floor => {
                format!("NO, by {:.0} %, and below the floor of {floor}", by * 1e2)
            }
            (Some(by), _) => format!("no, by {:.0} %", by * 1e2),
        };
        let line = format!(
            "{:<28} {:>10.3} {:<7} {:<8} {verdict}",
            figure.name, figure.value, figure.unit, figure.aim
        );
        let _ = writeln!(out, "{line}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aims::{SOFTHSM_C1, SOFTHSM_CPU};
    use crate::figures::Figures;

    fn verdict(named: &crate::aims::Named, value: f64) -> String {
        let mut figures = Figures::default();
        figures.add(named, value);
        let text = aims(figures.all());
        text.lines().nth(1).unwrap().to_owned()
    }

    #[test]
    fn the_table_says_by_how_much_an_aim_is_missed() {
        assert!(verdict(&SOFTHSM_C1, 0.30).ends_with(" yes"));
        assert!(verdict(&SOFTHSM_C1, 0.20).ends_with("no, by 20 %"));
        assert!(verdict(&SOFTHSM_C1, 0.10).ends_with("NO, by 60 %, and below the floor of 0.18"));
        assert!(verdict(&SOFTHSM_CPU, 250.0).ends_with("no, by 25 %"));
    }
}
