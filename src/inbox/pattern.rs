//! Patterns of permissions, as OpenCode has them.

/// Whether a text is of a pattern: `*` stands for any text, `?` for any character, and a pattern that ends with ` *` is
/// also that of the words before it. Takes a time of the order of both lengths' product at worst: both are hostile.
pub fn fits(pattern: &str, text: &str) -> bool {
    matches(pattern, text) || pattern.strip_suffix(" *").is_some_and(|words| matches(words, text))
}

fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut read) = (0, 0);
    // The latest star, and the text that it stands for so far.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(char) if *char == '?' || *char == text[read] => (at, read) = (at + 1, read + 1),
            _ => match star {
                Some((place, end)) => {
                    star = Some((place, end + 1));
                    (at, read) = (place + 1, end + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|char| *char == '*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_are_those_of_the_host() {
        for (pattern, text, is_so) in [
            ("*", "", true),
            ("*", "rm -rf /\nls", true),
            ("git status", "git status", true),
            ("git status", "git status --short", false),
            ("git *", "git", true),
            ("git *", "git log", true),
            ("git *", "gitk", false),
            ("git *", "sudo git log", false),
            ("*.rs", "src/a.rs", true),
            ("*.rs", "src/a.rsx", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*b*c", "axxbyybzzc", true),
            ("a*b*c", "axxbyybzz", false),
            ("", "x", false),
            ("", "", true),
            ("[a]", "a", false),
            ("a.c", "abc", false),
        ] {
            assert_eq!(fits(pattern, text), is_so, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        assert!(!fits(&"a*".repeat(200), &format!("{}b", "a".repeat(2_000)).replace('b', "c").replace('a', "b")));
        assert!(!fits(&format!("{}b", "*a".repeat(500)), &"a".repeat(5_000)));
    }

    proptest! {
        #[test]
        fn a_text_is_of_itself_and_of_what_is_opened_in_it(text in "[a-c ]{0,12}", at in 0_usize..13, end in 0_usize..13) {
            prop_assert!(fits(&text, &text));
            let (at, end) = (at.min(end).min(text.len()), at.max(end).min(text.len()));
            let opened = format!("{}*{}", &text[..at], &text[end..]);
            prop_assert!(fits(&opened, &text));
        }
    }
}
