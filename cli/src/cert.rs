//! `starling cert`: development certificates and their fingerprints.

use crate::args::CertCommand;
use crate::terminal::{say, write_new};
use anyhow::{Context, Result};
use starling_transport::tls::{Fingerprint, development_certificate};
use std::path::Path;
use std::time::Duration;

/// Browsers pin a certificate of at most fourteen days.
const LIFETIME: Duration = Duration::from_secs(13 * 86_400);

pub(crate) fn run(command: &CertCommand) -> Result<()> {
    match command {
        CertCommand::Make { out, hosts } => make(out, hosts),
        CertCommand::Show { file } => show(file),
    }
}

fn make(out: &Path, hosts: &[String]) -> Result<()> {
    let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    names.extend_from_slice(hosts);
    let pair = development_certificate(&names, LIFETIME).context("could not make a certificate")?;
    let (cert, key) = (out.join("starling.cert.pem"), out.join("starling.cert.key.pem"));
    write_new(&cert, &pair.certificate, false)?;
    write_new(&key, &pair.key, true)?;
    say(&format!("{}  good for 13 days", cert.display()));
    say(&format!("{}  keep it secret", key.display()));
    show(&cert)
}

fn show(file: &Path) -> Result<()> {
    let pem = std::fs::read(file).with_context(|| format!("could not read {}", file.display()))?;
    let fingerprint = Fingerprint::of_pem(&pem)
        .with_context(|| format!("{} holds no certificate", file.display()))?;
    say(&format!("fingerprint {fingerprint}"));
    Ok(())
}
