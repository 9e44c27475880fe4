//! `sortie start`: a new task of the queue.

use std::{fs, path::Path};

use super::{
    super::{Done, args::StartArgs, context::Context, exit, json::TaskList},
    rows, words,
};
use crate::{
    fault::{Code, Fault},
    queue::start::{self, Wish},
    store::Store,
};

pub fn run(context: &Context, args: StartArgs) -> Done {
    let config = context.config()?;
    let (_home, mut store) = context.open()?;
    let after = context.tasks(&mut store, &args.after)?;
    if let Some(ended) = after
        .iter()
        .find(|task| matches!(task.state.name(), crate::task::StateName::Failed | crate::task::StateName::Cancelled))
    {
        let message =
            format!("task {} is {}: what waits for it would never start", ended.id, ended.state.name().as_str());
        return Err(Fault::new(Code::DeadDependency, message));
    }
    let prompt = match &args.file {
        Some(path) => fs::read_to_string(path)
            .map_err(|error| Fault::new(Code::BadFlag, format!("the file {}: {error}", path.display())))?,
        None => words(&args.prompt)?,
    };
    let wish = Wish {
        agent: args.agent,
        prompt,
        title: args.title,
        key: None,
        directory: directory(context, args.dir.as_deref())?,
        priority: args.priority,
        timeout: args.timeout,
        max_retries: args.max_retries,
        auto_retry: args.auto_retry.then_some(true),
        after: after.iter().map(|task| task.id).collect(),
    };
    let task = start::task(&context.ids(), &config, &context.project, wish, context.now())?;
    store.launch(std::slice::from_ref(&task))?;
    let row = rows(context, &mut store, std::slice::from_ref(&task))?;
    let short = row[0].short_id.clone();
    if args.quiet {
        context.out.say(task.id.to_string());
    } else {
        context.out.say(format!(
            "{short}  queued for {}: {}",
            task.spec.agent,
            super::super::view::one_line(&task.spec.title)
        ));
        context.out.hint("next: sortie run");
    }
    context.out.document("start", TaskList { tasks: row });
    Ok(exit::OK)
}

/// A directory of the project, as it is stored.
fn directory(context: &Context, dir: Option<&Path>) -> Result<Option<String>, Fault> {
    let Some(dir) = dir else {
        return Ok(Some(context.directory.to_string_lossy().into_owned()));
    };
    let fail = |code, why: &str| Fault::new(code, format!("the directory {}: {why}", dir.display()));
    let path =
        fs::canonicalize(context.directory.join(dir)).map_err(|error| fail(Code::NoDirectory, &error.to_string()))?;
    if !path.is_dir() {
        return Err(fail(Code::NoDirectory, "it is no directory"));
    }
    if !path.starts_with(context.project.as_str()) {
        return Err(fail(Code::OutsideProject, &format!("it is not in {}", context.project.as_str())));
    }
    Ok(Some(path.to_string_lossy().into_owned()))
}
