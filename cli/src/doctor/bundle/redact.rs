//! What a configuration should not hold, and may hold all the same: secrets that somebody wrote into it.

/// In place of a secret.
const LEFT_OUT: &str = "[left out]";
/// Words in the name of a setting whose value is not shown. A path to a secret is none.
const SECRET: [&str; 5] = ["pin", "password", "passphrase", "secret", "auth"];

/// A TOML or Cedar text without PEM private keys and without the values of settings that are named like secrets.
pub(super) fn config(text: &str) -> String {
    let mut lines = Vec::new();
    let mut is_inside_key = false;
    for line in text.lines() {
        if line.contains("PRIVATE KEY-----") {
            let begins = line.contains("BEGIN");
            if begins && !is_inside_key {
                lines.push(LEFT_OUT.to_owned());
            }
            is_inside_key = begins;
        } else if !is_inside_key {
            lines.push(setting(line));
        }
    }
    lines.join("\n")
}

fn setting(line: &str) -> String {
    let Some((name, _)) = line.split_once('=') else {
        return line.to_owned();
    };
    let words = name.trim().to_ascii_lowercase();
    let mut words = words.split(|c: char| !c.is_ascii_alphanumeric());
    if words.any(|word| SECRET.contains(&word)) {
        format!("{name}= {LEFT_OUT}")
    } else {
        line.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out_and_the_rest_stays() {
        let text = "label = \"hsm\"\npin = \"123456\"\nuser_pin=\"7\"\n[driver]\nowner-auth = 'x=y'\n\
                    -----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\nspin = 3\n";
        let said = config(text);
        for secret in ["123456", "\"7\"", "x=y", "MIIB"] {
            assert!(!said.contains(secret), "{said}");
        }
        assert!(
            said.contains("label = \"hsm\"") && said.contains("spin = 3"),
            "{said}"
        );
        assert_eq!(said.matches(LEFT_OUT).count(), 4, "{said}");
    }
}
