//! `sealwright keys describe|generate|enrol`: from a key on a token to a key that signs.

use std::path::PathBuf;

use sealwright_client::{Client, ClientError, DescribedKey, Gate, Key};
use sealwright_core::approval::Params;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::key::Purpose;
use sealwright_core::scheme::Scheme;
use sealwright_core::uri::KeyUri;
use serde_json::from_value;

use super::approve::request_of;
use super::keys::details;
use crate::confirm::{self, Confirmation};
use crate::connect::Connection;
use crate::failure::Failure;
use crate::files;
use crate::gate::Approvals;
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(crate) struct Describe {
    /// The token's name in the configuration.
    #[arg(long)]
    token: String,
    /// The key's URI, as in pkcs11:object=release.
    uri: KeyUri,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Generate {
    /// The name it will be enrolled under.
    key: String,
    /// The token's name in the configuration.
    #[arg(long)]
    token: String,
    /// Where the key shall be; no key may be there yet.
    #[arg(long)]
    uri: KeyUri,
    /// What it shall sign with.
    #[arg(long, default_value = "ecdsa-p256-sha256")]
    scheme: Scheme,
    /// Modulus length of an RSA key.
    #[arg(long, value_name = "BITS")]
    rsa_bits: Option<u16>,
    /// Also enrol it, for in-toto statements, and let it sign.
    #[arg(long)]
    enrol: bool,
    /// Enrol it without asking whether the fingerprint is right.
    #[arg(long, requires = "enrol")]
    yes: bool,
    #[command(flatten)]
    approvals: Approvals,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Enrol {
    /// Its name: release, or tenant/release.
    key: String,
    /// The token's name in the configuration.
    #[arg(long)]
    token: String,
    /// The key's URI.
    #[arg(long)]
    uri: KeyUri,
    /// The SHA-256 fingerprint of its SubjectPublicKeyInfo, where it was read from the device's own tools.
    #[arg(long, value_name = "SHA256", conflicts_with = "yes")]
    confirm: Option<Sha256Digest>,
    /// Take the key that the driver finds.
    #[arg(long)]
    yes: bool,
    /// The scheme [default: the key's preferred one].
    #[arg(long)]
    scheme: Option<Scheme>,
    /// What it is for: dsse, log, token, dpop, approval or x509.
    #[arg(long, default_value = "dsse", value_parser = purpose)]
    purpose: Purpose,
    /// A payload type that it signs; may be repeated [default: in-toto statements].
    #[arg(long = "payload-type", value_name = "TYPE")]
    payload_types: Vec<String>,
    /// A certificate for it, PEM, to go into bundles; those that lead from it to its authority's own may follow, each
    /// issued by the next.
    #[arg(long, value_name = "PEM")]
    certificate: Option<PathBuf>,
    /// Enrol it without letting it sign yet.
    #[arg(long)]
    inactive: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn purpose(text: &str) -> Result<Purpose, String> {
    from_value(text.into()).map_err(|_| format!("{text:?} is no purpose of a key"))
}

pub(super) fn describe(args: Describe, output: Output) -> Result<(), Failure> {
    let Describe {
        token,
        uri,
        connection,
    } = args;
    let key = connection.run(async |mut client| client.describe_key(&token, &uri).await)?;
    output.answer(&key, || described(&key))
}

pub(super) fn generate(args: Generate, output: Output) -> Result<(), Failure> {
    let wanted = sealwright_client::Generate {
        key: args.key,
        token: args.token,
        uri: args.uri,
        scheme: args.scheme,
        rsa_bits: args.rsa_bits,
    };
    let call = async |client: &mut Client, gate: &Gate| client.generate_key(&wanted, gate).await;
    if args.enrol {
        let confirmation = Confirmation::from_flags(None, args.yes);
        if !confirmation.is_possible() {
            return Err(Failure::local(UNCONFIRMED));
        }
        let made = args.connection.run(async |mut client| {
            let found = args.approvals.pass(&mut client, call).await?;
            let plain = Enrolment::plain(wanted.key.clone(), wanted.token.clone(), confirmation);
            plain.carry_out(&mut client, found).await
        })?;
        return output.answer(&made, || details(&made));
    }
    let key = args
        .connection
        .run(async |mut client| args.approvals.pass(&mut client, call).await)?;
    output.answer(&key, || {
        let sealwright_client::Generate {
            key: name, token, ..
        } = &wanted;
        let next = format!(
            "sealwright keys enrol {name} --token {token} --uri '{}'",
            key.uri
        );
        format!(
            "{}next: {next} --confirm {}",
            described(&key),
            key.spki_sha256
        )
    })
}

/// Said before a key is made that nobody could confirm.
const UNCONFIRMED: &str =
    "--enrol needs --yes, or a terminal to confirm the new key's fingerprint at";

fn described(key: &DescribedKey) -> String {
    let schemes: Vec<_> = key.schemes.iter().map(Scheme::to_string).collect();
    let claims: Vec<_> = key
        .claims
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!(
        "uri           {}\nSPKI SHA-256  {}\nschemes       {}\nevidence      {:?} ({})\n{}",
        key.uri,
        key.spki_sha256,
        schemes.join(", "),
        key.evidence,
        claims.join(", "),
        key.public_key_pem
    )
}

pub(super) fn enrol(args: Enrol, output: Output) -> Result<(), Failure> {
    let enrolment = Enrolment {
        key: args.key,
        token: args.token,
        confirmation: Confirmation::from_flags(args.confirm, args.yes),
        scheme: args.scheme,
        purpose: args.purpose,
        payload_types: Some(args.payload_types).filter(|types| !types.is_empty()),
        certificate: args
            .certificate
            .as_deref()
            .map(files::read_text)
            .transpose()?,
        activate: !args.inactive,
    };
    let enrolled = args.connection.run(async |mut client| {
        let found = client.describe_key(&enrolment.token, &args.uri).await?;
        enrolment.carry_out(&mut client, found).await
    })?;
    output.answer(&enrolled, || details(&enrolled))
}

/// Everything about an enrolment but the key itself.
pub(super) struct Enrolment {
    pub(super) key: String,
    pub(super) token: String,
    pub(super) confirmation: Confirmation,
    pub(super) scheme: Option<Scheme>,
    pub(super) purpose: Purpose,
    pub(super) payload_types: Option<Vec<String>>,
    pub(super) certificate: Option<String>,
    pub(super) activate: bool,
}

impl Enrolment {
    /// A key that signs in-toto statements from now on.
    fn plain(key: String, token: String, confirmation: Confirmation) -> Self {
        Self {
            key,
            token,
            confirmation,
            scheme: None,
            purpose: Purpose::Dsse,
            payload_types: None,
            certificate: None,
            activate: true,
        }
    }

    /// Confirms the fingerprint of the key that was found, and enrols it.
    pub(super) async fn carry_out(
        self,
        client: &mut Client,
        found: DescribedKey,
    ) -> Result<Key, Failure> {
        let what = format!("{} on token {}", found.uri, self.token);
        let flags = format!("`keys enrol … --confirm {}`", found.spki_sha256);
        confirm::fingerprint(&what, found.spki_sha256, self.confirmation, &flags)?;
        let wanted = sealwright_client::Enrol {
            key: self.key,
            token: self.token,
            uri: found.uri,
            spki_sha256: found.spki_sha256,
            scheme: self.scheme,
            purpose: self.purpose,
            payload_types: self.payload_types,
            certificate: self.certificate,
            activate: self.activate,
        };
        client.enrol_key(&wanted).await.map_err(enrolled_only)
    }
}

/// Under dual control a key is enrolled at once, and its activation waits.
fn enrolled_only(error: ClientError) -> Failure {
    let ClientError::Waits(operation) = error else {
        return error.into();
    };
    let activate = match request_of(&operation).map(|request| request.params) {
        Ok(Params::Activate(key)) => key.key.to_string(),
        _ => "KEY".to_owned(),
    };
    let number = operation.operation;
    let why = format!(
        "enrolled, and not active before {} approve it: `sealwright approve grant {number}`, then `sealwright keys activate {activate} --reason WHY`",
        operation.missing
    );
    Failure::Waits {
        operation: number,
        why,
    }
}
