//! Working the queue: a supervisor for each task that may start, until nothing is left to do.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ffi::OsString,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use tokio::{process::Command, sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    admit,
    processes::{self, WorkerNote},
};
use crate::{
    admission::{Left, Limits, Own},
    clock::{Clock, Ids},
    config::Config,
    fault::Fault,
    store::{Filter, Home, InstanceLock, Lane, Store, StoreError, Watcher, instance},
    sys::process::apart,
    task::{InstanceId, ProjectKey, StateName, Task, TaskId, Timestamp},
};

/// How often one looks without word of a change: the net under the system's.
const LOOK: Duration = Duration::from_secs(2);

/// How long nobody is sent again for a task that was not to be had.
const REST: Duration = Duration::from_secs(1);

/// How long a supervisor that was sent for a task may take to claim it, before its slot is given to another.
const CLAIM: Duration = Duration::from_secs(10);

/// How a queue is worked.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many tasks at once.
    pub parallel: usize,
    /// Only these, if any are named.
    pub only: Option<Vec<TaskId>>,
    /// So many tasks at most.
    pub most: Option<usize>,
    /// The command that supervises; the task's id follows.
    pub supervisor: Vec<OsString>,
}

/// What happens while the queue is worked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A supervisor was started for it.
    Started(Task),
    /// Its run is over: it has ended, or waits to be tried again.
    Over(Task),
    /// It waits, and nothing else can be done meanwhile.
    Waits(TaskId, String),
    /// Its supervisor could not be started, or broke.
    Broken(TaskId, String),
}

/// What became of the queue.
#[derive(Debug, Default)]
pub struct Worked {
    /// The tasks that were run, as they are now.
    pub tasks: Vec<Task>,
    /// What waits for something that is paused or will never come by itself.
    pub stuck: Vec<Task>,
    /// It was stopped before its end.
    pub interrupted: bool,
}

struct Child {
    task: Task,
    since: Timestamp,
    stop: CancellationToken,
}

/// A project's queue, with what it is worked with.
pub struct Queue<'a, S> {
    /// Sortie's files.
    pub home: &'a Home,
    /// The database.
    pub store: &'a mut S,
    /// The agents.
    pub config: &'a Config,
    /// The time.
    pub clock: &'a Arc<dyn Clock>,
    /// Whose queue it is.
    pub project: &'a ProjectKey,
}

/// Works a queue until nothing is left that could be done, or until `stop`.
///
/// # Errors
/// The store's.
pub async fn work<S: Store>(
    queue: Queue<'_, S>,
    plan: &Plan,
    stop: &CancellationToken,
    tell: &mut dyn FnMut(News),
) -> Result<Worked, Fault> {
    let Queue { home, store, config, clock, project } = queue;
    let lock = InstanceLock::acquire(home, Ids::new(Arc::clone(clock)).instance())?;
    let parallel = u32::try_from(plan.parallel).unwrap_or(u32::MAX);
    let note = WorkerNote { instance: lock.id(), project: project.clone(), pid: std::process::id(), parallel };
    note.write(home)?;
    let changed = Arc::new(Notify::new());
    let wake = Arc::clone(&changed);
    let _commits = Watcher::new(home, move || wake.notify_one());
    let limits = admit::limits(config);
    let mut working = Worker {
        home,
        store,
        clock,
        project,
        plan,
        limits,
        children: HashMap::new(),
        running: JoinSet::new(),
        left: BTreeMap::new(),
        run: Vec::new(),
        told: HashSet::new(),
        rests: HashMap::new(),
    };
    let done = working.run(&changed, stop, tell).await;
    WorkerNote::forget(home, lock.id());
    done
}

/// What a look at the queue came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Nothing is left that could be done here.
    Nothing,
    /// Something may start at this instant by time alone, or only by what others do.
    At(Option<Timestamp>),
}

struct Worker<'a, S> {
    home: &'a Home,
    store: &'a mut S,
    clock: &'a Arc<dyn Clock>,
    project: &'a ProjectKey,
    plan: &'a Plan,
    limits: Limits,
    children: HashMap<TaskId, Child>,
    running: JoinSet<(TaskId, Option<String>)>,
    left: Left,
    /// The tasks that were run here, in their order.
    run: Vec<TaskId>,
    /// Tasks whose wait was told.
    told: HashSet<TaskId>,
    /// Tasks that a supervisor was not given, and until when none is sent for them again.
    rests: HashMap<TaskId, Timestamp>,
}

impl<S: Store> Worker<'_, S> {
    async fn run(
        &mut self,
        news: &Notify,
        stop: &CancellationToken,
        tell: &mut dyn FnMut(News),
    ) -> Result<Worked, Fault> {
        loop {
            reconcile(self.home, self.store, self.project, self.clock.now()).await?;
            let next = self.start(tell)?;
            let pause = match next {
                Next::Nothing if self.children.is_empty() => return self.worked(false),
                Next::At(Some(at)) => (at.since(self.clock.now()) + Duration::from_millis(1)).min(LOOK),
                _ => LOOK,
            };
            tokio::select! {
                Some(over) = self.running.join_next() => {
                    if let Ok((task, broken)) = over {
                        self.over(task, broken, tell)?;
                    }
                }
                () = news.notified() => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {
                    for child in self.children.values() {
                        child.stop.cancel();
                    }
                    while let Some(over) = self.running.join_next().await {
                        if let Ok((task, broken)) = over {
                            self.over(task, broken, tell)?;
                        }
                    }
                    return self.worked(true);
                }
            }
        }
    }

    /// Starts what may start; says when time alone may let something start, and nothing at all where nothing can any
    /// more.
    fn start(&mut self, tell: &mut dyn FnMut(News)) -> Result<Next, Fault> {
        let now = self.clock.now();
        let mut queue = self.store.queue(self.project, InstanceId::QUEUE, now, &admit::wanted())?;
        let unclaimed: Vec<Own> = self
            .children
            .values()
            .filter(|child| now.since(child.since) < CLAIM)
            .filter(|child| queue.candidates.iter().any(|candidate| candidate.id == child.task.id))
            .map(|child| {
                let lane = Lane { agent: child.task.spec.agent.clone(), ..Lane::default() };
                Own { same_project: true, lane, count: 1 }
            })
            .collect();
        queue.candidates.retain(|candidate| {
            let rests = self.rests.get(&candidate.id).is_some_and(|until| now < *until);
            self.may_run(candidate.id) && !rests && !self.children.contains_key(&candidate.id)
        });
        let chosen = admit::look(self.home, &self.limits, queue, &unclaimed, &mut self.left, now);
        let room = self.plan.parallel.saturating_sub(self.children.len());
        let has_more = chosen.start.len() > room;
        for candidate in chosen.start.into_iter().take(room) {
            if !self.may_run(candidate.id) {
                break;
            }
            let Some(task) = self.task(candidate.id)? else { continue };
            self.spawn(task, tell);
        }
        if self.children.is_empty() {
            for (candidate, reason) in &chosen.waits {
                if self.told.insert(candidate.id) {
                    tell(News::Waits(candidate.id, reason.words(now)));
                }
            }
        }
        let due = self.store.next_due(self.project, InstanceId::QUEUE, now)?;
        let next = chosen.next.into_iter().chain(due).min();
        let goes_on = has_more || !chosen.waits.is_empty() || !self.children.is_empty();
        Ok(if goes_on || self.may_come(due.is_some())? { Next::At(next) } else { Next::Nothing })
    }

    /// Whether a task is one of those that are to be run.
    fn is_meant(&self, task: TaskId) -> bool {
        self.plan.only.as_ref().is_none_or(|only| only.contains(&task))
    }

    /// Whether a task may be run here: again, or as one more.
    fn may_run(&self, task: TaskId) -> bool {
        let is_full = self.plan.most.is_some_and(|most| self.run.len() >= most);
        self.is_meant(task) && (!is_full || self.run.contains(&task))
    }

    /// Whether something of what is meant may still start here without anybody's doing.
    fn may_come(&mut self, is_due: bool) -> Result<bool, Fault> {
        let filter = Filter { states: StateName::OPEN.to_vec(), ..Filter::default() };
        let open = self.store.tasks(self.project, &filter)?;
        let stuck: HashSet<_> = stuck(&open).into_iter().map(|task| task.id).collect();
        Ok(open.iter().any(|task| {
            // What runs elsewhere may come back, were it that whoever runs it dies just now.
            let waits = match task.state.name() {
                StateName::Running => true,
                StateName::Pending => !stuck.contains(&task.id) && (is_due || task.state.not_before().is_none()),
                _ => false,
            };
            self.may_run(task.id) && task.is_queued() && waits
        }))
    }

    fn spawn(&mut self, task: Task, tell: &mut dyn FnMut(News)) {
        let [program, arguments @ ..] = self.plan.supervisor.as_slice() else { return };
        let id = task.id;
        let mut command = std::process::Command::new(program);
        command.args(arguments).arg(id.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // What ends us by the terminal leaves it to its work; whom we end, we tell.
        apart(&mut command);
        let stop = CancellationToken::new();
        if !self.run.contains(&id) {
            self.run.push(id);
        }
        match Command::from(command).spawn() {
            Ok(child) => {
                tell(News::Started(task.clone()));
                self.running.spawn(over(id, child, stop.clone()));
                self.children.insert(id, Child { task, since: self.clock.now(), stop });
            }
            Err(error) => tell(News::Broken(id, error.to_string())),
        }
    }

    fn over(&mut self, task: TaskId, broken: Option<String>, tell: &mut dyn FnMut(News)) -> Result<(), Fault> {
        let sent_for = self.children.remove(&task).map(|child| child.task.rev);
        if let Some(broken) = broken {
            tell(News::Broken(task, broken));
            self.rests.insert(task, self.clock.now().after(REST));
        } else if let Some(task) = self.task(task)? {
            if sent_for == Some(task.rev) {
                self.rests.insert(task.id, self.clock.now().after(REST));
            }
            tell(News::Over(task));
        }
        Ok(())
    }

    fn task(&mut self, id: TaskId) -> Result<Option<Task>, StoreError> {
        Ok(self.store.tasks(self.project, &Filter { ids: Some(vec![id]), ..Filter::default() })?.pop())
    }

    fn worked(&mut self, interrupted: bool) -> Result<Worked, Fault> {
        let mut tasks = Vec::with_capacity(self.run.len());
        for id in self.run.clone() {
            tasks.extend(self.task(id)?);
        }
        let filter = Filter { states: StateName::OPEN.to_vec(), ..Filter::default() };
        let open = self.store.tasks(self.project, &filter)?;
        let stuck = stuck(&open).into_iter().filter(|task| self.is_meant(task.id)).cloned().collect();
        Ok(Worked { tasks, stuck, interrupted })
    }
}

/// Waits for a supervisor; what it said if it broke.
async fn over(task: TaskId, mut child: tokio::process::Child, stop: CancellationToken) -> (TaskId, Option<String>) {
    use tokio::io::AsyncReadExt;
    let mut said = Vec::new();
    let errors = child.stderr.take();
    let status = tokio::select! {
        status = child.wait() => status,
        () = stop.cancelled() => {
            crate::sys::process::ask_to_end(&mut child);
            child.wait().await
        }
    };
    if let Some(errors) = errors {
        let _ = errors.take(2_000).read_to_end(&mut said).await;
    }
    let broken = match status {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("{status}: {}", String::from_utf8_lossy(&said).trim())),
        Err(error) => Some(error.to_string()),
    };
    (task, broken)
}

/// Gives back to the queue what dead supervisors had, and ends what runs for nobody.
///
/// # Errors
/// The store's.
pub async fn reconcile<S: Store>(
    home: &Home,
    store: &mut S,
    project: &ProjectKey,
    now: Timestamp,
) -> Result<usize, Fault> {
    let is_alive = |id: InstanceId| instance::is_alive(home, id);
    let requeued = store.requeue(project, &is_alive, now)?;
    let ended = processes::sweep(home, store).await?;
    Ok(requeued.len() + ended)
}

/// The open tasks that cannot go on by themselves: paused ones, and what waits for such.
#[must_use]
pub fn stuck(open: &[Task]) -> Vec<&Task> {
    let mut stuck: HashSet<TaskId> =
        open.iter().filter(|task| task.state.name() == StateName::Paused).map(|task| task.id).collect();
    loop {
        let more: Vec<_> = open
            .iter()
            .filter(|task| task.state.name() == StateName::Pending && !stuck.contains(&task.id))
            .filter(|task| task.spec.depends_on.iter().any(|on| stuck.contains(on)))
            .map(|task| task.id)
            .collect();
        if more.is_empty() {
            return open.iter().filter(|task| stuck.contains(&task.id)).collect();
        }
        stuck.extend(more);
    }
}
