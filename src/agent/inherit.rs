//! What a task's session takes over from the session that launched it.

use crate::{
    opencode::{Agent, ModelRef, Rule},
    task::ModelChoice,
};

/// A model with its variant.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inherited {
    /// The model; the host's default if none.
    pub model: Option<ModelRef>,
    /// The model's variant.
    pub variant: Option<String>,
}

/// The model of a task: the one asked for, else the one configured for its agent, else the caller's.
#[must_use]
pub fn model(asked: Option<&ModelChoice>, agent: Option<&Agent>, caller: Inherited) -> Inherited {
    if let Some(choice) = asked {
        let model = ModelRef { provider_id: choice.provider.to_string(), model_id: choice.model.to_string() };
        return Inherited { model: Some(model), variant: choice.variant.clone() };
    }
    match agent.and_then(|agent| agent.model.clone()) {
        Some(model) => Inherited { model: Some(model), variant: None },
        None => caller,
    }
}

/// Our tools that not every task may use. Each is denied by its name, because a rule that allowed the others again would
/// stand over what the user has decided of them.
pub const RESERVED: [&str; 9] = [
    "sortie_launch",
    "sortie_status",
    "sortie_wait",
    "sortie_result",
    "sortie_send",
    "sortie_cancel",
    "sortie_retry",
    "sortie_extend",
    "sortie_todo",
];

/// Which of our tools a task may use. What a background command may do, the rules for `bash` decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OurTools {
    /// All: it may launch tasks of its own.
    All,
    /// The one that writes a plan, and nothing else of ours.
    Todo,
    /// Those for background commands only.
    None,
}

/// The permission rules of a task's session: whatever the caller's session or agent is denied, and what it may do
/// outside its directory, holds for the task as well. Of our tools it sees those that it may use, which also spares the
/// bytes of the others in each of its requests.
#[must_use]
pub fn child_rules(caller_session: &[Rule], caller_agent: &[Rule], tools: OurTools) -> Vec<Rule> {
    let denied = caller_agent
        .iter()
        .enumerate()
        .filter(|(at, rule)| rule.action == "deny" && !caller_agent[at + 1..].iter().any(|later| lifts(later, rule)));
    let denied = denied.map(|(_, rule)| rule);
    let kept = caller_session.iter().filter(|rule| rule.action == "deny" || rule.permission == "external_directory");
    let mut rules: Vec<Rule> = Vec::new();
    for rule in denied.chain(kept) {
        if !rules.contains(rule) {
            rules.push(rule.clone());
        }
    }
    let rule = |permission: &str, action: &str| Rule {
        permission: permission.to_owned(),
        pattern: "*".to_owned(),
        action: action.to_owned(),
    };
    if tools != OurTools::All {
        let kept = |name: &str| tools == OurTools::Todo && name == "sortie_todo";
        rules.extend(RESERVED.iter().filter(|name| !kept(name)).map(|name| rule(name, "deny")));
    }
    // The last rule that fits decides.
    if tools == OurTools::Todo {
        rules.extend([rule("sortie_command*", "deny"), rule("sortie_todo", "allow")]);
    }
    rules
}

/// Whether a later rule lifts a denial altogether, as an agent's own rules do with OpenCode's defaults: then the caller is
/// not denied it.
fn lifts(later: &Rule, denial: &Rule) -> bool {
    let covers = |wide: &str, narrow: &str| wide == "*" || wide == narrow;
    later.action != "deny" && covers(&later.permission, &denial.permission) && covers(&later.pattern, &denial.pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(permission: &str, pattern: &str, action: &str) -> Rule {
        Rule { permission: permission.to_owned(), pattern: pattern.to_owned(), action: action.to_owned() }
    }

    #[test]
    fn denials_and_outside_directories_are_inherited_and_allowances_are_not() {
        let session =
            [rule("bash", "*", "allow"), rule("edit", "*", "deny"), rule("external_directory", "/x", "allow")];
        let agent = [rule("*", "*", "allow"), rule("webfetch", "*", "deny"), rule("edit", "*", "deny")];
        assert_eq!(
            child_rules(&session, &agent, OurTools::All),
            [rule("webfetch", "*", "deny"), rule("edit", "*", "deny"), rule("external_directory", "/x", "allow")]
        );
        let reserved = RESERVED.map(|name| rule(name, "*", "deny"));
        assert_eq!(child_rules(&[], &[], OurTools::None), reserved);
        let mut planner = reserved[..8].to_vec();
        planner.extend([rule("sortie_command*", "*", "deny"), rule("sortie_todo", "*", "allow")]);
        assert_eq!(child_rules(&[], &[], OurTools::Todo), planner);
    }

    #[test]
    fn what_the_caller_is_denied_by_default_and_given_after_all_is_not_denied_to_its_tasks() {
        let inherited = |agent: &[Rule]| child_rules(&[], agent, OurTools::All);
        let (deny, allow) = (rule("question", "*", "deny"), rule("question", "*", "allow"));
        assert_eq!(inherited(&[deny.clone(), allow.clone()]), []);
        assert_eq!(inherited(&[deny.clone(), rule("*", "*", "ask")]), []);
        let denied = [deny.clone()];
        assert_eq!(inherited(&[allow.clone(), deny.clone()]), denied);
        assert_eq!(inherited(&[deny.clone(), allow, deny.clone()]), denied);
        // Lifted in part it stands as a whole.
        let bash = rule("bash", "*", "deny");
        assert_eq!(inherited(&[bash.clone(), rule("bash", "git *", "allow")]), [bash]);
        assert_eq!(inherited(&[deny.clone(), rule("bash", "*", "allow")]), [deny]);
    }

    #[test]
    fn the_model_asked_for_wins_then_the_agents_then_the_callers() {
        let reference = |model: &str| ModelRef { provider_id: "p".to_owned(), model_id: model.to_owned() };
        let caller = Inherited { model: Some(reference("caller")), variant: Some("high".to_owned()) };
        let mut agent = Agent { name: "a".to_owned(), ..Agent::default() };
        assert_eq!(model(None, Some(&agent), caller.clone()), caller);
        agent.model = Some(reference("agent"));
        assert_eq!(model(None, Some(&agent), caller.clone()).model, Some(reference("agent")));
        let choice = ModelChoice { provider: "p".into(), model: "asked".into(), variant: None };
        assert_eq!(model(Some(&choice), Some(&agent), caller).model, Some(reference("asked")));
    }
}
