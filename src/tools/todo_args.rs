//! What `sortie_todo` takes: one flat object for all that can be done, of which each deed takes its own fields and
//! refuses the others by name. From it come operations, or what is asked for.

use schemars::JsonSchema;
use serde::Deserialize;

use super::text::{self, Kind};
use crate::{
    fault::{self, Code, Fault},
    todo::{Change, ItemId, NewItem, Operation, Racer, Size, Status},
};

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(description = "")]
#[serde(rename_all = "lowercase")]
pub enum Deed {
    /// Shows items.
    Read,
    /// New items.
    Add,
    /// Changes items.
    Update,
    /// Takes a ready item.
    Claim,
    /// Sub-items.
    Split,
    /// Takes an item away.
    Remove,
    /// Writes into the mission's memory.
    Note,
    /// Shows revisions.
    History,
}

/// Which items are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[schemars(description = "")]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// Those that are not over.
    #[default]
    Open,
    /// Those that can be claimed.
    Ready,
    /// The whole file.
    All,
}

/// Arguments of `sortie_todo`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(description = "")]
#[serde(deny_unknown_fields)]
pub struct Todo {
    #[expect(missing_docs, reason = "the tool's description says it")]
    #[serde(rename = "do", deserialize_with = "fault::word")]
    pub deed: Deed,
    /// read
    #[serde(default, deserialize_with = "fault::word_or_none")]
    pub view: Option<View>,
    /// add, split; update by id
    #[serde(default, deserialize_with = "each_or_none")]
    pub items: Option<Vec<TodoItem>>,
    #[expect(missing_docs, reason = "the name says it")]
    #[schemars(with = "Option<String>")]
    pub id: Option<ItemId>,
    #[expect(missing_docs, reason = "the name says it")]
    #[serde(default, deserialize_with = "fault::word_or_none")]
    pub status: Option<Status>,
    /// update; add: the heading to add under
    pub title: Option<String>,
    /// note; update: appended to the item
    pub text: Option<String>,
    /// add: item to add under
    #[schemars(with = "Option<String>")]
    pub parent: Option<ItemId>,
    /// Revision you read
    pub rev: Option<u64>,
}

/// An item of a call.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(description = "")]
pub struct TodoItem {
    #[expect(missing_docs, reason = "the name says it")]
    #[schemars(with = "Option<String>")]
    pub id: Option<ItemId>,
    #[expect(missing_docs, reason = "the name says it")]
    pub title: Option<String>,
    #[expect(missing_docs, reason = "the name says it")]
    pub agent: Option<String>,
    #[expect(missing_docs, reason = "the name says it")]
    pub files: Option<Vec<String>>,
    /// Ids to be done first
    #[schemars(with = "Option<Vec<String>>")]
    pub after: Option<Vec<ItemId>>,
    #[expect(missing_docs, reason = "the name says it")]
    #[serde(deserialize_with = "fault::word_or_none")]
    pub size: Option<Size>,
    /// Rivals: agent or agent@provider/model
    #[schemars(with = "Option<Vec<String>>")]
    pub race: Option<Vec<Racer>>,
}

fn each_or_none<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Vec<TodoItem>>, D::Error> {
    struct Items(Vec<TodoItem>);

    impl<'de> Deserialize<'de> for Items {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            fault::each_strict(from).map(Self)
        }
    }

    Ok(Option::<Items>::deserialize(from)?.map(|items| items.0))
}

/// Who calls.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The mission that new items belong to.
    pub mission: Option<&'a str>,
    /// For whom an item is claimed.
    pub by: &'a str,
}

/// What a call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// Show items.
    Read {
        /// Which.
        view: View,
        /// Only this one, whole.
        id: Option<ItemId>,
        /// As they were in this revision.
        rev: Option<u64>,
    },
    /// Change the file.
    Change {
        /// How.
        operations: Vec<Operation>,
        /// The revision that the caller read.
        rev: Option<u64>,
    },
    /// Write into the mission's memory.
    Note(String),
    /// Show revisions.
    History {
        /// Only those that touched this item.
        id: Option<ItemId>,
        /// Only those before this one.
        before: Option<u64>,
    },
}

/// The most items in one call.
pub const MOST_ITEMS: usize = 200;

/// The longest note for the mission's memory, in bytes: it is sent with every request of its agents.
pub const MAX_MEMORY: usize = 2_000;

/// What a call asks for, once all that can be told without the file is checked.
///
/// # Errors
/// [`Code::BadArguments`], [`Code::EmptyBatch`], [`Code::BatchTooLarge`], or those of a text; each names the field.
pub fn operations(args: Todo, context: Context<'_>) -> Result<Verb, Fault> {
    let mut fields = Fields::new(&args);
    let rev = args.rev;
    let change = |operations| Verb::Change { operations, rev };
    let verb = match args.deed {
        Deed::Read => {
            fields.may(&["view", "id", "rev"])?;
            Verb::Read { view: args.view.unwrap_or_default(), id: args.id, rev }
        }
        Deed::History => {
            fields.may(&["id", "rev"])?;
            Verb::History { id: args.id, before: rev }
        }
        Deed::Note => {
            fields.may(&["text"])?;
            let note = fields.needs("text", args.text)?;
            text::check("text", &note, Kind::Prompt)?;
            if note.len() > MAX_MEMORY {
                let message = format!("`text` has {} bytes, at most {MAX_MEMORY}", note.len());
                return Err(Fault::new(Code::TextTooLong, message));
            }
            Verb::Note(note)
        }
        Deed::Claim => {
            fields.may(&["id", "rev"])?;
            change(vec![Operation::Claim { id: fields.needs("id", args.id)?, by: context.by.to_owned() }])
        }
        Deed::Remove => {
            fields.may(&["id", "rev"])?;
            change(vec![Operation::Remove { id: fields.needs("id", args.id)? }])
        }
        Deed::Split => {
            fields.may(&["id", "items", "rev"])?;
            let id = fields.needs("id", args.id)?;
            change(vec![Operation::Split { id, into: new_items(fields.needs("items", args.items)?)? }])
        }
        Deed::Add => {
            fields.may(&["items", "parent", "title", "rev"])?;
            if args.parent.is_some() && args.title.is_some() {
                return Err(bad(
                    "`parent` and `title` exclude each other: an item goes under an item or a heading".into()
                ));
            }
            let mission = context.mission.filter(|_| args.parent.is_none());
            let add = |item| Operation::Add {
                mission: mission.map(str::to_owned),
                group: args.title.clone(),
                parent: args.parent.clone(),
                item: Box::new(item),
            };
            change(new_items(fields.needs("items", args.items)?)?.into_iter().map(add).collect())
        }
        Deed::Update => {
            fields.may(&["id", "status", "title", "text", "items", "rev"])?;
            match (args.id, args.items) {
                (Some(id), None) => {
                    let one = Change { status: args.status, title: args.title, note: args.text, ..Change::default() };
                    change(vec![update("", id, one)?])
                }
                (None, Some(items)) => {
                    // What stands beside `items` would belong to none of them.
                    fields.may(&["items", "rev"])?;
                    change(changes(items)?)
                }
                (Some(_), Some(_)) => return Err(bad("`id` and `items` exclude each other in `update`".into())),
                (None, None) => return Err(bad("`id` is missing: `update` needs it, or `items` with ids".into())),
            }
        }
    };
    Ok(verb)
}

fn bad(message: String) -> Fault {
    Fault::new(Code::BadArguments, message)
}

/// The fields that were given, by their names.
struct Fields {
    deed: String,
    given: Vec<&'static str>,
}

impl Fields {
    fn new(args: &Todo) -> Self {
        let all = [
            ("view", args.view.is_some()),
            ("items", args.items.is_some()),
            ("id", args.id.is_some()),
            ("status", args.status.is_some()),
            ("title", args.title.is_some()),
            ("text", args.text.is_some()),
            ("parent", args.parent.is_some()),
            ("rev", args.rev.is_some()),
        ];
        let given = all.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect();
        Self { deed: format!("{:?}", args.deed).to_lowercase(), given }
    }

    /// Refuses what this deed has no use for: a model that gives it means something else.
    fn may(&mut self, allowed: &[&str]) -> Result<(), Fault> {
        let Some(extra) = self.given.iter().find(|name| !allowed.contains(name)) else { return Ok(()) };
        let allowed: Vec<_> = allowed.iter().map(|name| format!("`{name}`")).collect();
        Err(bad(format!("`{extra}` is not taken by `{}`, which takes {}", self.deed, allowed.join(", "))))
    }

    fn needs<T>(&self, name: &str, value: Option<T>) -> Result<T, Fault> {
        value.ok_or_else(|| bad(format!("`{name}` is missing: `{}` needs it", self.deed)))
    }
}

fn bounded(items: Vec<TodoItem>) -> Result<Vec<TodoItem>, Fault> {
    match items.len() {
        0 => Err(Fault::new(Code::EmptyBatch, "`items` is empty")),
        1..=MOST_ITEMS => Ok(items),
        number => Err(Fault::new(Code::BatchTooLarge, format!("`items` has {number}, at most {MOST_ITEMS}"))),
    }
}

fn new_items(items: Vec<TodoItem>) -> Result<Vec<NewItem>, Fault> {
    let of = |(at, item): (usize, TodoItem)| {
        let title = item.title.ok_or_else(|| bad(format!("`items[{at}].title` is missing")))?;
        Ok(NewItem {
            id: item.id,
            title,
            agent: item.agent.filter(|agent| !agent.is_empty()),
            files: item.files.unwrap_or_default(),
            after: item.after.unwrap_or_default(),
            size: item.size,
            race: item.race.unwrap_or_default(),
            note: None,
        })
    };
    bounded(items)?.into_iter().enumerate().map(of).collect()
}

fn changes(items: Vec<TodoItem>) -> Result<Vec<Operation>, Fault> {
    let of = |(at, item): (usize, TodoItem)| {
        let id = item.id.ok_or_else(|| bad(format!("`items[{at}].id` is missing")))?;
        let TodoItem { title, agent, files, after, size, race, .. } = item;
        update(
            &format!("items[{at}]: "),
            id,
            Change { status: None, title, agent, files, after, size, race, note: None },
        )
    };
    bounded(items)?.into_iter().enumerate().map(of).collect()
}

fn update(place: &str, id: ItemId, change: Change) -> Result<Operation, Fault> {
    if change == Change::default() {
        return Err(bad(format!("{place}nothing of `{id}` is to be changed")));
    }
    Ok(Operation::Update { id, change: Box::new(change) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(json: &str) -> Result<Verb, Fault> {
        operations(fault::object(json, Code::BadArguments)?, Context { mission: Some("m1"), by: "me" })
    }

    fn id(text: &str) -> ItemId {
        text.parse().unwrap()
    }

    fn change(operation: Operation, rev: Option<u64>) -> Verb {
        Verb::Change { operations: vec![operation], rev }
    }

    #[test]
    fn what_is_asked_is_read() {
        let read = |view, name: Option<&str>, rev| Ok(Verb::Read { view, id: name.map(id), rev });
        assert_eq!(asked(r#"{"do": "read"}"#), read(View::Open, None, None));
        assert_eq!(asked(r#"{"do": "read", "view": "all", "id": null, "rev": 3}"#), read(View::All, None, Some(3)));
        assert_eq!(asked(r#"{"do": "read", "id": "t1"}"#), read(View::Open, Some("t1"), None));
        assert_eq!(
            asked(r#"{"do": "claim", "id": "t3", "rev": 4}"#),
            Ok(change(Operation::Claim { id: id("t3"), by: "me".into() }, Some(4)))
        );
        assert_eq!(asked(r#"{"do": "remove", "id": "t3"}"#), Ok(change(Operation::Remove { id: id("t3") }, None)));
        assert_eq!(asked(r#"{"do": "note", "text": "use nom"}"#), Ok(Verb::Note("use nom".into())));
        assert_eq!(
            asked(r#"{"do": "history", "id": "t3", "rev": 9}"#),
            Ok(Verb::History { id: Some(id("t3")), before: Some(9) })
        );
    }

    #[test]
    fn items_become_operations() {
        let new = NewItem {
            id: Some(id("t9")),
            title: "a".into(),
            agent: Some("worker".into()),
            files: vec!["b.rs".into()],
            after: vec![id("t1")],
            size: Some(Size::Xl),
            race: vec!["x@y/z".parse().unwrap()],
            note: None,
        };
        let item = r#"{"id": "t9", "title": "a", "agent": "worker", "files": ["b.rs"], "after": ["t1"], "size": "XL", "race": ["x@y/z"]}"#;
        let add = |mission: Option<&str>, group: Option<&str>, parent: Option<&str>| Operation::Add {
            mission: mission.map(str::to_owned),
            group: group.map(str::to_owned),
            parent: parent.map(id),
            item: Box::new(new.clone()),
        };
        assert_eq!(
            asked(&format!(r#"{{"do": "add", "items": [{item}]}}"#)),
            Ok(change(add(Some("m1"), None, None), None))
        );
        assert_eq!(
            asked(&format!(r#"{{"do": "add", "title": "G", "items": [{item}]}}"#)),
            Ok(change(add(Some("m1"), Some("G"), None), None))
        );
        assert_eq!(
            asked(&format!(r#"{{"do": "add", "parent": "t2", "items": [{item}], "rev": 1}}"#)),
            Ok(change(add(None, None, Some("t2")), Some(1)))
        );
        assert_eq!(
            asked(&format!(r#"{{"do": "split", "id": "t2", "items": [{item}]}}"#)),
            Ok(change(Operation::Split { id: id("t2"), into: vec![new.clone()] }, None))
        );
        let set = Change { status: Some(Status::InProgress), note: Some("n".into()), ..Change::default() };
        assert_eq!(
            asked(r#"{"do": "update", "id": "t2", "status": "in_progress", "text": "n"}"#),
            Ok(change(Operation::Update { id: id("t2"), change: Box::new(set) }, None))
        );
        let set = Change { after: Some(vec![]), size: Some(Size::S), ..Change::default() };
        assert_eq!(
            asked(r#"{"do": "update", "items": [{"id": "t2", "after": [], "size": "S"}]}"#),
            Ok(change(Operation::Update { id: id("t2"), change: Box::new(set) }, None))
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let many = format!(r#"{{"do": "add", "items": [{}]}}"#, vec![r#"{"title": "x"}"#; MOST_ITEMS + 1].join(","));
        let long = format!(r#"{{"do": "note", "text": "{}"}}"#, "x".repeat(MAX_MEMORY + 1));
        for (json, code, message) in [
            (r"{}", Code::BadArguments, "missing field `do`"),
            (r#"{"do": "write"}"#, Code::BadArguments, "`do`: unknown variant `write`"),
            (r#"{"do": {"read": null}}"#, Code::BadArguments, "`do`: invalid type: map, expected a string"),
            (r#"{"do": "read", "what": 1}"#, Code::BadArguments, "`what`: unknown field `what`"),
            (
                r#"{"do": "read", "status": "done"}"#,
                Code::BadArguments,
                "`status` is not taken by `read`, which takes `view`, `id`, `rev`",
            ),
            (r#"{"do": "claim"}"#, Code::BadArguments, "`id` is missing: `claim` needs it"),
            (r#"{"do": "claim", "id": "T 1"}"#, Code::BadArguments, "`id`: not an item's id: expected"),
            (r#"{"do": "split", "id": "t1"}"#, Code::BadArguments, "`items` is missing: `split` needs it"),
            (r#"{"do": "add", "items": []}"#, Code::EmptyBatch, "`items` is empty"),
            (&many, Code::BatchTooLarge, "`items` has 201, at most 200"),
            (
                r#"{"do": "add", "items": [["t1", "x"]]}"#,
                Code::BadArguments,
                "`items[0]`: invalid type: sequence, expected an object",
            ),
            (
                r#"{"do": "add", "items": [{"title": "a"}, {"agent": "b"}]}"#,
                Code::BadArguments,
                "`items[1].title` is missing",
            ),
            (
                r#"{"do": "add", "items": [{"title": "a", "after": ["?"]}]}"#,
                Code::BadArguments,
                "`items[0].after[0]`: not an item's id",
            ),
            (
                r#"{"do": "add", "items": [{"title": "a", "size": "s"}]}"#,
                Code::BadArguments,
                "`items[0].size`: unknown variant `s`",
            ),
            (
                r#"{"do": "add", "items": [{"title": "a", "race": ["@"]}]}"#,
                Code::BadArguments,
                "`items[0].race[0]`: not a racer: expected",
            ),
            (
                r#"{"do": "add", "parent": "t1", "title": "x", "items": [{"title": "a"}]}"#,
                Code::BadArguments,
                "`parent` and `title` exclude each other",
            ),
            (r#"{"do": "update"}"#, Code::BadArguments, "`id` is missing: `update` needs it, or `items` with ids"),
            (r#"{"do": "update", "id": "t1"}"#, Code::BadArguments, "nothing of `t1` is to be changed"),
            (r#"{"do": "update", "id": "t1", "items": []}"#, Code::BadArguments, "`id` and `items` exclude each other"),
            (
                r#"{"do": "update", "status": "done", "items": [{"id": "t1", "size": "S"}]}"#,
                Code::BadArguments,
                "`status` is not taken by `update`, which takes `items`, `rev`",
            ),
            (
                r#"{"do": "update", "items": [{"id": "t1"}]}"#,
                Code::BadArguments,
                "items[0]: nothing of `t1` is to be changed",
            ),
            (r#"{"do": "update", "items": [{"title": "a"}]}"#, Code::BadArguments, "`items[0].id` is missing"),
            (r#"{"do": "note"}"#, Code::BadArguments, "`text` is missing: `note` needs it"),
            (r#"{"do": "note", "text": " "}"#, Code::EmptyField, "`text` is empty"),
            (&long, Code::TextTooLong, "`text` has 2001 bytes, at most 2000"),
            (
                r#"{"do": "note", "text": "a", "id": "t1"}"#,
                Code::BadArguments,
                "`id` is not taken by `note`, which takes `text`",
            ),
        ] {
            let fault = asked(json).unwrap_err();
            assert!(fault.code == code && fault.message.starts_with(message), "{json}: {fault}");
        }
    }
}
