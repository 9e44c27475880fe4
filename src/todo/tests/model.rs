//! Operations with hostile texts against a model: what is read afterwards is what was said, and nothing else.

use std::collections::BTreeMap;

use proptest::{prelude::*, sample::select};

use super::soup::PIECES;
use crate::todo::{Change, Document, Item, ItemId, NewItem, Operation, Racer, Size, Status, TodoError, apply};

/// What the model knows of an item.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    status: Status,
    title: String,
    agent: Option<String>,
    files: Vec<String>,
    after: Vec<ItemId>,
    size: Option<Size>,
    race: Vec<Racer>,
    notes: Vec<String>,
    parent: Option<ItemId>,
    mission: Option<String>,
}

fn is_gap(char: char) -> bool {
    char.is_whitespace() || char.is_control() || char == '\u{feff}'
}

fn one_line(text: &str) -> String {
    text.split(is_gap).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The words of each line: indentation and escapes are the file's matter.
fn words(text: &str) -> Vec<String> {
    let lines = text.split(['\n', '\r']).map(one_line);
    lines
        .map(|line| line.strip_prefix('\\').map(str::to_owned).unwrap_or(line))
        .filter(|line| !line.is_empty())
        .collect()
}

fn read(document: &Document) -> BTreeMap<ItemId, Known> {
    let known = |item: &Item| Known {
        status: item.status,
        title: item.title.clone(),
        agent: item.agent.clone(),
        files: item.files.clone(),
        after: item.after.clone(),
        size: item.size,
        race: item.race.clone(),
        notes: words(&item.notes),
        parent: item.parent.clone(),
        mission: item.mission.as_deref().map(str::to_owned),
    };
    document.items().iter().map(|item| (item.id.clone().expect("an operation gives ids"), known(item))).collect()
}

fn made(item: &NewItem, parent: Option<&ItemId>, mission: Option<String>) -> Known {
    let trimmed = |text: &String| text.trim().to_owned();
    Known {
        status: Status::Pending,
        title: one_line(&item.title),
        agent: item.agent.as_ref().map(trimmed),
        files: item.files.iter().map(trimmed).collect(),
        after: item.after.clone(),
        size: item.size,
        race: item.race.clone(),
        notes: item.note.as_deref().map(words).unwrap_or_default(),
        parent: parent.cloned(),
        mission,
    }
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(select(PIECES), 1..6).prop_map(|pieces| pieces.concat())
}

/// One that is taken as a value of an attribute.
fn value() -> impl Strategy<Value = String> {
    text().prop_map(|text| format!("v{}", text.replace(char::is_control, "")))
}

prop_compose! {
    fn new_item()(
        title in text(), agent in prop::option::of(value()), files in prop::collection::vec(value(), 0..3),
        size in prop::option::of(select(vec![Size::S, Size::Xl])), race in prop::option::of(select(vec!["a", "b@c/d"])),
        note in prop::option::of(text()),
    ) -> NewItem {
        let race = race.into_iter().map(|text| text.parse().unwrap()).collect();
        NewItem { id: None, title, agent, files, after: Vec::new(), size, race, note }
    }
}

/// An operation on the item of this number.
type Step = (usize, usize, NewItem, Option<String>);

fn operation((what, on, item, name): Step, known: &BTreeMap<ItemId, Known>) -> Operation {
    let id = known.keys().nth(on % known.len().max(1)).cloned();
    let Some(id) = id else {
        return Operation::Add { mission: name, group: None, parent: None, item: Box::new(item) };
    };
    match what {
        0 => Operation::Add { mission: name, group: item.note.clone(), parent: None, item: Box::new(item) },
        1 => Operation::Add { mission: None, group: None, parent: Some(id), item: Box::new(item) },
        2 => Operation::Split { id, into: vec![item.clone(), item] },
        3 => Operation::Claim { id, by: item.title },
        4 => Operation::Remove { id },
        5 => Operation::Update {
            id,
            change: Box::new(Change { status: Some(Status::ALL[on % 5]), ..Change::default() }),
        },
        _ => {
            let after = known.keys().next().cloned().into_iter().collect();
            let NewItem { title, agent, files, size, race, note, .. } = item;
            let change = Change {
                status: None,
                title: Some(title),
                agent,
                files: Some(files),
                after: Some(after),
                size,
                race: Some(race),
                note,
            };
            Operation::Update { id, change: Box::new(change) }
        }
    }
}

/// Does to the model what an operation that was taken says; `touched` are the ids that it gave out.
fn mimic(known: &mut BTreeMap<ItemId, Known>, operation: &Operation, touched: &[ItemId]) {
    match operation {
        Operation::Add { parent: Some(parent), item, .. } => {
            let mission = known[parent].mission.clone();
            known.insert(touched[0].clone(), made(item, Some(parent), mission));
        }
        Operation::Add { mission, item, .. } => {
            known.insert(touched[0].clone(), made(item, None, mission.as_deref().map(|id| id.trim().to_owned())));
        }
        Operation::Split { id, into } => {
            for (new, item) in touched[1..].iter().zip(into) {
                known.insert(new.clone(), made(item, Some(id), known[id].mission.clone()));
            }
        }
        Operation::Claim { id, .. } => known.get_mut(id).unwrap().status = Status::InProgress,
        Operation::Remove { id } => {
            let mut gone = vec![id.clone()];
            while let Some(id) = gone.pop() {
                known.remove(&id);
                gone.extend(known.iter().filter(|(_, item)| item.parent.as_ref() == Some(&id)).map(|it| it.0.clone()));
            }
        }
        Operation::Update { id, change } => {
            let item = known.get_mut(id).unwrap();
            item.status = change.status.unwrap_or(item.status);
            item.title = change.title.as_deref().map_or(item.title.clone(), one_line);
            item.agent = change.agent.as_ref().map(|text| text.trim().to_owned()).or(item.agent.take());
            item.files = change
                .files
                .as_ref()
                .map_or(item.files.clone(), |all| all.iter().map(|it| it.trim().to_owned()).collect());
            item.after = change.after.clone().unwrap_or(item.after.clone());
            item.size = change.size.or(item.size);
            item.race = change.race.clone().unwrap_or(item.race.clone());
            item.notes.extend(change.note.as_deref().map(words).unwrap_or_default());
        }
        Operation::Outside { .. } => unreachable!(),
    }
}

proptest! {
    #[test]
    fn what_is_read_is_what_was_said(steps in prop::collection::vec((0_usize..9, 0_usize..20, new_item(), prop::option::of(value())), 1..12)) {
        let mut document = Document::default();
        let mut known = BTreeMap::new();
        for step in steps {
            let operation = operation(step, &known);
            // Also as it comes back from where revisions are kept.
            let stored = serde_json::to_string(&operation).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Operation>(&stored).unwrap(), &operation);
            match apply(&document, std::slice::from_ref(&operation)) {
                Ok((next, touched)) => {
                    mimic(&mut known, &operation, &touched);
                    document = next;
                }
                Err(TodoError::BadItem { .. } | TodoError::Cycle(_) | TodoError::InUse { .. } | TodoError::NotOpen { .. }) => {}
                Err(TodoError::Claimed { id, status }) => prop_assert!(known[&id].status == status && status != Status::Pending),
                Err(TodoError::NotReady { id, .. }) => {
                    let item = document.get(&id).unwrap();
                    prop_assert!(!crate::todo::ready(&document).contains(&item));
                }
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            }
            prop_assert_eq!(&read(&document), &known, "{:?}\n{}", operation, document);
        }
    }

    #[test]
    fn any_text_prints_as_it_was(text in any::<String>(), pieces in prop::collection::vec(select(PIECES), 0..60)) {
        for text in [text, pieces.concat()] {
            prop_assert_eq!(Document::parse(&text).to_string(), text);
        }
    }
}
