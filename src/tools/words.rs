//! A command as a line: split into words as a shell splits them, but nothing is ever expanded, and no shell is asked.
//!
//! A line and no list, because OpenCode shows people what they are asked to allow only where the call's `command` is a
//! text.

use crate::fault::{Code, Fault};

/// What would mean something to a shell where it is not quoted.
const SPECIAL: &[char] = &['|', '&', ';', '<', '>', '(', ')', '$', '`', '*', '?', '[', '#', '~', '\n', '\r'];

/// The words of a line.
///
/// # Errors
/// [`Code::BadCommand`] when a quote is open, or when a shell would make something else of the line.
pub fn split(line: &str) -> Result<Vec<String>, Fault> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.trim().chars();
    while let Some(char) = chars.next() {
        match char {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let into = word.get_or_insert_default();
                quoted(&mut chars, '\'', |char, _| {
                    into.push(char);
                    Ok(())
                })?;
            }
            '"' => {
                let into = word.get_or_insert_default();
                quoted(&mut chars, '"', |char, chars| {
                    into.push(match char {
                        '$' | '`' => return Err(needs_shell(char)),
                        '\\' => match chars.clone().next() {
                            Some(next @ ('"' | '\\' | '$' | '`')) => {
                                chars.next();
                                next
                            }
                            _ => '\\',
                        },
                        char => char,
                    });
                    Ok(())
                })?;
            }
            '\\' => match chars.next() {
                Some('\n') | None => return Err(Fault::new(Code::BadCommand, "`command` goes on after its last line")),
                Some(next) => word.get_or_insert_default().push(next),
            },
            char if SPECIAL.contains(&char) => return Err(needs_shell(char)),
            char => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    if words.first().is_none_or(String::is_empty) {
        return Err(Fault::new(Code::EmptyField, "`command` names no program"));
    }
    Ok(words)
}

/// Reads up to the closing quote.
fn quoted<'a>(
    chars: &mut std::str::Chars<'a>,
    quote: char,
    mut each: impl FnMut(char, &mut std::str::Chars<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    while let Some(char) = chars.next() {
        if char == quote {
            return Ok(());
        }
        each(char, chars)?;
    }
    Err(Fault::new(Code::BadCommand, format!("`command` ends within {quote}")))
}

fn needs_shell(char: char) -> Fault {
    let message = format!("`command` holds `{}`, and no shell reads it", char.escape_debug());
    Fault::new(Code::BadCommand, message)
}

/// Words as a line of one meaning: [`split`] gives the same words again. By it permission rules are asked.
#[must_use]
pub fn line(words: &[String]) -> String {
    let words: Vec<_> = words.iter().map(|word| quote(word)).collect();
    words.join(" ")
}

fn quote(word: &str) -> String {
    let is_plain = |char: char| char.is_alphanumeric() || "_-./:=@%+,{}]^!".contains(char);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_split_as_a_shell_would() {
        for (line, words) in [
            ("npm run dev", &["npm", "run", "dev"][..]),
            ("  node\t server.mjs --port=3000 ", &["node", "server.mjs", "--port=3000"]),
            ("sh -c 'a && b > c; echo \"$X\" *'", &["sh", "-c", "a && b > c; echo \"$X\" *"]),
            (r#"echo "a 'b' \"c\" \\ \n" '' x"y"z"#, &["echo", r#"a 'b' "c" \ \n"#, "", "xyz"]),
            (r"echo a\ b \$HOME \* \'", &["echo", "a b", "$HOME", "*", "'"]),
            ("echo 'ä€' a=b,c {x}", &["echo", "ä€", "a=b,c", "{x}"]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
    }

    #[test]
    fn what_needs_a_shell_is_refused_by_its_name() {
        for (line, named) in [
            ("cd x && npm test", "`&`"),
            ("a | b", "`|`"),
            ("a; b", "`;`"),
            ("a > b", "`>`"),
            ("echo $HOME", "`$`"),
            ("echo \"$HOME\"", "`$`"),
            ("echo \"`id`\"", "``"),
            ("ls *.rs", "`*`"),
            ("ls ~", "`~`"),
            ("a\nb", "`\\n`"),
            ("echo 'a", "ends within '"),
            ("echo \"a", "ends within \""),
            ("echo a\\", "last line"),
        ] {
            let fault = split(line).unwrap_err();
            assert!(fault.code == Code::BadCommand && fault.message.contains(named), "{line}: {fault}");
        }
        for line in ["", "  ", "'' x"] {
            assert_eq!(split(line).unwrap_err().code, Code::EmptyField, "{line:?}");
        }
    }

    #[test]
    fn a_word_that_holds_several_is_never_taken_for_them() {
        for (words, text) in [
            (&["git", "push", "origin"][..], "git push origin"),
            (&["git status", "x"], "'git status' x"),
            (&["echo", "", "it's", "*"], r"echo '' 'it'\''s' '*'"),
        ] {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(line(&words), text);
        }
    }

    proptest! {
        #[test]
        fn a_line_of_words_is_split_into_them_again(mut words in prop::collection::vec("[ -~äß\n\t]{0,12}", 0..6)) {
            words.insert(0, "program".to_owned());
            prop_assert_eq!(split(&line(&words)).unwrap(), words);
        }
    }
}
