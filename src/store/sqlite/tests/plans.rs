//! No query reads a whole table: what a call costs must not grow with the history.

use super::store;
use crate::{
    store::{
        Filter,
        fixture::{id, instance, project},
        sqlite::{launch, listing, missions, prompts, queue, read, reports, row, spending, take_over, todo, write},
    },
    task::StateName,
};

#[test]
fn every_query_searches_by_an_index() {
    let (_dir, store) = store();
    let mut queries: Vec<(String, bool)> = [
        &launch::SQL[..],
        &listing::SQL,
        &missions::SQL,
        &prompts::SQL,
        &queue::SQL,
        &read::SQL,
        &reports::SQL,
        &row::SQL,
        &spending::SQL,
        &take_over::SQL,
        &todo::SQL,
        &write::SQL,
    ]
    .concat()
    .into_iter()
    .map(|sql| (sql.to_owned(), false))
    .collect();
    for mask in 0..128_u32 {
        let given = |bit: u32| mask & (1 << bit) != 0;
        let filter = Filter {
            ids: given(0).then(|| vec![id(1)]),
            parent_session: given(1).then(|| "s".into()),
            key: given(2).then(|| "k".into()),
            session: given(3).then(|| "s".into()),
            states: if given(4) { vec![StateName::Running] } else { vec![] },
            home: given(5).then(|| instance(0)),
            newest: given(6).then_some(2),
        };
        // With nothing more to go by, all tasks of the project are what is asked for.
        queries.push((read::select(&project(), &filter).unwrap().0, !(0..5).any(given)));
    }
    for (sql, reads_project) in queries {
        let mut statement = store.conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().unwrap() {
            let step: String = row.get(3).unwrap();
            // What runs is little, and providers are few.
            let few = ["SCAN tasks USING COVERING INDEX tasks_running", "SCAN providers"];
            let harmless = ["SCAN json_each", "SCAN CONSTANT ROW", "SCAN tree", "SCAN above"]
                .iter()
                .chain(&few)
                .any(|scan| step.starts_with(scan));
            assert!(harmless || !step.starts_with("SCAN"), "{step}: {sql}");
            assert!(reads_project || !step.contains("tasks_project"), "{step}: {sql}");
        }
    }
}
