//! Where Sortie's home is, and how much it logs: the environment, read once for all faces.

use std::{
    env,
    path::{Path, PathBuf},
};

use tracing::Level;

use crate::fault::{Code, Fault};

/// `SORTIE_HOME`, else the option, else `sortie` in the platform's data directory.
///
/// # Errors
/// [`Code::StoreReadOnly`] when none of them can be told.
pub fn find(option: Option<&Path>) -> Result<PathBuf, Fault> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    choose(option, set, cfg!(target_os = "macos"), cfg!(windows)).ok_or_else(|| {
        Fault::new(Code::StoreReadOnly, "no home: neither SORTIE_HOME nor the user's own directory is known")
    })
}

/// The directory of the user's configuration: `sortie` in the platform's.
#[must_use]
pub fn config() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = if cfg!(windows) {
        set("APPDATA")
    } else if cfg!(target_os = "macos") && set("XDG_CONFIG_HOME").is_none() {
        set("HOME").map(|home| home.join("Library").join("Application Support"))
    } else {
        // A relative path there must be ignored, says the XDG specification.
        set("XDG_CONFIG_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| set("HOME").map(|home| home.join(".config")))
    };
    config.map(|config| config.join("sortie"))
}

fn choose(option: Option<&Path>, set: impl Fn(&str) -> Option<PathBuf>, macos: bool, windows: bool) -> Option<PathBuf> {
    if let Some(home) = set("SORTIE_HOME").or_else(|| option.map(Path::to_owned)) {
        return Some(home);
    }
    let data = if windows {
        set("LOCALAPPDATA").or_else(|| set("USERPROFILE").map(|home| home.join("AppData").join("Local")))
    } else if macos {
        set("HOME").map(|home| home.join("Library").join("Application Support"))
    } else {
        // A relative path there must be ignored, says the XDG specification.
        set("XDG_DATA_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| set("HOME").map(|home| home.join(".local").join("share")))
    };
    data.map(|data| data.join("sortie"))
}

/// The level that `SORTIE_LOG` names; `info` if it names none.
#[must_use]
pub fn log_level() -> Level {
    env::var("SORTIE_LOG").ok().and_then(|level| level.parse().ok()).unwrap_or(Level::INFO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(option: Option<&str>, env: &[(&str, &str)], macos: bool, windows: bool) -> Option<String> {
        let set = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value));
        choose(option.map(Path::new), set, macos, windows).map(|path| path.to_string_lossy().replace('\\', "/"))
    }

    #[test]
    fn the_environment_wins_then_the_option_then_the_platform() {
        let env = [("SORTIE_HOME", "/s"), ("HOME", "/h"), ("XDG_DATA_HOME", "/x")];
        let of = |from: usize, option| chosen(option, &env[from..], false, false);
        assert_eq!(of(0, Some("/o")).as_deref(), Some("/s"));
        assert_eq!(of(1, Some("/o")).as_deref(), Some("/o"));
        assert_eq!(of(1, None).as_deref(), Some("/x/sortie"));
        assert_eq!(of(1, None), chosen(None, &env[1..], false, false));
        assert_eq!(
            chosen(None, &[("HOME", "/h"), ("XDG_DATA_HOME", "x")], false, false).as_deref(),
            Some("/h/.local/share/sortie")
        );
        assert_eq!(chosen(None, &env[1..2], true, false).as_deref(), Some("/h/Library/Application Support/sortie"));
        assert_eq!(chosen(None, &[("LOCALAPPDATA", "/l")], false, true).as_deref(), Some("/l/sortie"));
        assert_eq!(chosen(None, &[], false, false), None);
    }
}
