//! The parts that a look and a check are made of, each by itself: `cargo bench`.
#![allow(clippy::expect_used, clippy::indexing_slicing)] // a benchmark that cannot be set up has nothing to measure

use std::fs;
use std::hint::black_box;
use std::os::unix::fs::symlink;
use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use tempfile::TempDir;
use watchdog::parts::{
    Action, Cause, Criteria, Ended, Extent, Limits, May, Pattern, Policy, Proc, ProcessId, Seen, Stat, Still,
    Tasks, Time, printable,
};

fn main() {
    divan::main();
}

/// A line of `/proc/PID/stat`, with a name that makes it hard to read.
const STAT: &str = "812 (tmux: server) S) S 1 812 812 0 -1 4194624 2954 0 12 0 103 51 0 0 20 0 4 0 12345 24817664 1024 \
                    18446744073709551615 94086221111296 94086221716101 140731926424576 0 0 0 0 3674116 134433281 0 0 \
                    0 17 1 0 0 0 0 0 94086221895664 94086221954200 94086245199872 140731926425530 140731926425551 \
                    140731926425551 140731926429672 0\n";

/// Names of processes as a server has them.
const NAMES: [&str; 8] =
    ["systemd", "sshd", "dockerd", "containerd-shim", "nginx", "(sd-pam)", "kworker/u9:2", "postgres"];

/// A /proc in a directory, with so many processes, of which the last is looked for.
fn fake_proc(processes: usize) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let me = std::process::id().to_string();
    symlink(&me, root.join("self")).expect("a link");
    let add = |pid: &str, name: &str| {
        let entry = root.join(pid);
        fs::create_dir(&entry).expect("a folder");
        let stat = STAT.replace("tmux: server) S", name);
        for (file, text) in [
            ("comm", format!("{name}\n")),
            ("stat", stat),
            ("cmdline", format!("/usr/sbin/{name}\0--flag\0")),
            ("status", format!("Name:\t{name}\nNSpid:\t{pid}\n")),
        ] {
            fs::write(entry.join(file), text).expect("a file");
        }
    };
    add(&me, "micro");
    let others = (1..).map(|pid: usize| pid.to_string()).filter(|pid| *pid != me);
    for (number, pid) in others.take(processes - 2).enumerate() {
        add(&pid, NAMES[number % NAMES.len()]);
    }
    add("4000000", "looked-for");
    folder
}

/// One look over a /proc that is files: what the program does, without what the kernel takes to make up /proc.
#[divan::bench(args = [70, 1000])]
fn scan(bencher: Bencher, processes: usize) {
    let folder = fake_proc(processes);
    let proc = Proc::new(folder.path()).expect("a proc");
    let criteria = Criteria { pattern: pattern("looked-for", Extent::Whole), ..Criteria::default() };
    let find = || {
        let matches = proc.find(black_box(&criteria), None, &Tasks::default()).expect("a look");
        assert_eq!(matches.counting.len(), 1);
    };
    bencher.counter(ItemsCount::new(processes)).bench_local(find);
}

fn pattern(text: &str, extent: Extent) -> Pattern {
    Pattern::new(text, extent).expect("a pattern")
}

/// A name against a pattern.
#[divan::bench(args = ["nginx", "^nginx$", "postgres|nginx", "(?i)NGINX"])]
fn matches_part(bencher: Bencher, text: &str) {
    each_name(bencher, &pattern(text, Extent::Part));
}

/// The same, of which the whole has to match.
#[divan::bench(args = ["nginx", "ng[i]nx"])]
fn matches_whole(bencher: Bencher, text: &str) {
    each_name(bencher, &pattern(text, Extent::Whole));
}

fn each_name(bencher: Bencher, pattern: &Pattern) {
    let count = || NAMES.iter().filter(|name| pattern.matches(black_box(name.as_bytes()))).count();
    bencher.counter(ItemsCount::new(NAMES.len())).bench_local(count);
}

/// A name as it is matched and shown.
#[divan::bench(args = ["plain", "control character", "no UTF-8"])]
fn makes_printable(bencher: Bencher, kind: &str) {
    let name: &[u8] = match kind {
        "control character" => b"two\nlines",
        "no UTF-8" => b"caf\xe9",
        _ => b"nginx",
    };
    bencher.bench_local(|| black_box(printable(black_box(name))).len());
}

/// A line of `/proc/PID/stat`, as each check reads it.
#[divan::bench]
fn parses_stat(bencher: Bencher) {
    bencher.bench_local(|| Stat::parse(black_box(STAT.as_bytes())));
}

fn limits() -> Limits {
    Limits {
        health_check_interval: Duration::from_secs(1),
        restart_wait_interval: Duration::from_secs(5),
        max_fail_count: None,
        stable_after: Duration::from_secs(60),
        restart_delay: Duration::ZERO,
        after_stop: Duration::from_secs(3),
        start_timeout: Duration::from_secs(100),
        ..Limits::default()
    }
}

/// A second in which all is well: the decision to look, and the one to wait.
#[divan::bench]
fn decides_while_all_is_well(bencher: Bencher) {
    let mut policy = Policy::new(limits());
    let mut now = Time::from_secs(1000);
    let id = ProcessId { pid: 1, started: Time::from_secs(1) };
    policy.decide(now, Seen::Running { id, still: Still::No }, May::ALL);
    bencher.bench_local(|| {
        now += Duration::from_secs(1);
        black_box(policy.decide(black_box(now), Seen::Nothing, May::ALL));
        black_box(policy.decide(black_box(now), Seen::Running { id, still: Still::No }, May::ALL))
    });
}

/// From a death to the verdict on the attempt that follows.
#[divan::bench]
fn decides_a_restart(bencher: Bencher) {
    let mut policy = Policy::new(limits());
    let mut now = Time::from_secs(1000);
    let mut id = ProcessId { pid: 1, started: Time::from_secs(1) };
    policy.decide(now, Seen::Running { id, still: Still::No }, May::ALL);
    bencher.bench_local(|| {
        let mut decide = |now: Time, seen: Seen| policy.decide(black_box(now), seen, May::ALL).action;
        now += Duration::from_secs(100);
        decide(now, Seen::Died { at: now, started: id.started });
        decide(now, Seen::Ended(Ended { cause: Cause::Killed, as_expected: false }));
        assert!(matches!(decide(now, Seen::Missing), Action::Start { .. }));
        decide(now, Seen::Started);
        decide(now, Seen::CommandEnded);
        id.started = now;
        now += Duration::from_secs(5);
        assert!(matches!(decide(now, Seen::Running { id, still: Still::No }), Action::Wait(_)));
    });
}
