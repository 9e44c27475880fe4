//! Prompts run to their end through the pool, on a fake OpenCode that can do what the real one rarely does.
#![cfg(all(feature = "cli", unix))]
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[expect(dead_code, reason = "another test uses more of it")]
#[path = "support/fake_http.rs"]
mod fake_http;
#[expect(dead_code, reason = "another test uses more of it")]
#[path = "support/servers.rs"]
mod servers;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use fake_http::FakeServer;
use servers::{LONG, pool, until};
use sortie::{
    fault::Code,
    inbox,
    opencode::fake::{FakeHost, Fault, PromptSeen, Script, Step},
    server_pool::{
        Ask, Pool, Ran, Settings, Source,
        checklist::{Checklist, How, Overall, Verdict},
    },
};
use tempfile::TempDir;
use tokio::time::timeout;

/// A fake OpenCode that runs already, and a pool that uses it.
struct Rig {
    host: Arc<FakeHost>,
    server: FakeServer,
    pool: Pool,
    _home: TempDir,
}

const DIR: &str = "/project";

async fn rig(model: impl Fn(&PromptSeen) -> Script + Send + Sync + 'static) -> Rig {
    let host = Arc::new(FakeHost::new(model));
    // `opencode:geheim`
    let server = FakeServer::start(Arc::clone(&host), Some("Basic b3BlbmNvZGU6Z2VoZWlt")).await;
    let home = TempDir::new().unwrap();
    let pool = pool(home.path(), reuse(&server, "geheim")).await;
    Rig { host, server, pool, _home: home }
}

fn reuse(server: &FakeServer, password: &str) -> Settings {
    Settings::new(Source::Reuse { url: server.url(), password: Some(password.to_owned()) })
}

impl Rig {
    async fn run(&self, ask: Ask) -> Ran {
        timeout(LONG, self.pool.run_command(ask).into_future()).await.unwrap()
    }
}

fn ask(prompt: &str) -> Ask {
    Ask::new(DIR, prompt)
}

fn failed(ran: &Ran) -> (Code, &str) {
    let fault = ran.error.as_ref().unwrap();
    (fault.code, &fault.message)
}

#[tokio::test]
async fn an_answer_comes_with_what_it_used_and_its_session_can_be_gone_on_in() {
    let rig = rig(|seen| Script::say(&format!("to {}", seen.text)).then(Step::Use(30, 4, 0.5))).await;
    let ran = rig.run(Ask { title: "a title".to_owned(), ..ask("one") }).await;
    assert_eq!((ran.text.as_str(), &ran.error, ran.denied.len()), ("to one", &None, 0));
    assert_eq!((ran.usage.tokens.input, ran.usage.tokens.output), (30, 4));
    let again = rig.run(Ask { session: ran.session.clone(), ..ask("two") }).await;
    assert_eq!((again.text.as_str(), &again.session), ("to two", &ran.session));
    // What was used before is not counted again.
    assert_eq!(again.usage, ran.usage);
    let session = ran.session.unwrap();
    assert_eq!((rig.host.sessions().len(), rig.host.prompts(&session).len()), (1, 2));
    assert_eq!(rig.host.client().session(DIR, &session).await.unwrap().title, "a title");
}

#[tokio::test]
async fn ends_without_an_answer_say_why() {
    let rig = rig(|seen| match seen.text.as_str() {
        "error" => Script::fail("APIError", "the model is gone", Some(500)),
        "empty" => Script::new(),
        "cut" => Script::say("half").then(Step::Finish("length".to_owned())),
        _ => Script::hang(),
    })
    .await;
    for (prompt, said) in [
        ("error", "the model is gone"),
        ("empty", "the model answered nothing (it ended with `stop`)"),
        ("cut", "the answer was cut off by the model's output limit"),
    ] {
        let ran = rig.run(ask(prompt)).await;
        assert_eq!(failed(&ran), (Code::RunFailed, said));
        assert!(ran.session.is_some() && ran.text == if prompt == "cut" { "half" } else { "" });
    }
    // The host takes the prompt, and tells by an event only that there is no such agent.
    let ran = rig.run(Ask { agent: Some("nobody".to_owned()), ..ask("x") }).await;
    let (code, said) = failed(&ran);
    assert!(code == Code::RunFailed && said.starts_with("Agent not found: \"nobody\""), "{said}");
    let ran = rig.run(Ask { session: Some("ses_none".parse().unwrap()), ..ask("x") }).await;
    assert_eq!(failed(&ran).0, Code::HostMissing);
}

#[tokio::test]
async fn a_time_limit_and_a_cancellation_stop_the_turn() {
    let rig =
        rig(|seen| if seen.text == "words" { Script::say("so far").then(Step::Hang) } else { Script::hang() }).await;
    let ran = rig.run(Ask { timeout: Duration::from_secs(1), ..ask("words") }).await;
    assert_eq!((failed(&ran), ran.text.as_str()), ((Code::RunTimeout, "no answer within 1 s"), "so far"));
    assert_eq!(rig.host.busy(), []);

    let run = rig.pool.run_command(ask("x"));
    until("a turn", || !rig.host.busy().is_empty()).await;
    run.cancel();
    assert_eq!(failed(&timeout(LONG, run.into_future()).await.unwrap()).0, Code::RunCancelled);
    assert_eq!(rig.host.busy(), []);

    drop(rig.pool.run_command(ask("x")));
    let run = rig.pool.run_command(ask("y"));
    until("a turn", || !rig.host.busy().is_empty()).await;
    drop(run);
    until("the end of the turn", || rig.host.busy().is_empty()).await;

    let run = rig.pool.run_command(ask("x"));
    until("a turn", || !rig.host.busy().is_empty()).await;
    rig.pool.close().await;
    assert_eq!(rig.host.busy(), []);
    assert_eq!(failed(&run.await).0, Code::PoolClosed);
    assert_eq!(failed(&rig.pool.run_command(ask("x")).await).0, Code::PoolClosed);
}

#[tokio::test]
async fn what_is_asked_is_denied_with_words_and_the_agent_goes_on() {
    let asks = |permission: &str, pattern: &str| Step::AskPermission(permission.to_owned(), pattern.to_owned());
    let rig = rig(move |_| {
        let options = vec!["yes".to_owned(), "no".to_owned()];
        Script::new()
            .then(asks("bash", "rm -rf x"))
            .then(asks("bash", "git log"))
            .then(Step::AskQuestion("Really?".to_owned(), options))
            .then_say("done")
    })
    .await;
    let allow = vec![inbox::Allowed { permission: "bash".to_owned(), pattern: "git *".to_owned() }];
    let permissions = inbox::Settings { allow, ..inbox::Settings::default() };
    let ran = rig.run(Ask { permissions, ..ask("x") }).await;
    assert_eq!((ran.text.as_str(), &ran.error), ("done", &None));
    assert_eq!(ran.denied, ["bash: rm -rf x", "question: Really?"]);
    let replies = rig.host.replies();
    assert_eq!((&replies[0]["reply"], &replies[1]["reply"]), (&"reject".into(), &"once".into()));
    assert!(replies[0]["message"].as_str().unwrap().contains("unattended"), "{replies:?}");
}

/// The host refuses all of a session with one, without words, and ends its turn.
#[tokio::test]
async fn a_turn_that_ends_at_a_refusal_is_taken_up_again_but_not_for_ever() {
    let asks = || {
        let both = ["a", "b"].map(|what| ("bash".to_owned(), what.to_owned())).to_vec();
        Script::new().then(Step::AskPermissions(both)).then_say("never")
    };
    let reasonable = rig(move |seen| if seen.text == "x" { asks() } else { Script::say("went on") }).await;
    let ran = reasonable.run(ask("x")).await;
    assert_eq!((ran.text.as_str(), &ran.error), ("went on", &None));
    assert!(!ran.denied.is_empty());

    let stubborn = rig(move |_| asks()).await;
    let ran = stubborn.run(ask("x")).await;
    let (code, said) = failed(&ran);
    assert!(code == Code::RunFailed && said.starts_with("the agent asked again and again for what is not"), "{said}");
}

#[tokio::test]
async fn a_person_is_waited_for_where_there_is_one_and_no_longer_than_the_patience() {
    let rig =
        rig(|_| Script::new().then(Step::AskPermission("bash".to_owned(), "x".to_owned())).then_say("done")).await;
    let permissions = inbox::Settings { patience: NonZeroU32::new(1).unwrap(), ..inbox::Settings::default() };
    let ran = rig.run(Ask { attended: true, permissions, ..ask("x") }).await;
    assert_eq!((ran.text.as_str(), ran.denied.len()), ("done", 1));
    assert!(rig.host.replies()[0]["message"].as_str().unwrap().contains("within 1 s"));

    // Somebody answers.
    let run = rig.pool.run_command(Ask { attended: true, ..ask("x") });
    let client = rig.host.client();
    let request = loop {
        if let Some(request) = client.permissions(DIR).await.unwrap().pop() {
            break request;
        }
        tokio::task::yield_now().await;
    };
    client.reply_permission(DIR, &request.id, sortie::opencode::Reply::Once, None).await.unwrap();
    let ran = timeout(LONG, run.into_future()).await.unwrap();
    assert_eq!((ran.text.as_str(), ran.denied.len()), ("done", 0));
}

#[tokio::test]
async fn without_events_the_end_and_the_prompts_are_found_by_looking() {
    let rig = rig(|seen| match seen.text.as_str() {
        "ask" => Script::new().then(Step::AskPermission("bash".to_owned(), "x".to_owned())).then_say("done"),
        _ => Script::say("done"),
    })
    .await;
    rig.host.silence_events(true);
    for prompt in ["plain", "ask"] {
        let run = rig.pool.run_command(ask(prompt));
        let ran = timeout(LONG, run.into_future()).await.unwrap();
        assert_eq!((ran.text.as_str(), &ran.error), ("done", &None), "{prompt}");
    }
}

#[tokio::test]
async fn a_passing_fault_of_the_host_is_no_end() {
    let rig = rig(|_| Script::say_after(Duration::from_millis(300), "done")).await;
    for _ in 0..3 {
        rig.host.fail_next("GET /session/status", Fault::Status(500, String::new()));
        rig.host.fail_next("GET /session/{id}/message", Fault::Unreachable);
    }
    let ran = rig.run(ask("x")).await;
    assert_eq!((ran.text.as_str(), &ran.error), ("done", &None));
}

#[tokio::test]
async fn a_given_server_that_does_not_let_us_in_says_so() {
    let rig = rig(|_| Script::say("x")).await;
    let home = TempDir::new().unwrap();
    let pool = pool(home.path(), reuse(&rig.server, "wrong")).await;
    let fault = pool.server(DIR).await.unwrap_err();
    assert!(fault.code == Code::HostRefused && fault.message.contains("OPENCODE_SERVER_PASSWORD"), "{fault}");
    let url = rig.server.url();
    drop(rig.server);
    let gone = servers::pool(home.path(), Settings::new(Source::Reuse { url, password: None })).await;
    assert_eq!(gone.server(DIR).await.unwrap_err().code, Code::HostUnreachable);
}

#[tokio::test]
async fn a_checklist_gives_each_item_its_verdict_and_bounds_how_many_run() {
    let rig = rig(|seen| {
        let say = |text: &str| Script::say_after(Duration::from_millis(30), text);
        match seen.text.as_str() {
            text if text.contains("item good") => say("fine\nVERDICT: pass"),
            text if text.contains("item bad") => say("VERDICT: fail: a.rs:3"),
            text if text.contains("item vague") => say("it depends"),
            _ => Script::fail("APIError", "no", Some(400)),
        }
    })
    .await;
    let text = "# One\n- [ ] item good\n- [ ] item bad\n# Two\n- [ ] item vague\n- [ ] item broken\n- [x] item done\n";
    let list = Checklist::parse(text).unwrap();
    let how = How { parallel: 2, ..How::new(DIR) };
    let (mut told, mut most) = (0, 0);
    let report = list
        .run(&rig.pool, &how, |_| {
            told += 1;
            most = most.max(rig.host.busy().len());
        })
        .await;
    assert!(told == 4 && most <= 2, "{told} {most}");
    let rows: Vec<_> =
        report.rows.iter().map(|row| (row.item.group.as_deref().unwrap(), row.verdict.as_str())).collect();
    assert_eq!(rows, [("One", "pass"), ("One", "fail"), ("Two", "unclear"), ("Two", "error")]);
    assert_eq!(report.rows[1].verdict, Verdict::Fail("a.rs:3".to_owned()));
    assert!(report.rows[3].verdict.reason().starts_with("sortie error run-failed: no"), "{:?}", report.rows[3]);
    assert!(report.rows[0].tokens > 0 && report.rows[0].session.is_some() && report.overall() == Overall::Fail);
}
