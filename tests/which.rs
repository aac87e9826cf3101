//! Which process is it? The answers are those of `pgrep` on the same machine at the same moment, but for
//! what the program says it does otherwise.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use nix::sys::signal::Signal::SIGKILL;

use regex_lite::RegexBuilder;

use crate::dry_run::DryRun;
use crate::harness::{Captured, Invocation, Scene, Watchdog};
use crate::machine::{actor, is_root, is_there, processes, program, send, skip, unshare};
use crate::terminal::Terminal;

pub const NOBODY: u32 = 65534;

/// Starts a part of the actor by this path, which gives it its name.
pub fn play<'a>(scene: &'a Scene, path: impl AsRef<OsStr>, part: &[&str]) -> Watchdog<'a> {
    let mut command = program(path);
    command.args(part);
    settled(scene, scene.spawn(command, Captured::All))
}

/// The same with another first argument.
pub fn titled(scene: &Scene, path: impl AsRef<OsStr>, title: impl AsRef<OsStr>) -> Watchdog<'_> {
    let mut command = program(path);
    command.arg0(title).arg("sleep");
    settled(scene, scene.spawn(command, Captured::All))
}

/// Waits until the exec is over: it has its name, then its command line; a launcher may have ended already.
pub fn settled<'a>(scene: &Scene, process: Watchdog<'a>) -> Watchdog<'a> {
    let line = || fs::read(format!("/proc/{}/cmdline", process.pid())).ok().filter(|line| !line.is_empty());
    let has_settled = || (line().is_some() || !is_there(process.pid())).then_some(());
    scene.wait_until("it has a command line", has_settled);
    process
}

fn comm(pid: i32) -> Vec<u8> {
    let mut comm = fs::read(format!("/proc/{pid}/comm")).unwrap();
    comm.pop();
    comm
}

/// A shell script, written by a child: what this process has had open may be open in a child of another
/// test, and cannot be executed then.
pub fn script(scene: &Scene, path: impl AsRef<OsStr>, text: &str) {
    let mut write = program("sh");
    write.args(["-c", r#"printf %s "$1" > "$0" && chmod 755 "$0""#]).arg(path).arg(text);
    assert!(scene.spawn(write, Captured::All).ends().status.success());
}

/// Numbers that look like chance, and the same again for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }

    /// A file name of so many bytes.
    fn name(&mut self, length: usize) -> Vec<u8> {
        const PIECES: [&[u8]; 26] = [
            b"a",
            b"b",
            b"z",
            b"-",
            b"_",
            b".",
            b" ",
            b"(",
            b")",
            b"[",
            b"]",
            b"{",
            b"%",
            b"%s",
            b"\t",
            b"\n",
            b"\x1b",
            b"\x7f",
            b"?",
            b":",
            b"\\",
            b"\xc3\xa9",
            b"\xff",
            b"\xe2\x82",
            b"\xc3",
            b") Z 1",
        ];
        let mut name: Vec<u8> = Vec::new();
        while name.len() < length {
            name.extend(self.of(&PIECES));
        }
        name.truncate(length);
        if name == b"." || name == b".." { vec![b'a'; length] } else { name }
    }

    /// A pattern that may well be found in this name, in what POSIX and this program have in common.
    fn pattern(&mut self, name: &str) -> String {
        let chars: Vec<_> = name.chars().take(15).collect();
        let start = self.below(chars.len());
        let end = start + 1 + self.below(chars.len() - start);
        let literal = |from: usize, to: usize| chars[from..to].iter().copied().map(plain).collect::<String>();
        match self.below(8) {
            0 => literal(0, chars.len()),
            1 => format!("^{}", literal(0, end)),
            2 => format!("{}$", literal(start, chars.len())),
            3 => format!("^.{{{}}}$", chars.len()),
            4 => format!("{}.*{}", plain(chars[0]), plain(chars[chars.len() - 1])),
            5 => format!("[{}-z]+.?", ["a", "b"][start % 2]),
            6 => format!("{}|{}", literal(start, end), plain(chars[0])),
            _ => literal(start, end),
        }
    }
}

/// This character, without a meaning of its own.
fn plain(c: char) -> String {
    if r"\.[]{}()*+?^$|".contains(c) { format!("\\{c}") } else { c.to_string() }
}

/// What pgrep says: it shows each control character and each byte that is no UTF-8 as `?`.
fn as_pgrep_shows(name: &[u8]) -> String {
    let chunks = name.utf8_chunks();
    let question_marks = |chunk: &[u8]| "?".repeat(chunk.len());
    let text: String = chunks.flat_map(|it| [it.valid().to_owned(), question_marks(it.invalid())]).collect();
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn has_pgrep() -> bool {
    let has_it = has("pgrep");
    if !has_it {
        skip("there is no pgrep to compare with");
    }
    has_it
}

/// Whether there is this command. It is not run: somebody else waits for the children of the tests.
pub fn has(command: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(command).is_file())
}

/// Those of `among` that pgrep finds.
fn pgrep(scene: &Scene, flags: &[&str], pattern: &str, among: &BTreeSet<i32>) -> BTreeSet<i32> {
    let mut command = program("pgrep");
    command.env("LC_ALL", "C.UTF-8").args(flags).arg("--").arg(pattern);
    let ended = scene.spawn(command, Captured::All).ends();
    assert!(matches!(ended.code(), Some(0 | 1)), "pgrep {flags:?} {pattern:?}: {ended}");
    ended.stdout.lines().map(|pid| pid.parse().unwrap()).filter(|pid| among.contains(pid)).collect()
}

fn with_flags<'a>(mut watchdog: Invocation<'a>, flags: &[&'static str], pattern: &str) -> Invocation<'a> {
    let mut flags = flags.iter();
    while let Some(flag) = flags.next() {
        watchdog = match *flag {
            "-u" => watchdog.with("--user", flags.next().unwrap()),
            flag => watchdog.flag(flag),
        };
    }
    watchdog.with("--process-name", pattern)
}

/// A process of a generated name.
struct Player<'a> {
    process: Watchdog<'a>,
    uid: u32,
    name: &'a [u8],
    path: Vec<u8>,
}

impl Player<'_> {
    /// What a pattern may be found in.
    fn subjects(&self, flags: &[&str]) -> Vec<Vec<u8>> {
        if flags.contains(&"-f") {
            let mut line = [&self.path[..], b" sleep"].concat();
            // In a command line a newline is shown as a blank.
            line.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
            return vec![line];
        }
        vec![self.name[..self.name.len().min(15)].to_owned(), self.name.to_owned()]
    }

    /// Whether pgrep makes something else of a name than one `?` for each control character and each byte
    /// that is no UTF-8: it takes the first byte of a longer character for one, whatever follows, has other
    /// signs for what is not printable after any other wrong byte, and takes a control character beyond
    /// ASCII for an ordinary one.
    fn confuses_pgrep(&self, flags: &[&str]) -> bool {
        let subject = &self.subjects(flags)[0];
        let mut wrong = false;
        subject.utf8_chunks().any(|chunk| {
            let confused = wrong && chunk.valid().contains(|c: char| c.is_control() || !c.is_ascii());
            wrong |= !chunk.invalid().is_empty();
            confused
                || chunk.invalid().iter().any(|byte| (0xc2..0xf5).contains(byte))
                || chunk.valid().contains(|c: char| c.is_control() && !c.is_ascii())
        })
    }

    /// The rules, once more.
    fn matches(&self, flags: &[&str], pattern: &str) -> bool {
        let whole = if flags.contains(&"-x") { format!("^({pattern})$") } else { pattern.to_owned() };
        let regex = RegexBuilder::new(&whole).dot_matches_new_line(true).build().unwrap();
        let user = match flags {
            [.., "-u", "root"] => Some(0),
            [.., "-u", _] => Some(NOBODY),
            _ => None,
        };
        user.is_none_or(|user| user == self.uid)
            && self.subjects(flags).iter().any(|subject| regex.is_match(&as_pgrep_shows(subject)))
    }
}

#[test]
fn verdicts_are_those_of_pgrep() {
    if !has_pgrep() {
        return;
    }
    let scene = Scene::new();
    let seed = RandomState::new().hash_one(()) | 1;
    let mut chance = Chance(seed);
    let lengths = (1..=15).chain([15, 15, 16, 17, 31, 64, 120, 200]).chain((1..=15).rev());
    let mut names: Vec<_> = lengths.map(|length| chance.name(length)).collect();
    names.extend(
        [&b"foo) Z 1 (bar"[..], b"a\nb", b"\t", b" ", b"caf\xc3\xa9", b"\xff", b"%n%s%d", b"[kworker]"]
            .map(<[u8]>::to_vec),
    );
    names.sort();
    names.dedup();
    // Names of more than 15 bytes, which are recovered, and those that are cut out of them.
    let mut cast = Vec::new();
    let copy = scene.path("copy");
    let mut write = program("cp");
    write.arg(actor()).arg(&copy);
    assert!(scene.spawn(write, Captured::All).ends().status.success());
    for name in &names {
        let path = scene.path("").join(OsStr::from_bytes(name));
        // By a link of this kind it is the executable's own name.
        fs::hard_link(&copy, &path).unwrap();
        let mut command = program(&path);
        command.arg("sleep");
        let uid = if is_root() && chance.below(4) == 0 { NOBODY } else { nix::unistd::geteuid().as_raw() };
        command.uid(uid);
        let process = settled(&scene, scene.spawn(command, Captured::All));
        assert_eq!(comm(process.pid()), name[..name.len().min(15)], "{name:?}");
        cast.push(Player { process, uid, name, path: path.into_os_string().into_vec() });
    }
    // A zombie has its name too; it is dead.
    let parent = play(
        &scene,
        scene.path(scene.name()),
        &["neglect", scene.link_actor("zz-zombie").to_str().unwrap(), "exit", "0", "0"],
    );
    let zombie = scene.wait_until("there is a zombie", || {
        let stats = processes().filter_map(|process| process.stat().ok());
        stats.into_iter().find(|it| it.ppid == parent.pid() && it.state == 'Z').map(|it| it.pid)
    });
    let all: BTreeSet<_> = cast.iter().map(|it| it.process.pid()).chain([zombie]).collect();

    let mut patterns: Vec<_> =
        [".", "^.$", "^[a-z]", "zz-zombie", "é", "\\?", " ", "%", "\\)", "^.{15}$", "[^a]$"]
            .map(str::to_owned)
            .into();
    for name in &names {
        patterns.push(chance.pattern(&as_pgrep_shows(name)));
    }
    // Blanks alone are refused, as a slip of the finger.
    for pattern in patterns.iter_mut().filter(|pattern| pattern.trim().is_empty()) {
        pattern.push('+');
    }
    // And what begins like an option is taken for one.
    for pattern in patterns.iter_mut().filter(|pattern| pattern.starts_with('-')) {
        pattern.replace_range(..1, "[-]");
    }
    let (mut verdicts, mut zombies) = (0, 0);
    for (round, pattern) in patterns.iter().enumerate() {
        for flags in [&[][..], &["-x"], &["-f"], &["-x", "-f"], &["-u", "root"], &["-f", "-u", "nobody"]] {
            // Each pattern plainly, and in one of the other ways.
            if !flags.is_empty() && flags.len() != 1 + round % 2 && round > 10 {
                continue;
            }
            let dry = DryRun::of(with_flags(scene.watchdog(), flags, pattern));
            let ours: BTreeSet<_> = dry.matching().into_iter().filter(|pid| all.contains(pid)).collect();
            let theirs = pgrep(&scene, flags, pattern, &all);
            let story = |who: &[u8]| {
                format!("seed {seed}, {flags:?} {pattern:?} on '{}'\n{}", who.escape_ascii(), dry.ended)
            };
            for player in &cast {
                let pid = player.process.pid();
                let (ours, theirs) = (ours.contains(&pid), theirs.contains(&pid));
                if ours == theirs {
                    continue;
                }
                // Either the part of the name that the kernel has cut off, or bytes that pgrep mixes up.
                let recovered = ours && player.name.len() > 15 && !flags.contains(&"-f");
                assert!(recovered || player.confuses_pgrep(flags), "{ours} {}", story(player.name));
                assert_eq!(ours, player.matches(flags, pattern), "{}", story(player.name));
            }
            if theirs.contains(&zombie) {
                // Where there is no command line, pgrep shows more than the name in brackets.
                let said = dry.why_not(zombie) == Some("is dead (zombie)");
                assert!(said || flags.contains(&"-f"), "{}", story(b"zombie"));
                zombies += 1;
            }
            assert!(!ours.contains(&zombie), "{}", story(b"zombie"));
            assert_eq!(dry.ended.code(), Some(i32::from(dry.matching().is_empty())), "{}", story(b""));
            verdicts += theirs.len();
        }
    }
    assert!(
        zombies > 0 && verdicts > patterns.len(),
        "too few of them matched anything: {verdicts}, seed {seed}"
    );
}

/// The recovered name is the program's or the script's; a title that begins like it is neither.
#[test]
fn a_long_name_is_found_in_full_and_as_pgrep_finds_it() {
    let scene = Scene::new();
    let name = format!("{}-and-a-long-tail", scene.name());
    let cut = &name[..15];
    let program = scene.link_actor(&name);
    for first in ["/bin/sh", "/bin/sh -e", "program"] {
        let path = if first == "program" {
            program.clone()
        } else {
            let path = scene.path(if first.contains(' ') { "b" } else { "a" }).join(&name);
            fs::create_dir(path.parent().unwrap()).unwrap();
            script(&scene, &path, &format!("#!{first}\nwhile sleep 0.1; do :; done\n"));
            path
        };
        let process = play(&scene, &path, &["sleep"]);
        for (pattern, flag, found) in [
            (&name[..], Some("--exact"), true),
            (cut, Some("--exact"), true),
            (&name[..20], Some("--exact"), false),
            ("long-tail$", None, true),
            (&name, None, true),
            ("sleep", None, false),
        ] {
            let watchdog = scene.watchdog().with("--process-name", pattern);
            let dry = DryRun::of(if let Some(flag) = flag { watchdog.flag(flag) } else { watchdog });
            assert_eq!(dry.matching().contains(&process.pid()), found, "{first} {pattern}: {}", dry.ended);
        }
        send(process.pid(), SIGKILL);
        process.ends();
    }
    for title in [format!("{cut}: worker nginx-{name}x"), format!("{cut} nginx")] {
        let process = titled(&scene, &program, &title);
        let dry = DryRun::of(scene.watchdog().with("--process-name", "nginx"));
        assert!(!dry.matching().contains(&process.pid()), "{title}: {}", dry.ended);
    }
}

/// A script of the service's own name that starts it, and a slow one, and one that fails.
#[test]
fn an_init_script_is_not_the_service() {
    if !is_root() {
        return skip("only root can put a script into /etc/init.d");
    }
    let scene = Scene::new();
    fs::create_dir(scene.path("init.d")).unwrap();
    let text = "#!/bin/sh -e\ntouch $HERE/at-work\nuntil test -e $HERE/go; do sleep 0.05; done\necho no such port\nexit 3\n";
    script(&scene, scene.path("init.d").join(scene.name()), text);
    let bound = r#"mount --bind "$HERE/init.d" /etc/init.d && exec "$@""#;
    let through = ["unshare", "--mount", "sh", "-c", bound, "sh"];
    let start = format!("/etc/init.d/{} start", scene.name());
    let watchdog = scene.watchdog().starting(&start).with("--max-fail-count", "1").through(&through).spawn();
    scene.wait_until("the script is at work", || scene.path("at-work").exists().then_some(()));
    // A command that it begins has its name until the exec.
    let at_work = scene.wait_running();
    for (flag, pattern) in
        [("--exact", scene.name().to_owned()), ("--full", format!("init.d/{}", scene.name()))]
    {
        let dry = DryRun::of(scene.watchdog().flag(flag).with("--process-name", pattern));
        assert_eq!(
            dry.why_not(at_work),
            Some("is an init script or a package's script"),
            "{flag}: {}",
            dry.ended
        );
        assert!(!dry.matching().contains(&at_work), "{flag}: {}", dry.ended);
    }
    watchdog.wait_checks(8);
    fs::write(scene.path("go"), "").unwrap();
    assert_eq!(watchdog.ends().code(), Some(1), "{}", scene.story());
    scene.wait_for("^WARN the start command exited with status 3 .*no such port");
    assert_eq!(
        (scene.starts(), scene.count("^INFO (running|handed over|attempt . succeeded)")),
        (1, 0),
        "{}",
        scene.story()
    );
}

/// `[watchdogd]` is on every machine.
#[test]
fn a_kernel_thread_counts_for_an_exact_name_only() {
    let is_thread = |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.is_empty());
    if !is_thread(&2) || comm(2) != b"kthreadd" {
        return skip("no kernel threads are to be seen here");
    }
    let scene = Scene::new();
    let watchdog = || scene.watchdog().with("--process-name", "kthreadd");
    DryRun::of(watchdog()).assert_near(2, "is a kernel thread; --exact makes it count");
    DryRun::of(watchdog().flag("--exact")).assert_found(2);
}

/// Whatever started it has the pattern in its own command line.
#[test]
fn what_started_the_watchdog_is_not_the_process() {
    let scene = Scene::new();
    let lock = scene.path("lock").into_os_string().into_string().unwrap();
    let wrapper = scene.path("wrapper").into_os_string().into_string().unwrap();
    script(&scene, &wrapper, "#!/bin/sh\n\"$@\"\n");
    for through in [
        &["sh", "-c", "\"$@\"; exit $?", "sh"][..],
        &["timeout", "30"],
        &["flock", &lock],
        &["env", "timeout", "30", "sh", "-c", "\"$@\"; exit $?", "sh"],
        &[&wrapper],
    ] {
        let dry = DryRun::of(scene.watchdog().flag("--full").through(through));
        let near: Vec<_> = dry.rows("near").map(|row| row[4].clone()).collect();
        assert_eq!((dry.ended.code(), dry.matching()), (Some(1), vec![]), "{through:?}: {}", dry.ended);
        assert!(near.iter().any(|why| why == "started this watchdog"), "{through:?}: {}", dry.ended);
        // And so it is started, and found.
        let watchdog = scene.watchdog().flag("--full").flag("--once").starting("exec $ACTOR sleep");
        let starts = scene.starts();
        let ended = watchdog.through(through).run();
        assert_eq!((ended.code(), scene.starts()), (Some(0), starts + 1), "{through:?}: {ended}");
        let pid = scene.wait_running();
        scene.wait_for(&format!("succeeded: .*pid {pid}"));
        send(pid, SIGKILL);
        scene.wait_gone(pid);
        fs::remove_dir_all(scene.path("state")).unwrap();
    }
}

#[test]
fn another_watchdog_is_not_the_process() {
    let scene = Scene::new();
    let other = scene.watchdog().flag("--full").with("--name", "other").with("--start-command", "true");
    let other = other.with("--max-fail-count", "unlimited").spawn();
    scene.wait_until("it is at work", || scene.path("log/other.log").exists().then_some(()));
    let dry = DryRun::of(scene.watchdog().flag("--full"));
    dry.assert_near(other.pid(), "is a watchdog itself");
    // By its name too, and whatever it is called.
    let dry = DryRun::of(scene.watchdog().with("--process-name", "watchdog").flag("--exact"));
    assert_eq!(dry.why_not(other.pid()), Some("is a watchdog itself"), "{}", dry.ended);
}

#[test]
fn a_shell_that_runs_the_start_command_is_not_what_it_starts() {
    let scene = Scene::new();
    let command = format!(": {}; while sleep 0.1; do :; done", scene.name());
    let run = |command: &str| play(&scene, "/bin/sh", &["-c", command]);
    let shell = run(&command);
    let watchdog = || scene.watchdog().flag("--full").with("--start-command", &command);
    DryRun::of(watchdog()).assert_near(shell.pid(), "runs the start command");
    // One that does something else is as good as any process.
    let other = run(&format!("{command}; :"));
    let dry = DryRun::of(watchdog());
    assert_eq!((dry.matching(), dry.ended.code()), (vec![other.pid()], Some(0)), "{}", dry.ended);
    assert!(dry.warnings().contains("also matches the start command"), "{}", dry.ended);
}

/// Cron can be watched from cron: it is an ancestor, and is found by its name.
#[test]
fn an_ancestor_is_found_by_its_name() {
    let scene = Scene::new();
    let cron = scene.path(scene.name()).into_os_string().into_string().unwrap();
    let cron = scene.watchdog().flag("--once").flag("-v").through(&[&cron, "neglect"]).spawn();
    scene.wait_until("it has looked", || {
        let stats = processes().filter_map(|process| process.stat().ok());
        stats.into_iter().find(|it| it.ppid == cron.pid() && it.state == 'Z')
    });
    assert_eq!((scene.starts(), scene.all()), (0, vec![cron.pid()]), "{}", scene.story());
    let state = scene.path("state");
    let states =
        fs::read_dir(state).unwrap().map(|it| fs::read_to_string(it.unwrap().path()).unwrap_or_default());
    assert!(states.collect::<String>().contains(&cron.pid().to_string()), "{}", scene.story());
}

/// The hardware watchdog's daemon has this program's name.
#[test]
fn a_process_named_watchdog_can_be_watched() {
    let scene = Scene::new();
    let daemon = play(&scene, scene.link_actor("watchdog"), &["sleep"]);
    for flag in ["--exact", "--once"] {
        let dry = DryRun::of(scene.watchdog().with("--process-name", "watchdog").flag(flag));
        dry.assert_found(daemon.pid());
    }
    let path = scene.path("watchdog").into_os_string().into_string().unwrap();
    let dry = DryRun::of(scene.watchdog().flag("--full").with("--process-name", format!("^{path} sleep$")));
    assert_eq!(dry.matching(), [daemon.pid()], "{}", dry.ended);
}

/// Without any privilege, a container's processes are told from our own.
#[test]
fn a_container_s_process_is_not_ours() {
    let scene = Scene::new();
    let Some(way) = unshare(&scene, &["--pid", "--fork", "--kill-child"]) else {
        return skip("no PID namespace can be made here");
    };
    let mut container = program(&way[0]);
    container.args(&way[1..]).arg(scene.path(scene.name())).arg("sleep");
    let _container = scene.spawn(container, Captured::All);
    let inside = scene.wait_running();
    let why = "is in a container; --pid-namespace any makes it count";
    let nobody = NOBODY.to_string();
    let as_nobody = ["setpriv", "--reuid", &nobody, "--regid", &nobody, "--clear-groups"];
    for through in [&[][..], &as_nobody] {
        if !through.is_empty() && !is_root() {
            continue;
        }
        let watchdog = || scene.watchdog().through(through);
        DryRun::of(watchdog()).assert_near(inside, why);
        // Not the program that made the container, which has the name in its command line too.
        let whole = format!("^{} sleep$", scene.path(scene.name()).display());
        let full = watchdog().flag("--full").with("--process-name", whole);
        DryRun::of(full).assert_near(inside, why);
        DryRun::of(watchdog().with("--pid-namespace", "any")).assert_found(inside);
    }
    let watchdog = scene.watchdog().with("--start-command", "false").with("--max-fail-count", "1").spawn();
    let name = scene.name();
    scene.wait_for(&format!(r"^WARN nothing matches '{name}'; similar: '{name}' \(pid {inside}, {why}\)"));
    assert_eq!(watchdog.ends().code(), Some(1));
}

#[test]
fn several_names_are_named_with_what_to_type() {
    let scene = Scene::new();
    let daemon = play(&scene, scene.link_actor(&format!("{}d", scene.name())), &["sleep"]);
    let proxy = play(&scene, scene.link_actor(&format!("{}-proxy", scene.name())), &["sleep"]);
    let watchdog = scene.watchdog().spawn();
    let (name, first, second) = (scene.name(), daemon.pid(), proxy.pid());
    let said = scene.wait_for("^WARN processes of several names match");
    let d = format!("{name}d");
    assert_eq!(
        said.text,
        format!(
            "WARN processes of several names match: {d} (pid {first}), {name}-proxy (pid {second}); \
             following {d} (pid {first}); for {d} alone: --exact --process-name {d}; for {name}-proxy alone: \
             --exact --process-name {name}-proxy"
        )
    );
    watchdog.wait_checks(5);
    assert_eq!(scene.count("several"), 1, "{:#?}", scene.log());
    let dry = DryRun::of(scene.watchdog().flag("--exact").with("--process-name", &d));
    assert_eq!((dry.matching(), dry.warnings().as_str()), (vec![first], ""), "{}", dry.ended);
}

#[test]
fn strangers_of_one_name_are_named_with_what_to_type_and_a_family_is_not() {
    let scene = Scene::new();
    let family =
        play(&scene, scene.path(scene.name()), &["master", scene.path("lock").to_str().unwrap(), "2"]);
    family.ends();
    scene.wait_until("master and workers are there", || (scene.all().len() == 3).then_some(()));
    let dry = DryRun::of(scene.watchdog());
    assert_eq!((dry.matching().len(), dry.warnings().as_str()), (3, ""), "{}", dry.ended);
    let master = scene.all()[0];

    let stranger = scene.link_actor("stranger");
    let path = scene.path(scene.name()).into_os_string().into_string().unwrap();

    let parent = play(&scene, stranger, &["neglect", &path, "ignore-term"]);
    scene.wait_until("the stranger is there", || (scene.all().len() >= 4).then_some(()));
    let dry = DryRun::of(scene.watchdog());
    let warning = dry.warnings();
    assert!(warning.contains("several unrelated processes match"), "{}", dry.ended);
    assert_eq!(dry.matching()[0], master, "{}", dry.ended);
    // What it says to type is what is typed.
    let stricter = warning.split(" alone: ").nth(1).unwrap().to_owned();
    let again = format!("exec \"$@\" {stricter}");
    let dry = DryRun::of(scene.watchdog().without("--process-name").through(&["sh", "-c", &again, "sh"]));
    assert_eq!((dry.matching(), dry.warnings().as_str()), (vec![master], ""), "{stricter}: {}", dry.ended);
    drop(parent);
}

#[test]
fn what_is_close_is_named_with_the_reason() {
    let scene = Scene::new();
    let name = scene.name().to_owned();
    let pid = scene.start_actor(&["sleep"]);
    let upper = name.to_uppercase();
    // Its last two letters in the other order; these are never the same.
    let misspelt = format!("{}z{}", &name[..10], &name[10..11]);
    let anchored = format!("^{}$", &name[..11]);
    for (round, (pattern, command)) in [
        (&upper, "false".to_owned()),
        (&misspelt, "false".into()),
        (&anchored, "false".into()),
        (&"no-such-process".to_owned(), format!("true /usr/sbin/{name}")),
    ]
    .into_iter()
    .enumerate()
    {
        let instance = format!("i{round}");
        let watchdog = scene.watchdog().with("--process-name", pattern).with("--start-command", command);
        let watchdog = watchdog.with("--max-fail-count", "1").with("--name", &instance);
        let counted = format!("--exact --process-name {name} makes it count");
        DryRun::of(watchdog.clone()).assert_near(pid, &format!("has a different name; {counted}"));
        let ended = watchdog.run();
        let said = format!("nothing matches '{pattern}'; similar: '{name}' (pid {pid}, {counted})");
        assert!(ended.code() == Some(1) && ended.stderr.contains(&said), "{said}: {ended}");
    }
    if is_root() {
        let dry = DryRun::of(scene.watchdog().with("--user", NOBODY.to_string()));
        dry.assert_near(pid, "belongs to another user; --user root makes it count");
    }
    let exact = DryRun::of(scene.watchdog().with("--process-name", &name[1..]).flag("--exact"));
    exact.assert_near(pid, &format!("has a different name; --exact --process-name {name} makes it count"));
    // A path, and what was given as it was typed, are no names.
    let line = format!("^{} sleep$", scene.path(&name).display());
    let watchdog = scene.watchdog().with("--process-name", &line).with("--start-command", "false");
    let watchdog = watchdog.with("--max-fail-count", "1").with("--name", "line");
    let why = "its command line matches; --full makes it count";
    DryRun::of(watchdog.clone()).assert_near(pid, why);
    let ended = watchdog.clone().run();
    let said = format!("nothing matches '{line}'; similar: '{name}' (pid {pid}, {why})");
    assert!(ended.code() == Some(1) && ended.stderr.contains(&said), "{said}: {ended}");
    DryRun::of(watchdog.flag("--full")).assert_found(pid);
    // What is not close is not named.
    let dry = DryRun::of(scene.watchdog().with("--process-name", "qqqqqqqqqqqq"));
    assert_eq!((dry.why_not(pid), dry.ended.code()), (None, Some(1)), "{}", dry.ended);
}

/// A scene in a PID namespace of its own, where the next number can be chosen. `script` has the watchdog's
/// command line as its arguments, and `as_number` to start a stranger by the number of one that is gone.
fn with_numbers<'a>(scene: &'a Scene, watchdog: Invocation<'a>, script: &str) -> Option<Watchdog<'a>> {
    let Some(way) = unshare(scene, &["--pid", "--fork", "--mount-proc", "--kill-child"]) else {
        skip("no PID namespace can be made here");
        return None;
    };
    scene.link_actor("stranger");
    // A kernel takes longer than two ticks until a number comes round again, and so does this.
    let text = format!(
        r#"as_number() {{
            sleep 0.03
            echo $(($1 - 1)) > /proc/sys/kernel/ns_last_pid || exit 99
            $HERE/stranger sleep &
            echo "$1 $!" > $HERE/numbers
        }}
        until_there() {{ until grep -q "$1" $HERE/log/*.log; do sleep 0.02; done; }}
        {script}
        touch $HERE/done
        wait"#
    );
    let way: Vec<_> = way.iter().map(String::as_str).chain(["sh", "-c", &text, "sh"]).collect();
    let running = watchdog.through(&way).spawn();
    scene.wait_until("the scene is over", || scene.path("done").exists().then_some(()));
    let numbers = scene.read("numbers");
    let (old, new) = numbers.trim().split_once(' ').unwrap();
    assert_eq!(old, new, "the number was not used again");
    Some(running)
}

#[test]
fn a_number_that_is_used_again_is_not_the_process_that_had_it() {
    let scene = Scene::new();
    let script = r#"$ACTOR sleep & service=$!
        "$@" & dog=$!
        until_there "following .*pid $service,"
        kill -STOP $dog; kill -KILL $service; wait $service
        as_number $service
        kill -CONT $dog
        until_there succeeded"#;
    let Some(_running) = with_numbers(&scene, scene.watchdog(), script) else { return };
    scene.wait_running();
    assert_eq!((scene.starts(), scene.count("not running; starting it")), (1, 1), "{}", scene.story());
    assert_eq!(
        scene.count("handed over|not started by this watchdog|no longer matches"),
        0,
        "{}",
        scene.story()
    );
}

#[test]
fn a_number_that_is_used_again_between_two_runs_is_not_the_process() {
    let scene = Scene::new();
    let script = r#"$ACTOR sleep & service=$!
        "$@"; echo "first $?" >> $HERE/statuses
        kill -KILL $service; wait $service
        as_number $service
        "$@"; echo "second $?" >> $HERE/statuses
        "$@"; echo "third $?" >> $HERE/statuses"#;
    let Some(_running) = with_numbers(&scene, scene.watchdog().flag("--once"), script) else { return };
    assert_eq!(scene.read("statuses"), "first 0\nsecond 0\nthird 0\n", "{}", scene.story());
    scene.wait_running();
    assert_eq!(scene.starts(), 1, "{}", scene.story());
}

/// Nor is it the start command that a watchdog before this one ran, which would be waited for.
#[test]
fn a_number_that_is_used_again_is_not_the_start_command() {
    let scene = Scene::new();
    let script = r#""$@" & dog=$!
        until test -s $HERE/command; do sleep 0.02; done
        read -r command < $HERE/command
        kill -KILL $dog; wait $dog
        kill -KILL $command
        while test -e /proc/$command; do sleep 0.02; done
        as_number $command
        touch $HERE/second
        "$@" &
        until_there succeeded"#;
    let watchdog = scene
        .watchdog()
        .starting("if test -e $HERE/second; then $ACTOR sleep & exit; fi; echo $$ > $HERE/command; exec $HERE/other sleep");
    scene.link_actor("other");
    // Process 1, a shell here, waits for whatever falls to it only now and then.
    let script = format!("trap : CHLD\n{script}");
    let Some(_running) = with_numbers(&scene, watchdog, &script) else { return };
    scene.wait_running();
    assert_eq!(scene.starts(), 2, "{}", scene.story());
}

/// Mounted with `hidepid`, /proc does not show an ordinary user what others run, or not what they are.
#[test]
fn what_is_hidden_is_unknown() {
    if !is_root() {
        return skip("only root can mount a /proc and be another user then");
    }
    for hidden in [1, 2] {
        let scene = Scene::new();
        let pid = scene.start_actor(&["sleep"]);
        for folder in ["state", "log"] {
            fs::create_dir(scene.path(folder)).unwrap();
            fs::set_permissions(scene.path(folder), fs::Permissions::from_mode(0o777)).unwrap();
        }
        let hide = format!(
            "mount -t proc -o hidepid={hidden} none /proc && \
             exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups \"$@\""
        );
        let through = ["unshare", "--mount", "sh", "-c", &hide, "sh"];
        let watchdog = || scene.watchdog().through(&through);
        let dry = DryRun::of(watchdog());
        assert_eq!((dry.ended.code(), dry.matching()), (Some(3), vec![]), "hidepid={hidden}: {}", dry.ended);
        assert!(
            dry.would().starts_with("start nothing: ") && dry.would().contains("hidepid"),
            "{}",
            dry.ended
        );
        let full = DryRun::of(watchdog().flag("--full"));
        assert_eq!(full.ended.code(), Some(3), "hidepid={hidden}: {}", full.ended);
        let once = watchdog().flag("--once").run();
        assert_eq!((once.code(), scene.starts()), (Some(3), 0), "hidepid={hidden}: {once}");
        // One's own are never hidden.
        let own = DryRun::of(watchdog().with("--user", NOBODY.to_string()));
        assert_eq!(own.ended.code(), Some(1), "hidepid={hidden}: {}", own.ended);
        let mine = settled(&scene, scene.start_actor_as(NOBODY));
        let dry = DryRun::of(watchdog());
        assert_eq!((dry.ended.code(), dry.matching()), (Some(0), vec![mine.pid()]), "{pid}: {}", dry.ended);
    }
}

/// Between two reads of a look over /proc any process may vanish.
#[test]
fn what_vanishes_meanwhile_is_no_trouble() {
    let scene = Scene::new();
    let long = scene.link_actor("comes-and-goes-all-the-time");
    let mut churn = program("sh");
    churn.args(["-c", r#"while :; do "$0" exit 0 0 & "$0" exit 0 1; done"#]).arg(long);
    let _churn = scene.spawn(churn, Captured::All);
    for running in [false, true] {
        let pid = running.then(|| scene.start_actor(&["sleep"]));
        for _ in 0..30 {
            let dry = DryRun::of(scene.watchdog());
            let expected = (Some(i32::from(!running)), pid.into_iter().collect::<Vec<_>>());
            assert_eq!((dry.ended.code(), dry.matching()), expected, "{}", dry.ended);
        }
    }
}

/// What is left over of a service, and the log's line for it.
fn assert_left_over(scene: &Scene, watchdog: Invocation, server: &Watchdog, left_over: &[(i32, String)]) {
    let once = watchdog.clone().flag("--once");
    let watchdog = watchdog.spawn();
    scene.wait_for(&format!(r"following [^ ]+ \(pid {},", server.pid()));
    send(server.pid(), SIGKILL);
    let said = scene
        .wait_for("^WARN left over from the dead process, not counted: .*; if the start fails, they are the likely cause");
    for (pid, name) in left_over {
        assert!(said.text.contains(&format!("{name} (pid {pid})")), "{said:?}\n{}", scene.story());
    }
    let record = scene.wait_for("^INFO attempt 1 succeeded");
    let new = record.number_after(r"\(pid").unwrap();
    assert!(left_over.iter().all(|(pid, _)| *pid != new), "{}", scene.story());
    assert_eq!(scene.starts(), 1, "{}", scene.story());
    watchdog.wait_checks(3);
    watchdog.terminate();
    // The same from one run to the next, as cron has them.
    assert_eq!(once.clone().run().code(), Some(0), "{}", scene.story());
    send(new, SIGKILL);
    scene.wait_gone(new);
    let ended = once.run();
    assert_eq!((ended.code(), scene.starts()), (Some(0), 2), "{ended}\n{}", scene.story());
    assert_eq!(scene.count("^WARN left over"), 2, "{}", scene.story());
}

#[test]
fn dockerd_is_not_what_it_leaves_behind() {
    let scene = Scene::new();
    let docker = scene.name().to_owned();
    let mut terminal = Terminal::new();
    let mut client = program(scene.path(&docker));
    client.arg("sleep");
    let client = settled(&scene, terminal.start(&scene, client));
    let dockerd = play(&scene, scene.link_actor(&format!("{docker}d")), &["sleep"]);
    let play = |name: String| (play(&scene, scene.link_actor(&name), &["sleep"]), name);
    let others = [play(format!("{docker}-proxy")), play(format!("{docker}-init"))];
    let mut left_over: Vec<_> = others.iter().map(|(it, name)| (it.pid(), name.clone())).collect();
    left_over.push((client.pid(), docker.clone()));
    let watchdog = scene.watchdog().starting("${ACTOR}d sleep &");
    let dry = DryRun::of(watchdog.clone());
    assert_eq!(
        dry.matching(),
        [dockerd.pid(), left_over[0].0, left_over[1].0, client.pid()],
        "{}",
        dry.ended
    );
    assert_left_over(&scene, watchdog, &dockerd, &left_over);
}

#[test]
fn sshd_s_sessions_are_not_its_listener() {
    let scene = Scene::new();
    let path = scene.path(scene.name());
    let listener = titled(&scene, &path, "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups");
    let session = titled(&scene, &path, "sshd: admin [priv]");
    let name = scene.name().to_owned();
    let start = "exec perl -e 'exec { $ENV{ACTOR} } qq(sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups), qq(sleep)'";
    if !has("perl") {
        return skip("there is no perl to set a title with");
    }
    assert_left_over(&scene, scene.watchdog().starting(start), &listener, &[(session.pid(), name)]);
}

#[test]
fn cron_is_not_its_job() {
    let scene = Scene::new();
    let path = scene.path(scene.name());
    let cron = play(&scene, &path, &["sleep"]);
    let job = titled(&scene, &path, path.to_str().unwrap().to_uppercase());
    let name = scene.name().to_owned();
    assert_left_over(&scene, scene.watchdog(), &cron, &[(job.pid(), name)]);
}

#[test]
fn mysqld_is_not_mysqldump() {
    let scene = Scene::new();
    let mysqld = play(&scene, scene.path(scene.name()), &["sleep"]);
    let name = format!("{}ump", scene.name());
    let dump = play(&scene, scene.link_actor(&name), &["sleep"]);
    assert_left_over(&scene, scene.watchdog(), &mysqld, &[(dump.pid(), name.clone())]);
    // Where it is dead already, the whole name tells them apart.
    send(scene.wait_running(), SIGKILL);
    scene.wait_until("it is dead", || scene.all().is_empty().then_some(()));
    let why = format!("has a different name; --exact --process-name {name} makes it count");
    DryRun::of(scene.watchdog().flag("--exact")).assert_near(dump.pid(), &why);
}
