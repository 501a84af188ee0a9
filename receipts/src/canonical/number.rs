//! Decimal numbers of four places, read from their text and rounded half to even.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use super::Rule;

/// Decimal places that are kept.
const PLACES: i64 = 4;
/// Units in one: 10 to the power of the places.
const ONE: u128 = 10_000;
/// The largest integer, 2^53 − 1: beyond it doubles skip integers.
const INTEGER_MAX: u128 = (1 << 53) - 1;
/// The largest number with a fraction, in units of 0.0001: 15 digits, which every double holds.
const UNITS_MAX: u128 = 999_999_999_999_999;
/// Digits of [`INTEGER_MAX`] in units, and one more: what has more is out of range without looking at it.
const DIGITS_MAX: usize = 21;

/// A decimal number of four places.
///
/// ```
/// # use sealwright_receipts::canonical::Decimal;
/// assert_eq!("1.00005".parse::<Decimal>().unwrap().to_string(), "1");
/// assert_eq!("1.00015".parse::<Decimal>().unwrap().to_string(), "1.0002");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Decimal {
    negative: bool,
    /// In units of 0.0001.
    units: u128,
}

/// Why a text is no decimal of four places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not a number as JSON writes them.
    #[error("not a JSON number")]
    Syntax,
    /// Larger than what doubles hold exactly.
    #[error("out of range")]
    OutOfRange,
}

impl Decimal {
    /// Its text by `rule`.
    pub fn write(self, rule: Rule, out: &mut Vec<u8>) {
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = match rule {
            Rule::Q4 => write!(text, "{self}"),
            Rule::Fixed4 => write!(text, "{self:.4}"),
        };
        out.extend_from_slice(text.as_bytes());
    }

    fn in_range(negative: bool, units: u128) -> Result<Self, DecimalError> {
        let fits = match units % ONE {
            0 => units / ONE <= INTEGER_MAX,
            _ => units <= UNITS_MAX,
        };
        if !fits {
            return Err(DecimalError::OutOfRange);
        }
        // There is one zero.
        let negative = negative && units != 0;
        Ok(Self { negative, units })
    }
}

impl fmt::Display for Decimal {
    /// The shortest text; with a precision, as in `{:.4}`, all four places.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        let (whole, places) = (self.units / ONE, self.units % ONE);
        let text = format!("{places:04}");
        match f.precision() {
            Some(_) => write!(f, "{sign}{whole}.{text}"),
            None if places == 0 => write!(f, "{sign}{whole}"),
            None => write!(f, "{sign}{whole}.{}", text.trim_end_matches('0')),
        }
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let parts = Parts::of(text).ok_or(DecimalError::Syntax)?;
        let digits = parts.significant();
        // The number is `digits` × 10^`shift` units.
        let shift = parts
            .exponent
            .saturating_add(PLACES)
            .saturating_sub(i64::try_from(parts.fraction.len()).unwrap_or(i64::MAX));
        let units = match usize::try_from(shift) {
            Ok(zeros) => scaled(&digits, zeros)?,
            Err(_) => rounded(&digits, shift.unsigned_abs())?,
        };
        Self::in_range(parts.negative, units)
    }
}

/// The pieces of a number's text.
struct Parts<'t> {
    negative: bool,
    whole: &'t str,
    fraction: &'t str,
    exponent: i64,
}

impl<'t> Parts<'t> {
    fn of(text: &'t str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(pair) => pair,
            None => (mantissa, ""),
        };
        let is_integer = all_digits(whole) && (whole.len() == 1 || !whole.starts_with('0'));
        (is_integer && (fraction.is_empty() || all_digits(fraction))).then_some(Self {
            negative,
            whole,
            fraction,
            exponent,
        })
    }

    /// All digits without leading zeros; none for zero.
    fn significant(&self) -> Vec<u8> {
        let all = self.whole.bytes().chain(self.fraction.bytes());
        all.skip_while(|digit| *digit == b'0').collect()
    }
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// An exponent; one beyond 64 bits is as good as the largest.
fn exponent_of(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !all_digits(digits) {
        return None;
    }
    let size = digits.parse().unwrap_or(i64::MAX);
    Some(if text.starts_with('-') { -size } else { size })
}

/// `digits` with `zeros` behind them.
fn scaled(digits: &[u8], zeros: usize) -> Result<u128, DecimalError> {
    if digits.is_empty() {
        return Ok(0);
    }
    if digits.len().saturating_add(zeros) > DIGITS_MAX {
        return Err(DecimalError::OutOfRange);
    }
    value(
        digits
            .iter()
            .copied()
            .chain(std::iter::repeat_n(b'0', zeros)),
    )
}

/// `digits` without the last `dropped`, rounded half to even.
fn rounded(digits: &[u8], dropped: u64) -> Result<u128, DecimalError> {
    let dropped = usize::try_from(dropped).unwrap_or(usize::MAX);
    let Some(kept) = digits.len().checked_sub(dropped) else {
        // Less than a tenth of a unit.
        return Ok(0);
    };
    if kept > DIGITS_MAX {
        return Err(DecimalError::OutOfRange);
    }
    let (kept, tail) = digits.split_at(kept);
    let units = value(kept.iter().copied())?;
    let is_up = match tail.split_first() {
        Some((b'5', rest)) => rest.iter().any(|digit| *digit != b'0') || units % 2 == 1,
        Some((first, _)) => *first > b'5',
        None => false,
    };
    units
        .checked_add(u128::from(is_up))
        .ok_or(DecimalError::OutOfRange)
}

fn value(digits: impl Iterator<Item = u8>) -> Result<u128, DecimalError> {
    let mut units = 0u128;
    for digit in digits {
        let next = units.checked_mul(10);
        let next = next.and_then(|tens| tens.checked_add(u128::from(digit - b'0')));
        units = next.ok_or(DecimalError::OutOfRange)?;
    }
    Ok(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Result<String, DecimalError> {
        text.parse::<Decimal>().map(|decimal| decimal.to_string())
    }

    #[test]
    fn a_number_is_rounded_as_text_and_half_to_even() {
        for (text, canonical) in [
            ("1.00005", "1"),
            ("1.00015", "1.0002"),
            ("-0.00005", "0"),
            ("0.00005000000000000000000001", "0.0001"),
            ("2.67495", "2.675"),
            ("5e-5", "0"),
            ("15E-5", "0.0002"),
            ("6e-5", "0.0001"),
            ("1e-400", "0"),
            ("0e999999999999999999999", "0"),
            ("1e-999999999999999999999", "0"),
            ("12e2", "1200"),
            ("-0.0", "0"),
        ] {
            assert_eq!(decimal(text).as_deref(), Ok(canonical), "{text}");
        }
    }

    #[test]
    fn the_first_number_beyond_each_limit_is_refused() {
        for good in ["9007199254740991", "-9007199254740991", "99999999999.9999"] {
            assert_eq!(decimal(good).as_deref(), Ok(good));
        }
        assert_eq!(
            decimal("9007199254740991.00005").as_deref(),
            Ok("9007199254740991")
        );
        for bad in [
            "9007199254740992",
            "-9007199254740992",
            "100000000000.0001",
            "123456789012.3456",
            "1e21",
            "1e400",
            "1e999999999999999999999",
            "184467440737095516160",
        ] {
            assert_eq!(decimal(bad), Err(DecimalError::OutOfRange), "{bad}");
        }
    }

    #[test]
    fn what_json_does_not_write_is_no_number() {
        for bad in [
            "", "-", "+1", "01", "1.", ".5", "1e", "1e+", "NaN", "1 ", "0x1", "1.5.5",
        ] {
            assert_eq!(decimal(bad), Err(DecimalError::Syntax), "{bad:?}");
        }
    }

    #[test]
    fn four_places_are_printed_where_they_are_asked_for() {
        let decimal: Decimal = "-7.5".parse().unwrap();
        assert_eq!(format!("{decimal:.4}"), "-7.5000");
        assert_eq!(format!("{:.4}", Decimal::default()), "0.0000");
    }
}
