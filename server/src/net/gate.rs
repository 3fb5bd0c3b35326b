//! The gate: what a Hello must say to get in.

use super::connection::Seat;
use crate::auth::barred::Barred;
use crate::auth::revoke::NotRevoked;
use crate::auth::{Verified, Verifier};
use crate::entropy::Entropy;
use crate::room::directory::{Directory, Entry, Lender};
use crate::tenant::subject_in;
use crate::wall::Wall;
use aws_lc_rs::digest::{SHA256, digest};
use starling_protocol::close::CloseCode;
use starling_protocol::limits::RESUME_TOKEN_BYTES;
use starling_protocol::message::control::{Hello, Refused};
use starling_protocol::units::{Nanos, SessionId};
use starling_protocol::version;
use starling_world::grants::Principal;
use starling_world::input::{Attach, ConnId, ResumeRequest};
use std::sync::Arc;

/// How long a client waits that was refused for lack of room, in milliseconds.
const RETRY_AFTER_MS: u32 = 5_000;

/// A session that was revoked is remembered for so long, in seconds: longer than worlds that do not
/// stand keep any that could come back.
const SESSION_S: u64 = 24 * 3_600;

/// Decides who gets in.
pub(super) struct Gate {
    pub(super) verifier: Arc<dyn Verifier>,
    pub(super) entropy: Box<dyn Entropy>,
    pub(super) wall: Wall,
    /// Tokens that were taken back.
    pub(super) barred: Barred,
}

/// Why a connection gets no session: what it is told, and what the log is told.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) refused: Refused,
    pub(super) detail: String,
}

impl Refusal {
    pub(super) fn new(code: CloseCode, reason: &str) -> Self {
        let full = matches!(code, CloseCode::TOO_MANY_WORLDS | CloseCode::OVERLOADED);
        let retry_after_ms = full.then_some(RETRY_AFTER_MS);
        let refused = Refused { code, reason: reason.into(), retry_after_ms };
        Self { refused, detail: String::new() }
    }

    pub(super) fn retry_after(mut self, ms: u32) -> Self {
        self.refused.retry_after_ms = Some(ms);
        self
    }
}

impl Gate {
    /// A place in a world for the client behind this Hello, and what to tell the world.
    pub(super) fn admit(
        &mut self,
        hello: Hello,
        conn: ConnId,
        now: Nanos,
        directory: &mut Directory,
        rooms: &mut impl Lender,
    ) -> Result<(Seat, Attach), Refusal> {
        if version::negotiate(&hello.versions).is_none() {
            return Err(Refusal::new(CloseCode::VERSION, "this server speaks version 1"));
        }
        let verified = self.verify(&hello.token, now)?;
        if !verified.may_enter(&hello.world) {
            // The same answer whether or not there is such a world.
            return Err(Refusal::new(CloseCode::FORBIDDEN, "the token is not for this world"));
        }
        let entry = directory
            .enter(&verified.scope(&hello.world), hello.create, now, rooms)
            .map_err(|code| Refusal::new(code, "no such world can be entered"))?;
        let principal = self.principal(&verified, &entry);
        let attach = self.attach(&hello, conn, principal);
        let seat = Seat {
            world: hello.world,
            entry,
            token: verified.token.clone(),
            subject: verified.scope(verified.subject.clone()),
            known: false,
            host: verified.grants.host,
            session: None,
            entities: 0,
        };
        Ok((seat, attach))
    }

    /// A fresh token for a seat: the new principal, if it is the same subject's.
    pub(super) fn renew(&self, token: &str, seat: &Seat, now: Nanos) -> Result<Principal, Refusal> {
        let verified = self.verify(token, now)?;
        let subject = verified.scope(verified.subject.clone());
        if subject != seat.subject || !verified.may_enter(&seat.world) {
            let mut refusal = unauthorized();
            refusal.detail = "another subject, or not for this world".into();
            return Err(refusal);
        }
        Ok(self.principal(&verified, &seat.entry))
    }

    fn verify(&self, token: &str, now: Nanos) -> Result<Verified, Refusal> {
        let verified = self.verifier.verify(token, self.wall.unix_s(now)).map_err(|why| {
            let mut refusal = unauthorized();
            refusal.detail = why.to_string();
            refusal
        })?;
        match self.barred.holds(&verified) {
            true => Err(Refusal::new(CloseCode::REVOKED, "the token was revoked")),
            false => Ok(verified),
        }
    }

    /// Takes a token back by its name.
    pub(super) fn bar_token(&mut self, token: &str, now: Nanos) -> Result<(), NotRevoked> {
        let now_s = self.wall.unix_s(now);
        self.barred.token(token, now_s, now_s + self.verifier.life_max_s())
    }

    /// Takes a session back that a world may know which does not stand now.
    pub(super) fn bar_session(&mut self, id: SessionId, now: Nanos) -> Result<(), NotRevoked> {
        let now_s = self.wall.unix_s(now);
        self.barred.session(id, now_s, now_s + SESSION_S.max(self.verifier.life_max_s()))
    }

    /// Takes back what tokens of a tenant, or of one subject, were made until now.
    pub(super) fn bar_owner(
        &mut self,
        tenant: &str,
        subject: Option<&str>,
        now: Nanos,
    ) -> Result<(), NotRevoked> {
        let now_s = self.wall.unix_s(now);
        self.barred.owner(tenant, subject, now_s, now_s + self.verifier.life_max_s())
    }

    fn principal(&self, verified: &Verified, entry: &Entry) -> Principal {
        let ends = |unix_s| entry.schedule.now_us(self.wall.instant(unix_s));
        Principal {
            subject: subject_in(entry.key.owner(), &verified.tenant, &verified.subject),
            token: verified.token.clone(),
            grants: verified.grants.clone(),
            expires_us: verified.expires_s.map(ends),
        }
    }

    fn attach(&mut self, hello: &Hello, conn: ConnId, principal: Principal) -> Attach {
        let mut token = [0; RESUME_TOKEN_BYTES];
        self.entropy.fill(&mut token);
        Attach {
            conn,
            principal,
            token,
            token_digest: sha256(&token),
            resume: hello.resume.as_ref().map(|resume| ResumeRequest {
                session: resume.session,
                token_digest: sha256(&resume.token),
                channels: resume.channels.clone(),
            }),
            schema_hash: hello.schema_hash,
            capabilities: hello.capabilities,
        }
    }
}

fn unauthorized() -> Refusal {
    Refusal::new(CloseCode::UNAUTHORIZED, "the token was refused")
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let hash = digest(&SHA256, bytes);
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}
