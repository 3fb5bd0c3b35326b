use super::*;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const HOUR: Duration = Duration::from_secs(3_600);

fn made(lifetime: Duration) -> CertificatePem {
    development_certificate(&["localhost".to_owned()], lifetime).expect("the name is right")
}

/// Files of their own for one test, gone when it ends.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder can be made"))
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("a temporary file can be written");
        path
    }
}

fn refused(certificate: &Path, key: &Path) -> String {
    Identity::from_files(certificate, key).expect_err("the files are bad").to_string()
}

#[test]
fn good_files_give_the_identity_that_they_hold() {
    let files = Files::new();
    let made = made(HOUR * 48);
    let (cert, key) = (files.write("c.pem", &made.certificate), files.write("k.pem", &made.key));
    let from_files = Identity::from_files(&cert, &key).expect("the files are good");
    let from_text = Identity::from_pem(&made.certificate, &made.key).expect("the text is good");
    assert_eq!(from_files.fingerprint(), from_text.fingerprint());
}

#[test]
fn a_missing_file_is_named() {
    let files = Files::new();
    let cert = files.write("c.pem", &made(HOUR * 48).certificate);
    let message = refused(&cert, &files.0.path().join("nowhere.pem"));
    assert!(message.contains("nowhere.pem") && message.contains("cannot read"), "{message}");
}

#[test]
fn a_file_without_a_certificate_or_a_key_is_named() {
    let files = Files::new();
    let made = made(HOUR * 48);
    let (cert, key) = (files.write("c.pem", &made.certificate), files.write("k.pem", &made.key));
    let message = refused(&key, &key);
    assert!(message.contains("k.pem") && message.contains("no certificate"), "{message}");
    let message = refused(&cert, &cert);
    assert!(message.contains("c.pem") && message.contains("no private key"), "{message}");
}

#[test]
fn a_key_of_another_certificate_is_told_with_both_files() {
    let files = Files::new();
    let cert = files.write("c.pem", &made(HOUR * 48).certificate);
    let key = files.write("k.pem", &made(HOUR * 48).key);
    let message = refused(&cert, &key);
    assert!(message.contains("c.pem") && message.contains("k.pem"), "{message}");
    assert!(message.contains("does not belong"), "{message}");
}

#[test]
fn an_expired_certificate_is_refused() {
    let files = Files::new();
    // Made an hour in the past and over at once.
    let made = made(Duration::from_secs(60));
    let (cert, key) = (files.write("c.pem", &made.certificate), files.write("k.pem", &made.key));
    let message = refused(&cert, &key);
    assert!(message.contains("c.pem") && message.contains("expired"), "{message}");
}

#[test]
fn broken_pem_is_told() {
    let broken = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
    let error = Identity::from_pem(broken, &made(HOUR * 48).key).expect_err("the text is bad");
    assert!(matches!(error, TlsError::BadPem { .. }), "{error}");
}

#[test]
fn a_development_certificate_is_fresh_each_time_and_lasts_thirteen_days() {
    let (one, other) = (Identity::development(), Identity::development());
    let (one, other) = (one.expect("one is made"), other.expect("another is made"));
    assert_ne!(one.fingerprint(), other.fingerprint());
    assert_eq!(development::LIFETIME, Duration::from_secs(13 * 86_400));
}

#[test]
fn the_same_der_gives_the_same_identity() {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
    let made = made(HOUR * 48);
    let cert = CertificateDer::from_pem_slice(made.certificate.as_bytes()).expect("it is PEM");
    let key = PrivatePkcs8KeyDer::from_pem_slice(made.key.as_bytes()).expect("it is PEM");
    let identity = Identity::from_der(vec![cert.to_vec()], key.secret_pkcs8_der().to_vec());
    let identity = identity.expect("the parts are right");
    assert_eq!(identity.fingerprint(), Fingerprint::of(&cert));
    assert!(matches!(Identity::from_der(vec![], vec![]), Err(TlsError::NoCertificate(_))));
}

#[test]
fn the_fastest_suite_and_group_come_first() {
    let provider = provider();
    let suite = provider.cipher_suites.first().map(SupportedCipherSuite::suite);
    assert_eq!(suite, Some(rustls::CipherSuite::TLS13_AES_128_GCM_SHA256));
    assert_eq!(provider.kx_groups.first().map(|g| g.name()), Some(NamedGroup::X25519));
}

#[test]
fn roots_that_are_none_are_refused() {
    let error = ClientTls::new(&ServerTrust::Roots("nothing".to_owned())).expect_err("no roots");
    assert!(matches!(error, TlsError::NoCertificate(_)), "{error}");
}
