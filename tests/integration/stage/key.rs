//! Keys and tokens of a server that does not let everybody in.

use starling_server::auth::claims::{Audience, Claims};
use starling_server::auth::keys::{PrivateKey, generate};
use starling_server::auth::mint::mint;
use starling_server::config::{AuthMode, Config};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// A key that signs tokens, and the folder with the public half, gone when dropped.
pub(crate) struct Key {
    private: PrivateKey,
    folder: Folder,
}

impl Key {
    /// A key pair of its own.
    pub(crate) fn made() -> Self {
        let pair = generate().expect("the system has random bytes");
        let folder = Folder::made();
        folder.file("public.pem", &pair.public);
        Self { private: PrivateKey::from_pem(&pair.private).expect("our own key"), folder }
    }

    /// The configuration lets in only who has a token of this key.
    pub(crate) fn locks(&self, config: &mut Config) {
        config.auth.mode = AuthMode::Token;
        config.auth.keys = vec![self.folder.path().join("public.pem")];
    }

    pub(crate) fn signs(&self, claims: &Claims) -> String {
        mint(&self.private, claims).expect("it signs")
    }
}

/// The claims of somebody who may see and move everywhere for the next minutes.
pub(crate) fn token(subject: &str) -> Claims {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = since.expect("the clock is past 1970").as_secs();
    Claims {
        iss: "starling".into(),
        aud: Audience::One("starling".into()),
        sub: subject.into(),
        jti: format!("{subject}-1"),
        iat: now,
        exp: now + 600,
        worlds: vec!["*".into()],
        see: true,
        r#move: true,
        subscribe: vec!["*".into()],
        publish: vec!["*".into()],
        ..Claims::default()
    }
}

/// A folder of one test's own, gone when dropped.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn made() -> Self {
        Self(tempfile::tempdir().expect("a folder can be made"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("a file can be written");
        path
    }
}
