//! What is found in the state directory: a byte for which file it is (state, pause, lock, note of the start
//! command, request, what the hook is owed), then its content, in which BOOT stands for this boot.
#![no_main]

use std::cell::RefCell;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use watchdog::parts::{
    Action, Answer, Asked, ExitCode, Files, Form, Given, HookEvents, Life, Lock, May, Memory, Name, Policy,
    Proc, Request, Seen, Settings, Sight, Source, StartCommand, StartRecord, State, Store, Telling, User,
    Which, boot_id, hook, is_control, name, now, status,
};

struct Place {
    folder: tempfile::TempDir,
    name: Name,
    boot_id: String,
    proc: Proc,
    settings: Rc<Settings>,
    user: User,
}

impl Place {
    fn new() -> Self {
        let mut given = Given::default();
        for (key, value) in [("process_name", "x"), ("start_command", "true")] {
            given.add(key, value, Source::CommandLine);
        }
        let user = User { uid: 0, home: "/nonexistent".into(), ..User::default() };
        Place {
            folder: tempfile::tempdir_in("/dev/shm").unwrap(),
            name: name::name("x").unwrap(),
            boot_id: boot_id(Path::new("/proc")),
            proc: Proc::new(Path::new("/proc")).unwrap(),
            settings: Rc::new(Settings::new(&given, &user).unwrap()),
            user,
        }
    }

    fn files(&self) -> Files {
        Files::new(self.folder.path(), &self.name, &self.boot_id)
    }
}

thread_local!(static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) });

fuzz_target!(|data: &[u8]| {
    let Some((which, content)) = data.split_first() else { return };
    PLACE.with_borrow_mut(|place| check(place.get_or_insert_with(Place::new), which % 6, content));
});

fn check(place: &Place, which: u8, content: &[u8]) {
    let folder = place.folder.path().to_owned();
    for file in std::fs::read_dir(&folder).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let ending = ["json", "pause", "lock", "start", "request", "hook"][usize::from(which)];
    std::fs::write(folder.join(format!("x.{ending}")), with_boot(content, &place.boot_id)).unwrap();
    let files = place.files();
    match which {
        0 => {
            if let Ok(Some(state)) = files.state() {
                files.write_state(&state).unwrap();
                assert_eq!(files.state().unwrap().as_ref(), Some(&state), "what is written is what was read");
                go_on(&state, place);
            }
            shown(place);
            recalled(place);
        }
        1 => {
            let holds = files.holds(now());
            shown(place);
            let is_over = |until| until < now() - Duration::from_secs(60);
            assert!(!holds.iter().any(|held| held.until.is_some_and(is_over)));
            // A word ends what nobody can read.
            files.say(None, now()).unwrap();
            assert!(files.resumed(now()).is_some());
        }
        2 => Lock::take(&files, "these").expect("nobody holds it").release(),
        4 => requested(&folder.join("x.request"), &files),
        5 => owed(&files, place),
        _ => {
            if let Some(noted) = StartRecord::read(&files) {
                let command = StartCommand::adopt(noted, &place.proc);
                assert!(command.is_none(), "no start command is at work: {command:?}");
                let memory = Memory::default().with_attempt(noted.attempt, false);
                assert_eq!((memory.last_attempt, memory.judging), (Some(noted.attempt), false));
            }
        }
    }
}

/// Somebody waits for what this file asks; then for an answer, and gets what is in the file.
fn requested(path: &Path, files: &Files) {
    let content = std::fs::read(path).unwrap();
    let waits = File::open(path).unwrap();
    waits.lock().unwrap();
    let within = Duration::from_secs(1);
    if let Some(taken) = files.take_request(within) {
        assert!(files.take_request(within).is_none(), "it is taken once");
        taken.answer(&Answer::Done.into()).unwrap();
    }
    let written = std::fs::read(path).unwrap();
    assert!(written.starts_with(&content) && !files.has_request());
    drop(waits);
    let made = files.ask(Request::Stop).unwrap();
    File::options().append(true).open(path).unwrap().write_all(&content).unwrap();
    let _ = made.progress();
    assert_eq!(files.has_request(), content.is_empty());
}

/// What people are still to be told is told in the end, in plain text.
fn owed(files: &Files, place: &Place) {
    // Files have whole milliseconds.
    let now = Duration::from_millis(u64::try_from(now().as_millis()).unwrap());
    let telling = Telling::ask(files).unwrap();
    let mut owed = telling.read(files, now);
    telling.write(&owed).unwrap();
    drop(telling);
    assert_eq!(Telling::ask(files).unwrap().read(files, now), owed, "what is written is what was read");
    for _ in 0..3 {
        let Some(due) = owed.due() else { break };
        assert!(due <= now + Duration::from_secs(600), "nothing is told for {due:?}");
        owed.come_due(&HookEvents::default(), false, now.max(due));
    }
    assert_eq!(owed.due(), None);
    while let Some(report) = owed.next() {
        let message = hook::message(report, &place.settings);
        assert!(message.len() <= 3000 && !message.contains(|c| c != '\n' && is_control(c)), "{message:?}");
        owed.is_told();
    }
}

fn with_boot(content: &[u8], boot_id: &str) -> Vec<u8> {
    match content.windows(4).position(|part| part == b"BOOT") {
        Some(at) => [&content[..at], boot_id.as_bytes(), &content[at + 4..]].concat(),
        None => content.to_owned(),
    }
}

/// A watch goes on from what was read, whatever numbers are in it.
fn go_on(state: &State, place: &Place) {
    let _ = state.predecessor.as_ref().map(|predecessor| predecessor.since.saturating_sub(now()));
    for started in [None, state.command.map(|command| command.started)] {
        let mut policy = Policy::recall(place.settings.limits, state.memory, started);
        let mut at = now();
        let mut seen = Seen::Nothing;
        for _ in 0..40 {
            seen = match policy.decide(at, seen, May::ALL).action {
                Action::Wait(until) => {
                    at = at.max(until);
                    Seen::Nothing
                }
                Action::Look => Seen::Missing,
                Action::Start { .. } => Seen::CommandEnded,
                Action::KillCommand => Seen::CommandEnded,
                Action::StopCommand
                | Action::Probe(_)
                | Action::EndProbe
                | Action::Evidence(_)
                | Action::StopBy(..)
                | Action::Kill(_)
                | Action::EndLeft { .. } => Seen::Nothing,
                Action::End(_) => break,
            };
        }
        let _ = policy.memory();
    }
}

/// A watch begins with this file, keeps its own, and the next one can read that.
fn recalled(place: &Place) {
    let (mut record, _) = Store::recall(place.files(), &place.settings, &place.proc);
    record.restarted();
    record.resumed(now());
    record.sees(Sight::Missing, None, now());
    let memory = record.state.memory;
    // Nothing that was written in this boot can be of a time to come, and keep the watch from its work.
    let limits = place.settings.limits;
    let mut policy = Policy::recall(limits, memory, None);
    let (mut at, mut seen) = (now(), Seen::Nothing);
    let patience = now() + Duration::from_secs(24 * 3600);
    while at < patience {
        seen = match policy.decide(at, seen, May::ALL).action {
            Action::Wait(until) => {
                at = at.max(until);
                Seen::Nothing
            }
            Action::Start { .. } => break,
            Action::End(_) => break,
            _ => Seen::Missing,
        };
    }
    assert!(at < patience || memory.life == Life::Finished, "it is not started for a day: {memory:?}");
    if record.has_news(memory) {
        record.write().unwrap();
    }
    let kept = place.files().state().unwrap().unwrap();
    assert_eq!((kept.version, kept.boot_id.as_str()), (1, place.boot_id.as_str()));
    record.end(memory).unwrap();
}

/// Whatever is in the directory, `status` shows it in lines that do nothing to a terminal.
fn shown(place: &Place) {
    let which = Which { state_dir: Some(place.folder.path().into()), ..Which::default() };
    let asked = Asked { which: &which, user: &place.user };
    for form in [Form::Table, Form::Json, Form::Prometheus, Form::Nagios] {
        let (text, exit) = status::show(asked, &form, &place.proc).unwrap();
        assert!(!text.chars().any(|c| c != '\n' && is_control(c)), "{text:?}");
        let lines = text.lines().count();
        let is_well_formed = match form {
            Form::Table => (1..=2).contains(&lines),
            Form::Json => {
                serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|shown| shown.is_array())
            }
            Form::Nagios => text.len() < 1000 && lines == 1,
            Form::Prometheus | Form::Textfile(_) | Form::Watch => text.ends_with('\n'),
        };
        assert!(is_well_formed, "{text:?}");
        let is_possible = match form {
            Form::Table | Form::Json => matches!(exit, ExitCode::Lsb(0 | 1 | 3 | 4)),
            Form::Nagios => matches!(exit, ExitCode::Nagios(0..=3)),
            Form::Prometheus | Form::Textfile(_) | Form::Watch => exit == ExitCode::Success,
        };
        assert!(is_possible, "{exit:?}");
    }
}
