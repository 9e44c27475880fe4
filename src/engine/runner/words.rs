//! What Sortie says to an agent beside its prompt.

use crate::task::recovery::Why;

/// The words. `prompt` is what the task was asked at first.
pub(super) fn of(why: Why, prompt: &str) -> String {
    match why {
        Why::Nudge => {
            "<sortie-nudge>\nNothing was heard of you for a while. If your work is done, give its complete result \
            now, also if you gave it before. If you wait for something, say what. Otherwise go on with the next \
            step.\n</sortie-nudge>"
                .to_owned()
        }
        Why::CutOff => {
            "Your answer was cut off by the output limit. Go on exactly where it stopped, without repeating \
            anything."
                .to_owned()
        }
        Why::ToolCrashed => "A tool of your last step failed and ended your turn. Go on without it or in another way, \
            and end with the complete result."
            .to_owned(),
        Why::Compacted => format!(
            "This session had grown too long and was summarised. Go on from where it stands, and end with the complete \
             result. The task was:\n\n{prompt}"
        ),
    }
}
