//! `/limits`: what runs against which limit, what is known of the providers, and changes of both while things run.

use std::{collections::BTreeSet, fmt::Write, num::NonZeroU32, sync::Arc};

use super::{project::Project, service::Attachment};
use crate::{
    admission::{Limit, Overrides, Passage, Provider, keep_living},
    fault::{Code, Fault},
    store::{Queue, StoreError, Wanted, limits_setting},
    task::Timestamp,
};

/// What `/limits` is to do.
enum Ask {
    Show,
    Set(Target, Option<NonZeroU32>),
    Reset(String),
}

/// Whose limit.
enum Target {
    Agent(String),
    Model(String),
    Project,
    Total,
}

impl Attachment {
    /// Shows the limits, changes one, or forgets what a provider did.
    ///
    /// # Errors
    /// [`Code::BadLimit`], the store's or the host's; then nothing was changed.
    pub async fn limits(&self, arguments: &str) -> Result<String, Fault> {
        match self.limits_ask(arguments).await? {
            Ask::Show => {}
            Ask::Set(target, to) => self.set_limit(target, to).await?,
            Ask::Reset(name) => self.reset_provider(&name).await?,
        }
        let project = &self.project;
        let queue = look(project).await?;
        Ok(text(project, &queue, self.now()))
    }

    async fn limits_ask(&self, arguments: &str) -> Result<Ask, Fault> {
        let wrong = |message: String| Err(Fault::new(Code::BadLimit, message));
        let (name, value) = match *arguments.split_whitespace().collect::<Vec<_>>() {
            [] => return Ok(Ask::Show),
            ["reset", provider] => return Ok(Ask::Reset(provider.to_owned())),
            [name, value] => (name, value),
            _ => return wrong(format!("`{}` is not understood", super::handoff::cut(arguments, 100))),
        };
        let to = match value {
            "default" => None,
            number => match number.parse() {
                Ok(number) => Some(number),
                Err(_) => return wrong(format!("`{}` is no number above 0", super::handoff::cut(number, 100))),
            },
        };
        let target = match name {
            "project" => Target::Project,
            "total" => Target::Total,
            name => self.target(name).await?,
        };
        Ok(Ask::Set(target, to))
    }

    /// The agent, provider or model of a name, as the host spells it.
    async fn target(&self, name: &str) -> Result<Target, Fault> {
        let agents = self.agents(true).await?;
        if let Some(agent) = agents.iter().find(|agent| agent.name.eq_ignore_ascii_case(name)) {
            return Ok(Target::Agent(agent.name.clone()));
        }
        let models = self.models().await?;
        let providers: BTreeSet<_> = models.iter().map(|model| model.provider_id.clone()).collect();
        let named = models.iter().map(ToString::to_string);
        if let Some(known) = providers.iter().cloned().chain(named).find(|known| known.eq_ignore_ascii_case(name)) {
            return Ok(Target::Model(known));
        }
        let agents: Vec<_> = agents.iter().filter(|agent| !agent.hidden).map(|agent| agent.name.as_str()).collect();
        let providers: Vec<_> = providers.into_iter().collect();
        Err(Fault::new(
            Code::BadLimit,
            format!(
                "`{}` is no agent ({}), no provider ({}) and no model of one",
                super::handoff::cut(name, 100),
                agents.join(", "),
                providers.join(", ")
            ),
        ))
    }

    async fn set_limit(&self, target: Target, to: Option<NonZeroU32>) -> Result<(), Fault> {
        let of = matches!(target, Target::Agent(_) | Target::Project).then(|| self.project.key.clone());
        let name = limits_setting(of.as_ref());
        let set = move |store: &mut dyn crate::store::Store| {
            let mut changed: Overrides =
                store.setting(&name)?.and_then(|body| serde_json::from_str(&body).ok()).unwrap_or_default();
            match &target {
                Target::Agent(agent) => changed.set_agent(agent, to.map(Limit::hard)),
                Target::Model(model) => changed.set_model(model, to),
                Target::Project => changed.project = to,
                Target::Total => changed.total = to,
            }
            let body = serde_json::to_string(&changed).map_err(|error| StoreError::Internal(error.to_string()))?;
            store.set_setting(&name, (changed != Overrides::default()).then_some(body.as_str()))
        };
        self.project.store(set).await?;
        self.project.dispatch.notify_one();
        Ok(())
    }

    async fn reset_provider(&self, name: &str) -> Result<(), Fault> {
        let queue = look(&self.project).await?;
        let known: Vec<_> = queue.providers.into_iter().map(|(name, _)| name).collect();
        let Some(name) = known.iter().find(|known| known.eq_ignore_ascii_case(name)).cloned() else {
            let message = if known.is_empty() {
                "nothing is known of any provider".to_owned()
            } else {
                format!("something is known of {} only", known.join(", "))
            };
            return Err(Fault::new(Code::BadLimit, message));
        };
        let reset = move |store: &mut dyn crate::store::Store| {
            store.edit_provider(&name, &mut |known| {
                let mut provider = known.map(Provider::read).unwrap_or_default();
                provider.reset();
                serde_json::to_string(&provider).ok()
            })
        };
        self.project.store(reset).await?;
        self.project.dispatch.notify_one();
        Ok(())
    }
}

async fn look(project: &Arc<Project>) -> Result<Queue, StoreError> {
    let (key, core) = (project.key.clone(), Arc::clone(&project.core));
    let mut queue =
        project.store(move |store| store.queue(&key, core.instance, core.clock.now(), &Wanted::first(0))).await?;
    keep_living(&project.core.home, &mut queue);
    Ok(queue)
}

fn text(project: &Arc<Project>, queue: &Queue, now: Timestamp) -> String {
    let limits = project.options.limits.as_changed(&queue.limits);
    let own = project.core.slots.own(&project.key);
    let lanes = own.iter().map(|own| (own.same_project, &own.lane, own.count));
    let lanes: Vec<_> = lanes.chain(queue.running.iter().map(|one| (one.same_project, &one.lane, one.count))).collect();
    let sum = |wanted: &dyn Fn(bool, &crate::store::Lane) -> bool| {
        lanes.iter().filter(|(same, lane, _)| wanted(*same, lane)).map(|(_, _, count)| count).sum::<u32>()
    };
    let mut text = String::new();
    let mut line = |what: &str, used: u32, limit: String| {
        let _ = writeln!(text, "{what:32}{used}/{limit}");
    };
    let running = lanes.iter().filter(|(same, ..)| *same).map(|(_, lane, _)| lane.agent.to_ascii_lowercase());
    let agents: BTreeSet<_> = limits.agents.keys().map(|name| name.to_ascii_lowercase()).chain(running).collect();
    for agent in agents {
        let Limit { share, max } = limits.of(&agent);
        let limit = if share == max { max.to_string() } else { format!("{share} (with idle slots of others {max})") };
        line(&agent, sum(&|same, lane| same && lane.agent.eq_ignore_ascii_case(&agent)), limit);
    }
    line("any other agent", 0, limits.default.max.to_string());
    for (name, limit) in &limits.models {
        let is_of = |lane: &crate::store::Lane| {
            lane.model.eq_ignore_ascii_case(name) || lane.provider().is_some_and(|one| one.eq_ignore_ascii_case(name))
        };
        line(name, sum(&|_, lane| is_of(lane)), limit.to_string());
    }
    if let Some(limit) = limits.project {
        line("project", sum(&|same, _| same), limit.to_string());
    }
    line("total", sum(&|_, _| true), limits.total.to_string());
    for (name, body) in &queue.providers {
        let provider = Provider::read(body);
        let state = match provider.passage(now) {
            Passage::Free => "open".to_owned(),
            Passage::Probe => "closed until one task has tried it".to_owned(),
            Passage::Tried { why, .. } => format!("{}: one task tries it out", why.as_str()),
            Passage::Closed { until, why } => format!("{}: closed for {} s", why.as_str(), until.since(now).as_secs()),
        };
        let scale = provider.scale().map(|scale| format!(", scaled down to {scale}")).unwrap_or_default();
        let _ = writeln!(text, "{name:32}{state}{scale}");
    }
    text.truncate(text.trim_end().len());
    text
}
