//! What the swarm is asked for in a run.

use super::Stand;
use crate::swarm_threads;
use anyhow::{Result, anyhow};
use starling_client_sim::report::Report;
use starling_client_sim::swarm::{InterestSpec, Progress, SwarmOptions, Work, run};
use starling_transport::conditioner::LinkProfile;
use starling_transport::tls::ServerTrust;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// A load without events and cues.
#[derive(Clone, Debug)]
pub(super) struct Load<'a> {
    pub(super) scenario: &'a str,
    pub(super) world: Option<String>,
    pub(super) clients: u32,
    pub(super) visible: u32,
    pub(super) measured: Duration,
    pub(super) seed: u64,
    pub(super) link: Option<String>,
    pub(super) interest: Option<InterestSpec>,
    /// Recorded motion in the place of the scenario's.
    pub(super) trace: Option<PathBuf>,
    /// Gateways that the entities are spread over.
    pub(super) sessions: Option<u32>,
}

impl<'a> Load<'a> {
    pub(super) fn of(scenario: &'a str, clients: u32, visible: u32, measured: Duration) -> Self {
        Self {
            scenario,
            world: None,
            clients,
            visible,
            measured,
            seed: 1,
            link: None,
            interest: None,
            trace: None,
            sessions: None,
        }
    }

    /// Runs it.
    pub(super) fn run(&self, stand: &Stand) -> Result<Report> {
        self.run_and_tell(stand, &AtomicBool::new(false), |_| {})
    }

    /// The same, to be stopped, and telling once a second how it stands.
    pub(super) fn run_and_tell(
        &self,
        stand: &Stand,
        stop: &AtomicBool,
        tell: impl FnMut(&Progress),
    ) -> Result<Report> {
        let options = self.options(stand)?;
        run(&options, stop, tell).map_err(|error| anyhow!("{}: {error}", self.scenario))
    }

    fn options(&self, stand: &Stand) -> Result<SwarmOptions> {
        let sessions = self.sessions.unwrap_or(self.clients);
        let mut options = SwarmOptions::new(stand.process.server, ServerTrust::Insecure);
        options.metrics = Some(stand.metrics.clone());
        options.work = match &self.trace {
            Some(trace) => Work::Traces(vec![trace.clone()]),
            None => Work::Scenario(self.scenario.to_owned()),
        };
        options.world.clone_from(&self.world);
        options.clients = self.clients;
        options.visible = f64::from(self.visible);
        options.measured = Some(self.measured);
        options.seed = self.seed;
        options.sessions = self.sessions;
        options.interests.extend(self.interest);
        options.events_per_s = 0.0;
        options.cues_per_s = Some(0.0);
        options.threads = swarm_threads(sessions);
        if let Some(link) = &self.link {
            options.link = LinkProfile::parse(link)?;
            options.link_name = Some(link.clone());
        }
        Ok(options)
    }
}
