//! `starling token`: keys and access tokens.

use crate::args::{MakeTokenArgs, TokenCommand};
use crate::terminal::{say, write_new};
use anyhow::{Context, Result, bail};
use starling_server::auth::claims::{Audience, Claims};
use starling_server::auth::keys::{PrivateKey, generate};
use starling_server::auth::mint::{mint, token_name};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest life of a token that servers accept.
const LIFE_MAX: Duration = Duration::from_secs(3_600);
/// Issuer and audience that a server expects unless it is told otherwise.
const NAME: &str = "starling";

pub(crate) fn run(command: &TokenCommand) -> Result<()> {
    match command {
        TokenCommand::Keys { out } => keys(out),
        TokenCommand::Make(args) => make(args),
    }
}

fn keys(out: &Path) -> Result<()> {
    let pair = generate().context("could not make a key pair")?;
    let (private, public) = (out.join("starling.key.pem"), out.join("starling.pub.pem"));
    write_new(&private, &pair.private, true)?;
    write_new(&public, &pair.public, false)?;
    say(&format!("{}  signs tokens: keep it secret", private.display()));
    say(&format!("{}  verifies them: starling serve --auth-key", public.display()));
    Ok(())
}

fn make(args: &MakeTokenArgs) -> Result<()> {
    if args.life > LIFE_MAX {
        bail!("a token is good for at most 1h; --for asks for longer");
    }
    let pem = std::fs::read_to_string(&args.key)
        .with_context(|| format!("could not read the key {}", args.key.display()))?;
    let key = PrivateKey::from_pem(&pem)
        .with_context(|| format!("{} is not a private key", args.key.display()))?;
    say(&mint(&key, &claims(args)?).context("could not sign the token")?);
    Ok(())
}

fn claims(args: &MakeTokenArgs) -> Result<Claims> {
    for verb in &args.grants {
        if !["see", "move", "host", "admin"].contains(&verb.as_str()) {
            bail!("`{verb}` is no grant; there are see, move, host and admin");
        }
    }
    let granted = |verb: &str| args.grants.iter().any(|g| g == verb);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock of this machine is before 1970")?
        .as_secs();
    Ok(Claims {
        iss: NAME.into(),
        aud: Audience::One(NAME.into()),
        sub: args.sub.clone(),
        jti: token_name().context("could not name the token")?,
        iat: now,
        exp: now + args.life.as_secs(),
        nbf: None,
        worlds: args.worlds.clone(),
        see: granted("see"),
        r#move: granted("move"),
        host: granted("host"),
        subscribe: args.subscribe.clone(),
        publish: args.publish.clone(),
        admin: granted("admin"),
        ..Claims::default()
    })
}
