//! `POST /revoke`: grants taken back before their token ends.

use super::Board;
use super::query::decoded;
use crate::auth::barred::Bar;
use crate::auth::revoke::{NotRevoked, Outcome, Revocation};
use serde_json::{Value, json};
use starling_protocol::units::SessionId;
use std::time::Duration;

/// How long the Front may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads `session=N`, `subject=S`, `subject=S&tenant=T` or `tenant=T`.
fn read(text: &str) -> Result<Revocation, String> {
    let (mut session, mut subject, mut tenant) = (None, None, None);
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(value).ok_or_else(|| format!("{name} is not UTF-8"))?;
        let place = match name {
            "session" => &mut session,
            "subject" => &mut subject,
            "tenant" => &mut tenant,
            _ => return Err(format!("{name} is not asked for")),
        };
        if place.replace(value).is_some() {
            return Err(format!("{name} is there twice"));
        }
    }
    match (session, subject, tenant) {
        (Some(session), None, None) => {
            let number = session.parse().map_err(|_| "session is not a number".to_owned())?;
            Ok(Revocation::Session(SessionId(number)))
        }
        (None, Some(subject), tenant) if !subject.is_empty() => {
            Ok(Revocation::Subject { tenant: tenant.unwrap_or_default(), subject })
        }
        (None, None, Some(tenant)) => Ok(Revocation::Tenant(tenant)),
        _ => Err("session, or subject with or without tenant, or tenant is needed".to_owned()),
    }
}

/// The answer once the revocation is in force, or a status and why it is not.
pub(super) async fn answer(board: &Board, query: &str) -> Result<Value, (u16, String)> {
    let revocation = read(query).map_err(|error| (400, error))?;
    let asked = board.revoker.as_ref().and_then(|revoker| revoker.ask(revocation));
    let mut waiting = asked.ok_or_else(|| (503, "too many revocations wait".to_owned()))?;
    let answer = tokio::time::timeout(PATIENCE, waiting.answer()).await;
    let Ok(Some(Outcome { done, bars })) = answer else {
        return Err((504, "the server did not answer".to_owned()));
    };
    let kept = keep(board, bars).await;
    let done = done.and_then(|connections| kept.map(|()| connections));
    done.map(|connections| json!({ "connections": connections }))
        .map_err(|why| (503, why.to_string()))
}

/// Waits for the disk on a thread that nobody else waits for.
async fn keep(board: &Board, bars: Vec<Bar>) -> Result<(), NotRevoked> {
    let Some(revoker) = board.revoker.clone() else { return Ok(()) };
    let keep = move || revoker.keep(&bars).inspect_err(|_| revoker.keep_late());
    let kept = tokio::task::spawn_blocking(keep).await;
    kept.unwrap_or(Err(NotRevoked::NotKept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read() {
        let subject = |tenant: &str| Revocation::Subject {
            tenant: tenant.into(),
            subject: "eve and ada".into(),
        };
        assert_eq!(read("session=7"), Ok(Revocation::Session(SessionId(7))));
        assert_eq!(read("subject=eve+and%20ada"), Ok(subject("")));
        assert_eq!(read("tenant=acme&subject=eve%20and+ada"), Ok(subject("acme")));
        assert_eq!(read("tenant=acme"), Ok(Revocation::Tenant("acme".into())));
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        for wrong in
            ["", "session=x", "session=1&subject=a", "subject=", "user=a", "tenant=a&tenant=b"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
