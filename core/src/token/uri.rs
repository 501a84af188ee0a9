//! The address that a proof is for.

use fluent_uri::Uri;

/// An absolute URI as two spellings of it compare: normalised (RFC 3986 section 6.2), without query and fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target(String);

/// No absolute URI with an authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no absolute URI such as https://sealwright.localhost/v1/sign")]
pub struct NotATarget;

impl Target {
    /// Reads `text` and forgets query and fragment (RFC 9449 section 4.3, check 9).
    ///
    /// # Errors
    /// [`NotATarget`], also where it names a user.
    pub fn parse(text: &str) -> Result<Self, NotATarget> {
        let uri = Uri::parse(text).map_err(|_| NotATarget)?.normalize();
        let authority = uri.authority().ok_or(NotATarget)?;
        if authority.userinfo().is_some() || authority.host().is_empty() {
            return Err(NotATarget);
        }
        let port = match (uri.scheme().as_str(), authority.port()) {
            (_, None) => "",
            ("https", Some(port)) if port.as_str() == "443" => "",
            ("http", Some(port)) if port.as_str() == "80" => "",
            (_, Some(port)) => port.as_str(),
        };
        let separator = if port.is_empty() { "" } else { ":" };
        let path = match uri.path().as_str() {
            "" => "/",
            path => path,
        };
        Ok(Self(format!(
            "{}://{}{separator}{port}{path}",
            uri.scheme().as_str(),
            authority.host()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        Target::parse(a).unwrap() == Target::parse(b).unwrap()
    }

    #[test]
    fn spellings_of_one_address_are_the_same() {
        let plain = "https://sealwright.localhost/v1/sign";
        for spelling in [
            "HTTPS://sealwright.localhost/v1/sign",
            "https://SEALWRIGHT.localhost:443/v1/sign",
            "https://sealwright.localhost/v1/%73ign",
            "https://sealwright.localhost/v1/./x/../sign",
            "https://sealwright.localhost/v1/sign?key=a",
            "https://sealwright.localhost/v1/sign?key=a#f",
        ] {
            assert!(same(plain, spelling), "{spelling}");
        }
        assert!(same("https://a", "https://a/"));
        assert!(same("https://a/%c3%a9", "https://a/%C3%A9"));
    }

    #[test]
    fn other_addresses_stay_other_addresses() {
        let plain = "https://sealwright.localhost/v1/sign";
        for other in [
            "http://sealwright.localhost/v1/sign",
            "https://sealwright.localhost:8443/v1/sign",
            "http://sealwright.localhost:443/v1/sign",
            "https://sealwright.localhost/v1/sign/",
            "https://sealwright.localhost/v1/Sign",
            "https://sealwright.localhost/v1%2Fsign",
            "https://sealwright.localhost./v1/sign",
        ] {
            assert!(!same(plain, other), "{other}");
        }
        for none in [
            "",
            "/v1/sign",
            "sign",
            "https:/v1",
            "https://",
            "https://u@a/",
            "https://a/ b",
        ] {
            assert_eq!(Target::parse(none), Err(NotATarget), "{none}");
        }
    }
}
