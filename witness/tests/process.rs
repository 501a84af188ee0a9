//! The built witness, driven over HTTP: what it cosigns, what it refuses, what it never forgets.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::io::Read as _;

use sealwright_core::tlog::Note;
use sealwright_core::tlog::add_checkpoint::{MAX_REQUEST_BYTES, SIZE_MEDIA_TYPE};
use serde_json::Value;
use support::{Log, Witness, names};

const ORIGIN: &str = "log.test/a";

fn witness() -> (Witness, Log) {
    let log = Log::new(ORIGIN);
    (Witness::of(ORIGIN, &log.vkey().to_string()), log)
}

#[test]
fn the_steps_of_the_standards_vectors_get_their_answers() {
    let Some(folder) = std::env::var_os("SEALWRIGHT_VECTORS") else {
        println!("SEALWRIGHT_VECTORS is not set: no vectors ran");
        return;
    };
    let folder = std::path::Path::new(&folder).join("tlog-witness");
    let files = names(&folder)
        .into_iter()
        .filter(|name| name.ends_with(".json"));
    let files: BTreeMap<String, Value> = files
        .map(|name| {
            (
                name.clone(),
                serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap(),
            )
        })
        .collect();
    assert!(!files.is_empty(), "{} has no vectors", folder.display());
    for (file, vectors) in files {
        let log = vectors["log_vkey"].as_str().unwrap();
        let (origin, _) = log.split_once('+').unwrap();
        let witness = Witness::of(origin, log);
        for step in vectors["steps"].as_array().unwrap() {
            run_step(&witness, &format!("{file}: {}", step["name"]), step);
        }
    }
}

fn run_step(witness: &Witness, at: &str, step: &Value) {
    let body = step["request_body"].as_str().unwrap();
    let answer = witness.post(body.as_bytes());
    assert_eq!(step["status"], answer.status, "{at}: {answer:?}");
    if let Some(content_type) = step["content_type"].as_str() {
        assert_eq!(answer.content_type.as_deref(), Some(content_type), "{at}");
    }
    match step["response"]["kind"].as_str().unwrap() {
        "any" => {}
        "exact" => assert_eq!(step["response"]["body"], answer.body, "{at}"),
        "cosignature-lines" => drop(witness.cosigned(body, &answer)),
        other => panic!("{at}: {other} is no kind of response"),
    }
}

#[test]
fn a_growing_log_is_cosigned_with_the_time_and_shown_to_monitors() {
    let (witness, log) = witness();
    let before = now();
    for (old, size) in [(0, 5), (5, 12), (12, 12)] {
        let request = log.request(old, size);
        let time = witness.cosigned(&request, &witness.post(request.as_bytes()));
        assert!((before..=now()).contains(&time), "{time}");
    }
    let id = names(&witness.state()).remove(0);
    let shown = witness.get(&format!("/{id}/checkpoint"));
    let note = Note::parse(&shown.body).unwrap();
    assert_eq!(note.verify([&log.vkey(), &witness.key]).unwrap().len(), 2);
    assert!(note.text().contains("\n12\n"));
    assert_eq!(witness.get("/00/checkpoint").status, 404);
}

fn now() -> u64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_restart_after_kill_dash_nine_remembers_every_cosignature() {
    let (mut witness, log) = witness();
    let mut stored = 0;
    for size in [3, 4, 9, 20] {
        let request = log.request(stored, size);
        witness.cosigned(&request, &witness.post(request.as_bytes()));
        witness.kill();
        witness.start();
        let stale = witness.post(log.request(stored, size + 1).as_bytes());
        assert_eq!((stale.status, stale.body), (409, format!("{size}\n")));
        assert_eq!(stale.content_type.as_deref(), Some(SIZE_MEDIA_TYPE));
        let rewritten = log.rewritten().request(size, size + 1);
        assert_eq!(witness.post(rewritten.as_bytes()).status, 422);
        stored = size;
    }
}

#[test]
fn a_half_written_state_file_of_a_crash_is_not_read() {
    let (mut witness, log) = witness();
    let request = log.request(0, 3);
    witness.cosigned(&request, &witness.post(request.as_bytes()));
    witness.kill();
    let id = names(&witness.state()).remove(0);
    std::fs::write(witness.state().join(format!("{id}.new")), "log.te").unwrap();
    witness.start();
    let next = log.request(3, 7);
    witness.cosigned(&next, &witness.post(next.as_bytes()));
    assert_eq!(names(&witness.state()), [id, "lock".to_owned()]);
}

#[test]
fn a_state_file_that_cannot_be_written_means_no_cosignature() {
    let (witness, log) = witness();
    let id = hex_id(&witness, &log);
    std::fs::create_dir(witness.state().join(format!("{id}.new"))).unwrap();
    let request = log.request(3, 7);
    assert_eq!(witness.post(request.as_bytes()).status, 500);
    std::fs::remove_dir(witness.state().join(format!("{id}.new"))).unwrap();
    witness.cosigned(&request, &witness.post(request.as_bytes()));
}

/// The name of the log's state file, after a first checkpoint of 3 leaves.
fn hex_id(witness: &Witness, log: &Log) -> String {
    let request = log.request(0, 3);
    witness.cosigned(&request, &witness.post(request.as_bytes()));
    names(&witness.state()).remove(0)
}

#[test]
fn a_damaged_state_file_stops_the_witness_and_is_named() {
    let (mut witness, log) = witness();
    let id = hex_id(&witness, &log);
    witness.kill();
    let path = witness.state().join(&id);
    let good = std::fs::read_to_string(&path).unwrap();
    for bad in [
        good.replace("\n3\n", "\n2\n"),
        good[..20].to_owned(),
        String::new(),
    ] {
        std::fs::write(&path, bad).unwrap();
        let said = witness.refused_start();
        assert!(
            said.contains(&id) && said.contains("retire this witness"),
            "{said}"
        );
    }
    std::fs::write(&path, good).unwrap();
    witness.start();
}

#[test]
fn two_witnesses_never_share_a_state_folder() {
    let (witness, _) = witness();
    let said = witness.refused_start();
    assert!(said.contains("another sealwright-witness"), "{said}");
}

#[test]
fn garbage_gets_an_answer_and_changes_nothing() {
    let (witness, log) = witness();
    let status = |body: &[u8]| witness.post(body).status;
    assert_eq!(status(b""), 400);
    assert_eq!(status(b"{}"), 400);
    assert_eq!(status(&[0xff; 100]), 400);
    assert_eq!(status(b"old 1\n\nnot a note\n"), 403);
    assert_eq!(status(&vec![b'x'; MAX_REQUEST_BYTES + 1]), 413);
    assert_eq!(witness.get("/add-checkpoint").status, 405);
    assert_eq!(witness.get("/").status, 404);
    let broken = witness.send(
        "POST /add-checkpoint HTTP/1.1\r\nContent-Length: 9\r\nContent-Length: 8\r\n",
        b"",
    );
    assert!(broken.is_none_or(|answer| answer.status == 400));
    let other = Log::new("log.test/other").request(0, 3);
    assert_eq!(status(other.as_bytes()), 404);
    assert_eq!(names(&witness.state()), ["lock"]);
    let request = log.request(0, 3);
    witness.cosigned(&request, &witness.post(request.as_bytes()));
}

#[test]
fn of_two_histories_sent_at_once_one_is_cosigned() {
    let (witness, log) = witness();
    let (a, b) = (log.request(0, 5), log.rewritten().request(0, 5));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let posts: Vec<_> = [&a, &b, &a, &b]
            .map(|request| scope.spawn(|| witness.post(request.as_bytes()).status))
            .into();
        posts.into_iter().map(|post| post.join().unwrap()).collect()
    });
    let cosigned = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(cosigned, 1, "{statuses:?}");
}

#[test]
fn connections_that_say_nothing_are_closed_and_too_many_are_not_taken() {
    let (witness, log) = witness();
    let silent: Vec<_> = (0..64).map(|_| witness.connect()).collect();
    // The one beyond them is closed without a word, as soon as the witness has taken the others.
    let mut beyond = witness.connect();
    assert_eq!(beyond.read(&mut [0]).unwrap_or(0), 0);
    for mut stream in silent {
        // Each is closed by the witness after the time for a head.
        let mut said = Vec::new();
        stream.read_to_end(&mut said).unwrap();
        assert!(
            said.is_empty() || said.starts_with(b"HTTP/1.1 408"),
            "{said:?}"
        );
    }
    let request = log.request(0, 3);
    witness.cosigned(&request, &witness.post(request.as_bytes()));
}

#[test]
fn a_body_that_does_not_arrive_is_answered_and_given_up() {
    let (witness, _) = witness();
    let head = "POST /add-checkpoint HTTP/1.1\r\nContent-Length: 100\r\n";
    let answer = witness.send(head, b"old 0\n").expect("an answer");
    assert_eq!(answer.status, 408);
}
