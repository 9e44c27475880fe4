//! Dependencies between the tasks of one batch.

use std::fmt;

/// Tasks of a batch that wait for each other in a circle, by their labels; the first is repeated at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle(pub Vec<String>);

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" -> "))
    }
}

/// Looks for a circle. `edges[i]` are the indices of the tasks that task `i` depends on; `label` names a task for
/// the message.
///
/// # Errors
/// The first [`Cycle`] found, in the order of the batch.
pub fn check(edges: &[Vec<usize>], label: impl Fn(usize) -> String) -> Result<(), Cycle> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; edges.len()];
    for root in 0..edges.len() {
        // Explicit stack: a batch is hostile input and may be a chain as long as it is allowed to be.
        let mut path: Vec<(usize, usize)> = Vec::new();
        if marks[root] == Mark::New {
            marks[root] = Mark::Open;
            path.push((root, 0));
        }
        while let Some((node, next)) = path.last_mut() {
            let Some(&target) = edges[*node].get(*next) else {
                marks[*node] = Mark::Done;
                path.pop();
                continue;
            };
            *next += 1;
            match marks[target] {
                Mark::Done => {}
                Mark::New => {
                    marks[target] = Mark::Open;
                    path.push((target, 0));
                }
                Mark::Open => {
                    let circle = path.iter().map(|(node, _)| *node).skip_while(|node| *node != target);
                    return Err(Cycle(circle.chain([target]).map(&label).collect()));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(edges: &[Vec<usize>]) -> Result<(), String> {
        check(edges, |i| format!("t{i}")).map_err(|cycle| cycle.to_string())
    }

    #[test]
    fn a_circle_is_named_from_where_it_closes() {
        assert_eq!(names(&[vec![1], vec![2], vec![1]]), Err("t1 -> t2 -> t1".into()));
        assert_eq!(names(&[vec![0]]), Err("t0 -> t0".into()));
    }

    #[test]
    fn a_diamond_is_no_circle() {
        assert_eq!(names(&[vec![], vec![0], vec![0], vec![1, 2]]), Ok(()));
    }

    #[test]
    fn a_long_chain_does_not_exhaust_the_stack() {
        let chain: Vec<_> = (0..200_000).map(|i| if i == 0 { vec![] } else { vec![i - 1] }).collect();
        assert_eq!(names(&chain), Ok(()));
    }

    proptest! {
        /// The oracle: a graph is free of circles exactly if its tasks can be taken away one by one, each when
        /// nothing that it depends on is left.
        #[test]
        fn agrees_with_taking_away_leaves(raw in prop::collection::vec(prop::collection::vec(0_usize..8, 0..3), 8)) {
            let mut left: Vec<usize> = (0..raw.len()).collect();
            loop {
                let before = left.len();
                let present = left.clone();
                left.retain(|&i| raw[i].iter().any(|d| present.contains(d)));
                if left.len() == before { break; }
            }
            prop_assert_eq!(names(&raw).is_ok(), left.is_empty());
        }
    }
}
