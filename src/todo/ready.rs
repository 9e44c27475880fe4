//! What can be worked on now, and what never can.
//!
//! An item waits for the items under `after`, its own and those of the items that it stands under. An item with
//! sub-items is never worked on itself: it is done when they are, see [`complete`].

use std::fmt;

use super::{Document, Item, ItemId, Status};

/// The items that can be worked on now, in the order of the file: pending, without sub-items, and everything that they
/// wait for is done.
#[must_use]
pub fn ready(document: &Document) -> Vec<&Item> {
    let items = document.items();
    // What stands above is earlier in the file, so one pass hands its answer down.
    let mut free = Vec::with_capacity(items.len());
    for item in items {
        let above_is_free = item.above.is_none_or(|above| free[above] && !is_off(items[above].status));
        free.push(above_is_free && waits_for(document, item).is_none());
    }
    let is_ready = |at: usize| items[at].status == Status::Pending && free[at] && !has_sub_items(items, at);
    (0..items.len()).filter(|at| is_ready(*at)).map(|at| &items[at]).collect()
}

/// Why this item cannot be claimed although it is pending; `None` if it can.
#[must_use]
pub fn hindrance(document: &Document, item: &Item) -> Option<String> {
    let items = document.items();
    if let Some(sub) = document.sub_items(item).next() {
        return Some(format!("has sub-items ({}, …), which are worked on instead", sub.label()));
    }
    let mut next = Some(item);
    while let Some(item) = next {
        if let Some(name) = waits_for(document, item) {
            return Some(format!("waits for {name}"));
        }
        next = item.above.map(|above| &items[above]);
        if let Some(above) = next.filter(|above| is_off(above.status)) {
            return Some(format!("stands under {}, which is {}", above.label(), above.status.as_str()));
        }
    }
    None
}

/// The open items that are done in fact: each has sub-items, one at least is done, and the others are done or cancelled.
#[must_use]
pub fn complete(document: &Document) -> Vec<&Item> {
    let items = document.items();
    let mut below = vec![(false, true); items.len()];
    for item in items {
        if let Some(above) = item.above {
            let (any_done, all_over) = &mut below[above];
            *any_done |= item.status == Status::Done;
            *all_over &= matches!(item.status, Status::Done | Status::Cancelled);
        }
    }
    items
        .iter()
        .zip(below)
        .filter(|(item, below)| item.status.is_open() && *below == (true, true))
        .map(|it| it.0)
        .collect()
}

fn has_sub_items(items: &[Item], at: usize) -> bool {
    items.get(at + 1).is_some_and(|next| next.above == Some(at))
}

/// An item that will not be worked on takes with it what stands under it.
fn is_off(status: Status) -> bool {
    matches!(status, Status::Failed | Status::Cancelled)
}

/// The first of its own `after` that is not done.
fn waits_for(document: &Document, item: &Item) -> Option<String> {
    let is_done = |id: &ItemId| document.get(id).is_some_and(|item| item.status == Status::Done);
    let unread = item.after_unread.first().map(|name| format!("`{name}`, which is no id"));
    unread.or_else(|| item.after.iter().find(|id| !is_done(id)).map(ToString::to_string))
}

/// Why an item can never be worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It waits for an item that failed, or stands under one, or its own sub-item did.
    Failed(String),
    /// The same with one that was cancelled.
    Cancelled(String),
    /// It waits for what is no item.
    Unknown(String),
    /// It waits for itself, over these; the first is repeated at the end.
    Cycle(Vec<String>),
    /// It waits for this item, which can itself never be worked on.
    Behind(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(name) => write!(f, "{name} failed"),
            Self::Cancelled(name) => write!(f, "{name} is cancelled"),
            Self::Unknown(name) => write!(f, "there is no item {name}"),
            Self::Cycle(names) => write!(f, "a circle: {}", names.join(" -> ")),
            Self::Behind(name) => write!(f, "{name} can never be done"),
        }
    }
}

/// The pending items that can never be worked on or be done, each with the first reason found, in the order of the file.
#[must_use]
pub fn blocked(document: &Document) -> Vec<(&Item, Why)> {
    let graph = Graph { items: document.items(), edges: edges(document) };
    let answers = graph.walk();
    let pending = graph.items.iter().enumerate().filter(|(_, item)| item.status == Status::Pending);
    pending.filter_map(|(at, item)| answers[2 * at + 1].clone().map(|why| (item, why))).collect()
}

/// Two nodes an item: `2 * i` is that it may begin, `2 * i + 1` that it is done.
struct Graph<'a> {
    items: &'a [Item],
    edges: Vec<Vec<Edge>>,
}

/// What a node needs.
#[derive(Clone)]
enum Edge {
    /// That this item is done.
    Done(usize),
    /// That this item may begin.
    Begin(usize),
    /// What will never be.
    Never(Why),
}

fn edges(document: &Document) -> Vec<Vec<Edge>> {
    let items = document.items();
    let mut edges: Vec<Vec<Edge>> = vec![Vec::new(); 2 * items.len()];
    let mut cancelled = vec![None; items.len()];
    for (at, item) in items.iter().enumerate() {
        let unread = item.after_unread.iter().map(|name| Edge::Never(Why::Unknown(format!("`{name}`"))));
        edges[2 * at].extend(unread);
        for id in &item.after {
            let unknown = || Edge::Never(Why::Unknown(id.to_string()));
            edges[2 * at].push(document.place(id).map_or_else(unknown, Edge::Done));
        }
        if let Some(above) = item.above {
            edges[2 * at].push(off(&items[above]).map_or(Edge::Begin(above), Edge::Never));
            // A cancelled sub-item is not needed any more; but an item needs one that was done.
            if item.status == Status::Cancelled {
                cancelled[above].get_or_insert(at);
            } else {
                edges[2 * above + 1].push(Edge::Done(at));
            }
        }
        if !has_sub_items(items, at) {
            edges[2 * at + 1].push(Edge::Begin(at));
        }
    }
    for (at, cancelled) in cancelled.into_iter().enumerate() {
        if let (Some(sub), true) = (cancelled, edges[2 * at + 1].is_empty()) {
            edges[2 * at + 1].push(Edge::Never(Why::Cancelled(items[sub].label())));
        }
    }
    edges
}

fn off(item: &Item) -> Option<Why> {
    match item.status {
        Status::Failed => Some(Why::Failed(item.label())),
        Status::Cancelled => Some(Why::Cancelled(item.label())),
        _ => None,
    }
}

impl Graph<'_> {
    /// For each node why it will never be, if so. Depth first, with a stack of its own: the file is hostile input.
    fn walk(&self) -> Vec<Option<Why>> {
        const NEW: u8 = 0;
        const OPEN: u8 = 1;
        const OVER: u8 = 2;
        let mut marks = vec![NEW; self.edges.len()];
        let mut answers: Vec<Option<Why>> = vec![None; self.edges.len()];
        for root in 0..self.edges.len() {
            let mut path: Vec<(usize, usize)> = if marks[root] == NEW { vec![(root, 0)] } else { Vec::new() };
            marks[root] = marks[root].max(OPEN);
            while let Some((node, next)) = path.last_mut() {
                let node = *node;
                let Some(edge) = self.edges[node].get(*next).filter(|_| answers[node].is_none()) else {
                    marks[node] = OVER;
                    path.pop();
                    continue;
                };
                *next += 1;
                let target = match edge {
                    Edge::Never(why) => {
                        answers[node] = Some(why.clone());
                        continue;
                    }
                    Edge::Begin(item) => 2 * item,
                    Edge::Done(item) => 2 * item + 1,
                };
                if let Some(known) = self.known(target / 2, target % 2 == 1) {
                    answers[node] = known.err();
                    continue;
                }
                match marks[target] {
                    NEW => {
                        marks[target] = OPEN;
                        // Come back to this edge with the answer.
                        *next -= 1;
                        path.push((target, 0));
                    }
                    OVER => answers[node] = answers[target].as_ref().map(|why| self.behind(node, target, why)),
                    _ => {
                        let circle = path.iter().map(|step| step.0).skip_while(|step| *step != target);
                        let mut names: Vec<_> = circle.map(|step| self.items[step / 2].label()).collect();
                        names.dedup();
                        if names.len() == 1 || names.first() != names.last() {
                            names.extend(names.first().cloned());
                        }
                        answers[node] = Some(Why::Cycle(names));
                    }
                }
            }
        }
        answers
    }

    /// What an item's own status already says about it: `Ok` if it is so or can still become so.
    fn known(&self, item: usize, done: bool) -> Option<Result<(), Why>> {
        match self.items[item].status {
            Status::Done if done => Some(Ok(())),
            Status::Failed | Status::Cancelled if done => off(&self.items[item]).map(Err),
            // Somebody works on it.
            Status::InProgress if done && !has_sub_items(self.items, item) => Some(Ok(())),
            _ => None,
        }
    }

    /// The reason of a node that needs a node with this reason.
    fn behind(&self, node: usize, target: usize, why: &Why) -> Why {
        let is_in_it = |names: &[String]| names.contains(&self.items[node / 2].label());
        match why {
            Why::Cycle(names) if is_in_it(names) => why.clone(),
            _ if node / 2 == target / 2 => why.clone(),
            _ => Why::Behind(self.items[target / 2].label()),
        }
    }
}
