//! The tools as a model is told of them.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

use super::{args, background_args, todo_args};

/// A tool's name, purpose and arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// Its arguments as JSON Schema, draft 7, with everything inline.
    pub schema: Value,
}

/// Every tool.
#[must_use]
pub fn list() -> Vec<ToolSpec> {
    vec![
        tool::<args::Launch>(
            "sortie_launch",
            "Run agent tasks in parallel in the background; one call launches a batch. Returns ids at once. Tasks \
             survive restarts. You are told of every end with its result, so do not poll.",
        ),
        tool::<args::Status>("sortie_status", "Table of tasks: state, what they wait for, attempts, time, tokens."),
        tool::<args::Wait>("sortie_wait", "Wait until all (or any) of the tasks end; returns their results."),
        tool::<args::ResultOf>("sortie_result", "Whole result of an ended task."),
        tool::<args::Send>(
            "sortie_send",
            "Send a follow-up message to a task's session: it joins a running task; for an ended one a new task \
             continues that session.",
        ),
        tool::<args::Tasks>("sortie_cancel", "Stop tasks, those that depend on them, and what they launched."),
        tool::<args::Tasks>(
            "sortie_retry",
            "Run failed or cancelled tasks again as new tasks, with those that depended on them; lets paused ones go \
             on.",
        ),
        tool::<args::Extend>("sortie_extend", "Give an open task so many seconds more, also while it runs."),
        tool::<background_args::Start>(
            "sortie_command_start",
            "Run a program in the background, such as a dev server, until this task ends.",
        ),
        tool::<background_args::Command>(
            "sortie_command",
            "State and new output of a background command, or a list. wait: for its end or a text. limit: seconds left.",
        ),
        tool::<todo_args::Todo>(
            "sortie_todo",
            "TODO.md, shared by all agents. Claim a ready item before work on it. note: a decision or finding for all.",
        ),
    ]
}

fn tool<T: JsonSchema>(name: &'static str, description: &'static str) -> ToolSpec {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    slim(&mut schema);
    if let Some(root) = schema.as_object_mut() {
        // It is for readers of the source; the tool has a description of its own.
        root.remove("description");
    }
    ToolSpec { name, description, schema }
}

/// Takes out what costs tokens and tells a model nothing: titles, empty descriptions, defaults of `null`, formats of
/// numbers and that none is below zero, that nothing else is taken, and the `null` beside a type that only says "may be left out".
fn slim(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if map.get("title").is_some_and(Value::is_string) {
                map.remove("title");
            }
            for noise in ["format", "default", "minimum"] {
                if map.get(noise).is_some_and(|value| !value.is_object()) {
                    map.remove(noise);
                }
            }
            // Every argument struct refuses what it does not know by its name, and says what it does.
            if map.get("additionalProperties") == Some(&Value::Bool(false)) {
                map.remove("additionalProperties");
            }
            if map.get("description").and_then(Value::as_str) == Some("") {
                map.remove("description");
            }
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(variants)) = map.get_mut("anyOf") {
                variants.retain(|variant| variant.get("type").is_none_or(|name| name != "null"));
                if let [Value::Object(only)] = variants.as_slice() {
                    let only = only.clone();
                    map.remove("anyOf");
                    for (key, value) in only {
                        map.entry(key).or_insert(value);
                    }
                }
            }
            // An enum whose values explain themselves: `oneOf` of constants becomes a plain list.
            if let Some(names) = map.get("oneOf").and_then(constants) {
                map.remove("oneOf");
                map.insert("type".to_owned(), "string".into());
                map.insert("enum".to_owned(), names);
            }
            map.values_mut().for_each(slim);
        }
        Value::Array(items) => items.iter_mut().for_each(slim),
        _ => {}
    }
}

/// The constants of `oneOf`, if it is nothing but constants.
fn constants(one_of: &Value) -> Option<Value> {
    one_of.as_array()?.iter().map(|variant| variant.get("const").cloned()).collect::<Option<Vec<_>>>().map(Value::Array)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::RESERVED;

    #[test]
    fn the_schemas_stay_small() {
        let of = |tool: &ToolSpec| tool.name.len() + tool.description.len() + tool.schema.to_string().len();
        let (todo, others): (Vec<_>, Vec<_>) = list().into_iter().partition(|tool| tool.name == "sortie_todo");
        let (commands, others): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|tool| tool.name.starts_with("sortie_command"));
        let (todo, commands) = (todo.iter().map(of).sum::<usize>(), commands.iter().map(of).sum::<usize>());
        let others = others.iter().map(of).sum::<usize>();
        // A planner gets only the first of them, any other task only the second.
        assert!(
            todo < 1_250 && commands < 750 && others < 3_200,
            "{todo}, {commands} and {others} bytes in every model request"
        );
    }

    #[test]
    fn every_tool_is_reserved_or_for_background_commands() {
        let (commands, others): (Vec<_>, Vec<_>) =
            list().into_iter().map(|tool| tool.name).partition(|name| name.starts_with("sortie_command"));
        assert_eq!((others.as_slice(), commands.len()), (RESERVED.as_slice(), 2));
    }

    #[test]
    fn nothing_is_left_to_look_up_elsewhere() {
        for tool in list() {
            let text = tool.schema.to_string();
            assert!(!text.contains("$ref") && !text.contains("definitions"), "{text}");
            assert_eq!(tool.schema["type"], "object", "{text}");
        }
    }

    #[test]
    fn optional_fields_are_optional_and_enums_are_lists() {
        let launch = &list()[0].schema["properties"]["tasks"]["items"];
        assert_eq!(launch["required"], serde_json::json!(["title", "agent", "prompt"]));
        assert_eq!(launch["properties"]["priority"]["enum"], serde_json::json!(["low", "normal", "high"]));
        assert_eq!(launch["properties"]["resume"]["enum"], serde_json::json!(["auto", "ask", "never"]));
        assert_eq!(launch["properties"]["timeout"]["type"], "integer");
    }
}
