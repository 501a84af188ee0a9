//! Shard files: what is read begins a log.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    use sealwright_core::shard::Shard;
    use sealwright_core::state::State;
    let Ok(shard) = Shard::parse(bytes, "fuzz/new") else { return };
    State::check_inheritance(shard.inheritance.events()).expect("what was read can come over");
    let text = shard.to_json().expect("what was read can be written");
    assert_eq!(Shard::parse(text.as_bytes(), "fuzz/new").ok(), Some(shard));
});
