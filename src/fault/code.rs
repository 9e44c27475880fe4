//! The codes.

macro_rules! codes {
    ($($variant:ident, $name:literal, $when:literal, $remedy:literal;)+) => {
        /// What went wrong. The names are stable: scripts and models may rely on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $when] $variant),+
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// When it is met.
            #[must_use]
            pub fn when(self) -> &'static str {
                match self { $(Self::$variant => $when),+ }
            }

            /// What to do about it: a sentence.
            #[must_use]
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy),+ }
            }
        }
    };
}

codes! {
    BadArguments, "bad-arguments", "A field is missing, unknown, or of the wrong type.",
        "Correct the named field and call again.";
    UnknownTool, "unknown-tool", "A tool or command of that name does not exist.",
        "Use one of the listed names.";
    BadOptions, "bad-options", "The plugin's options in the configuration are wrong.",
        "Correct the named option in opencode.json and restart OpenCode.";
    BadLimit, "bad-limit", "A limit cannot be set so.",
        "Type /limits to see them, /limits NAME NUMBER or /limits NAME default to set one, /limits reset PROVIDER.";
    EmptyBatch, "empty-batch", "A call names no task at all.",
        "Give at least one task.";
    BatchTooLarge, "batch-too-large", "More tasks in one call than are taken at once.",
        "Launch them in several calls.";
    EmptyField, "empty-field", "A text that must say something is empty.",
        "Fill the named field.";
    TextTooLong, "text-too-long", "A text is longer than is taken.",
        "Shorten it; put long material into a file and name the file in the prompt.";
    BadCharacters, "bad-characters", "A text contains characters that are not taken there.",
        "Leave them out.";
    BadKey, "bad-key", "A key is not made of letters, digits, `_`, `.` and `-`.",
        "Use a short name such as `parser-tests`.";
    DuplicateKey, "duplicate-key", "Two tasks of a batch have the same key.",
        "Give each task a key of its own.";
    UnknownDependency, "unknown-dependency", "A dependency or `{{result:…}}` names no task of the batch or of this session.",
        "Name a key of this batch, or a key or id of an earlier task.";
    DeadDependency, "dead-dependency", "A dependency has already failed or was cancelled.",
        "Retry that task first and depend on the new one.";
    Cycle, "cycle", "Tasks wait for each other in a circle.",
        "Remove one of the named dependencies.";
    UnknownAgent, "unknown-agent", "OpenCode knows no agent of that name.",
        "Use one of the listed agents, or define it in OpenCode's configuration.";
    BadModel, "bad-model", "A model is not written `provider/model` or OpenCode does not know it.",
        "Leave it out to inherit the caller's model, or use one of the listed ones.";
    OutsideProject, "outside-project", "A directory is not inside the project.",
        "Use a directory of the project, or leave it out.";
    NoDirectory, "no-directory", "A directory does not exist.",
        "Create it first, or leave it out.";
    BadTimeout, "bad-timeout", "A time limit is zero or longer than a day.",
        "Give whole seconds from 1 to 86400.";
    BadRetries, "bad-retries", "More retries than are made.",
        "Give a number from 0 to 4.";
    TooDeep, "too-deep", "A task tries to launch tasks of its own deeper than is allowed.",
        "Do the work in this session, or end with a list of what should be launched.";
    TreeFull, "tree-full", "A person's session has brought about as many tasks as it may.",
        "Do what is left in this session itself, or end with a list of it: the user can raise the option spawn.tree.";
    TooFast, "too-fast", "More tasks were launched in a minute than may be.",
        "Wait for those that are under way with sortie_wait before launching more.";
    DuplicateTask, "duplicate-task", "An open task does the same work already.",
        "Wait for that one with sortie_wait, or send to it with sortie_send; for other work, say in the prompt what differs.";
    BudgetSpent, "budget-spent", "A budget is used up.",
        "Do not launch it again: tell the user, who alone can raise it with /budget.";
    BadBudget, "bad-budget", "What was typed after /budget is not understood.",
        "Type /budget <day|project|mission|task|id> <tokens|cost|seconds|toolCalls|tasks> <number|off|default>, or /budget alone.";
    BadConfig, "bad-config", "A configuration file of the command line cannot be used.",
        "Correct the named field; the format is described in docs/sortie.schema.json.";
    BadFlag, "bad-flag", "What was given to a command cannot be used.",
        "Run the command with --help.";
    UnknownId, "unknown-id", "No task of this project has an id that begins so.",
        "List the tasks with `sortie status`; add --archived for those that were cleared away.";
    AmbiguousId, "ambiguous-id", "The ids of several tasks begin so.",
        "Give more of its digits.";
    WrongState, "wrong-state", "The task is in a state in which this cannot be done.",
        "Look at it with `sortie status ID`.";
    NotFailed, "not-failed", "Only what has failed or was cancelled is repeated.",
        "Look at it with `sortie status ID`; start new work with `sortie start`.";
    RetriesUsedUp, "retries-used-up", "A task was repeated as often as it may be.",
        "Allow more with `sortie retry ID --max-retries N`, or start it anew.";
    NotQueued, "not-queued", "A task was launched in OpenCode and has no program of its own.",
        "Do this in OpenCode, where its session is.";
    NotConfirmed, "not-confirmed", "More than ten tasks would be cleared away, and nobody has agreed.",
        "Look at them with --dry-run, then give --yes.";
    WaitOver, "wait-over", "The time that was to be waited for is over, and tasks are still open.",
        "Wait again, or look at them with `sortie status`.";
    BadImport, "bad-import", "The files of an older orchestrator cannot be read, or not be written.",
        "Correct the named file or field, or choose another directory; what was taken in before stays.";
    NoProgram, "no-program", "The commands of the queue need the command line, and it is not there or does not answer.",
        "Install opencode-sortie anew with its optional dependencies; `sortie doctor` in a terminal tells more.";
    NotRun, "not-run", "A command of the command line could not be carried out by the system.",
        "Look at what the system says.";
    NoSuchTask, "no-such-task", "No task of this project has that id, and none of this session has that key.",
        "Look at sortie_status for the tasks of this session.";
    NothingToWait, "nothing-to-wait", "This session has launched nothing that could be waited for.",
        "Launch tasks first.";
    NotEnded, "not-ended", "The task has not ended yet.",
        "Wait for it with sortie_wait.";
    NotOpen, "not-open", "The task has already ended, or was never one that could be changed so.",
        "Look at sortie_status; an ended task can be repeated with sortie_retry or continued with sortie_send.";
    OwnLimit, "own-limit", "A task asks for more time for itself or for a task that is not its own.",
        "End with what there is and say what is left, so that whoever launched it can decide.";
    NotRetryable, "not-retryable", "The task is still open or is complete.",
        "Only failed, cancelled and paused tasks are retried.";
    SessionFull, "session-full", "A session has taken as many follow-ups as it takes.",
        "Launch a new task, and say in its prompt what it has to know: {{result:<id>}} stands for another's result.";
    NoSession, "no-session", "The task has no session yet, or its session is gone.",
        "Wait until it runs, or launch a new task.";
    NotAttached, "not-attached", "The engine has been closed for this project.",
        "Restart OpenCode, or send any message so that the plugin is loaded again.";
    NoMission, "no-mission", "The session has no mission that goes on.",
        "Begin one with /task, or look at /mission for those of other sessions.";
    NoSuchPrompt, "no-such-prompt", "No prompt of that number waits here.",
        "Look at /tasks for those that wait.";
    BadAnswer, "bad-answer", "An answer does not fit what was asked.",
        "Give one of the answers that /tasks lists with the prompt.";
    PeopleOnly, "people-only", "A session of a task, or one below another, tries to answer a prompt.",
        "Answer it in a session of your own.";
    NothingOpen, "nothing-open", "A mission was asked for without a request, and TODO.md has no open items of its own.",
        "Say what is to be done: /task <what>.";
    Aborted, "aborted", "The call was aborted while it waited.",
        "The tasks go on; ask again with sortie_wait.";
    HostUnreachable, "host-unreachable", "OpenCode does not answer.",
        "Try again; restart OpenCode if it stays so.";
    HostTimeout, "host-timeout", "OpenCode took too long to answer.",
        "Try again; restart OpenCode if it stays so.";
    HostRefused, "host-refused", "OpenCode refused a request.",
        "The message says why; correct that and call again.";
    HostMissing, "host-missing", "What was asked for no longer exists in OpenCode.",
        "Launch a new task.";
    HostAnswer, "host-answer", "OpenCode answered in a form that is not understood.",
        "Check that OpenCode's version is supported.";
    TodoNoRevision, "todo-no-revision", "TODO.md has no such revision, or its text is too old to be kept.",
        "Read the newest revision, or look at the history for one that is kept.";
    TodoMoved, "todo-moved", "Others changed TODO.md faster than this change could be made.",
        "Read it again and repeat the change.";
    StoreBusy, "store-busy", "Another process holds Sortie's database for too long.",
        "Try again; end the process that holds it if it stays so.";
    StoreFull, "store-full", "The disk of Sortie's home is full.",
        "Free space there and try again; nothing that was stored is lost.";
    StoreReadOnly, "store-read-only", "Sortie's home cannot be written.",
        "Make it and its files writable for this user (a run with sudo may have left files of root there), or set \
         SORTIE_HOME to a directory that is.";
    StoreNewer, "store-newer", "The database was written by a newer Sortie.",
        "Update opencode-sortie, or set SORTIE_HOME to another directory.";
    StoreCorrupt, "store-corrupt", "The database is damaged or is not one; it was left untouched.",
        "Move it and its -wal file away together, then restore a backup or let a new one be made.";
    StoreNetwork, "store-network", "Sortie's home lies on a network file system, where locks cannot be trusted.",
        "Set SORTIE_HOME to a local directory.";
    StoreSqlite, "store-sqlite", "The SQLite that was built in is too old to be safe.",
        "Install an official build of opencode-sortie.";
    StoreNotADirectory, "store-not-a-directory", "Sortie's home is not a directory.",
        "Set SORTIE_HOME to a directory, or move away what is in its place.";
    StoreTargetExists, "store-target-exists", "The file that a backup should be written to is there already.",
        "Choose a file name that is free.";
    StoreBroken, "store-broken", "The database failed in another way.",
        "The message says how; see the log in Sortie's home.";
    CheckNotStarted, "check-not-started", "The program of a command cannot be started.",
        "Install the program or correct its name; a command is a program and its arguments, no shell reads it.";
    BadCommand, "bad-command", "The line of a background command needs a shell, or is no list of words.",
        "Give one program and its arguments; quote what is meant as it is, or call a shell: sh -c '…'.";
    NoSuchCommand, "no-such-command", "No background command of that id is there for this session.",
        "Look at sortie_command without an id for those that are; commands end with the OpenCode that started them.";
    TooManyCommands, "too-many-commands", "As many background commands run as may at once.",
        "End one that is not needed with sortie_command and do: kill, or wait for one.";
    CommandEnded, "command-ended", "A background command has ended already.",
        "Look at its output, and start it again if it is still needed.";
    TodoNoItem, "todo-no-item", "TODO.md has no item of that id.",
        "Read the items with sortie_todo and use one of their ids.";
    TodoClaimed, "todo-claimed", "The item is not pending: somebody has taken it, or it is over.",
        "Claim another item that is ready.";
    TodoNotReady, "todo-not-ready", "The item waits for others, or has sub-items that are worked on instead.",
        "Claim an item that is ready.";
    TodoNotOpen, "todo-not-open", "The item is done, failed or cancelled.",
        "Set its status to pending first.";
    TodoIdTaken, "todo-id-taken", "Another item has that id.",
        "Leave the id out to be given one, or choose one that is free.";
    TodoInUse, "todo-in-use", "Another item waits for the one that would go.",
        "Change the `after` of the item that waits, or set the status to cancelled instead.";
    TodoCycle, "todo-cycle", "Items would wait for each other in a circle.",
        "Leave one of them out of the `after` of another.";
    TodoBadItem, "todo-bad-item", "A text cannot be written into TODO.md.",
        "Correct the named field and call again.";
    TodoFull, "todo-full", "TODO.md has as many items as it may have.",
        "Remove items that are done.";
    TodoConflict, "todo-conflict", "Somebody else changed the same items in another way.",
        "Read them again and make the change on what is there now.";
    GitMissing, "git-missing", "git cannot be started.",
        "Install git and make sure that it is in the PATH of OpenCode.";
    GitTooOld, "git-too-old", "The installed git lacks what is needed.",
        "Install git 2.32 or newer.";
    NotARepository, "not-a-repository", "A directory is not in a git repository.",
        "Run `git init` and make a first commit, or do without directories of their own for tasks.";
    NoWorkingTree, "no-working-tree", "A git repository is bare, or the directory is inside its `.git`.",
        "Work in a clone with files.";
    NoCommit, "no-commit", "A git repository has no commit yet.",
        "Make a first commit.";
    WorktreeTaken, "worktree-taken", "A worktree's path is in use by something else, which was left untouched.",
        "Move away what is there, or use another path.";
    PatchTooLarge, "patch-too-large", "A task has changed more than is carried over.",
        "Let git ignore what was only built or downloaded, or take the changes from the task's worktree by hand.";
    PatchConflict, "patch-conflict", "Changes do not fit to what has been changed meanwhile; nothing was applied.",
        "Merge the named files by hand, or run the task again on the present state.";
    PatchRefused, "patch-refused", "A patch is malformed or reaches outside the repository; nothing was applied.",
        "Look at what the task did; do not apply it.";
    WorktreeFailed, "worktree-failed", "git or the file system refused.",
        "The message says why; correct that and try again.";
    BadPool, "bad-pool", "The settings of the server pool do not fit together, or are out of their bounds.",
        "Correct the named setting.";
    OpencodeMissing, "opencode-missing", "OpenCode is not installed, or not where it was looked for.",
        "Install it with `npm install -g opencode-ai`, or set OPENCODE_PATH to its executable.";
    NoPort, "no-port", "No port of the configured range is free.",
        "Widen the range, or leave it out: the system then gives a free port.";
    ServerNotStarted, "server-not-started", "OpenCode's server could not be started.",
        "Run `opencode serve` by hand to see why.";
    ServerDied, "server-died", "OpenCode's server died while it was at work.",
        "Run it again; another server is started by itself.";
    PoolClosed, "pool-closed", "The servers are being stopped.",
        "Start again.";
    RunTimeout, "run-timeout", "A prompt was not answered within its time limit; it was stopped.",
        "Give it more time, or less to do.";
    RunFailed, "run-failed", "A prompt ended without an answer.",
        "The message says why; the session shows how far it came.";
    RunCancelled, "run-cancelled", "A prompt was cancelled before it was answered.",
        "Run it again if it is still wanted.";
    BadChecklist, "bad-checklist", "A checklist cannot be read, or holds nothing to check.",
        "Write one item a line, such as `- [ ] every public function has a test`.";
    Internal, "internal", "A fault of Sortie's own.",
        "Please report it with the log in Sortie's home.";
    AddonMissing, "addon-missing", "The native module is not there.",
        "Run `npm run build` in a checkout, or install opencode-sortie again.";
    AddonPlatform, "addon-platform", "The native module is not for this platform or cannot be loaded.",
        "Install opencode-sortie on this platform again; supported are Linux, macOS and Windows on x64 and arm64.";
    LoadedTwice, "loaded-twice", "The plugin is configured under two specs.",
        "Keep one entry of opencode-sortie in OpenCode's configuration.";
}
