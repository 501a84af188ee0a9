//! `UID:GID`, as flags give it.

use std::str::FromStr;

/// A user and a group by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The text is not two numbers.
#[derive(Debug, thiserror::Error)]
#[error("an owner is UID:GID in numbers, as in 64010:64010 (see `id -u` and `id -g`)")]
pub(crate) struct NotAnOwner;

impl FromStr for Owner {
    type Err = NotAnOwner;

    fn from_str(text: &str) -> Result<Self, NotAnOwner> {
        let (uid, gid) = text.split_once(':').ok_or(NotAnOwner)?;
        let number = |text: &str| text.parse().map_err(|_| NotAnOwner);
        Ok(Self {
            uid: number(uid)?,
            gid: number(gid)?,
        })
    }
}
