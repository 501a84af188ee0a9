//! Writing a value as RFC 8785 has it, but for numbers.

use std::cmp::Ordering;

use super::node::{Node, Text};
use super::{CanonicalError, Decimal, DecimalError, Nulls, Rule};

pub(super) fn write(
    out: &mut Vec<u8>,
    node: &Node<'_>,
    rule: Rule,
    nulls: Nulls,
) -> Result<(), CanonicalError> {
    match node {
        Node::Word(word) => out.extend_from_slice(word.as_bytes()),
        Node::Number(number) => {
            let decimal: Decimal = number
                .parse()
                .map_err(|_: DecimalError| CanonicalError::out_of_range(number))?;
            decimal.write(rule, out);
        }
        Node::Text(text) => write_text(out, text),
        Node::Array(elements) => {
            out.push(b'[');
            for (index, element) in elements.iter().enumerate() {
                comma(out, index);
                write(out, element, rule, nulls)?;
            }
            out.push(b']');
        }
        Node::Object(members) => {
            out.push(b'{');
            for (index, (key, value)) in sorted(members, nulls).into_iter().enumerate() {
                comma(out, index);
                write_text(out, key);
                out.push(b':');
                write(out, value, rule, nulls)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn comma(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.push(b',');
    }
}

type Member<'n, 't> = (&'n Text<'t>, &'n Node<'t>);

fn sorted<'n, 't>(members: &'n [(Text<'t>, Node<'t>)], nulls: Nulls) -> Vec<Member<'n, 't>> {
    let kept = members
        .iter()
        .filter(|(_, value)| nulls == Nulls::Keep || !value.is_null());
    let mut sorted: Vec<_> = kept.map(|(key, value)| (key, value)).collect();
    sorted.sort_unstable_by(|(a, _), (b, _)| by_utf16(&a.value, &b.value));
    sorted
}

/// RFC 8785 section 3.2.3: by UTF-16 code units, which is another order than that of characters beyond U+FFFF.
fn by_utf16(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() {
        a.cmp(b)
    } else {
        a.encode_utf16().cmp(b.encode_utf16())
    }
}

/// RFC 8785 section 3.2.2.2, which is what serde_json writes.
fn write_text(out: &mut Vec<u8>, text: &Text<'_>) {
    if text.is_plain() {
        out.push(b'"');
        out.extend_from_slice(text.raw.as_bytes());
        out.push(b'"');
    } else {
        // A string goes into memory without an error.
        let _ = serde_json::to_writer(out, &*text.value);
    }
}
