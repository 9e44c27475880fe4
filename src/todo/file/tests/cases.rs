//! What each state of the file leads to.

use super::*;

#[test]
fn a_project_that_never_used_it_gets_no_file() {
    let mut bench = Bench::new();
    assert_eq!(bench.settle(), []);
    assert!(!bench.path().parent().unwrap().exists());
    // Nor one whose root is not there.
    fs::remove_dir(bench.dir.path().join("root")).unwrap();
    assert_eq!(bench.settle(), []);
    // An empty file is not a use.
    fs::create_dir(bench.dir.path().join("root")).unwrap();
    bench.write("\n");
    assert_eq!(bench.settle(), []);
    assert_eq!((bench.head().0, bench.text()), (0, "\n".to_owned()));
}

#[test]
fn the_head_is_shown_and_nothing_else_is_left() {
    let mut bench = Bench::new();
    bench.commit_and_show(FOUR);
    bench.commit_and_show("# TODO\n");
    assert_eq!(bench.others(), [""; 0]);
    // A round that has nothing to do writes nothing, or processes would wake each other for ever.
    let before = bench.store.data_version().unwrap();
    let mut other =
        SqliteStore::open(&Home::open(&bench.dir.path().join("home")).unwrap(), Durability::Normal).unwrap();
    let seen = other.data_version().unwrap();
    assert_eq!(bench.settle(), []);
    assert_eq!((bench.store.data_version().unwrap(), other.data_version().unwrap()), (before, seen));
}

#[test]
fn a_round_that_may_not_show_says_so() {
    let mut bench = Bench::new();
    bench.commit(FOUR);
    let round = bench.projector.round(&mut bench.store, &bench.clock, bench.now, false).unwrap();
    assert!(round.later && !round.showed && !bench.path().exists());
}

#[test]
fn a_file_that_was_there_is_taken_in_and_gets_ids() {
    let mut bench = Bench::new();
    bench.write("# Mine\n\n- [ ] one\n- [x] two\n");
    assert_eq!(bench.settle(), [Note::Imported(1)]);
    assert_eq!(bench.text(), "# Mine\n\n- [ ] t1: one\n- [x] t2: two\n");
    assert_eq!((bench.head().1, bench.author()), (bench.text(), "outside".to_owned()));
    assert_eq!(bench.others(), [""; 0]);
}

#[test]
fn an_edit_is_merged_with_what_came_meanwhile() {
    let mut bench = Bench::new();
    bench.commit_and_show(FOUR);
    bench.commit(&FOUR.replace("[ ] t1", "[x] t1"));
    bench.write(FOUR.replace("t4: four\n", "t4: four\n- [ ] five\n"));
    assert_eq!(bench.settle(), [Note::Imported(3)]);
    assert_eq!(bench.text(), FOUR.replace("[ ] t1", "[x] t1").replace("t4: four\n", "t4: four\n- [ ] t5: five\n"));
    assert_eq!(bench.head().1, bench.text());
}

#[test]
fn an_edit_is_not_taken_in_before_it_is_quiet() {
    let mut bench = Bench::new();
    bench.commit_and_show(FOUR);
    for n in 0..5 {
        bench.write(format!("{FOUR}- [ ] five{n}\n"));
        let round = bench.look();
        assert_eq!((round.wait, round.notes), (Some(QUIET), vec![]));
        bench.pass(QUIET / 2);
        assert_eq!((bench.look().wait, bench.head().0), (Some(QUIET / 2), 1));
    }
    assert_eq!(bench.settle(), [Note::Imported(2)]);
}

#[test]
fn an_edit_that_says_nothing_new_is_no_revision() {
    let mut bench = Bench::new();
    bench.write("- [ ] t1: one\n");
    bench.settle();
    // Another file that says the same, as a merge sees it.
    bench.commit_and_show("- [x] t1: one\n");
    bench.store.set_todo_file(&project(), ".opencode/todo.md", &TodoFile::default()).unwrap();
    assert_eq!(bench.settle(), []);
    assert_eq!(bench.head().0, 2);
}

#[test]
fn a_stale_buffer_does_not_undo_what_others_did() {
    let mut bench = Bench::new();
    bench.commit_and_show(FOUR);
    let mut text = FOUR.to_owned();
    for item in ["t1", "t2", "t3"] {
        bench.pass(MINUTE);
        text = text.replace(&format!("[ ] {item}"), &format!("[x] {item}"));
        bench.commit_and_show(&text);
    }
    // The buffer is from before all that.
    bench.write(format!("{FOUR}- [ ] five\n"));
    bench.settle();
    assert_eq!(bench.text(), format!("{text}- [ ] t5: five\n"));
    // It is saved again, still without the new item's id.
    bench.write(format!("{FOUR}- [ ] five\n- [ ] six\n"));
    bench.settle();
    assert_eq!(bench.text(), format!("{text}- [ ] t5: five\n- [ ] t6: six\n"));
}

#[test]
fn a_buffer_that_was_never_shown_as_it_is_does_not_undo_what_others_did() {
    let mut bench = Bench::new();
    bench.commit_and_show(FOUR);
    let done = FOUR.replace("[ ] t1", "[x] t1");
    bench.commit(&done);
    // While the file is not replaced, every edit is made from the one before it.
    let (mut buffer, mut added) = (FOUR.to_owned(), String::new());
    for n in ["5", "6", "7", "8", "9", "10", "11"] {
        buffer.extend(["- [ ] item ", n, "\n"]);
        added.extend(["- [ ] t", n, ": item ", n, "\n"]);
        bench.write(&buffer);
        bench.settle_unshown();
        assert_eq!(bench.head().1, format!("{done}{added}"));
    }
    // What was written by hand, and has got its id in the store only, is deleted by hand.
    bench.write(buffer.replace("- [ ] item 7\n", ""));
    bench.settle();
    assert_eq!(bench.text(), format!("{done}{added}").replace("- [ ] t7: item 7\n", ""));
}

#[test]
fn among_many_revisions_the_nearest_is_found() {
    let mut bench = Bench::new();
    let text = |done: usize| -> String {
        let line = |n: usize| format!("- [{}] t{n}: item {n}\n", if n <= done { 'x' } else { ' ' });
        (1..=300).map(line).collect::<Vec<_>>().concat()
    };
    for done in 0..300 {
        bench.commit(&text(done));
        bench.pass(Duration::from_millis(10));
    }
    bench.settle();
    for stale in [3, 77, 150, 222, 299] {
        bench.write(format!("{}- [ ] t{}: by hand {stale}\n", text(stale), 1000 + stale));
        bench.settle();
        let expected = text(299);
        let shown = bench.text();
        assert!(shown.starts_with(&expected), "{stale}");
        assert!(shown.contains(&format!("by hand {stale}\n")), "{stale}");
    }
}

#[test]
fn an_old_text_brought_back_on_purpose_takes_back_what_came_since() {
    let mut bench = Bench::new();
    bench.commit_and_show(FOUR);
    let done = FOUR.replace("[ ]", "[x]");
    bench.commit_and_show(&done);
    bench.write(FOUR);
    assert_eq!(bench.settle(), [Note::Imported(3)]);
    assert_eq!((bench.text(), bench.head().1), (FOUR.to_owned(), FOUR.to_owned()));
    // A commit that was not shown yet is not taken back: who edited the file had not seen it.
    let more = format!("{FOUR}- [ ] t5: five\n");
    bench.commit(&more);
    bench.write(&done);
    bench.settle();
    assert_eq!(bench.text(), format!("{done}- [ ] t5: five\n"));
}

#[test]
fn a_deleted_file_comes_back() {
    let mut bench = Bench::new();
    bench.commit_and_show(FOUR);
    fs::remove_dir_all(bench.path().parent().unwrap()).unwrap();
    assert_eq!(bench.settle(), []);
    assert_eq!((bench.text(), bench.head().0), (FOUR.to_owned(), 1));
}

#[test]
fn what_is_no_edit_is_kept_aside_and_the_file_restored() {
    let few = "# TODO\n\n- [ ] t1: one\nMy own words.\n";
    for (bytes, why, kept) in [
        (&b""[..], Accident::Empty, false),
        (b"\n \n", Accident::Empty, false),
        (b"a\0b", Accident::Binary, true),
        (b"\xff\xfe", Accident::Binary, true),
        (few.as_bytes(), Accident::Truncated { gone: 3, open: 4 }, true),
    ] {
        let mut bench = Bench::new();
        bench.commit_and_show(FOUR);
        bench.write(bytes);
        let path = kept.then(|| {
            let name = format!("todo.md.outside-{}", &todo_hash(bytes)[..8]);
            fs::canonicalize(bench.path().parent().unwrap()).unwrap().join(name)
        });
        assert_eq!(bench.settle(), [Note::KeptAside { why, path: path.clone() }]);
        assert_eq!((bench.text(), bench.head().0), (FOUR.to_owned(), 1));
        assert_eq!(bench.others().len(), usize::from(kept));
        if let Some(path) = path {
            assert_eq!(fs::read(path).unwrap(), bytes);
        }
    }
}

#[test]
fn a_slow_writer_is_waited_for() {
    let mut bench = Bench::new();
    bench.commit_and_show(FOUR);
    // The beginning of a file that is written piece by piece; then nothing for a long time; then the rest.
    for part in ["", &FOUR[..20], &FOUR[..FOUR.len() - 3]] {
        bench.write(part);
        bench.look();
        bench.pass(QUIET * 10);
        assert_eq!(bench.look().notes, []);
    }
    bench.write(FOUR.replace("[ ] t4", "[x] t4"));
    assert_eq!(bench.settle(), [Note::Imported(2)]);
    assert_eq!(bench.text(), FOUR.replace("[ ] t4", "[x] t4"));
}

#[test]
fn a_few_items_may_be_deleted_by_hand() {
    let mut bench = Bench::new();
    bench.commit_and_show(FOUR);
    bench.write("# TODO\n\n- [ ] t1: one\n- [ ] t2: two\n");
    assert_eq!(bench.settle(), [Note::Imported(2)]);
    assert_eq!(bench.text(), "# TODO\n\n- [ ] t1: one\n- [ ] t2: two\n");
}

#[test]
fn conflict_markers_are_left_until_they_are_resolved_and_the_store_goes_on() {
    let mut bench = Bench::new();
    bench.commit_and_show(FOUR);
    let marked = FOUR.replace("- [ ] t2: two\n", "<<<<<<< a\n- [ ] t2: two\n=======\n- [x] t2: two\n>>>>>>> b\n");
    bench.write(&marked);
    let notes = bench.settle();
    assert!(matches!(&notes[..], [Note::Trouble(told)] if told.contains("conflict markers")), "{notes:?}");
    bench.commit(&FOUR.replace("[ ] t1", "[x] t1"));
    assert_eq!(bench.settle(), [], "told once");
    assert_eq!((bench.text(), bench.head().0), (marked, 2));
    bench.write(FOUR.replace("[ ] t2", "[x] t2"));
    assert_eq!(bench.settle(), [Note::Imported(3)]);
    assert_eq!(bench.text(), FOUR.replace("[ ] t1", "[x] t1").replace("[ ] t2", "[x] t2"));
}

#[cfg(unix)]
#[test]
fn what_leads_outside_or_cannot_be_written_is_told_once_and_made_good_later() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let mut bench = Bench::new();
    bench.commit_and_show(FOUR);
    let away = bench.dir.path().join("away.md");
    fs::write(&away, "not ours").unwrap();
    fs::remove_file(bench.path()).unwrap();
    symlink(&away, bench.path()).unwrap();
    let done = FOUR.replace("[ ]", "[x]");
    bench.commit(&done);
    assert!(matches!(&bench.settle()[..], [Note::Trouble(told)] if told.contains("outside the project")));
    assert_eq!(bench.settle(), []);
    assert_eq!(fs::read_to_string(&away).unwrap(), "not ours");
    // A link within the project is written through.
    fs::remove_file(bench.path()).unwrap();
    let inside = bench.dir.path().join("root/inside.md");
    fs::write(&inside, FOUR).unwrap();
    symlink("../inside.md", bench.path()).unwrap();
    bench.settle();
    assert!(fs::symlink_metadata(bench.path()).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&inside).unwrap(), done);
    // Read-only.
    let mode = |mode| fs::set_permissions(&inside, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o444);
    bench.commit(FOUR);
    assert!(matches!(&bench.settle()[..], [Note::Trouble(told)] if told.contains("cannot be written")));
    assert_eq!(bench.settle(), []);
    mode(0o600);
    assert_eq!(bench.settle(), []);
    assert_eq!(fs::read_to_string(&inside).unwrap(), FOUR);
    // A directory in its place.
    fs::remove_file(bench.path()).unwrap();
    fs::create_dir(bench.path()).unwrap();
    assert!(matches!(&bench.settle()[..], [Note::Trouble(told)] if told.contains("not a regular file")));
    fs::remove_dir(bench.path()).unwrap();
    bench.settle();
    assert_eq!(bench.text(), FOUR);
}

#[test]
fn who_writes_into_the_replaced_file_is_heard() {
    use std::io::Write;
    let mut bench = Bench::new();
    bench.commit_and_show(FOUR);
    // As `date >> todo.md` does: opened before the file is replaced, written after.
    let mut open = fs::OpenOptions::new().append(true).open(bench.path()).unwrap();
    let done = FOUR.replace("[ ] t1", "[x] t1");
    bench.commit(&done);
    assert!(bench.look().showed);
    open.write_all(b"- [ ] five\n").unwrap();
    assert_eq!(bench.settle(), [Note::Imported(3)]);
    assert_eq!(bench.text(), format!("{done}- [ ] t5: five\n"));
    assert_eq!(bench.others(), [""; 0]);
    // As an editor does that empties the file first.
    let mut open = fs::File::create(bench.path()).unwrap();
    bench.look();
    bench.pass(Duration::from_secs(1));
    assert!(bench.look().showed, "an empty file is restored after a while");
    bench.pass(Duration::from_secs(3));
    open.write_all(format!("{done}- [ ] t5: five\n- [ ] six\n").as_bytes()).unwrap();
    bench.settle();
    assert_eq!(bench.text(), format!("{done}- [ ] t5: five\n- [ ] t6: six\n"));
    assert_eq!(bench.others(), [""; 0]);
}

#[test]
fn who_writes_into_a_file_replaced_by_a_process_that_ended_is_heard_by_another() {
    use std::io::Write;
    let mut bench = Bench::new();
    bench.commit_and_show(FOUR);
    let mut open = fs::OpenOptions::new().append(true).open(bench.path()).unwrap();
    let done = FOUR.replace("[ ] t1", "[x] t1");
    bench.commit(&done);
    let mut second = projector(bench.dir.path());
    assert!(second.round(&mut bench.store, &bench.clock, bench.now, true).unwrap().showed);
    drop(second);
    // The other one has long had its first look, and hears of the replaced file.
    assert!(bench.look().wait.is_some());
    open.write_all(b"- [ ] five\n").unwrap();
    assert_eq!(bench.settle(), [Note::Imported(3)]);
    assert_eq!(bench.text(), format!("{done}- [ ] t5: five\n"));
    assert_eq!(bench.others(), [""; 0]);
}

#[test]
fn a_replaced_file_is_left_to_the_process_that_replaced_it_while_that_lives() {
    use std::io::Write;
    let mut bench = Bench::new();
    bench.commit_and_show(FOUR);
    // Somebody empties it and takes their time.
    let mut open = fs::File::create(bench.path()).unwrap();
    bench.look();
    bench.pass(Duration::from_secs(1));
    assert!(bench.look().showed);
    let mut second = projector(bench.dir.path());
    let mut look = |bench: &mut Bench| second.round(&mut bench.store, &bench.clock, bench.now, true).unwrap();
    look(&mut bench);
    bench.pass(Duration::from_secs(5));
    assert_eq!(look(&mut bench).notes, []);
    open.write_all(format!("{FOUR}- [ ] five\n").as_bytes()).unwrap();
    assert_eq!(look(&mut bench).notes, []);
    bench.settle();
    look(&mut bench);
    assert_eq!((bench.text(), bench.head().0), (format!("{FOUR}- [ ] t5: five\n"), 2));
    assert_eq!(bench.others(), [""; 0]);
}

#[test]
fn a_crash_at_any_step_leaves_nothing_to_be_taken_for_an_edit_and_loses_none() {
    let path = ".opencode/todo.md";
    let known = |rev, text: &str| Some(Known { rev, hash: todo_hash(text.as_bytes()) });
    let done = FOUR.replace("[ ] t1", "[x] t1");
    let more = format!("{done}- [ ] t5: five\n");
    // What the file holds, and what is beside it, after the store was told what is about to be shown.
    for (holds, beside) in [
        (FOUR, None),
        (FOUR, Some((".todo.md.00000000.new", done.as_str()))),
        (FOUR, Some((".old", done.as_str()))),
        (done.as_str(), Some((".old", FOUR))),
        (done.as_str(), Some((".old", more.as_str()))),
    ] {
        let mut bench = Bench::new();
        bench.commit_and_show(FOUR);
        bench.commit(&done);
        let file = TodoFile { shown: known(1, FOUR), next: known(2, &done) };
        bench.store.set_todo_file(&project(), path, &file).unwrap();
        bench.write(holds);
        if let Some((name, text)) = beside {
            let old = format!(".todo.md.{}-00000000.old", &todo_hash(FOUR.as_bytes())[..16]);
            let name = if name == ".old" { old.as_str() } else { name };
            fs::write(bench.path().with_file_name(name), text).unwrap();
        }
        bench.projector = projector(bench.dir.path());
        let notes = bench.settle();
        let is_edit = beside.is_some_and(|(_, text)| text == more);
        let expected = if is_edit { vec![Note::Imported(3)] } else { vec![] };
        assert_eq!(notes, expected, "{holds} {beside:?}");
        assert_eq!(bench.text(), if is_edit { &more } else { &done }.as_str());
        assert_eq!(bench.others(), [""; 0]);
        let shown = TodoFile { shown: known(bench.head().0, &bench.text()), next: None };
        assert_eq!(bench.store.todo_file(&project(), path).unwrap(), shown);
    }
}

#[test]
fn an_edit_that_was_taken_in_is_not_taken_in_again_after_a_crash() {
    let mut bench = Bench::new();
    bench.commit_and_show(FOUR);
    bench.write(format!("{FOUR}- [ ] five\n"));
    bench.look();
    bench.pass(QUIET);
    // It dies after the commit, before it shows.
    let round = bench.projector.round(&mut bench.store, &bench.clock, bench.now, false).unwrap();
    assert_eq!((round.notes, round.later), (vec![Note::Imported(2)], true));
    bench.projector = projector(bench.dir.path());
    assert_eq!(bench.settle(), []);
    assert_eq!((bench.text(), bench.head().0), (format!("{FOUR}- [ ] t5: five\n"), 2));
}

#[test]
fn one_process_at_a_time_looks() {
    let mut bench = Bench::new();
    bench.commit(FOUR);
    let home = Home::open(&bench.dir.path().join("home")).unwrap();
    let turn = Turn::take(&home, &bench.projector.turn()).unwrap().unwrap();
    let round = bench.look();
    assert!(round.wait.is_some() && !round.showed && !bench.path().exists());
    drop(turn);
    bench.settle();
    assert_eq!(bench.text(), FOUR);
    // Two that take turns agree.
    let mut second = projector(bench.dir.path());
    bench.commit("# Other\n");
    second.round(&mut bench.store, &bench.clock, bench.now, true).unwrap();
    assert_eq!((bench.text(), bench.settle()), ("# Other\n".to_owned(), vec![]));
    assert_eq!(bench.head().0, 2);
}
