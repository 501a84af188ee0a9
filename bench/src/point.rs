//! One number of connections, measured in rounds.

use std::io;
use std::time::Duration;

use crate::child::Order;
use crate::load;
use crate::rig::Rig;
use crate::sample::{Sample, Window, median};
use crate::table::Row;

/// What its rounds gave, one way after the other.
pub struct Point {
    /// Requests that wait at any time.
    pub connections: usize,
    /// The driver's library in a process of its own.
    pub raw: Vec<Sample>,
    driver: Vec<Sample>,
    /// Through the daemon.
    pub daemon: Vec<Sample>,
}

impl Point {
    /// Nothing yet.
    pub fn new(connections: usize) -> Self {
        Self {
            connections,
            raw: Vec::new(),
            driver: Vec::new(),
            daemon: Vec::new(),
        }
    }

    /// One round of all three ways.
    pub fn measure(&mut self, rig: &mut Rig, time: Duration) -> io::Result<()> {
        let connections = self.connections;
        let order = |pids| Order {
            connections,
            time,
            pids,
        };
        self.raw.push(rig.raw.measure(&order(Vec::new()))?);
        self.driver
            .push(rig.wire.measure(&order(vec![rig.driver]))?);
        let callers = load::connect(&rig.endpoint, connections)?;
        let window = Window::of(time);
        let load = || load::closed_loop(callers, &rig.ask, window);
        self.daemon
            .push(Sample::measure(window, &rig.daemon_and_driver(), load));
        Ok(())
    }

    /// Median of what the rounds gave; raw and the other way of one round ran one after the other.
    fn against_raw(&self, way: &[Sample], compare: fn(&Sample, &Sample) -> f64) -> f64 {
        median(
            way.iter()
                .zip(&self.raw)
                .map(|(way, raw)| compare(way, raw)),
        )
    }

    /// A way's rate as a share of raw.
    pub fn ratio(&self, way: &[Sample]) -> f64 {
        self.against_raw(way, |way, raw| way.rate / raw.rate)
    }

    /// CPU without the token's own.
    pub fn cpu_beyond(&self, way: &[Sample]) -> f64 {
        self.against_raw(way, |way, raw| way.cpu_us - raw.cpu_us)
    }

    /// The three lines of the table.
    pub fn rows(&self) -> [Row; 3] {
        let compared = |name, way: &[Sample]| {
            Row::compared(self.connections, name, Sample::median(way), self.ratio(way))
                .beyond(self.cpu_beyond(way))
        };
        [
            Row::plain(self.connections, "raw", Sample::median(&self.raw)),
            compared("driver", &self.driver),
            compared("daemon", &self.daemon),
        ]
    }

    /// Of all three ways.
    pub fn errors(&self) -> u64 {
        let all = self.raw.iter().chain(&self.driver).chain(&self.daemon);
        all.map(|sample| sample.errors).sum()
    }
}
