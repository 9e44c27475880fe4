//! Prompts: one record each, one answer each, and no more of them than are kept.

use super::store;
use crate::{
    store::{
        ANSWERED_PROMPTS, Answered, NewPrompt, Prompts, Store, StoreError,
        fixture::{id, instance, project, task},
    },
    task::{ProjectKey, Timestamp},
};

fn prompt(n: u64) -> NewPrompt {
    NewPrompt {
        project: project(),
        request: format!("per_{n}"),
        task: id(1),
        session: "ses_child".into(),
        directory: "/project/second".into(),
        home: instance(1),
        what: format!("permission: bash {n}"),
    }
}

fn answered(answer: &str, at: i64) -> Answered {
    Answered { answer: answer.into(), by: "you".into(), at: Timestamp(at) }
}

#[test]
fn a_prompt_is_recorded_once_and_answered_once() {
    let (_dir, mut store) = store();
    let unknown = store.ask_prompt(&prompt(1), Timestamp(2));
    assert!(matches!(unknown, Err(StoreError::NoSuchTask(_))));
    store.launch(&[task(1, instance(1), |_| ())]).unwrap();
    let first = store.ask_prompt(&prompt(1), Timestamp(2)).unwrap();
    let second = store.ask_prompt(&prompt(2), Timestamp(3)).unwrap();
    assert_eq!((&first.prompt, first.asked_at, &first.answered), (&prompt(1), Timestamp(2), &None));
    assert_eq!(store.ask_prompt(&prompt(1), Timestamp(9)).unwrap(), first);
    assert_eq!(store.prompts(&project(), None).unwrap(), [first.clone(), second.clone()]);
    assert!(store.close_prompt(first.number, &answered("once", 4)).unwrap());
    assert!(!store.close_prompt(first.number, &answered("reject", 5)).unwrap());
    assert!(!store.close_prompt(999, &answered("reject", 5)).unwrap());
    let closed = crate::store::PromptRow { answered: Some(answered("once", 4)), ..first.clone() };
    assert_eq!(store.prompts(&project(), Some(9)).unwrap(), std::slice::from_ref(&closed));
    assert_eq!(store.prompts(&project(), None).unwrap(), [second]);
    // What is asked again under the id of an answered one is that one.
    assert_eq!(store.ask_prompt(&prompt(1), Timestamp(9)).unwrap(), closed);
    assert_eq!(store.prompt(&project(), first.number).unwrap(), Some(closed));
    assert_eq!(store.prompt(&ProjectKey::new("/other"), first.number).unwrap(), None);
    assert_eq!(store.prompts(&ProjectKey::new("/other"), None).unwrap(), []);
    assert_eq!(store.check().unwrap(), [""; 0]);
}

#[test]
fn of_the_answered_ones_the_newest_are_kept_and_of_those_that_wait_all() {
    let (_dir, mut store) = store();
    store.launch(&[task(1, instance(1), |_| ())]).unwrap();
    let waits = store.ask_prompt(&prompt(0), Timestamp(1)).unwrap();
    let all = u64::from(ANSWERED_PROMPTS) + 20;
    for n in 1..=all {
        let row = store.ask_prompt(&prompt(n), Timestamp(1)).unwrap();
        store.close_prompt(row.number, &answered("once", 2)).unwrap();
    }
    let kept = store.prompts(&project(), Some(u32::MAX)).unwrap();
    assert_eq!(kept.len(), ANSWERED_PROMPTS as usize);
    assert_eq!(kept.last().unwrap().prompt.request, format!("per_{all}"));
    assert_eq!(store.prompts(&project(), Some(2)).unwrap(), kept[kept.len() - 2..]);
    assert_eq!(store.prompts(&project(), None).unwrap(), [waits]);
    assert_eq!(store.check().unwrap(), [""; 0]);
}
