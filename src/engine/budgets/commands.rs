//! What people say to budgets: show them, set them, and let what they paused go on.

use std::{fmt::Write, sync::Arc};

use super::{gate, round};
use crate::{
    admission::{Bounds, Budget, OFF, Of, SETTINGS},
    engine::{handoff::cut, project::Project, report_text::label, service::Attachment},
    fault::{Code, Fault},
    opencode::SessionId,
    store::{Account, Filter, MissionFilter, Store, StoreError},
    task::{PauseReason, Scope, Spent, StateName, Task, TaskId, TaskState, What},
};

impl Attachment {
    /// Shows the budgets, or sets a limit: `<whose> <what> <amount>`.
    ///
    /// # Errors
    /// [`Code::BadBudget`], [`Code::NoSuchTask`], or the store's.
    pub async fn budget(&self, session: &SessionId, words: &str) -> Result<String, Fault> {
        let words: Vec<&str> = words.split_whitespace().collect();
        match words.as_slice() {
            [] => Ok(self.show_budgets().await?),
            [whose, what, amount] => self.set_budget(session, whose, what, amount).await,
            _ => Err(bad(format!("{} words were typed", words.len()))),
        }
    }

    async fn set_budget(&self, session: &SessionId, whose: &str, what: &str, amount: &str) -> Result<String, Fault> {
        let project = &self.project;
        let plain = |name: &str| name.to_ascii_lowercase().replace(['_', '-'], "");
        let known = What::ALL.into_iter().find(|known| plain(known.as_str()) == plain(what));
        let what = known.ok_or_else(|| bad(format!("`{}` is nothing that is bounded", cut(what, 100))))?;
        let value = value(what, amount)?;
        let of = self.whose(session, whose).await?;
        let name = of.setting(what);
        project.store(move |store| store.set_setting(&name, value.as_deref())).await?;
        // What waited for it goes on before this returns.
        round::make(project).await?;
        project.stir();
        let (key, options, of_it) = (project.key.clone(), project.options.budget.clone(), of.clone());
        let budget = project.store(move |store| Ok(bounds(store, &options)?.of(&of_it, &key))).await?;
        let limit = budget.limit(what).map_or_else(|| "no limit".to_owned(), |limit| what.show(limit));
        let each = if matches!(of, Of::Tasks(_) | Of::Missions(_)) { "each " } else { "the " };
        let whose = of.scope().as_str();
        let unit = what.as_str();
        Ok(format!("The budget of {each}{whose}: {unit} {limit}."))
    }

    /// Whom a word of a user's means.
    async fn whose(&self, session: &SessionId, word: &str) -> Result<Of, Fault> {
        let key = self.project.key.clone();
        match word {
            "day" => return Ok(Of::Day),
            "project" => return Ok(Of::Project(key)),
            "mission" => return Ok(Of::Missions(key)),
            "task" => return Ok(Of::Tasks(key)),
            _ => {}
        }
        let rows = self.project.store(move |store| store.missions(&key, &MissionFilter::default())).await?;
        if let Some(row) = rows.iter().find(|row| row.tag == word) {
            return Ok(Of::Mission(row.id));
        }
        Ok(Of::Task(self.resolve(session, word).await?.id))
    }

    async fn show_budgets(&self) -> Result<String, StoreError> {
        let project = &self.project;
        let (key, options, now) = (project.key.clone(), project.options.budget.clone(), project.core.clock.now());
        let driven = project.missions.driven();
        let missions: Vec<_> = driven.iter().map(|driven| driven.mission.id).collect();
        let tag = |id| driven.iter().find(|driven| driven.mission.id == id).map(|driven| driven.mission.tag.clone());
        let names: Vec<_> = missions.iter().map(|id| tag(*id).unwrap_or_default()).collect();
        round::make(project).await?;
        project
            .store(move |store| {
                let bounds = bounds(store, &options)?;
                let mut text = String::from("used");
                for (whose, account) in
                    [("today", Account::Day(now)), ("in this project", Account::Project(key.clone()))]
                {
                    let spent = store.spent(&account)?;
                    let _ = write!(text, "\n  {whose}: {}", sum(&spent));
                }
                let mut limits = String::new();
                for shared in gate::shared(store, &bounds, &key, &missions, now)? {
                    let whose = match shared.of {
                        Of::Mission(id) => {
                            let at = missions.iter().position(|known| *known == id);
                            format!("mission {}", at.map(|at| names[at].as_str()).unwrap_or_default())
                        }
                        of => of.scope().as_str().to_owned(),
                    };
                    lines(&mut limits, &whose, &shared.budget, Some(&shared.spent));
                }
                let general = bounds.of(&Of::Tasks(key.clone()), &key);
                lines(&mut limits, "each task", &general, None);
                lines(&mut limits, "each mission", &bounds.of(&Of::Missions(key.clone()), &key), None);
                let states = StateName::OPEN.to_vec();
                for task in store.tasks(&key, &Filter { states, ..Filter::default() })? {
                    let budget = bounds.of(&Of::Task(task.id), &key);
                    let spent = store.spent(&Account::Task(task.id))?;
                    if budget != general || is_paused_by(&task, Scope::Task) {
                        lines(&mut limits, &format!("{} {}", task.id, label(&task)), &budget, Some(&spent));
                    }
                }
                let head = if limits.is_empty() { "\nNo budget is set." } else { "\nbudgets" };
                text.push_str(head);
                text.push_str(&limits);
                let _ = write!(text, "\n{}", Code::BadBudget.remedy());
                Ok(text)
            })
            .await
    }

    /// Lets a paused task go on, by its id or key. One that has used up its own budget gets as much again.
    ///
    /// # Errors
    /// [`Code::NoSuchTask`], [`Code::NotOpen`] when it is not paused, [`Code::BudgetSpent`] when a budget that it shares
    /// with others is used up, or the store's.
    pub async fn resume_task(&self, session: &SessionId, name: &str) -> Result<String, Fault> {
        let task = self.resolve(session, name).await?;
        self.let_go_on(&task).await?;
        Ok(format!("{} goes on.", label(&task)))
    }

    /// Lets all paused tasks of a session go on that belong to no mission.
    ///
    /// # Errors
    /// [`Code::NoMission`] when there is none; otherwise those of [`Self::resume_task`].
    pub async fn resume_tasks(&self, session: &SessionId) -> Result<String, Fault> {
        let (parent_session, states) = (Some(session.to_string()), vec![StateName::Paused]);
        let mut paused = self.find(Filter { parent_session, states, ..Filter::default() }).await?;
        paused.retain(|task| task.spec.mission.is_none());
        if paused.is_empty() {
            return Err(Fault::new(Code::NoMission, "this session has no mission that goes on, and no paused tasks"));
        }
        for task in &paused {
            self.let_go_on(task).await?;
        }
        let names: Vec<_> = paused.iter().map(label).collect();
        Ok(format!("{} {} on.", names.join(", "), if names.len() == 1 { "goes" } else { "go" }))
    }

    async fn let_go_on(&self, task: &Task) -> Result<(), Fault> {
        let TaskState::Paused { reason, .. } = task.state else {
            let message = format!("task {} is {}, not paused", task.id, task.state.name().as_str());
            return Err(Fault::new(Code::NotOpen, message));
        };
        if !matches!(reason, PauseReason::Budget(_)) {
            return self.go_on(task.id).await.map(|_| ());
        }
        let project = &self.project;
        let (key, options, id) = (project.key.clone(), project.options.budget.clone(), task.id);
        let grant = move |store: &mut dyn Store| {
            let bounds = bounds(store, &options)?;
            for spender in round::line_over(store, &bounds, &key, id)? {
                again(store, &Of::Task(spender.task), &spender.budget, &spender.spent)?;
            }
            Ok(())
        };
        project.store(grant).await?;
        round::make(project).await?;
        let now = self.find(Filter { ids: Some(vec![task.id]), ..Filter::default() }).await?;
        match now.first().map(|task| &task.state) {
            Some(TaskState::Paused { reason: PauseReason::Budget(_), .. }) => Err(self.still_paused(task.id).await?),
            _ => Ok(()),
        }
    }

    /// Why a task stays paused though its own budget has room.
    async fn still_paused(&self, task: TaskId) -> Result<Fault, StoreError> {
        let project = &self.project;
        let (key, options, now) = (project.key.clone(), project.options.budget.clone(), project.core.clock.now());
        let over = project
            .store(move |store| {
                let bounds = bounds(store, &options)?;
                Ok(gate::shared(store, &bounds, &key, &[], now)?.iter().find_map(gate::Shared::over))
            })
            .await?;
        let why = over.map_or_else(|| "another process looks after it".to_owned(), |over| over.to_string());
        Ok(Fault::new(Code::BudgetSpent, format!("task {task} stays paused: {why}")))
    }
}

/// Gives a mission that has used up its budget as much again; for whoever lets it go on.
///
/// # Errors
/// The store's.
pub async fn grant_mission(project: &Arc<Project>, mission: crate::task::MissionId) -> Result<(), StoreError> {
    let (key, options) = (project.key.clone(), project.options.budget.clone());
    let grant = move |store: &mut dyn Store| {
        let of = Of::Mission(mission);
        let budget = bounds(store, &options)?.of(&of, &key);
        if budget.is_bounded() {
            let spent = store.spent(&Account::Mission(mission))?;
            again(store, &of, &budget, &spent)?;
        }
        Ok(())
    };
    project.store(grant).await
}

fn bounds(store: &mut dyn Store, options: &crate::admission::Budgets) -> Result<Bounds, StoreError> {
    Ok(Bounds::new(options, store.settings(SETTINGS)?))
}

fn again(store: &mut dyn Store, of: &Of, budget: &Budget, spent: &Spent) -> Result<(), StoreError> {
    for (what, limit) in budget.again(spent) {
        store.set_setting(&of.setting(what), Some(&limit.to_string()))?;
    }
    Ok(())
}

fn is_paused_by(task: &Task, scope: Scope) -> bool {
    matches!(task.state, TaskState::Paused { reason: PauseReason::Budget(over), .. } if over.scope == scope)
}

/// The value of a setting from what a user typed; none takes it away.
fn value(what: What, typed: &str) -> Result<Option<String>, Fault> {
    match typed.to_ascii_lowercase().as_str() {
        OFF => return Ok(Some(OFF.to_owned())),
        "default" => return Ok(None),
        _ => {}
    }
    let wrong = || bad(format!("`{}` is no number above 0, nor `off` or `default`", cut(typed, 100)));
    let digits = typed.strip_prefix('$').filter(|_| what == What::Cost).unwrap_or(typed);
    let amount = if what == What::Cost {
        digits.parse::<f64>().ok().filter(|dollars| dollars.is_finite()).map(Spent::millionths)
    } else {
        digits.replace(['_', ','], "").parse::<u64>().ok().map(|amount| amount.saturating_mul(what.unit()))
    };
    amount.filter(|amount| *amount > 0).map(|amount| Some(amount.to_string())).ok_or_else(wrong)
}

fn bad(message: impl AsRef<str>) -> Fault {
    Fault::new(Code::BadBudget, message)
}

/// All that was used, in a line.
fn sum(spent: &Spent) -> String {
    let Spent { tokens, cost, millis, tool_calls, tasks } = *spent;
    let (cost, seconds) = (What::Cost.show(cost), What::Seconds.show(millis));
    format!("{tokens} tokens, {cost}, {seconds} s, {tool_calls} tool calls, {tasks} tasks")
}

/// A line for each limit of a budget.
fn lines(text: &mut String, whose: &str, budget: &Budget, spent: Option<&Spent>) {
    let nothing = Spent::default();
    for (what, used, limit) in budget.limits(spent.unwrap_or(&nothing)) {
        let amount = match spent {
            Some(_) => {
                format!("{} ({} %)", what.compare(used, limit), u128::from(used) * 100 / u128::from(limit.max(1)))
            }
            None => what.show(limit),
        };
        let _ = write!(text, "\n  {whose}, {}: {amount}", what.as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_in_the_units_of_people() {
        let value = |what, typed| value(what, typed).map_err(|fault| fault.code);
        assert_eq!(value(What::Tokens, "1_000"), Ok(Some("1000".to_owned())));
        assert_eq!(value(What::Cost, "$2.5"), Ok(Some("2500000".to_owned())));
        assert_eq!(value(What::Seconds, "60"), Ok(Some("60000".to_owned())));
        assert_eq!((value(What::Tasks, "OFF"), value(What::Tasks, "default")), (Ok(Some("off".to_owned())), Ok(None)));
        for (what, typed) in [
            (What::Tokens, "0"),
            (What::Tokens, "-1"),
            (What::Tokens, "1.5"),
            (What::Tokens, "$5"),
            (What::Cost, "nan"),
            (What::Cost, "inf"),
            (What::Cost, "0.0000001"),
            (What::Seconds, "soon"),
        ] {
            assert_eq!(value(what, typed), Err(Code::BadBudget), "{typed}");
        }
    }
}
