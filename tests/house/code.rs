//! Rust source with everything blanked that is not code.

/// The text with comments and the contents of literals replaced by spaces; line numbers stay.
pub fn only_code(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => line_end(&chars, at),
            ('/', Some('*')) => comment_end(&chars, at),
            ('"', _) => string_end(&chars, at),
            ('r', Some('"' | '#')) if !is_word(at.checked_sub(1).map(|before| chars[before])) => {
                raw_end(&chars, at).unwrap_or(at)
            }
            ('\'', _) => char_end(&chars, at).unwrap_or(at),
            _ => at,
        };
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|&each| if each == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// The code before the unit tests at the end of a file; nothing of a file that is only tests.
pub fn without_tests<'a>(name: &str, code: &'a str) -> &'a str {
    let file = name.rsplit('/').next().unwrap_or(name);
    if file == "tests.rs" || file.ends_with("_test.rs") || file.ends_with("_tests.rs") || name.contains("/tests/") {
        return "";
    }
    for (start, _) in code.match_indices("#[cfg(") {
        let Some(length) = code[start..].find(")]") else { continue };
        let (attribute, rest) = code[start..].split_at(length + 2);
        let rest = rest.trim_start();
        // `mod tests;` is in a file of its own, and more code may follow.
        let opens = rest.find('{').is_some_and(|brace| rest.find(';').is_none_or(|end| brace < end));
        if words(attribute, "test").next().is_some() && rest.starts_with("mod ") && opens {
            return &code[..start];
        }
    }
    code
}

/// The number of the line, from 1, that a byte stands on.
pub fn line_of(text: &str, byte: usize) -> usize {
    text[..byte].matches('\n').count() + 1
}

/// Where `word` stands in the code as a whole word.
pub fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |&at| !is_word(code[..at].chars().next_back()) && !is_word(code[at + word.len()..].chars().next()))
}

fn is_word(char: Option<char>) -> bool {
    char.is_some_and(|char| char.is_alphanumeric() || char == '_')
}

fn line_end(chars: &[char], from: usize) -> usize {
    chars[from..].iter().position(|&each| each == '\n').map_or(chars.len(), |length| from + length)
}

fn comment_end(chars: &[char], from: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = from;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

fn raw_end(chars: &[char], from: usize) -> Option<usize> {
    let hashes = chars[from + 1..].iter().take_while(|&&each| each == '#').count();
    let body = from + 1 + hashes;
    // `r#type` is a name, not a string.
    if chars.get(body) != Some(&'"') {
        return None;
    }
    let close =
        |at: usize| chars[at] == '"' && chars[at + 1..].iter().take_while(|&&each| each == '#').count() >= hashes;
    Some((body + 1..chars.len()).find(|&at| close(at)).map_or(chars.len(), |at| at + 1 + hashes))
}

/// The end of a character literal; none for a lifetime.
fn char_end(chars: &[char], from: usize) -> Option<usize> {
    if chars.get(from + 1) == Some(&'\\') {
        return (from + 3..chars.len()).find(|&at| chars[at] == '\'').map(|at| at + 1);
    }
    (chars.get(from + 2) == Some(&'\'')).then_some(from + 3)
}

#[test]
fn blanks_all_that_is_no_code() {
    let text = "a // x\nb /* y /* z */ */ c \"d\\\"e\" f r#\"g\"h\"# i 'j' '\\'' 'k: r#type";
    let code = only_code(text);
    let kept: Vec<&str> = code.split_whitespace().collect();
    assert_eq!(kept, ["a", "b", "c", "f", "i", "'k:", "r#type"]);
    assert_eq!(code.matches('\n').count(), 1);
}

#[test]
fn leaves_unit_tests_out() {
    assert_eq!(without_tests("src/a.rs", "x #[cfg(test)]\nmod tests { y }"), "x ");
    assert_eq!(without_tests("src/a.rs", "x #[cfg(all(test, unix))]\nmod tests { y }"), "x ");
    assert_eq!(without_tests("src/a.rs", "#[cfg(test)]\nmod tests;\nx"), "#[cfg(test)]\nmod tests;\nx");
    assert_eq!(without_tests("src/a/tests.rs", "x"), "");
}

#[test]
fn finds_whole_words() {
    assert_eq!(words("napi_x xnapi napi::y", "napi").collect::<Vec<_>>(), [13]);
}
