//! Random edits from all sides against a model: what agents set stays set, and what people wrote is there once.

use std::{collections::BTreeMap, fs, time::Duration};

use proptest::prelude::*;

use super::{Bench, projector};
use crate::{
    store::Todos,
    todo::{Change, Document, Operation, Status, board},
};

const ITEMS: usize = 6;

#[derive(Debug, Clone)]
enum Op {
    /// An agent sets an item's status.
    Agent { item: usize, status: usize },
    /// A person adds a line to a buffer that was read so many looks ago, and saves it.
    /// What was saved before is taken in then, and shown or not.
    Hand { ago: usize, top: bool, shown: bool },
    /// A process looks at the file once, perhaps without the right to show.
    Look { may_show: bool },
    /// Time passes.
    Pass { millis: u64 },
    /// The process dies and another one takes its place.
    Crash,
    /// Somebody deletes the file.
    Delete,
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..ITEMS, 0..Status::ALL.len()).prop_map(|(item, status)| Op::Agent { item, status }),
        3 => (0_usize..12, any::<bool>(), any::<bool>()).prop_map(|(ago, top, shown)| Op::Hand { ago, top, shown }),
        4 => any::<bool>().prop_map(|may_show| Op::Look { may_show }),
        2 => (1_u64..400).prop_map(|millis| Op::Pass { millis }),
        1 => Just(Op::Crash),
        1 => Just(Op::Delete),
    ]
}

fn file() -> String {
    let items: Vec<_> = (1..=ITEMS).map(|n| format!("- [ ] t{n}: item {n}\n")).collect();
    format!("# TODO\n\n{}", items.concat())
}

fn with_line(buffer: &str, line: &str, top: bool) -> String {
    match buffer.split_once("- [").filter(|_| top) {
        Some((before, after)) => format!("{before}{line}\n- [{after}"),
        None => format!("{buffer}{line}\n"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_anybody_did_is_lost(ops in prop::collection::vec(ops(), 1..40)) {
        let mut bench = Bench::new();
        bench.commit_and_show(&file());
        let mut states: BTreeMap<String, Status> = BTreeMap::new();
        let mut hands = 0_usize;
        // What the file held at each look: what a person may have in a buffer.
        let mut buffers = vec![bench.text()];
        for op in ops {
            match op {
                Op::Agent { item, status } => {
                    let (id, status) = (format!("t{}", item + 1), Status::ALL[status]);
                    let change = Box::new(Change { status: Some(status), ..Change::default() });
                    let operation = Operation::Update { id: id.parse().unwrap(), change };
                    let now = bench.now();
                    board::commit(&mut bench.store, &super::project(), "agent", None, &[operation], now).unwrap();
                    states.insert(id, status);
                }
                Op::Hand { ago, top, shown } => {
                    // A person's own buffers would overwrite each other, and that is theirs to do: the edit before is
                    // taken in first.
                    if shown || !bench.path().exists() {
                        bench.settle();
                    } else {
                        bench.settle_unshown();
                    }
                    buffers.push(bench.text());
                    let buffer = &buffers[buffers.len().saturating_sub(ago + 1)];
                    let text = with_line(buffer, &format!("- [ ] by hand {hands};"), top);
                    hands += 1;
                    bench.write(text);
                }
                Op::Look { may_show } => {
                    let round = bench.projector.round(&mut bench.store, &bench.clock, bench.now, may_show).unwrap();
                    if round.showed {
                        buffers.push(bench.text());
                    }
                }
                Op::Pass { millis } => bench.pass(Duration::from_millis(millis)),
                Op::Crash => bench.projector = projector(bench.dir.path()),
                Op::Delete => {
                    bench.settle();
                    fs::remove_file(bench.path()).unwrap();
                }
            }
        }
        bench.settle();
        let (_, head) = bench.head();
        prop_assert_eq!(&bench.text(), &head);
        let document = Document::parse(&head);
        prop_assert_eq!(document.items().len(), ITEMS + hands, "{}", head);
        for (id, status) in states {
            prop_assert_eq!(document.get(&id.parse().unwrap()).unwrap().status, status, "{}: {}", id, head);
        }
        for hand in 0..hands {
            prop_assert_eq!(head.matches(&format!("by hand {hand};")).count(), 1, "{}", head);
        }
        prop_assert!(document.items().iter().all(|item| item.id.is_some()));
        prop_assert_eq!(bench.others(), [""; 0]);
        prop_assert_eq!(bench.store.check().unwrap(), [""; 0]);
        let file = bench.store.todo_file(&super::project(), ".opencode/todo.md").unwrap();
        prop_assert!(file.next.is_none());
    }
}
