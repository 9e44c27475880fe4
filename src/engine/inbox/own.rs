//! Whether a request to leave the directory does not leave the task's own.
//!
//! The host compares spellings; the same directory may have several, by symbolic links for example.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use crate::opencode::PermissionRequest;

/// Whether everything that a request names lies in this directory, wherever its links lead. What cannot be told is not.
pub fn lies_in(directory: &str, request: &PermissionRequest) -> bool {
    let Ok(root) = fs::canonicalize(directory) else { return false };
    let is_inside = |path: &str| real(Path::new(path)).is_some_and(|path| path.starts_with(&root));
    // The patterns are directories with all that is in them.
    let directories = request.patterns.iter().map(|pattern| pattern.strip_suffix("/*").unwrap_or(pattern));
    request.permission == "external_directory"
        && !request.patterns.is_empty()
        && directories.chain(request.metadata.file.as_deref()).all(|path| !path.contains(['*', '?']) && is_inside(path))
}

/// A path without links; of one that does not exist, what there is of it. None for one that goes up, is not absolute,
/// or ends in a link to nowhere: what would be made there nobody knows.
fn real(path: &Path) -> Option<PathBuf> {
    let goes_up = path.components().any(|component| component == Component::ParentDir);
    if !path.is_absolute() || goes_up {
        return None;
    }
    let mut there = path;
    loop {
        if let Ok(real) = fs::canonicalize(there) {
            return Some(real.join(path.strip_prefix(there).ok()?));
        }
        if fs::symlink_metadata(there).is_ok() {
            return None;
        }
        there = there.parent()?;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asks(directory: &Path, permission: &str, patterns: &[String], file: Option<&Path>) -> bool {
        let request = json!({
            "id": "per_1", "sessionID": "ses_1", "permission": permission, "patterns": patterns,
            "metadata": { "filepath": file },
        });
        lies_in(directory.to_str().unwrap(), &serde_json::from_value(request).unwrap())
    }

    #[cfg(unix)]
    #[test]
    fn what_lies_in_the_own_directory_is_told_from_what_leads_out_of_it() {
        let home = tempfile::tempdir().unwrap();
        let home = fs::canonicalize(home.path()).unwrap();
        let (own, other) = (home.join("own"), home.join("other"));
        for path in [own.join("sub"), other.clone(), home.join("own-too")] {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(other.join("secret"), "").unwrap();
        fs::write(own.join("file"), "").unwrap();
        for (target, link) in [
            (own.clone(), home.join("alias")),
            (other.clone(), own.join("out")),
            (other.join("secret"), own.join("leak")),
            (home.join("nowhere"), own.join("dangling")),
        ] {
            std::os::unix::fs::symlink(target, link).unwrap();
        }
        let all_of = |path: &Path| format!("{}/*", path.display());
        let external = |path: &Path| asks(&own, "external_directory", &[all_of(path)], None);
        // Under any name, and what is still to be made.
        for path in [own.clone(), own.join("sub"), own.join("new/deep"), home.join("alias/sub")] {
            assert!(external(&path), "{path:?}");
        }
        assert!(asks(&home.join("alias"), "external_directory", &[all_of(&own)], Some(&own.join("file"))));
        for path in [
            home.clone(),
            other.clone(),
            home.join("own-too"),
            own.join("../other"),
            own.join("sub/../../other"),
            own.join("out"),
            own.join("out/new"),
            own.join("dangling"),
            own.join("dangling/new"),
            PathBuf::from("own"),
            PathBuf::from("/"),
        ] {
            assert!(!external(&path), "{path:?}");
        }
        // Each of several, the file behind the pattern, and nothing but directories.
        assert!(!asks(&own, "external_directory", &[all_of(&own), all_of(&other)], None));
        assert!(!asks(&own, "external_directory", &[all_of(&own)], Some(&own.join("leak"))));
        assert!(!asks(&own, "external_directory", &[], None));
        assert!(!asks(&own, "external_directory", &[format!("{}/*/*", own.display())], None));
        assert!(!asks(&own, "bash", &[all_of(&own)], None));
        assert!(!asks(&home.join("missing"), "external_directory", &[all_of(&own)], None));
    }
}
