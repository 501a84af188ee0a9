//! A serde deserialiser around another one that refuses what JSON readers disagree about.
//!
//! It checks while the wrapped deserialiser reads, also inside members the target type ignores, so one pass
//! both checks and extracts.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{
    self, DeserializeSeed, Deserializer, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
};

use super::DEPTH_MAX;
use super::members::Members;

/// What serde's string-only errors cannot carry out of a parse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// A member name stood twice in one object.
    DuplicateKey(String),
    /// An array or object lay deeper than [`DEPTH_MAX`].
    TooDeep,
}

/// State of one parse.
#[derive(Debug, Default)]
pub(super) struct Context<'de> {
    /// Keys of all open objects, outermost first: one allocation for the whole document.
    pub(super) keys: RefCell<Vec<Cow<'de, str>>>,
    depth: Cell<usize>,
    fault: RefCell<Option<Fault>>,
}

impl<'de> Context<'de> {
    /// Wraps `inner`.
    pub(super) fn wrap<D>(&self, inner: D) -> Strict<'_, 'de, D> {
        Strict {
            inner,
            context: self,
        }
    }

    /// What went wrong, where the error was ours.
    pub(super) fn into_fault(self) -> Option<Fault> {
        self.fault.into_inner()
    }

    /// Ends the parse with a fault of ours.
    pub(super) fn fail<E: de::Error>(&self, fault: Fault) -> E {
        let error = E::custom(match &fault {
            Fault::DuplicateKey(key) => format_args!("duplicate key {key:?}").to_string(),
            Fault::TooDeep => "nested too deeply".to_owned(),
        });
        self.fault.replace(Some(fault));
        error
    }

    /// Runs `visit` one level deeper.
    fn descend<T, E: de::Error>(&self, visit: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let depth = self.depth.get() + 1;
        if depth > DEPTH_MAX {
            return Err(self.fail(Fault::TooDeep));
        }
        self.depth.set(depth);
        let result = visit();
        self.depth.set(depth - 1);
        result
    }
}

/// The wrapped deserialiser. Enums are read from strings only, which is all our formats use.
pub(super) struct Strict<'c, 'de, D> {
    inner: D,
    context: &'c Context<'de>,
}

macro_rules! forward_deserialize {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method(Checked { inner: visitor, context: self.context })
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<'_, 'de, D> {
    type Error = D::Error;

    forward_deserialize! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_option deserialize_unit deserialize_seq deserialize_map deserialize_identifier
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        // serde_json's own way to ignore a value skips the checks on strings, numbers and keys.
        self.deserialize_any(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        // Not forwarded: serde_json would read a struct from an array as well.
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let text = self.inner.deserialize_str(Text)?;
        visitor.visit_enum(text.as_ref().into_deserializer())
    }
}

/// A seed, run on a [`Strict`] deserialiser.
pub(super) struct Seed<'c, 'de, S> {
    pub(super) inner: S,
    pub(super) context: &'c Context<'de>,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Seed<'_, 'de, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(self.context.wrap(deserializer))
    }
}

/// A visitor whose arrays, objects and nested values are checked.
struct Checked<'c, 'de, V> {
    inner: V,
    context: &'c Context<'de>,
}

macro_rules! forward_visit {
    ($($method:ident: $type:ty,)*) => {$(
        fn $method<E: de::Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Checked<'_, 'de, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    forward_visit! {
        visit_bool: bool,
        visit_i64: i64,
        visit_u64: u64,
        visit_f64: f64,
        visit_str: &str,
        visit_borrowed_str: &'de str,
        visit_string: String,
        visit_bytes: &[u8],
        visit_borrowed_bytes: &'de [u8],
    }

    fn visit_unit<E: de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_none<E: de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(self.context.wrap(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let Self {
            inner: visitor,
            context,
        } = self;
        context.descend(|| visitor.visit_seq(Elements { inner, context }))
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let Self {
            inner: visitor,
            context,
        } = self;
        context.descend(|| Members::visit(visitor, inner, context))
    }
}

struct Elements<'c, 'de, A> {
    inner: A,
    context: &'c Context<'de>,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<'_, 'de, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.inner.next_element_seed(Seed {
            inner: seed,
            context: self.context,
        })
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

/// Reads a string, borrowed where it has no escapes.
pub(super) struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}
