//! A look over a /proc with one process in it, of which all is made up: what is looked for (a byte), then
//! comm, stat, cmdline, status and the pid file, each ended by a byte 0xff.
#![no_main]

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use watchdog::parts::{
    Candidate, Criteria, Descent, Extent, LONGEST_LINE, Namespace, Pattern, Proc, ProcessId, Stat, Subject,
    Tasks, pid_in, words,
};
use watchdog_fuzz::assert_harmless;

const PID: i32 = 4242;
const INIT: &str = "1 (init) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 5 1 2 3 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0\n";

struct FakeProc(tempfile::TempDir);

impl FakeProc {
    fn new() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        symlink(std::process::id().to_string(), folder.path().join("self")).unwrap();
        let proc = FakeProc(folder);
        proc.put(1, [b"init\n", INIT.as_bytes(), b"/sbin/init\0", b"NSpid:\t1\n"]);
        proc
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn put(&self, pid: i32, files: [&[u8]; 4]) {
        let folder = self.path().join(pid.to_string());
        let _ = fs::create_dir(&folder);
        for (name, content) in ["comm", "stat", "cmdline", "status"].iter().zip(files) {
            fs::write(folder.join(name), content).unwrap();
        }
    }
}

thread_local!(static FAKE: RefCell<Option<FakeProc>> = const { RefCell::new(None) });

fuzz_target!(|data: &[u8]| {
    let Some((how, data)) = data.split_first() else { return };
    let mut parts = data.split(|byte| *byte == 0xff);
    let files = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let named = parts.next().unwrap_or_default();
    let extent = if how & 1 == 0 { Extent::Part } else { Extent::Whole };
    let mut criteria = Criteria {
        subject: if how & 2 == 0 { Subject::Name } else { Subject::CommandLine },
        unknown_user: None,
        pid_file: None,
        user: (how & 4 != 0).then_some(u32::from(how & 8)),
        namespace: if how & 16 == 0 { Namespace::Own } else { Namespace::Any },
        start_command: "service nginx start".to_owned(),
        pattern: Pattern::new(["nginx", "a-very-long-scr.*", "^/", ""][usize::from(how >> 6)], extent)
            .unwrap(),
    };
    FAKE.with_borrow_mut(|fake| {
        let fake = fake.get_or_insert_with(FakeProc::new);
        fake.put(PID, files);
        if how & 32 != 0 {
            let path = fake.path().join("x.pid");
            fs::write(&path, named).unwrap();
            criteria.pid_file = Some(path);
        }
        let proc = Proc::new(fake.path()).unwrap();
        let survey = proc.survey(&criteria).unwrap();
        let judged = survey.iter().find(|candidate| candidate.process.pid == PID);
        match proc.find(&criteria, None, &Tasks::default()) {
            Ok(found) => {
                let counts = found.counting.iter().any(|process| process.pid == PID);
                let is_judged_so = judged.is_some_and(|candidate| candidate.mismatch.is_none());
                assert!(is_judged_so || !counts);
                // What counts is found, unless its name was another when it was passed over.
                let comm = files[0].strip_suffix(b"\n").unwrap_or(files[0]);
                if Stat::parse(files[1]).is_some_and(|stat| stat.comm == comm) && comm.len() <= 64 {
                    assert_eq!(counts, is_judged_so);
                }
                assert!(found.left_over.is_empty());
                if criteria.pid_file.is_some() {
                    let named = pid_in(named);
                    assert!(found.counting.iter().all(|process| Some(process.pid) == named));
                    assert!(found.counting.is_empty() || proc.doubt_pid_file(&criteria).is_none());
                }
                let _ = words::ambiguity(&found.counting);
            }
            Err(unknown) => assert!(!unknown.0.is_empty()),
        }
        if let Some(Candidate { process, .. }) = judged {
            let name = &process.name;
            assert!(!name.contains(char::is_control) && name.len() <= LONGEST_LINE, "{name:?}");
            assert!(!process.command_line.contains(char::is_control));
            assert_eq!(proc.is_alive(process.id()), proc.is_there(PID));
        }
        let _ = words::near(&survey);
        proc.doubt_pid_file(&criteria).iter().for_each(|doubt| assert_harmless(doubt));
        let leader = ProcessId { pid: PID, started: Duration::ZERO };
        let mut descent = Descent::new(leader);
        descent.note(&proc);
        let _ = words::near(&proc.left_running(&descent, &criteria));
    });
});
