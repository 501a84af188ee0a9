//! Every program explains itself: a manual page for each of its commands, and completions.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use sealwright_softhsm_tests::site::Site;

/// Each program, and one of the pages that it writes beside its own.
const PROGRAMS: [(&str, &str); 4] = [
    ("sealwright", "sealwright-keys-enrol.1"),
    ("sealwrightd", "sealwrightd-shard.1"),
    ("sealwright-courier", "sealwright-courier-man.1"),
    ("sealwright-witness", "sealwright-witness-serve.1"),
];

#[test]
fn every_program_has_completions_and_manual_pages() {
    let site = Site::builder().lay_out();
    for (name, page) in PROGRAMS {
        let said = |args: &[&str]| {
            let output = Command::new(site.program(name))
                .args(args)
                .output()
                .unwrap();
            assert!(output.status.success(), "{name} {args:?}: {output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let completions = said(&["completions", "bash"]);
        assert!(completions.contains(&format!(" {name}\n")), "{name}");
        let title = name.replace('-', "\\-");
        assert!(said(&["man"]).contains(&format!("{title} \\- ")), "{name}");
        let folder = site.path(name);
        std::fs::create_dir(&folder).unwrap();
        said(&["man", "--dir", folder.to_str().unwrap()]);
        for page in [&format!("{name}.1"), page] {
            assert!(folder.join(page).exists(), "{page}");
        }
    }
}
