//! The members of one object, each name at most once.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::de::value::{BorrowedStrDeserializer, StrDeserializer};
use serde::de::{DeserializeSeed, MapAccess, Visitor};

use super::strict::{Context, Fault, Seed, Text};

/// Up to here an object's keys are compared one by one; beyond, a tree keeps large objects from costing
/// the square of their size.
const LINEAR_KEYS_MAX: usize = 16;

/// Characters of a hostile key that an error repeats.
const SHOWN_MAX: usize = 64;

/// A map access that refuses a name it has seen.
pub(super) struct Members<'c, 'de, A> {
    inner: A,
    context: &'c Context<'de>,
    /// Where this object's keys begin on the context's stack.
    first: usize,
    /// All keys so far, once there are more than [`LINEAR_KEYS_MAX`].
    many: Option<BTreeSet<Cow<'de, str>>>,
}

impl<'c, 'de, A: MapAccess<'de>> Members<'c, 'de, A> {
    /// Runs `visitor` over the members, and forgets their names afterwards.
    pub(super) fn visit<V: Visitor<'de>>(
        visitor: V,
        inner: A,
        context: &'c Context<'de>,
    ) -> Result<V::Value, A::Error> {
        let first = context.keys.borrow().len();
        let result = visitor.visit_map(Self {
            inner,
            context,
            first,
            many: None,
        });
        context.keys.borrow_mut().truncate(first);
        result
    }

    /// Notes `key`; false where the object has it already.
    fn is_new(&mut self, key: Cow<'de, str>) -> bool {
        if let Some(many) = &mut self.many {
            return many.insert(key);
        }
        let mut keys = self.context.keys.borrow_mut();
        let own = keys.get(self.first..).unwrap_or_default();
        if own.contains(&key) {
            return false;
        }
        if own.len() < LINEAR_KEYS_MAX {
            keys.push(key);
            return true;
        }
        let mut many: BTreeSet<_> = keys.drain(self.first..).collect();
        many.insert(key);
        self.many = Some(many);
        true
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Members<'_, 'de, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let Some(key) = self.inner.next_key_seed(Text)? else {
            return Ok(None);
        };
        let value = match &key {
            Cow::Borrowed(key) => seed.deserialize(BorrowedStrDeserializer::new(key))?,
            Cow::Owned(key) => seed.deserialize(StrDeserializer::new(key))?,
        };
        // Cloning what is borrowed is free; an owned key had an escape in it, which is rare.
        if !self.is_new(key.clone()) {
            let shown = key.chars().take(SHOWN_MAX).collect();
            return Err(self.context.fail(Fault::DuplicateKey(shown)));
        }
        Ok(Some(value))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.next_value_seed(Seed {
            inner: seed,
            context: self.context,
        })
    }
}
