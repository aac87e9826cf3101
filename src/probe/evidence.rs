//! What can be learnt of a process that hangs. Read by a child with a time limit, since a read may hang too.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use bytesize::ByteSize;

use crate::probe::command::own_program;
use crate::process::ProcessId;
use crate::process::stat::Stat;
use crate::sys::{PROC, Pid};
use crate::task::{self, Task};
use crate::text::{plural, span};
use crate::time::{Time, now};

/// The word by which this program knows that it is that child.
const WORD: &str = "evidence";
/// How many threads are looked at, and how many kinds of them are told.
const MOST_THREADS: usize = 1000;
const MOST_KINDS: usize = 5;

/// What a process had used of processors at a time.
#[derive(Debug, Clone, Copy)]
pub struct CpuTime {
    pub at: Time,
    pub used: Duration,
}

/// Begins to gather what can be learnt of `process`; `since` a time, of processors.
///
/// # Errors
/// No child could be created.
pub fn gather(process: ProcessId, since: Option<CpuTime>) -> io::Result<Task> {
    let mut command = own_program();
    command.arg(WORD).arg(process.pid.to_string());
    if let Some(since) = since {
        command.arg(since.used.as_millis().to_string());
        command.arg(now().saturating_sub(since.at).as_millis().to_string());
    }
    task::ask(command)
}

/// If this program was run by [`gather`]: prints what it asks for.
pub fn is_asked_for(mut arguments: impl Iterator<Item = OsString>) -> bool {
    if arguments.nth(1).is_none_or(|word| word != WORD) {
        return false;
    }
    let mut numbers = arguments.filter_map(|number| number.to_str()?.parse::<u64>().ok());
    let Some(pid) = numbers.next().and_then(|pid| Pid::try_from(pid).ok()) else { return false };
    let millis = |number: Option<u64>| number.map(Duration::from_millis);
    let since = millis(numbers.next()).zip(millis(numbers.next()));
    let _ = io::stdout().write_all(of(Path::new(PROC), pid, since).as_bytes());
    true
}

/// In one line. `since` is what it had used of processors, and how long ago.
fn of(proc: &Path, pid: Pid, since: Option<(Duration, Duration)>) -> String {
    let entry = proc.join(pid.to_string());
    let mut known = vec![threads(proc, pid)];
    let line = fs::read(entry.join("stat")).unwrap_or_default();
    if let Some(stat) = Stat::parse(&line) {
        if let Some((before, ago)) = since {
            let used = stat.cpu_time().saturating_sub(before);
            known.push(format!("{} of processor time in the last {}", span(used), span(ago)));
        }
        known.push(format!("{} of memory", ByteSize(stat.resident()).display().iec()));
    }
    if let Ok(open) = fs::read_dir(entry.join("fd")) {
        let limit = limit_of_files(&entry).map(|limit| format!(" of {limit}")).unwrap_or_default();
        known.push(format!("{}{limit} descriptors open", open.count()));
    }
    let pressure: Vec<_> = ["cpu", "memory", "io"]
        .into_iter()
        .filter_map(|what| Some(format!("{what} {}%", average(&proc.join("pressure").join(what))?)))
        .collect();
    if !pressure.is_empty() {
        known.push(format!("pressure: {}", pressure.join(", ")));
    }
    known.retain(|fact| !fact.is_empty());
    known.join("; ")
}

/// Its threads by what they do, those that do the same together: `3 threads: 2 S in futex_wait_queue (system
/// call 202), 1 R`.
pub fn threads(proc: &Path, pid: Pid) -> String {
    let entry = proc.join(pid.to_string());
    let read = |path: &Path| fs::read(path).map(|text| String::from_utf8_lossy(&text).trim().to_owned());
    let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
    for thread in fs::read_dir(entry.join("task")).into_iter().flatten().flatten().take(MOST_THREADS) {
        let Ok(line) = fs::read(thread.path().join("stat")) else { continue };
        let Some(state) = Stat::parse(&line).map(|stat| char::from(stat.state)) else { continue };
        let mut kind = state.to_string();
        // Both may be for those alone who may trace it; of what runs they say 0 and `running`.
        if let Some(channel) =
            read(&thread.path().join("wchan")).ok().filter(|it| !it.is_empty() && it != "0")
        {
            let _ = write!(kind, " in {channel}");
        }
        let call = read(&thread.path().join("syscall")).unwrap_or_default();
        if let Some(number) = call.split(' ').next().and_then(|word| word.parse::<u32>().ok()) {
            let _ = write!(kind, " (system call {number})");
        }
        *kinds.entry(kind).or_default() += 1;
    }
    let count: u32 = kinds.values().sum();
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    kinds.truncate(MOST_KINDS);
    let kinds: Vec<_> = kinds.into_iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    format!("{count} {}: {}", plural(count, "thread"), kinds.join(", "))
}

fn limit_of_files(entry: &Path) -> Option<String> {
    let limits = fs::read_to_string(entry.join("limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next().map(str::to_owned)
}

/// The average of the last ten seconds, in percent.
pub fn average(pressure: &Path) -> Option<f32> {
    let text = fs::read_to_string(pressure).ok()?;
    let some = text.lines().find_map(|line| line.strip_prefix("some avg10="))?;
    some.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_process_is_one_line() {
        let (waits, waiting) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || waiting.recv());
        let pid = crate::sys::own_pid();
        let known = of(Path::new("/proc"), pid, Some((Duration::ZERO, Duration::from_secs(3))));
        drop(waits);
        let _ = thread.join();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap();
        let descriptors = format!(" of {limit} descriptors open");
        for fact in [" threads: ", " of processor time in the last 3s; ", " of memory", &descriptors] {
            assert!(known.contains(fact), "{fact}: {known}");
        }
        assert!(!known.contains('\n'), "{known}");
        assert_eq!(of(Path::new("/nowhere"), pid, None), "0 threads: ");
    }

    #[test]
    fn only_a_child_of_this_program_is_asked() {
        let asked = |words: &[&str]| is_asked_for(words.iter().map(OsString::from));
        assert!(!asked(&["watchdog"]) && !asked(&["watchdog", "status"]));
        assert!(!asked(&["watchdog", WORD]) && !asked(&["watchdog", WORD, "x"]));
        assert!(asked(&["watchdog", WORD, "1", "20", "30"]));
    }
}
