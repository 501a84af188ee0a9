//! Subjects on the command line: a file, or `name=algorithm:hex`.

use std::collections::BTreeMap;
use std::path::Path;

use sealwright_core::statement::Subject;

use crate::failure::Failure;
use crate::files;

/// Reads one SUBJECT argument. A file is hashed with SHA-256 and named by the last part of its path: the
/// layout of a build machine's folders does not belong in a statement.
pub(crate) fn parse(text: &str) -> Result<Subject, Failure> {
    if let Some(subject) = by_digest(text) {
        return Ok(subject);
    }
    let path = Path::new(text);
    let name = path.file_name().and_then(|name| name.to_str());
    let name =
        name.ok_or_else(|| Failure::Local(format!("subject {text:?} has no file name in UTF-8")))?;
    Ok(subject(name, "sha256", files::sha256(path)?.to_string()))
}

/// `name=sha256:…`, the digest last so that a name may contain `=`. For a file of such a name: `./name`.
fn by_digest(text: &str) -> Option<Subject> {
    let (name, digest) = text.rsplit_once('=')?;
    let (algorithm, hex) = digest.split_once(':')?;
    let is_hex = !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_digest = is_hex && !algorithm.contains('/') && !text.starts_with("./");
    is_digest.then(|| subject(name, algorithm, hex.to_owned()))
}

fn subject(name: &str, algorithm: &str, hex: String) -> Subject {
    Subject {
        digests: BTreeMap::from([(algorithm.to_owned(), hex)]),
        name: Some(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_taken_and_a_file_is_hashed_under_its_own_name() {
        let given = parse("pkg:oci/app?arch=amd64=sha256:00ff").unwrap();
        assert_eq!(given.name.as_deref(), Some("pkg:oci/app?arch=amd64"));
        assert_eq!(given.digests["sha256"], "00ff");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.tar");
        std::fs::write(&path, "abc").unwrap();
        let hashed = parse(path.to_str().unwrap()).unwrap();
        assert_eq!(hashed.name.as_deref(), Some("app.tar"));
        assert!(hashed.digests["sha256"].starts_with("ba7816bf8f01cfea"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = parse("/nowhere/app=1.tar").unwrap_err();
        assert!(error.to_string().contains("/nowhere/app=1.tar"), "{error}");
    }
}
