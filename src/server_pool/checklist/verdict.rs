//! The verdict at the end of an answer.

/// How the verdict's line begins.
pub(super) const LINE: &str = "VERDICT:";

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It does not, and why.
    Fail(String),
    /// The answer ends with no verdict.
    Unclear,
    /// There was no answer, and why.
    Error(String),
}

impl Verdict {
    /// Its name, as tables and JSON have it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail(_) => "fail",
            Self::Unclear => "unclear",
            Self::Error(_) => "error",
        }
    }

    /// Why, where there is something to say.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Pass => "",
            Self::Unclear => "the answer does not end with a verdict",
            Self::Fail(reason) | Self::Error(reason) => reason,
        }
    }

    /// Reads the last line that is not blank: `VERDICT: pass` or `VERDICT: fail: reason`, and nothing else. Of a line
    /// that says less or more than that, nothing is guessed: least of all that it holds.
    #[must_use]
    pub fn read(answer: &str) -> Self {
        let Some(line) = answer.lines().map(str::trim).rfind(|line| !line.is_empty()) else { return Self::Unclear };
        let Some(verdict) = line.strip_prefix(LINE).map(str::trim) else { return Self::Unclear };
        match verdict.split_once(':').map(|(word, reason)| (word.trim_end(), reason.trim())) {
            None if verdict == "pass" => Self::Pass,
            None if verdict == "fail" => Self::Fail("no reason was given".to_owned()),
            Some(("fail", "")) => Self::Fail("no reason was given".to_owned()),
            Some(("fail", reason)) => Self::Fail(reason.to_owned()),
            _ => Self::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_last_line_counts_and_only_in_its_form() {
        let fail = |reason: &str| Verdict::Fail(reason.to_owned());
        for (answer, verdict) in [
            ("All is well.\nVERDICT: pass", Verdict::Pass),
            ("VERDICT: pass\n\n  \n", Verdict::Pass),
            ("  VERDICT:pass  \r\n", Verdict::Pass),
            ("VERDICT: pass\nVERDICT: fail: a.rs:3: no test", fail("a.rs:3: no test")),
            ("VERDICT: fail", fail("no reason was given")),
            ("VERDICT: fail :  ", fail("no reason was given")),
            ("VERDICT: pass: mostly", Verdict::Unclear),
            ("VERDICT: pass.", Verdict::Unclear),
            ("VERDICT: Pass", Verdict::Unclear),
            ("verdict: pass", Verdict::Unclear),
            ("**VERDICT: pass**", Verdict::Unclear),
            ("VERDICT: passed", Verdict::Unclear),
            ("VERDICT:", Verdict::Unclear),
            ("VERDICT: pass\nThat is all.", Verdict::Unclear),
            ("I would say VERDICT: pass", Verdict::Unclear),
            ("", Verdict::Unclear),
        ] {
            assert_eq!(Verdict::read(answer), verdict, "{answer:?}");
        }
    }

    proptest! {
        /// Nothing passes but what says so in its last line, whatever stands before.
        #[test]
        fn nothing_passes_by_mistake(before in "(?s).{0,40}", last in "[VERDICT: pasfil.*]{0,20}") {
            let answer = format!("{before}\n{last}");
            let shown = answer.lines().map(str::trim).rfind(|line| !line.is_empty());
            let says_so = shown.is_some_and(|line| line.strip_prefix("VERDICT:").is_some_and(|rest| rest.trim() == "pass"));
            prop_assert_eq!(Verdict::read(&answer) == Verdict::Pass, says_so);
        }

        #[test]
        fn a_reason_comes_as_it_was_given(before in "(?s).{0,40}", reason in "[a-z][a-z :.]{0,20}[a-z]") {
            let answer = format!("{before}\nVERDICT: fail: {reason}\n");
            prop_assert_eq!(Verdict::read(&answer), Verdict::Fail(reason));
        }
    }
}
