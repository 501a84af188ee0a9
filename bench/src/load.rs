//! Callers of the daemon: a thread per connection, each with one request at a time.

use std::io;
use std::thread;
use std::time::Instant;

use sealwright_core::dsse::{Envelope, Options, TrustedKey};
use sealwright_core::spki::Spki;
use sealwright_softhsm_tests::site::Site;
use sealwright_softhsm_tests::site::http::Request;

use crate::sample::{Tally, Window};
use crate::tls::{Answer, Caller, Endpoint};

/// Of so many answers one is verified; more would measure the verifier.
const VERIFY_ONE_IN: u64 = 1000;

/// What to ask for, ready to be sent, and how to tell whether it was given.
#[derive(Debug, Clone)]
pub struct Ask {
    request: Vec<u8>,
    key: Option<TrustedKey>,
}

impl Ask {
    /// A signature by `label` over `payload`.
    pub fn signature(site: &Site, label: &str, payload: &[u8]) -> io::Result<Self> {
        let keys = site.client().get(&format!("/v1/keys/default/{label}"));
        let keys = keys.ok().json();
        let pem = keys["keys"][0]["public_key_pem"].as_str();
        let spki = Spki::from_pem(pem.unwrap_or_default()).map_err(io::Error::other)?;
        Ok(Self {
            request: Request::sign(&format!("key={label}"), payload).bytes(),
            key: Some(TrustedKey::with_default_scheme(spki).map_err(io::Error::other)?),
        })
    }

    /// The same request to somebody who only echoes.
    pub fn without_signature(&self) -> Self {
        Self {
            key: None,
            ..self.clone()
        }
    }

    fn send(&self, caller: &mut Caller, number: u64) -> io::Result<bool> {
        let answer = caller.exchange(&self.request)?;
        let verify = number.is_multiple_of(VERIFY_ONE_IN);
        Ok(answer.ok && (!verify || self.is_verified(&answer)))
    }

    fn is_verified(&self, answer: &Answer<'_>) -> bool {
        let Some(key) = &self.key else { return true };
        let key = std::slice::from_ref(key);
        Envelope::parse(answer.body)
            .is_ok_and(|envelope| envelope.verify(key, 1, Options::default()).is_ok())
    }

    /// Sends request `number` and tells what went wrong.
    pub fn succeeds(&self, caller: &mut Caller, number: u64) -> bool {
        match self.send(caller, number) {
            Ok(true) => true,
            Ok(false) => {
                eprintln!("daemon: a refusal, or a signature that does not verify");
                false
            }
            Err(error) => {
                eprintln!("daemon: {error}");
                false
            }
        }
    }
}

/// Opens `connections` that are kept alive.
pub fn connect(endpoint: &Endpoint, connections: usize) -> io::Result<Vec<Caller>> {
    (0..connections).map(|_| endpoint.connect()).collect()
}

/// Each connection sends its next request when it has the answer to the last.
pub fn closed_loop(callers: Vec<Caller>, ask: &Ask, window: Window) -> Tally {
    each(callers, window, |mut caller, mut tally| {
        for number in 0.. {
            let begun = Instant::now();
            let ok = ask.succeeds(&mut caller, number);
            if !tally.note(begun, ok) || !ok {
                break;
            }
        }
        tally
    })
}

/// A new connection for each request, `at_once` at any time.
pub fn new_connections(endpoint: &Endpoint, ask: &Ask, at_once: usize, window: Window) -> Tally {
    each(vec![(); at_once], window, |(), mut tally| {
        for number in 0.. {
            let begun = Instant::now();
            let ok = match endpoint.connect() {
                Ok(mut caller) => ask.succeeds(&mut caller, number),
                Err(error) => {
                    eprintln!("connecting: {error}");
                    false
                }
            };
            if !tally.note(begun, ok) || !ok {
                break;
            }
        }
        tally
    })
}

/// A thread for each of `seeds`.
pub fn each<T: Send>(
    seeds: Vec<T>,
    window: Window,
    run: impl Fn(T, Tally) -> Tally + Sync,
) -> Tally {
    let run = &run;
    let tallies = thread::scope(|scope| {
        let start = |seed| scope.spawn(move || run(seed, Tally::new(window)));
        let threads: Vec<_> = seeds.into_iter().map(start).collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .collect::<Vec<_>>()
    });
    Tally::merged(window, tallies)
}
