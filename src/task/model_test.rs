//! The transition function against a model: a small table of arrows, and invariants over random histories.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    recovery::{Why, Word},
    *,
};

fn id(n: u8) -> TaskId {
    TaskId::new(Timestamp(1), &[n; 10])
}

fn instance(n: u8) -> InstanceId {
    InstanceId::new(Timestamp(1), &[n; 10])
}

fn spec(resume: ResumePolicy) -> TaskSpec {
    TaskSpec {
        project: ProjectKey::new("/p"),
        key: None,
        title: "t".into(),
        agent: "build".into(),
        prompt: "p".into(),
        model: None,
        expected_model: None,
        directory: "/p".into(),
        parent: Parent { session: "ses_1".into(), directory: "/p".into() },
        depth: 1,
        priority: Priority::Normal,
        timeout: Duration::from_secs(600),
        max_attempts: 5,
        resume,
        depends_on: Vec::new(),
        continues: None,
        retry_of: None,
        mission: None,
        queued: None,
    }
}

fn failure() -> Failure {
    Failure { kind: FailureKind::Error, class: ErrorClass::Network, message: "cut".into() }
}

fn word() -> Word {
    Word { why: Why::Nudge, message: "msg_2".into(), part: "prt_2".into() }
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (0_u8..2, any::<bool>()).prop_map(|(n, bound)| Change::Claim {
            owner: instance(n),
            run: Run { session: bound.then(|| "ses_2".into()), message: "msg_1".into(), part: "prt_1".into(), process: None },
        }),
        2 => Just(Change::BindSession { session: "ses_2".into() }),
        1 => Just(Change::Complete),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(again, same_session)| Change::Fail {
            failure: failure(),
            retry: again.then_some(Retry::plain(Timestamp(9), same_session)),
        }),
        1 => Just(Change::Say { word: word() }),
        2 => Just(Change::Spawn { process: Process { pid: 7, birth: 8, at: Timestamp(9) } }),
        1 => Just(Change::Release),
        1 => Just(Change::Prioritize { priority: Priority::High }),
        1 => (0_u64..100_000).prop_map(|seconds| Change::Extend { by: Duration::from_secs(seconds) }),
        2 => Just(Change::Interrupt),
        2 => (0_u8..2).prop_map(|n| Change::Adopt { home: instance(n) }),
        1 => Just(Change::Cancel { reason: CancelReason::Request }),
        1 => Just(Change::Pause),
        1 => Just(Change::Exhaust { over: Over { scope: Scope::Task, what: What::Tokens, used: 2, limit: 1 } }),
        2 => Just(Change::Continue),
        2 => Just(Change::Yield { provider: "p".into(), until: Timestamp(9), said: "wait".into() }),
    ]
}

/// The model: which states an arrow may lead to; none means that it is refused.
fn arrow(from: StateName, change: &Change, policy: ResumePolicy) -> &'static [StateName] {
    use StateName::{Cancelled, Complete, Failed, Paused, Pending, Running};
    match (from, change) {
        (Pending, Change::Claim { .. })
        | (Running, Change::BindSession { .. } | Change::Say { .. } | Change::Extend { .. }) => &[Running],
        (Running, Change::Complete) => &[Complete],
        (Running, Change::Fail { retry: Some(_), .. }) => &[Pending],
        (Pending | Running, Change::Fail { retry: None, .. }) => &[Failed],
        (Running, Change::Yield { .. } | Change::Release) => &[Pending],
        (Running, Change::Spawn { .. }) => &[Running],
        (Running, Change::Interrupt) => match policy {
            ResumePolicy::Auto => &[Pending, Failed],
            ResumePolicy::Ask => &[Paused, Failed],
            ResumePolicy::Never => &[Failed],
        },
        (Pending, Change::Adopt { .. } | Change::Extend { .. } | Change::Prioritize { .. })
        | (Paused, Change::Continue) => &[Pending],
        (Paused, Change::Adopt { .. } | Change::Extend { .. } | Change::Prioritize { .. })
        | (Pending | Running, Change::Pause | Change::Exhaust { .. }) => &[Paused],
        (Pending | Running | Paused, Change::Cancel { .. }) => &[Cancelled],
        _ => &[],
    }
}

proptest! {
    #[test]
    fn random_histories_agree_with_the_model(
        policy in prop_oneof![Just(ResumePolicy::Auto), Just(ResumePolicy::Ask), Just(ResumePolicy::Never)],
        is_queued in any::<bool>(),
        history in prop::collection::vec((changes(), any::<bool>()), 1..60),
    ) {
        let queued = is_queued.then_some(Queued { max_retries: 3 });
        let mut task = Task::new(id(0), TaskSpec { queued, ..spec(policy) }, instance(0), Timestamp(0));
        let mut terminals = 0;
        for (at, (change, as_runner)) in (1..).zip(&history) {
            let guard = match task.state.owner() {
                Some(owner) if *as_runner => Guard::Runner(owner, task.fence),
                _ => Guard::Anyone,
            };
            let allowed = arrow(task.state.name(), change, policy);
            let has_process = task.run.as_ref().is_some_and(|run| run.process.is_some());
            match transition(&task, guard, change, Timestamp(at)) {
                Ok(step) => {
                    prop_assert!(allowed.contains(&step.task.state.name()), "{:?} by {change:?}", task.state);
                    prop_assert_eq!(step.task.rev, task.rev.next());
                    prop_assert!(step.task.fence >= task.fence);
                    // Whoever wrote before a change of owner is fenced out after it.
                    if step.task.state.owner() != task.state.owner() && !matches!(change, Change::Complete) {
                        prop_assert!(step.task.fence > task.fence);
                    }
                    prop_assert!(step.task.attempt <= task.attempt + 1);
                    // A task of the queue belongs to whoever runs it, and to nobody when it does not run.
                    if is_queued && !step.task.state.is_terminal() {
                        prop_assert_eq!(step.task.home, step.task.state.owner().unwrap_or(InstanceId::QUEUE));
                    }
                    prop_assert_eq!(&step.task.spec, &task.spec);
                    prop_assert!(step.task.limit() >= task.limit() && step.task.limit() <= MAX_TIMEOUT);
                    terminals += u32::from(step.task.state.is_terminal());
                    task = step.task;
                }
                Err(error) => {
                    let lawful = allowed.is_empty()
                        || matches!(change, Change::Claim { owner, .. } if *owner != task.home && !is_queued)
                        || matches!(change, Change::Spawn { .. } if !is_queued || has_process)
                        || matches!(change, Change::BindSession { .. } if task.session().is_some());
                    prop_assert!(lawful, "{error} in {:?}", task.state);
                }
            }
        }
        prop_assert!(terminals <= 1);
    }

    #[test]
    fn a_stale_runner_is_always_refused(change in changes(), stale in 0_u64..3) {
        let task = Task::new(id(0), spec(ResumePolicy::Auto), instance(0), Timestamp(0));
        let run = Run { session: None, message: "m".into(), part: "p".into(), process: None };
        let claim = Change::Claim { owner: instance(0), run };
        let mut now = transition(&task, Guard::Anyone, &claim, Timestamp(1)).unwrap().task;
        for _ in 0..2 {
            now = transition(&now, Guard::Anyone, &Change::Interrupt, Timestamp(2)).unwrap().task;
            now = transition(&now, Guard::Anyone, &claim, Timestamp(3)).unwrap().task;
        }
        let guard = Guard::Runner(instance(0), Fence(stale));
        let refused = transition(&now, guard, &change, Timestamp(4)).unwrap_err();
        prop_assert_eq!(refused.refusal, Refusal::Fence);
        let other = Guard::Runner(instance(1), now.fence);
        prop_assert_eq!(transition(&now, other, &change, Timestamp(4)).unwrap_err().refusal, Refusal::Fence);
    }
}

#[test]
fn an_interruption_is_not_an_attempt_and_keeps_the_session() {
    let task = Task::new(id(0), spec(ResumePolicy::Auto), instance(0), Timestamp(0));
    let run = Run { session: Some("ses_2".into()), message: "m".into(), part: "p".into(), process: None };
    let claim = Change::Claim { owner: instance(0), run };
    let task = transition(&task, Guard::Anyone, &claim, Timestamp(1)).unwrap().task;
    let task = transition(&task, Guard::Anyone, &Change::Interrupt, Timestamp(2)).unwrap().task;
    assert_eq!((task.attempt, task.session()), (1, Some("ses_2")));
    let task = transition(&task, Guard::Anyone, &claim, Timestamp(3)).unwrap().task;
    assert_eq!((task.attempt, task.interruptions), (1, 1));
}

#[test]
fn a_task_that_kills_its_host_again_and_again_ends() {
    let mut task = Task::new(id(0), spec(ResumePolicy::Auto), instance(0), Timestamp(0));
    let run = Run { session: None, message: "m".into(), part: "p".into(), process: None };
    let claim = Change::Claim { owner: instance(0), run };
    for _ in 0..MAX_INTERRUPTIONS {
        task = transition(&task, Guard::Anyone, &claim, Timestamp(1)).unwrap().task;
        task = transition(&task, Guard::Anyone, &Change::Interrupt, Timestamp(2)).unwrap().task;
    }
    let TaskState::Failed { failure, .. } = &task.state else { panic!("still {:?}", task.state) };
    assert_eq!(failure.kind, FailureKind::Died);
}

#[test]
fn a_limit_is_extended_in_every_open_state_and_kept_by_the_next_run() {
    let extend = Change::Extend { by: Duration::from_secs(60) };
    let claim = Change::Claim {
        owner: instance(0),
        run: Run { session: None, message: "m".into(), part: "p".into(), process: None },
    };
    let deadline = |task: &Task| match task.state {
        TaskState::Running { deadline, .. } => deadline,
        _ => panic!("{:?}", task.state),
    };
    let task = Task::new(id(0), spec(ResumePolicy::Auto), instance(0), Timestamp(0));
    let task = transition(&task, Guard::Anyone, &extend, Timestamp(1)).unwrap().task;
    let task = transition(&task, Guard::Anyone, &claim, Timestamp(1_000)).unwrap().task;
    assert_eq!(deadline(&task), Timestamp(661_000));
    let task = transition(&task, Guard::Anyone, &extend, Timestamp(2_000)).unwrap().task;
    assert_eq!((deadline(&task), task.fence), (Timestamp(721_000), Fence(1)));
    let task = transition(&task, Guard::Anyone, &Change::Interrupt, Timestamp(3_000)).unwrap().task;
    let task = transition(&task, Guard::Anyone, &claim, Timestamp(5_000)).unwrap().task;
    assert_eq!(deadline(&task), Timestamp(725_000));
    let much = Change::Extend { by: Duration::MAX };
    let task = transition(&task, Guard::Anyone, &much, Timestamp(5_000)).unwrap().task;
    assert_eq!((task.limit(), deadline(&task)), (MAX_TIMEOUT, Timestamp(5_000).after(MAX_TIMEOUT)));
}

#[test]
fn a_retry_keeps_what_was_said_with_its_session_and_the_model_for_good() {
    let claim = |task: &Task| {
        let run = task.run.clone().unwrap_or(Run {
            session: Some("s".into()),
            message: "m".into(),
            part: "p".into(),
            process: None,
        });
        transition(task, Guard::Anyone, &Change::Claim { owner: instance(0), run }, Timestamp(1)).unwrap().task
    };
    let fail = |task: &Task, retry: Retry| {
        let change = Change::Fail { failure: failure(), retry: Some(retry) };
        transition(task, Guard::Anyone, &change, Timestamp(2)).unwrap().task
    };
    let model = ModelChoice { provider: "p".into(), model: "m".into(), variant: None };
    let task = claim(&Task::new(id(0), spec(ResumePolicy::Auto), instance(0), Timestamp(0)));
    let task = transition(&task, Guard::Anyone, &Change::Say { word: word() }, Timestamp(1)).unwrap().task;
    let again = Retry { model: Some(model.clone()), says: Some(Why::CutOff), ..Retry::plain(Timestamp(3), true) };
    let task = claim(&fail(&task, again));
    let task = claim(&fail(&task, Retry::plain(Timestamp(3), true)));
    assert_eq!((task.recovery.says, task.session()), (Some(Why::CutOff), Some("s")), "it was not said yet");
    let more = Word { why: Why::CutOff, ..word() };
    let task = transition(&task, Guard::Anyone, &Change::Say { word: more.clone() }, Timestamp(3)).unwrap().task;
    assert_eq!((&task.recovery.words[..], task.recovery.says), (&[word(), more][..], None));
    let task = fail(&task, Retry::plain(Timestamp(4), false));
    let expected = Recovery { failures: vec![ErrorClass::Network; 3], model: Some(model), ..Recovery::default() };
    assert_eq!((&task.recovery, task.run), (&expected, None));
}
