//! How a command trusts a server, and what it shows it.

use anyhow::{Context, Result, bail};
use starling_transport::tls::ServerTrust;

/// The trust that the flags name.
pub(crate) fn trust(insecure: bool, fingerprint: Option<&str>) -> Result<ServerTrust> {
    match (insecure, fingerprint) {
        (true, _) => Ok(ServerTrust::Insecure),
        (false, Some(hex)) => {
            Ok(ServerTrust::Fingerprint(hex.parse().context("--fingerprint is not one")?))
        }
        (false, None) => bail!(
            "say how to trust the server: --fingerprint HEX (starling serve prints it) or --insecure"
        ),
    }
}

/// A token as given, or from the file that follows an `@`; empty where none is given.
pub(crate) fn read_token(token: Option<&str>) -> Result<String> {
    match token {
        None => Ok(String::new()),
        Some(given) => match given.strip_prefix('@') {
            None => Ok(given.into()),
            Some(file) => std::fs::read_to_string(file)
                .map(|text| text.trim().to_owned())
                .with_context(|| format!("could not read the token from {file}")),
        },
    }
}
