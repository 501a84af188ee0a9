//! What a witness answers to an `add-checkpoint` request (C2SP `tlog-witness` v1.0.0).

use super::add_checkpoint::SIZE_MEDIA_TYPE;
use super::note::{NoteError, NoteSignature};
use super::text;

/// The longest answer of a witness: a few signature lines, or one line that says why not.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// What a witness answered, not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WitnessAnswer {
    /// 200: signature lines.
    Cosigned(Vec<NoteSignature>),
    /// 403: it does not accept the log's signature.
    Unsigned,
    /// 404: it does not know the log.
    UnknownOrigin,
    /// 409: it stores this size.
    Conflict(u64),
    /// 422: the proof does not continue the tree that it stores.
    Inconsistent,
}

/// An answer that the standard does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Another status.
    #[error("HTTP status {0}, which is none of add-checkpoint's")]
    Status(u16),
    /// 200 without well-formed signature lines.
    #[error("200 without cosignature lines: {0}")]
    Lines(NoteError),
    /// 409 without the size.
    #[error("409 without the stored size as {SIZE_MEDIA_TYPE}")]
    Size,
    /// A body that is not text.
    #[error("an answer that is not UTF-8")]
    NotText,
}

impl WitnessAnswer {
    /// Reads status, content type and body.
    ///
    /// # Errors
    /// [`AnswerError`]: nothing that a witness says.
    pub fn read(status: u16, media_type: Option<&str>, body: &[u8]) -> Result<Self, AnswerError> {
        match status {
            200 => {
                let lines = std::str::from_utf8(body).map_err(|_| AnswerError::NotText)?;
                let lines = NoteSignature::parse_lines(lines).map_err(AnswerError::Lines)?;
                Ok(Self::Cosigned(lines))
            }
            403 => Ok(Self::Unsigned),
            404 => Ok(Self::UnknownOrigin),
            409 => stored_size(media_type, body).map(Self::Conflict),
            422 => Ok(Self::Inconsistent),
            other => Err(AnswerError::Status(other)),
        }
    }
}

fn stored_size(media_type: Option<&str>, body: &[u8]) -> Result<u64, AnswerError> {
    if media_type != Some(SIZE_MEDIA_TYPE) {
        return Err(AnswerError::Size);
    }
    let line = body.strip_suffix(b"\n").ok_or(AnswerError::Size)?;
    let line = std::str::from_utf8(line).map_err(|_| AnswerError::Size)?;
    text::decimal(line).ok_or(AnswerError::Size)
}

#[cfg(test)]
mod tests {
    use super::super::signers::TestKey;
    use super::*;

    #[test]
    fn an_answer_is_lines_a_size_or_one_of_three_statuses() {
        let read = WitnessAnswer::read;
        let witness = TestKey::witness("w", 2);
        let line = witness.sign("text\n", 7);
        let cosigned = read(200, None, line.to_string().as_bytes());
        assert_eq!(cosigned, Ok(WitnessAnswer::Cosigned(vec![line])));
        assert!(matches!(
            read(200, None, b"<html>"),
            Err(AnswerError::Lines(_))
        ));
        assert_eq!(read(200, None, &[0xff]), Err(AnswerError::NotText));
        let size = Some(SIZE_MEDIA_TYPE);
        assert_eq!(read(409, size, b"20\n"), Ok(WitnessAnswer::Conflict(20)));
        assert_eq!(read(409, size, b"20"), Err(AnswerError::Size));
        assert_eq!(read(409, size, b"-1\n"), Err(AnswerError::Size));
        assert_eq!(
            read(409, Some("text/html"), b"20\n"),
            Err(AnswerError::Size)
        );
        assert_eq!(read(403, None, b""), Ok(WitnessAnswer::Unsigned));
        assert_eq!(read(404, None, b""), Ok(WitnessAnswer::UnknownOrigin));
        assert_eq!(read(422, None, b""), Ok(WitnessAnswer::Inconsistent));
        assert_eq!(read(302, None, b""), Err(AnswerError::Status(302)));
    }
}
