//! What agents ask of the user: at any depth and in any directory it has an end.

use std::{num::NonZeroU32, time::Duration};

use super::{
    flow::secs,
    rig::{DIR, Life, Rig},
};
use crate::{
    engine::{inbox::Answer, live::Glance, options::Options},
    fault::Code,
    inbox::{Allowed, Policy, Settings},
    opencode::{
        NewSession, Prompt, Reply, SessionId,
        fake::{Fault, PromptSeen, Script, Step},
    },
    store::PromptRow,
    task::{FailureKind, StateName, TaskId, TaskState},
};

const REPLY: &str = "POST /permission/{id}/reply";
const SECOND: &str = "/p/second";

fn permissions(settings: Settings) -> Options {
    Options { permissions: settings, ..Options::default() }
}

fn policy(policy: Policy, allow: &[(&str, &str)]) -> Options {
    let allow = allow
        .iter()
        .map(|(permission, pattern)| Allowed { permission: (*permission).to_owned(), pattern: (*pattern).to_owned() });
    permissions(Settings { policy, allow: allow.collect(), ..Settings::default() })
}

fn patience(seconds: u32) -> Options {
    permissions(Settings { patience: NonZeroU32::new(seconds).unwrap(), ..Settings::default() })
}

fn bash(what: &str) -> Step {
    Step::AskPermission("bash".to_owned(), what.to_owned())
}

fn which() -> Step {
    Step::AskQuestion("Which?".to_owned(), vec!["A".to_owned(), "B".to_owned()])
}

/// A model that asks once and then goes on. Texts `ask …` are asked for as a permission, `question` asks one.
fn asking(seen: &PromptSeen) -> Script {
    let then = format!("went on after {}", seen.text);
    match seen.text.as_str() {
        "question" => Script::new().then(which()).then_say(&then),
        "wait" => Script::hang(),
        text if text.starts_with("ask") && seen.asked_before == 0 => Script::new().then(bash(text)).then_say(&then),
        _ => Script::say(&then),
    }
}

/// Those that wait, once there are so many.
async fn waiting(rig: &Rig, life: &Life, number: usize) -> Vec<PromptRow> {
    let here = async || life.at.prompts(9).await.unwrap().here;
    rig.until(&[life], secs(20), "the prompts", async || here().await.len() == number).await;
    here().await.into_iter().map(|(row, _)| row).collect()
}

/// What became of all that was asked, as `what: answer (by)`.
async fn answers(life: &Life) -> Vec<String> {
    let answered = life.at.prompts(99).await.unwrap().answered;
    let shown = |row: PromptRow| {
        let answered = row.answered.unwrap();
        format!("{}: {} ({})", row.prompt.what, answered.answer, answered.by)
    };
    answered.into_iter().map(shown).collect()
}

/// A person's answer, while time goes on.
async fn give(rig: &Rig, life: &Life, number: i64, answer: Answer) -> String {
    let entry = life.at.waiting_prompt(number).await.unwrap();
    let at = life.at.clone();
    let giving = tokio::spawn(async move { at.answer_prompt(&entry, answer).await.unwrap() });
    rig.until(&[life], secs(20), "the answer to be taken", async || giving.is_finished()).await;
    giving.await.unwrap()
}

/// A session below another, in a turn that does what the model does with this prompt.
pub(super) async fn below(rig: &Rig, parent: &SessionId, directory: &str, text: &str) -> SessionId {
    let session = NewSession { parent: Some(parent.clone()), ..NewSession::default() };
    let client = rig.host.client();
    let child = client.create_session(directory, session).await.unwrap().id;
    prompt(rig, directory, &child, text).await;
    child
}

async fn prompt(rig: &Rig, directory: &str, session: &SessionId, text: &str) {
    let (message, part) = (format!("msg_{:012x}{}", rig.host.total_requests(), "a".repeat(14)), "prt_1");
    let prompt = Prompt::new(message.parse().unwrap(), part.parse().unwrap(), text);
    rig.host.client().prompt_async(directory, session, prompt).await.unwrap();
}

pub(super) async fn session_of(rig: &Rig, life: &Life, task: TaskId) -> SessionId {
    rig.until(&[life], secs(5), "the session", async || life.task(task).await.session().is_some()).await;
    rig.pass(life, Duration::from_millis(200)).await;
    life.task(task).await.session().unwrap().parse().unwrap()
}

/// Whether a session's latest turn has ended with these words.
fn said(rig: &Rig, session: &SessionId, words: &str) -> bool {
    let messages = rig.host.messages(session);
    messages.last().is_some_and(|last| last["info"]["finish"] == "stop" && last.to_string().contains(words))
}

#[tokio::test(start_paused = true)]
async fn a_person_answers_and_the_answer_reaches_the_session_that_asked() {
    let rig = Rig::new(asking).await;
    let life = rig.start().await;
    let tasks = rig.launch(&life, &["ask one", "ask two"]).await;
    let rows = waiting(&rig, &life, 2).await;
    let of = |task: TaskId| rows.iter().find(|row| row.prompt.task == task).unwrap();
    assert_eq!(of(tasks[1]).prompt.what, "permission: bash ask two");
    let waits = async || {
        let seen = life.at.look(crate::store::Filter::default()).await.unwrap();
        let waits = seen[0].glance.as_ref().and_then(Glance::waiting);
        waits.as_deref() == Some("waits for permission: bash ask one")
    };
    rig.until(&[&life], secs(5), "that the table says so", waits).await;
    let notices = || {
        let toasts = rig.host.toasts().iter().map(ToString::to_string).collect::<String>();
        let notice = |row: &PromptRow| format!("waits for {}\\n/answer p{} with once", row.prompt.what, row.number);
        rows.iter().map(|row| toasts.matches(&notice(row)).count()).collect::<Vec<_>>()
    };
    rig.until(&[&life], secs(20), "a toast for each", async || notices() == [1, 1]).await;
    rig.pass(&life, secs(5)).await;
    assert_eq!(notices(), [1, 1], "one is enough");
    let told = give(&rig, &life, of(tasks[1]).number, Answer::Once).await;
    assert_eq!(told, format!("p{} is answered: once", of(tasks[1]).number));
    rig.end_of(&life, tasks[1]).await;
    assert_eq!((life.state(tasks[0]).await, waiting(&rig, &life, 1).await.len()), (StateName::Running, 1));
    assert_eq!(life.result(tasks[1]).await, "went on after ask two");
    let told = give(&rig, &life, of(tasks[0]).number, Answer::Reject(Some("no".to_owned()))).await;
    assert_eq!(told, format!("p{} is answered: reject: no", of(tasks[0]).number));
    assert_eq!(rig.end_of(&life, tasks[0]).await.state.name(), StateName::Complete);
    let expected = ["permission: bash ask one: reject: no (you)", "permission: bash ask two: once (you)"];
    // In the order in which the two came to ask.
    let recorded = async || {
        let mut answers = answers(&life).await;
        answers.sort_unstable();
        answers == expected
    };
    rig.until(&[&life], secs(5), "the record of both", recorded).await;
    let gone = life.at.waiting_prompt(of(tasks[0]).number).await.unwrap_err();
    assert_eq!(gone.code, Code::NoSuchPrompt);
    assert!(gone.message.contains("reject: no (you)"), "{gone}");
    rig.all_told(&life).await;
    life.close_cleanly(&rig).await;
    rig.check();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_without_words_ends_the_turn_as_in_the_host() {
    let rig = Rig::new(asking).await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["ask"]).await[0];
    let row = waiting(&rig, &life, 1).await.remove(0);
    give(&rig, &life, row.number, Answer::Reject(None)).await;
    let TaskState::Failed { failure, .. } = rig.end_of(&life, task).await.state else { panic!("it did not fail") };
    assert_eq!(failure.kind, FailureKind::Denied);
}

#[tokio::test(start_paused = true)]
async fn at_depth_two_in_a_second_directory_prompts_are_found_and_answered_there() {
    for silent in [false, true] {
        let rig = Rig::new(asking).await;
        rig.host.silence_events(silent);
        let life = rig.start().await;
        let mut spec = rig.spec("wait");
        spec.directory = SECOND.into();
        let task = life.launch(vec![spec]).await[0];
        let session = session_of(&rig, &life, task).await;
        let child = below(&rig, &session, SECOND, "wait").await;
        let asks = below(&rig, &child, SECOND, "ask below").await;
        let questions = below(&rig, &session, SECOND, "question").await;
        let stranger = rig.host.client().create_session(SECOND, NewSession::default()).await.unwrap().id;
        prompt(&rig, SECOND, &stranger, "ask elsewhere").await;
        let rows = waiting(&rig, &life, 2).await;
        assert!(rows.iter().all(|row| row.prompt.task == task && row.prompt.directory == SECOND), "{rows:?}");
        for row in rows {
            let is_permission = row.prompt.session == asks.as_str();
            let chosen = Answer::Choose(vec![vec!["B".to_owned()]]);
            let answer = if is_permission { Answer::Once } else { chosen };
            give(&rig, &life, row.number, answer).await;
        }
        rig.until(&[&life], secs(5), "the children to go on", async || {
            said(&rig, &asks, "went on after ask below") && said(&rig, &questions, "went on after question")
        })
        .await;
        // What is not below a task is the user's own business.
        rig.pass(&life, secs(10)).await;
        let client = rig.host.client();
        assert_eq!(client.permissions(SECOND).await.unwrap().len(), 1);
        assert_eq!(client.permissions(DIR).await.unwrap(), []);
        life.at.cancel(task).await.unwrap();
        life.close(&rig).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_answers_and_the_agent_is_told_after_the_patience() {
    let rig = Rig::new(asking).await;
    let life = rig.start_as(patience(30), rig.host.transport()).await;
    let tasks = rig.launch(&life, &["ask", "question"]).await;
    waiting(&rig, &life, 2).await;
    rig.pass(&life, secs(28)).await;
    assert_eq!(life.at.prompts(9).await.unwrap().here.len(), 2);
    for task in tasks {
        assert_eq!(rig.end_of(&life, task).await.state.name(), StateName::Complete);
    }
    let answers = answers(&life).await;
    assert!(answers.iter().all(|line| line.contains("Nobody answered this within 30 s. ")), "{answers:?}");
    assert!(answers.iter().all(|line| line.ends_with("(patience)")), "{answers:?}");
    rig.pass(&life, secs(5)).await;
    let toasts = rig.host.toasts().iter().map(ToString::to_string).collect::<String>();
    assert_eq!(toasts.matches("nobody answered").count(), 2, "{toasts}");
}

#[tokio::test(start_paused = true)]
async fn policies_answer_at_once_and_without_a_word_to_the_user() {
    for (settings, answer) in [
        (policy(Policy::AllowListed, &[("bash", "ask *")]), "once (allow list)"),
        (policy(Policy::AllowListed, &[("edit", "*")]), "(policy)"),
        (policy(Policy::Deny, &[("bash", "*")]), "(policy)"),
        (policy(Policy::Ask, &[("bash", "*")]), "once (allow list)"),
    ] {
        let rig = Rig::new(asking).await;
        let life = rig.start_as(settings, rig.host.transport()).await;
        let task = rig.launch(&life, &["ask x"]).await[0];
        let ended = rig.end_of(&life, task).await;
        assert_eq!(ended.state.name(), StateName::Complete);
        assert!(life.at.now().since(ended.created_at) < secs(2));
        let answers = answers(&life).await;
        assert!(answers[0].ends_with(answer), "{answers:?}");
        rig.pass(&life, secs(5)).await;
        assert!(!rig.host.toasts().iter().any(|toast| toast.to_string().contains("/answer")));
    }
}

#[tokio::test(start_paused = true)]
async fn headless_nobody_is_waited_for() {
    let mut rig = Rig::new(asking).await;
    rig.headless = true;
    let life = rig.start().await;
    let tasks = rig.launch(&life, &["ask", "question"]).await;
    for task in tasks {
        let ended = rig.end_of(&life, task).await;
        assert_eq!(ended.state.name(), StateName::Complete);
        assert!(life.at.now().since(ended.created_at) < secs(2));
    }
    let answers = answers(&life).await;
    assert!(answers.len() == 2 && answers.iter().all(|line| line.ends_with("(unattended)")), "{answers:?}");
}

#[tokio::test(start_paused = true)]
async fn the_own_directory_is_allowed_under_every_policy_and_what_leads_out_of_it_is_not() {
    let home = tempfile::tempdir().unwrap();
    let home = std::fs::canonicalize(home.path()).unwrap();
    let own = home.join("own");
    std::fs::create_dir_all(own.join("sub")).unwrap();
    let inside = format!("{}/sub/*", own.display());
    let outside = format!("{}/../*", own.display());
    let ask = |pattern: &str| Step::AskPermission("external_directory".to_owned(), pattern.to_owned());
    let script = Script::new().then(ask(&inside)).then(ask(&outside)).then_say("done");
    let rig = Rig::new(move |_| script.clone()).await;
    let life = rig.start_as(policy(Policy::Deny, &[]), rig.host.transport()).await;
    let mut spec = rig.spec("x");
    spec.directory = own.to_str().unwrap().into();
    let task = life.launch(vec![spec]).await[0];
    assert_eq!(rig.end_of(&life, task).await.state.name(), StateName::Complete);
    let answers = answers(&life).await;
    assert!(answers[0].ends_with("sub/*: once (own directory)"), "{answers:?}");
    assert!(answers[1].ends_with("(policy)"), "{answers:?}");
}

#[tokio::test(start_paused = true)]
async fn when_the_host_refuses_others_with_one_the_agent_goes_on_all_the_same() {
    for settings in [policy(Policy::Deny, &[]), patience(10)] {
        let both = ["one", "two", "three"].map(|what| ("bash".to_owned(), what.to_owned())).to_vec();
        let rig = Rig::new(move |seen| match seen.asked_before {
            0 => Script::new().then(Step::AskPermissions(both.clone())).then_say("never said"),
            _ => Script::say("went on"),
        })
        .await;
        let life = rig.start_as(settings, rig.host.transport()).await;
        let task = rig.launch(&life, &["x"]).await[0];
        let ended = rig.end_of(&life, task).await;
        assert_eq!((ended.state.name(), ended.attempt), (StateName::Complete, 1));
        assert_eq!((life.result(task).await.as_str(), rig.sessions().len()), ("went on", 1));
        let answers = answers(&life).await;
        let with_another = answers.iter().filter(|line| line.ends_with("(another refusal in its session)")).count();
        assert_eq!((answers.len(), with_another), (3, 2), "{answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_answers_first_wins() {
    let rig = Rig::new(asking).await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["ask"]).await[0];
    let row = waiting(&rig, &life, 1).await.remove(0);
    let entry = life.at.waiting_prompt(row.number).await.unwrap();
    let request = rig.host.client().permissions(DIR).await.unwrap().remove(0);
    // In the host's own dialog, and before that is heard, here.
    rig.host.client().reply_permission(DIR, &request.id, Reply::Once, None).await.unwrap();
    let at = life.at.clone();
    let late = tokio::spawn(async move { at.answer_prompt(&entry, Answer::Reject(None)).await.unwrap() });
    rig.until(&[&life], secs(20), "the late answer", async || late.is_finished()).await;
    assert_eq!(late.await.unwrap(), format!("p{} was answered already: once (you, in OpenCode)", row.number));
    assert_eq!(rig.end_of(&life, task).await.state.name(), StateName::Complete);
    assert_eq!(answers(&life).await, ["permission: bash ask: once (you, in OpenCode)"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_sent_again_until_the_host_takes_it_and_counted_once() {
    let rig = Rig::new(asking).await;
    for fault in [Fault::Unreachable, Fault::Status(500, "busy".to_owned()), Fault::AnswerLost] {
        rig.host.fail_next(REPLY, fault);
    }
    let life = rig.start_as(policy(Policy::Deny, &[]), rig.host.transport()).await;
    let task = rig.launch(&life, &["ask"]).await[0];
    assert_eq!(rig.end_of(&life, task).await.state.name(), StateName::Complete);
    let answers = answers(&life).await;
    assert!(answers.len() == 1 && answers[0].ends_with("(policy)"), "{answers:?}");
    assert_eq!(rig.host.requests(REPLY), 3);
}

#[tokio::test(start_paused = true)]
async fn what_a_person_answers_and_the_host_does_not_take_waits_still() {
    let rig = Rig::new(asking).await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["ask"]).await[0];
    let row = waiting(&rig, &life, 1).await.remove(0);
    rig.host.fail_next(REPLY, Fault::Status(400, "no".to_owned()));
    let entry = life.at.waiting_prompt(row.number).await.unwrap();
    let at = life.at.clone();
    let refused = tokio::spawn(async move { at.answer_prompt(&entry, Answer::Always).await.unwrap_err() });
    rig.until(&[&life], secs(20), "the refusal", async || refused.is_finished()).await;
    assert_eq!(refused.await.unwrap().code, Code::HostRefused);
    assert_eq!(give(&rig, &life, row.number, Answer::Always).await, format!("p{} is answered: always", row.number));
    assert_eq!(rig.end_of(&life, task).await.state.name(), StateName::Complete);
}

#[tokio::test(start_paused = true)]
async fn what_no_turn_waits_for_any_more_is_refused_and_never_allowed() {
    let rig = Rig::new(asking).await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["wait"]).await[0];
    let session = session_of(&rig, &life, task).await;
    let client = rig.host.client();
    // Somebody stops the session below: the host tells of no answer, and lists the prompt still.
    let child = below(&rig, &session, DIR, "ask child").await;
    waiting(&rig, &life, 1).await;
    client.abort(DIR, &child).await.unwrap();
    waiting(&rig, &life, 0).await;
    assert_eq!(client.permissions(DIR).await.unwrap(), []);
    // The task is cancelled while another waits.
    below(&rig, &session, DIR, "ask again").await;
    waiting(&rig, &life, 1).await;
    life.at.cancel(task).await.unwrap();
    waiting(&rig, &life, 0).await;
    rig.until(&[&life], secs(5), "the refusal", async || client.permissions(DIR).await.unwrap().is_empty()).await;
    let ends = answers(&life).await;
    assert_eq!(ends[0], "permission: bash ask child: gone (its turn has ended)");
    assert!(ends[1].starts_with("permission: bash ask again: gone (its t"), "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_below_a_task_that_ends_is_refused_and_its_session_does_not_hang() {
    let rig = Rig::new(|seen| match seen.text.as_str() {
        "slow" => Script::say_after(secs(8), "done"),
        _ => asking(seen),
    })
    .await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["slow"]).await[0];
    let session = session_of(&rig, &life, task).await;
    let child = below(&rig, &session, DIR, "ask").await;
    waiting(&rig, &life, 1).await;
    assert_eq!(rig.end_of(&life, task).await.state.name(), StateName::Complete);
    rig.until(&[&life], secs(5), "the child's end", async || !rig.host.busy().contains(&child)).await;
    waiting(&rig, &life, 0).await;
    assert_eq!(answers(&life).await, ["permission: bash ask: gone (its task has ended)"]);
}

#[tokio::test(start_paused = true)]
async fn a_person_who_allows_what_was_stopped_unheard_allows_nothing() {
    let rig = Rig::new(asking).await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["wait"]).await[0];
    let session = session_of(&rig, &life, task).await;
    let child = below(&rig, &session, DIR, "ask").await;
    let row = waiting(&rig, &life, 1).await.remove(0);
    rig.host.silence_events(true);
    rig.host.client().abort(DIR, &child).await.unwrap();
    let told = give(&rig, &life, row.number, Answer::Once).await;
    assert_eq!(told, format!("p{} was answered already: gone (its turn has ended)", row.number));
    let replied = rig.host.replies();
    assert_eq!((replied.len(), replied[0]["reply"].as_str()), (1, Some("reject")));
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_turn_that_ended_unheard_is_not_allowed_by_a_list() {
    let rig = Rig::new(asking).await;
    rig.host.silence_events(true);
    let life = rig.start_as(policy(Policy::AllowListed, &[("*", "*")]), rig.host.transport()).await;
    let task = rig.launch(&life, &["wait"]).await[0];
    let session = session_of(&rig, &life, task).await;
    let child = below(&rig, &session, DIR, "ask").await;
    let client = rig.host.client();
    rig.until(&[], secs(1), "the prompt", async || !client.permissions(DIR).await.unwrap().is_empty()).await;
    client.abort(DIR, &child).await.unwrap();
    rig.until(&[&life], secs(20), "the refusal", async || client.permissions(DIR).await.unwrap().is_empty()).await;
    assert_eq!(answers(&life).await, [""; 0]);
    let replied = rig.host.replies();
    assert_eq!(replied.len(), 1);
    assert_eq!(replied[0]["reply"], "reject");
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_it_is_asked_anew_and_the_old_prompt_is_gone() {
    let rig = Rig::new(|seen| match seen.asked_before {
        0 | 1 => Script::new().then(bash("it")).then_say("done"),
        _ => Script::say("asked too often"),
    })
    .await;
    let (task, old) = {
        let life = rig.start().await;
        let task = rig.launch(&life, &["x"]).await[0];
        (task, waiting(&rig, &life, 1).await.remove(0))
    };
    rig.host.crash();
    let life = rig.start().await;
    // The record says so before anybody looks.
    let waits = async || {
        let key = life.at.project_key();
        life.at.project.store(move |store| store.prompts(&key, None)).await.unwrap()
    };
    rig.until(&[&life], secs(5), "the old record to be closed", async || {
        waits().await.iter().all(|row| row.number != old.number)
    })
    .await;
    let row = waiting(&rig, &life, 1).await.remove(0);
    assert_ne!(row.number, old.number);
    assert_eq!(life.at.waiting_prompt(old.number).await.unwrap_err().code, Code::NoSuchPrompt);
    give(&rig, &life, row.number, Answer::Once).await;
    rig.end_of(&life, task).await;
    assert_eq!(life.result(task).await, "done");
    let expected = ["permission: bash it: gone (its process has ended)", "permission: bash it: once (you)"];
    assert_eq!(answers(&life).await, expected);
}

#[tokio::test(start_paused = true)]
async fn only_a_session_of_a_person_may_answer() {
    let rig = Rig::new(asking).await;
    let life = rig.start().await;
    let task = rig.launch(&life, &["ask"]).await[0];
    let session = session_of(&rig, &life, task).await;
    let child = below(&rig, &session, DIR, "wait").await;
    let of_person = below(&rig, &rig.parent.clone(), DIR, "wait").await;
    life.at.check_person(&rig.parent, DIR).await.unwrap();
    for session in [session, child, of_person] {
        assert_eq!(life.at.check_person(&session, DIR).await.unwrap_err().code, Code::PeopleOnly);
    }
    assert_eq!(life.at.waiting_prompt(999).await.unwrap_err().code, Code::NoSuchPrompt);
}

#[tokio::test(start_paused = true)]
async fn an_answer_does_not_wait_for_its_record() {
    for verb in ["ask", "answer"] {
        let rig = Rig::new(asking).await;
        let left = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(3));
        let life = rig.start_refusing_as(policy(Policy::Deny, &[]), verb, &left).await;
        let task = rig.launch(&life, &["ask"]).await[0];
        assert_eq!(rig.end_of(&life, task).await.state.name(), StateName::Complete);
        assert!(left.load(std::sync::atomic::Ordering::SeqCst) < 3);
    }
}
