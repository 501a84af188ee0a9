//! RSA keys that can be factored from their public part: those of Infineon's library before 2017 (CVE-2017-15361), in
//! TPMs and security keys among others.

use rsa::BoxedUint;

/// Primes of such keys are `k·M + 65537^a mod M`, with M the product of the first primes: so the modulus is a power of
/// 65537 modulo each of them. A key of another make passes for one with a chance of 2^-74.
const PRIMES: [u32; 39] = [
    2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
    101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Whether a modulus was made that way.
pub(crate) fn is_roca(modulus: &BoxedUint) -> bool {
    let bytes = modulus.to_be_bytes();
    PRIMES
        .iter()
        .all(|prime| is_power(rest(&bytes, *prime), *prime))
}

fn rest(bytes: &[u8], prime: u32) -> u32 {
    let step = |rest: u32, byte: &u8| (rest * 256 + u32::from(*byte)) % prime;
    bytes.iter().fold(0, step)
}

/// Whether `value` is a power of 65537 modulo `prime`.
fn is_power(value: u32, prime: u32) -> bool {
    let (generator, one) = (65537 % prime, 1 % prime);
    let next = |power: &u32| Some(power * generator % prime).filter(|power| *power != one);
    std::iter::successors(Some(one), next)
        .take(prime as usize)
        .any(|power| power == value)
}
