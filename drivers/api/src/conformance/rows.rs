//! The rules, in an order that asks simple things first.

use std::time::{Duration, Instant};

use sealwright_core::verify::schemes_of;

use super::run::{Outcome, Run, Unmet, ensure, key_of, sign_task, verified};
use super::{Event, Failure, Reaction, SLACK};
use crate::wire::Answer;
use crate::{
    DriverError, ErrorClass, HashAlg, KeyUri, Nonce, Progress, Scheme, Sha256Digest, SignInput,
    SignRequest, Task,
};

/// A rule's check.
type Check = fn(&mut Run<'_>) -> Outcome;

pub(super) const ROWS: &[(&str, Check)] = &[
    ("the descriptor says what is configured", descriptor),
    ("health answers", |run| run.health()),
    (
        "each key is described with its public key and schemes",
        describe,
    ),
    ("a missing key is told from a broken token", missing),
    ("an ambiguous address is refused", ambiguous),
    ("a key of another kind is refused", other_kind),
    ("every scheme signs, and the signature verifies", sign),
    (
        "a second signature is equal or different as the scheme says",
        twice,
    ),
    ("a digest of the wrong length is refused", digest_length),
    ("a digest of another hash is refused", digest_hash),
    (
        "a message where a digest belongs is refused, and the other way round",
        input_kind,
    ),
    (
        "a scheme that does not fit the key is refused",
        other_scheme,
    ),
    (
        "the empty and the longest message are signed",
        message_lengths,
    ),
    ("a message over the limit is refused", message_too_long),
    (
        "a request ends by its deadline, and the next one works",
        deadline,
    ),
    ("a cancelled request ends, and the next one works", cancel),
    ("waiting for a touch is told, and the touch signs", touch),
    ("waiting for a touch can be cancelled", cancel_touch),
    (
        "a touch that does not come ends by the deadline",
        touch_timeout,
    ),
    ("a made key is found and signs", generate),
    ("a key is not made over another", generate_over),
    (
        "evidence is of the key and the nonce that were asked for",
        attest,
    ),
    (
        "a key is destroyed only by its fingerprint, and is gone then",
        destroy,
    ),
    ("after the device was away it works again", replug),
];

fn descriptor(run: &mut Run<'_>) -> Outcome {
    let found = run.descriptor()?;
    let expect = run.expect;
    let differs = |what: &str, found: &dyn std::fmt::Debug| format!("{what} is {found:?}");
    ensure(found.kind == expect.kind, || differs("kind", &found.kind))?;
    ensure(found.label == expect.label, || {
        differs("label", &found.label)
    })?;
    ensure(found.serial == expect.serial, || {
        differs("serial", &found.serial)
    })?;
    ensure(found.sessions == expect.sessions, || {
        differs("sessions", &found.sessions)
    })?;
    ensure((1..=64).contains(&found.sessions), || {
        differs("sessions", &found.sessions)
    })?;
    ensure(found.evidence == expect.evidence, || {
        differs("evidence", &found.evidence)
    })?;
    ensure(found.max_message > 0, || differs("max_message", &0))?;
    let sorted = |schemes: &[Scheme]| {
        let mut schemes = schemes.to_vec();
        schemes.sort_unstable();
        schemes
    };
    ensure(sorted(&found.schemes) == sorted(&expect.schemes), || {
        differs("schemes", &found.schemes)
    })?;
    ensure(found.needs_touch == expect.hands.touch.is_some(), || {
        differs("needs_touch", &found.needs_touch)
    })?;
    // A token that can make keys has to be tried with some.
    ensure(found.can_generate != expect.generate.is_empty(), || {
        differs("can_generate", &found.can_generate)
    })
}

fn describe(run: &mut Run<'_>) -> Outcome {
    for (uri, scheme) in &run.expect.keys {
        let key = run.describe(uri)?;
        ensure(key.schemes.contains(scheme), || {
            format!("{uri}: {scheme} is not among {:?}", key.schemes)
        })?;
        let fit = schemes_of(&key.spki_der);
        ensure(key.schemes.iter().all(|s| fit.contains(s)), || {
            format!("{uri}: says {:?}, its public key fits {fit:?}", key.schemes)
        })?;
        // What a description calls the key has to lead back to it.
        ensure(run.describe(&key.uri)?.spki_der == key.spki_der, || {
            format!("{}: is another key", key.uri)
        })?;
    }
    Ok(())
}

fn missing(run: &mut Run<'_>) -> Outcome {
    let key = run.expect.missing.clone();
    run.refused(&Task::Describe(key.clone()), &[ErrorClass::KeyMissing])?;
    let scheme = run.any_key()?.1;
    run.refused(&sign_task(&key, scheme, b"m"), &[ErrorClass::KeyMissing])?;
    run.health()
}

fn ambiguous(run: &mut Run<'_>) -> Outcome {
    let key = run.expect.ambiguous.clone();
    let key = key.ok_or(Unmet::NotApplicable(
        "the device cannot have two keys at one address",
    ))?;
    run.refused(&Task::Describe(key.clone()), &[ErrorClass::KeyAmbiguous])?;
    let scheme = run.any_key()?.1;
    run.refused(&sign_task(&key, scheme, b"m"), &[ErrorClass::KeyAmbiguous])
}

fn other_kind(run: &mut Run<'_>) -> Outcome {
    let text = format!("other{}", run.any_key()?.0);
    let key: KeyUri = text
        .parse()
        .map_err(|error| Unmet::Broken(format!("{text}: {error}")))?;
    run.refused(
        &Task::Describe(key),
        &[ErrorClass::BadRequest, ErrorClass::KeyMissing],
    )
}

fn sign(run: &mut Run<'_>) -> Outcome {
    for (key, scheme) in &run.expect.keys {
        run.sign(key, *scheme, b"a message")?;
    }
    let untried = |scheme: &&Scheme| !run.expect.keys.iter().any(|(_, s)| s == *scheme);
    let untried = run.expect.schemes.iter().find(untried);
    ensure(untried.is_none(), || {
        format!("no key was given to try {untried:?} with")
    })
}

fn twice(run: &mut Run<'_>) -> Outcome {
    for (key, scheme) in &run.expect.keys {
        let first = run.sign(key, *scheme, b"twice")?;
        let second = run.sign(key, *scheme, b"twice")?;
        // A repeated ECDSA or PSS signature means a broken source of randomness.
        let repeats = matches!(scheme, Scheme::RsaPkcs1Sha256 | Scheme::Ed25519);
        ensure((first == second) == repeats, || {
            format!("{scheme}: equal: {}", first == second)
        })?;
    }
    Ok(())
}

fn digest_length(run: &mut Run<'_>) -> Outcome {
    each_prehashed(run, |run, key, scheme, hash| {
        for len in [0, 20, hash.len() - 1, hash.len() + 1] {
            refuse_input(
                run,
                key,
                scheme,
                SignInput::Digest {
                    hash,
                    bytes: vec![7; len],
                },
            )?;
        }
        Ok(())
    })
}

fn digest_hash(run: &mut Run<'_>) -> Outcome {
    each_prehashed(run, |run, key, scheme, hash| {
        let other = if hash == HashAlg::Sha256 {
            HashAlg::Sha384
        } else {
            HashAlg::Sha256
        };
        refuse_input(
            run,
            key,
            scheme,
            SignInput::Digest {
                hash: other,
                bytes: other.digest(&[b"m"]),
            },
        )
    })
}

fn input_kind(run: &mut Run<'_>) -> Outcome {
    for (key, scheme) in &run.expect.keys {
        let hash = HashAlg::Sha256;
        let input = match scheme.prehash() {
            Some(_) => SignInput::Message(b"a message".to_vec()),
            None => SignInput::Digest {
                hash,
                bytes: hash.digest(&[b"m"]),
            },
        };
        refuse_input(run, key, *scheme, input)?;
    }
    Ok(())
}

fn other_scheme(run: &mut Run<'_>) -> Outcome {
    for (key, _) in &run.expect.keys {
        let fit = run.describe(key)?.schemes;
        for scheme in Scheme::ALL
            .into_iter()
            .filter(|scheme| !fit.contains(scheme))
        {
            let classes = [ErrorClass::Unsupported, ErrorClass::BadRequest];
            run.refused(&sign_task(key, scheme, b"m"), &classes)?;
        }
    }
    Ok(())
}

fn message_lengths(run: &mut Run<'_>) -> Outcome {
    let longest = run.descriptor()?.max_message as usize;
    let (key, scheme) = message_key(run)?;
    run.sign(&key, scheme, b"")?;
    run.sign(&key, scheme, &vec![0x5a; longest]).map(drop)
}

fn message_too_long(run: &mut Run<'_>) -> Outcome {
    let longest = run.descriptor()?.max_message as usize;
    let (key, scheme) = message_key(run)?;
    refuse_input(run, &key, scheme, SignInput::Message(vec![0; longest + 1]))?;
    run.sign(&key, scheme, b"the next one").map(drop)
}

fn deadline(run: &mut Run<'_>) -> Outcome {
    let (key, scheme) = run.any_key()?;
    let limit = Duration::from_millis(20);
    let asked = Instant::now();
    match run.watched(&sign_task(&key, scheme, b"m"), limit, &mut |_| {
        Reaction::Wait
    }) {
        Ok(Answer::Signature(_)) | Err(Failure::Driver(_)) => {}
        Ok(other) => return Err(Unmet::Broken(format!("the answer is {other:?}"))),
        // The host's way out; whether the device was at fault the other rows tell.
        Err(Failure::Broken(_)) => run.restart(),
        Err(failure) => return Err(failure.into()),
    }
    let took = asked.elapsed();
    ensure(took <= limit + SLACK, || {
        format!("it took {took:?} with a limit of {limit:?}")
    })?;
    run.sign(&key, scheme, b"the next one").map(drop)
}

fn cancel(run: &mut Run<'_>) -> Outcome {
    let (key, scheme) = run.any_key()?;
    let patience = run.expect.patience;
    let at_once: fn(Event) -> bool = |_| true;
    let at_work: fn(Event) -> bool = |event| matches!(event, Event::Progress(_));
    for cancels in [at_once, at_work] {
        let task = sign_task(&key, scheme, b"m");
        match run.watched(&task, patience, &mut |event| {
            Reaction::cancel_if(cancels(event))
        }) {
            // It was faster than the cancellation, or never told that it takes time.
            Ok(Answer::Signature(_)) => {}
            Err(Failure::Driver(error)) if error.class == ErrorClass::Cancelled => {}
            other => return Err(Unmet::Broken(format!("after cancelling: {other:?}"))),
        }
        run.sign(&key, scheme, b"the next one")?;
    }
    Ok(())
}

fn touch(run: &mut Run<'_>) -> Outcome {
    let expect = run.expect;
    let touch = expect.hands.touch.as_ref().ok_or(NO_TOUCH)?;
    let (key, scheme) = run.any_key()?;
    let spki = run.describe(&key)?.spki_der;
    let mut told = 0;
    let answer = run.watched(
        &sign_task(&key, scheme, b"m"),
        expect.patience,
        &mut |event| {
            if event == Event::Progress(Progress::Touch) {
                told += 1;
                touch();
            }
            Reaction::Wait
        },
    )?;
    ensure(told > 0, || {
        "it signed without telling that it waits for a touch".to_owned()
    })?;
    verified(&spki, scheme, b"m", answer).map(drop)
}

fn cancel_touch(run: &mut Run<'_>) -> Outcome {
    if run.expect.hands.touch.is_none() {
        return Err(NO_TOUCH);
    }
    let (key, scheme) = run.any_key()?;
    let patience = run.expect.patience;
    let task = sign_task(&key, scheme, b"m");
    let touching = |event| event == Event::Progress(Progress::Touch);
    let answer = run.watched(&task, patience, &mut |event| {
        Reaction::cancel_if(touching(event))
    });
    expect_class(answer, ErrorClass::Cancelled)?;
    run.sign(&key, scheme, b"the next one").map(drop)
}

fn touch_timeout(run: &mut Run<'_>) -> Outcome {
    if run.expect.hands.touch.is_none() {
        return Err(NO_TOUCH);
    }
    let (key, scheme) = run.any_key()?;
    let limit = Duration::from_millis(300);
    let answer = run.watched(&sign_task(&key, scheme, b"m"), limit, &mut |_| {
        Reaction::Wait
    });
    expect_class(answer, ErrorClass::TouchTimeout)?;
    run.sign(&key, scheme, b"the next one").map(drop)
}

fn generate(run: &mut Run<'_>) -> Outcome {
    if run.expect.generate.is_empty() {
        return Err(Unmet::NotApplicable("the device makes no keys"));
    }
    for spec in &run.expect.generate {
        run.refused(&Task::Describe(spec.uri.clone()), &[ErrorClass::KeyMissing])?;
        let made = key_of(run.ask(&Task::Generate(spec.clone()))?)?;
        ensure(made.schemes.contains(&spec.scheme), || {
            format!("{}: signs {:?}", spec.uri, made.schemes)
        })?;
        ensure(run.describe(&spec.uri)?.spki_der == made.spki_der, || {
            format!("{}: is another key", spec.uri)
        })?;
        run.sign(&spec.uri, spec.scheme, b"with a new key")?;
    }
    Ok(())
}

fn generate_over(run: &mut Run<'_>) -> Outcome {
    if run.expect.generate.is_empty() {
        return Err(Unmet::NotApplicable("the device makes no keys"));
    }
    for spec in &run.expect.generate {
        let before = run.describe(&spec.uri)?.spki_der;
        run.refused(
            &Task::Generate(spec.clone()),
            &[ErrorClass::BadRequest, ErrorClass::KeyAmbiguous],
        )?;
        ensure(run.describe(&spec.uri)?.spki_der == before, || {
            format!("{}: became another key", spec.uri)
        })?;
    }
    Ok(())
}

fn attest(run: &mut Run<'_>) -> Outcome {
    let (first, _) = run.any_key()?;
    if !run.descriptor()?.can_attest {
        let task = Task::Attest(first, Nonce::default());
        return run.refused(&task, &[ErrorClass::Unsupported]);
    }
    let expect = run.expect;
    for (key, _) in &expect.keys {
        let spki = run.describe(key)?.spki_der;
        let nonce = Nonce::of(&[&spki]);
        let found = match run.ask(&Task::Attest(key.clone(), nonce))? {
            Answer::Evidence(found) => found,
            other => return Err(Unmet::Broken(format!("the answer is {other:?}"))),
        };
        ensure(found.nonce == nonce, || format!("{key}: another nonce"))?;
        ensure(found.spki_der == spki, || format!("{key}: another key"))?;
        let token = [&found.token.kind, &found.token.label, &found.token.serial];
        ensure(
            token == [&expect.kind, &expect.label, &expect.serial],
            || format!("{key}: the token is {token:?}"),
        )?;
    }
    let missing = Task::Attest(expect.missing.clone(), Nonce::default());
    run.refused(&missing, &[ErrorClass::KeyMissing])
}

fn destroy(run: &mut Run<'_>) -> Outcome {
    if !run.descriptor()?.can_destroy {
        let (first, _) = run.any_key()?;
        let task = Task::Destroy(first, Sha256Digest::default());
        return run.refused(&task, &[ErrorClass::Unsupported]);
    }
    let expect = run.expect;
    let missing = Task::Destroy(expect.missing.clone(), Sha256Digest::default());
    run.refused(&missing, &[ErrorClass::KeyMissing])?;
    // Those that were made for the rows above; the others are the tester's.
    for spec in &expect.generate {
        let fingerprint = Sha256Digest::of(&[&run.describe(&spec.uri)?.spki_der]);
        let other = Task::Destroy(spec.uri.clone(), Sha256Digest::default());
        run.refused(&other, &[ErrorClass::BadRequest])?;
        run.sign(&spec.uri, spec.scheme, b"still there")?;
        match run.ask(&Task::Destroy(spec.uri.clone(), fingerprint))? {
            Answer::Destroyed => {}
            other => return Err(Unmet::Broken(format!("the answer is {other:?}"))),
        }
        run.refused(&Task::Describe(spec.uri.clone()), &[ErrorClass::KeyMissing])?;
        run.refused(
            &sign_task(&spec.uri, spec.scheme, b"m"),
            &[ErrorClass::KeyMissing],
        )?;
    }
    Ok(())
}

fn replug(run: &mut Run<'_>) -> Outcome {
    let hands = &run.expect.hands;
    let (Some(unplug), Some(replug)) = (&hands.unplug, &hands.replug) else {
        return Err(Unmet::NotApplicable(
            "the device cannot be taken away in this test",
        ));
    };
    let (key, scheme) = run.any_key()?;
    let before = run
        .sign(&key, scheme, b"before")
        .map(|_| run.describe(&key))??;
    unplug();
    let away = run.health();
    replug();
    ensure(away.is_err(), || {
        "health answered without a device".to_owned()
    })?;
    run.restart();
    let after = run.describe(&key)?;
    ensure(after.spki_der == before.spki_der, || {
        "it came back as another key".to_owned()
    })?;
    run.sign(&key, scheme, b"after").map(drop)
}

const NO_TOUCH: Unmet = Unmet::NotApplicable("nobody has to touch the device");

fn each_prehashed(
    run: &mut Run<'_>,
    check: fn(&mut Run<'_>, &KeyUri, Scheme, HashAlg) -> Outcome,
) -> Outcome {
    for (key, scheme) in &run.expect.keys {
        if let Some(hash) = scheme.prehash() {
            check(run, key, *scheme, hash)?;
        }
    }
    Ok(())
}

fn message_key(run: &Run<'_>) -> Result<(KeyUri, Scheme), Unmet> {
    let takes_message = |(_, scheme): &&(KeyUri, Scheme)| scheme.prehash().is_none();
    let key = run.expect.keys.iter().find(takes_message).cloned();
    key.ok_or(Unmet::NotApplicable("no scheme takes the message itself"))
}

fn refuse_input(run: &mut Run<'_>, key: &KeyUri, scheme: Scheme, input: SignInput) -> Outcome {
    let task = Task::Sign(SignRequest {
        key: key.clone(),
        scheme,
        input,
    });
    run.refused(&task, &[ErrorClass::BadRequest])
}

fn expect_class(answer: Result<Answer, Failure>, class: ErrorClass) -> Outcome {
    match answer {
        Err(Failure::Driver(DriverError { class: found, .. })) if found == class => Ok(()),
        other => Err(Unmet::Broken(format!("expected {class:?}, got {other:?}"))),
    }
}
