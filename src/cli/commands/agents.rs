//! `sortie agents`: the programs that are agents.

use super::super::{
    Done,
    context::Context,
    exit,
    json::{AgentRow, AgentsAnswer},
    view,
};

pub fn run(context: &Context) -> Done {
    let config = context.config()?;
    let row = |(name, agent): (&String, &crate::config::Agent)| AgentRow {
        name: name.clone(),
        command: std::iter::once(&agent.command).chain(&agent.args).cloned().collect(),
        description: agent.description.clone(),
        success: agent.success,
    };
    let agents: Vec<_> = config.agents.iter().map(row).collect();
    if agents.is_empty() {
        context.out.say("no program is configured: every agent is one of OpenCode's");
    } else {
        let line = |row: &AgentRow| {
            let description = row.description.as_deref().map(view::one_line).unwrap_or_default();
            ([row.name.clone(), view::one_line(&row.command.join(" ")), description], None)
        };
        context.out.say(view::table(
            ["AGENT", "COMMAND", "WHAT IT IS"],
            agents.iter().map(line).collect(),
            context.out,
        ));
        context.out.say("any other name is an agent of OpenCode's");
    }
    context.out.document("agents", AgentsAnswer { agents });
    Ok(exit::OK)
}
