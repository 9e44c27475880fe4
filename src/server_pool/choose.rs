//! Which server a project is given.

/// What is known of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    /// How many leases of it are held.
    pub leases: usize,
    /// How many projects keep to it.
    pub projects: usize,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// This one is used.
    Use(usize),
    /// Another one is started.
    Start,
}

/// Chooses for a project that keeps to `own`, if it was here before. Where it may `spread`, it does so only as long as
/// that one has nothing to do. A new one gets a server that nobody keeps to, else
/// a new one as long as there may be more, else the one with the least to do, and of those the one with the fewest
/// projects.
pub(super) fn choose(own: Option<usize>, spread: bool, servers: &[Seen], max: usize) -> Choice {
    if let Some(own) = own.filter(|own| !spread || servers[*own].leases == 0) {
        return Choice::Use(own);
    }
    // What is asked for in parts needs no server to itself.
    let free = |seen: &Seen| seen.leases == 0 && (spread || seen.projects == 0);
    match servers.iter().enumerate().min_by_key(|(_, seen)| **seen) {
        Some((at, least)) if free(least) || servers.len() >= max => Choice::Use(at),
        _ => Choice::Start,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(leases: usize, projects: usize) -> Seen {
        Seen { leases, projects }
    }

    #[test]
    fn a_project_stays_where_it_was_and_others_go_where_least_is_to_do() {
        let choose = |own, servers: &[Seen], max| choose(own, false, servers, max);
        assert_eq!(choose(None, &[], 1), Choice::Start);
        assert_eq!(choose(Some(1), &[seen(0, 0), seen(9, 9)], 5), Choice::Use(1));
        assert_eq!(choose(None, &[seen(3, 1)], 1), Choice::Use(0));
        assert_eq!(choose(None, &[seen(0, 1)], 2), Choice::Start);
        assert_eq!(choose(None, &[seen(0, 1), seen(0, 0)], 5), Choice::Use(1));
        assert_eq!(choose(None, &[seen(2, 1), seen(1, 4), seen(1, 3)], 3), Choice::Use(2));
    }

    #[test]
    fn what_may_spread_leaves_a_server_that_is_at_work() {
        let choose = |own, servers: &[Seen], max| choose(own, true, servers, max);
        assert_eq!(choose(Some(1), &[seen(0, 0), seen(0, 9)], 5), Choice::Use(1));
        assert_eq!(choose(Some(0), &[seen(1, 1)], 2), Choice::Start);
        assert_eq!(choose(Some(0), &[seen(1, 1), seen(0, 3)], 5), Choice::Use(1));
        assert_eq!(choose(Some(0), &[seen(2, 1), seen(1, 3)], 2), Choice::Use(1));
        assert_eq!(choose(Some(0), &[seen(2, 1)], 1), Choice::Use(0));
    }

    proptest! {
        #[test]
        fn there_are_never_too_many_and_never_a_busier_one(
            servers in proptest::collection::vec((0_usize..4, 0_usize..4), 0..6),
            max in 1_usize..6,
        ) {
            let servers: Vec<_> = servers.into_iter().take(max).map(|(leases, projects)| seen(leases, projects)).collect();
            match choose(None, false, &servers, max) {
                Choice::Start => prop_assert!(servers.len() < max),
                Choice::Use(at) => prop_assert!(servers.iter().all(|other| servers[at].leases <= other.leases)),
            }
        }
    }
}
