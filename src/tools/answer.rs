//! `/answer`, and what `/tasks` shows of the prompts that wait.
//!
//! A command and no tool: no model can grant itself anything.

use std::fmt::Write;

use super::text;
use crate::{
    engine::{
        inbox::{Answer, Entry, Request},
        report_text::duration,
        service::Attachment,
    },
    fault::{Code, Fault},
    inbox::one_line,
    opencode::{Question, SessionId},
    store::PromptRow,
};

/// How many answered prompts `/tasks` shows.
const ANSWERED: u32 = 5;

/// How much of an answered prompt is shown, in bytes.
const BRIEF: usize = 160;

/// Answers a prompt: `p3 once`, `p3 reject because`, `p4 2`.
///
/// # Errors
/// [`Code::PeopleOnly`], [`Code::NoSuchPrompt`], [`Code::BadAnswer`], the host's or the store's.
pub async fn answer(to: &Attachment, session: &SessionId, directory: &str, arguments: &str) -> Result<String, Fault> {
    to.check_person(session, directory).await?;
    let arguments = arguments.trim();
    let (name, words) = arguments.split_once(char::is_whitespace).unwrap_or((arguments, ""));
    let number = name.strip_prefix('p').unwrap_or(name).parse::<i64>();
    let number = number.map_err(|_| {
        let message = format!("`{}` is no number of a prompt, such as `p3`", one_line(name, 40));
        Fault::new(Code::NoSuchPrompt, message)
    })?;
    let entry = to.waiting_prompt(number).await?;
    let answer = read(&entry.request, words.trim())?;
    to.answer_prompt(&entry, answer).await
}

/// An answer as it was typed.
fn read(request: &Request, words: &str) -> Result<Answer, Fault> {
    if !words.is_empty() {
        text::check("answer", words, text::Kind::Prompt)?;
    }
    let (first, rest) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
    let rest = Some(rest.trim()).filter(|rest| !rest.is_empty()).map(str::to_owned);
    match request {
        Request::Permission(_) => match (first, rest) {
            ("once", None) => Ok(Answer::Once),
            ("always", None) => Ok(Answer::Always),
            ("reject", words) => Ok(Answer::Reject(words)),
            _ => {
                let message = format!("`{}` is not `once`, `always` or `reject [why]`", one_line(words, 100));
                Err(Fault::new(Code::BadAnswer, message))
            }
        },
        Request::Question(_) if words == "reject" => Ok(Answer::Dismiss),
        Request::Question(_) => chosen(request.questions(), words).map(Answer::Choose),
    }
}

/// An answer for each question, separated by `;`.
fn chosen(questions: &[Question], words: &str) -> Result<Vec<Vec<String>>, Fault> {
    let parts: Vec<&str> = match questions {
        [_] => vec![words],
        _ => words.split(';').map(str::trim).collect(),
    };
    if parts.len() != questions.len() || parts.iter().any(|part| part.is_empty()) {
        let message = match questions.len() {
            1 => "the answer is empty".to_owned(),
            number => format!("{number} questions are asked: give {number} answers, separated by `;`"),
        };
        return Err(Fault::new(Code::BadAnswer, message));
    }
    Ok(questions.iter().zip(parts).map(|(question, part)| choices(question, part)).collect())
}

/// The choices that are meant, by their numbers or labels; anything else is an answer in words.
fn choices(question: &Question, words: &str) -> Vec<String> {
    let choice = |word: &str| {
        let by_number = word.parse::<usize>().ok().and_then(|number| question.options.get(number.checked_sub(1)?));
        let by_label = || question.options.iter().find(|option| option.label.eq_ignore_ascii_case(word));
        by_number.or_else(by_label).map(|option| option.label.clone())
    };
    if let Some(chosen) = choice(words) {
        return vec![chosen];
    }
    if question.multiple
        && let Some(chosen) = words.split(',').map(|word| choice(word.trim())).collect::<Option<Vec<_>>>()
    {
        return chosen;
    }
    vec![words.to_owned()]
}

/// The prompts that wait and the last that were answered; empty if there are none.
///
/// # Errors
/// The store's.
pub async fn prompts(to: &Attachment) -> Result<String, Fault> {
    let listed = to.prompts(ANSWERED).await?;
    let mut text = String::new();
    if !listed.here.is_empty() || !listed.elsewhere.is_empty() {
        text.push_str("\nWaiting for you:\n");
    }
    for (row, entry) in &listed.here {
        let _ = writeln!(text, "{}\n    /answer p{} {}", line(to, row), row.number, how(entry));
    }
    for row in &listed.elsewhere {
        let _ = writeln!(text, "{}\n    waits in another OpenCode: answer it there", line(to, row));
    }
    if !listed.answered.is_empty() {
        text.push_str("\nAnswered last:\n");
    }
    for row in &listed.answered {
        let Some(answered) = &row.answered else { continue };
        let (what, answer) = (one_line(&row.prompt.what, BRIEF), one_line(&answered.answer, BRIEF));
        let _ = writeln!(text, "p{}  {what}: {answer} ({})", row.number, answered.by);
    }
    Ok(text)
}

fn line(to: &Attachment, row: &PromptRow) -> String {
    let PromptRow { number, prompt, asked_at, .. } = row;
    format!("p{number}  {}, for {} in {}", prompt.what, prompt.task, duration(to.now().since(*asked_at)))
}

fn how(entry: &Entry) -> &'static str {
    match (&entry.request, entry.request.questions().len()) {
        (Request::Permission(_), _) => "once | always | reject [why]",
        (Request::Question(_), 0 | 1) => "<number or words> | reject",
        (Request::Question(_), _) => "<number or words>; <the next> | reject",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn permission() -> Request {
        let request = json!({ "id": "per_1", "sessionID": "ses_1", "permission": "bash", "patterns": ["rm x"] });
        Request::Permission(serde_json::from_value(request).unwrap())
    }

    fn question(questions: &Value) -> Request {
        let request = json!({ "id": "que_1", "sessionID": "ses_1", "questions": questions });
        Request::Question(serde_json::from_value(request).unwrap())
    }

    fn which(multiple: bool) -> Value {
        json!({ "question": "Which?", "multiple": multiple, "options": [{ "label": "Red" }, { "label": "Blue" }] })
    }

    #[test]
    fn a_permission_is_answered_in_three_ways() {
        let read = |words: &str| read(&permission(), words);
        assert_eq!(read("once"), Ok(Answer::Once));
        assert_eq!(read("always"), Ok(Answer::Always));
        assert_eq!(read("reject"), Ok(Answer::Reject(None)));
        assert_eq!(read("reject  use git mv "), Ok(Answer::Reject(Some("use git mv".to_owned()))));
        // What is not clear is no allowance.
        for words in ["", "yes", "Once", "once and for all", "always x", "1", "onc"] {
            assert_eq!(read(words).unwrap_err().code, Code::BadAnswer, "{words:?}");
        }
    }

    #[test]
    fn a_question_is_answered_by_numbers_labels_or_words() {
        let one = question(&json!([which(false)]));
        let chosen = |words: &str| Ok(Answer::Choose(vec![vec![words.to_owned()]]));
        assert_eq!(read(&one, "2"), chosen("Blue"));
        assert_eq!(read(&one, "red"), chosen("Red"));
        assert_eq!(read(&one, "3"), chosen("3"));
        assert_eq!(read(&one, "0"), chosen("0"));
        assert_eq!(read(&one, "1, 2"), chosen("1, 2"));
        assert_eq!(read(&one, "neither; make it green"), chosen("neither; make it green"));
        assert_eq!(read(&one, "reject"), Ok(Answer::Dismiss));
        assert_eq!(read(&one, "").unwrap_err().code, Code::BadAnswer);
        let several = question(&json!([which(true), which(false)]));
        let both = vec![vec!["Red".to_owned(), "Blue".to_owned()], vec!["mauve".to_owned()]];
        assert_eq!(read(&several, "1, blue; mauve"), Ok(Answer::Choose(both)));
        for words in ["1", "1;", "1; 2; 3"] {
            assert_eq!(read(&several, words).unwrap_err().code, Code::BadAnswer, "{words:?}");
        }
        let long = "x".repeat(1_000_000);
        assert_eq!(read(&one, &long).unwrap_err().code, Code::TextTooLong);
    }
}
