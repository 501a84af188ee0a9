//! Yubico's own tool.

use std::process::{Command, Output};

use super::Host;

/// How many wrong PINs the card still takes.
pub fn tries_left(host: &Host) -> u8 {
    let status = piv_tool(host, &["-a", "status"]);
    let line = status
        .lines()
        .find(|line| line.starts_with("PIN tries left"));
    let tries = line.unwrap().rsplit('\t').next().unwrap();
    tries.trim().parse().unwrap()
}

/// What it prints.
pub fn piv_tool(host: &Host, arguments: &[&str]) -> String {
    String::from_utf8(run(host, arguments).stdout).unwrap()
}

pub fn run(host: &Host, arguments: &[&str]) -> Output {
    let mut tool = Command::new("yubico-piv-tool");
    tool.args(["-r", "Virtual"]).args(arguments);
    tool.envs(host.reader.environment()).output().unwrap()
}
