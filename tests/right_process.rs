//! The process that is meant and is called otherwise: what is close, with the option that counts it; and no second
//! copy beside it.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal::SIGKILL;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use procfs::process::Process;
use regex_lite::Regex;

use crate::dry_run::DryRun;
use crate::harness::{Captured, Invocation, Record, Scene, Watchdog, named};
use crate::machine::{actor, is_root, processes, program, send, skip};
use crate::terminal::Terminal;
use crate::which::{NOBODY, play, script, settled, titled};

/// An option of the criteria with its value, as it would be typed.
const OPTION: &str =
    r"--(?:full|exact|pid-namespace any|(?:process-name|user)[ =](?:'(?:[^']|'\\'')*'|[^\s';,)]+))";

/// The options in a text, as they would be typed.
fn options(text: &str) -> Vec<String> {
    Regex::new(OPTION).unwrap().find_iter(text).map(|found| found.as_str().to_owned()).collect()
}

/// What a record says of one process, of several: `'name' (pid 7, why), 'other' (pid 8, why)`.
fn said_of(text: &str, pid: i32) -> &str {
    let Some((_, rest)) = text.split_once(&format!("pid {pid}")) else { return "" };
    rest.split("(pid ").next().unwrap()
}

/// The invocation with the options that a text names. Its `flags` are given apart, to be given once.
fn with_options<'a>(watchdog: Invocation<'a>, flags: &[&str], text: &str) -> Invocation<'a> {
    let options = options(text);
    let has = |name: &str| options.iter().any(|option| option.starts_with(name));
    let mut watchdog = flags.iter().filter(|flag| !has(flag)).fold(watchdog, |it, flag| it.flag(flag));
    for option in ["--process-name", "--user", "--pid-namespace"] {
        if has(option) {
            watchdog = watchdog.without(option);
        }
    }
    let typed = format!("exec \"$@\" {}", options.join(" "));
    watchdog.through(&["sh", "-c", &typed, "sh"])
}

/// The options in a text make this process count.
#[track_caller]
pub fn assert_counted_by(watchdog: Invocation, flags: &[&str], text: &str, pid: i32) {
    assert!(!options(text).is_empty(), "no option of pid {pid} in: {text}");
    let dry = DryRun::of(with_options(watchdog, flags, text));
    assert!(dry.matching().contains(&pid), "not counted by {:?}, of {text:?}: {}", options(text), dry.ended);
}

/// This process is near, and it is said by which option it would count; in the log too.
#[track_caller]
fn assert_near_with_option(scene: &Scene, label: &str, watchdog: &Invocation, flags: &[&str], pid: i32) {
    let flagged = || flags.iter().fold(watchdog.clone(), |it, flag| it.flag(flag));
    let dry = DryRun::of(flagged());
    let why = dry.why_not(pid).unwrap_or_else(|| panic!("{label}: {pid} is not near: {}", dry.ended));
    assert_eq!((dry.ended.code(), dry.matching()), (Some(1), vec![]), "{label}: {}", dry.ended);
    assert_counted_by(watchdog.clone(), flags, why, pid);

    let instance = format!("i{pid}");
    let once = flagged().with("--name", &instance).with("--max-fail-count", "1").flag("--once");
    let ended = once.starting("true").run();
    assert_eq!(ended.code(), Some(1), "{label}: {ended}\n{}", scene.story());
    let text = scene.read(&format!("log/{instance}.log"));
    let said = text.lines().find(|line| line.contains(" WARN ") && line.contains(&format!("pid {pid}")));
    let said = said.unwrap_or_else(|| panic!("{label}: {pid} is not named:\n{text}"));
    assert_counted_by(watchdog.clone(), flags, said_of(said, pid), pid);
}

/// A copy of the actor, whose executable has this name. A child writes it: what this process has had open may be open
/// in a child of another test, and cannot be executed then.
pub fn copy_actor(scene: &Scene, path: impl AsRef<Path>) -> PathBuf {
    let path = scene.path("").join(path);
    let mut copy = program("sh");
    copy.args(["-c", r#"mkdir -p "${1%/*}" && cp "$0" "$1""#]).arg(actor()).arg(&path);
    assert!(scene.spawn(copy, Captured::All).ends().status.success());
    path
}

/// Waits until a process has this name.
fn renamed<'a>(scene: &Scene, process: Watchdog<'a>, name: &str) -> Watchdog<'a> {
    scene.wait_until("it has its other name", || named(name).contains(&process.pid()).then_some(()));
    process
}

/// The program on the PATH itself, and not a script of this name before it.
pub fn real(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_program = |path: &PathBuf| {
        let mut start = [0; 4];
        let file = fs::File::open(path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut start));
        file.is_ok() && start == *b"\x7fELF"
    };
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(is_program);
    if found.is_none() {
        skip(&format!("there is no {name} here; its stand-in is tried all the same"));
    }
    found
}

/// A control group, as systemd makes one for a unit.
struct UnitGroup(PathBuf);

impl UnitGroup {
    fn new(unit: &str) -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let below = |prefix: &str, roots: &[&str]| {
            let path = own.lines().find_map(|line| line.split_once(prefix))?.1;
            let path = path.trim_start_matches('/');
            let root = roots.iter().map(PathBuf::from).find(|root| root.join("cgroup.procs").exists())?;
            let group = root.join(path).join(unit);
            fs::create_dir(&group).ok().map(|()| UnitGroup(group))
        };
        below(":name=systemd:", &["/sys/fs/cgroup/systemd"])
            .or_else(|| below("0::", &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]))
    }

    fn take(&self, pid: i32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for UnitGroup {
    fn drop(&mut self) {
        // What is in it may need a moment to end.
        for _ in 0..500 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(crate::harness::LOOK_AGAIN);
        }
    }
}

/// What is started, by what it is called, and a pattern that does not find it and means it.
#[test]
fn what_is_called_otherwise_is_near_with_the_option_that_counts_it() {
    let scene = Scene::new();
    let (name, other) = (scene.name().to_owned(), scene.other());
    let folder = scene.path("");
    let in_folder = |file: &str| folder.join(file).into_os_string().into_string().unwrap();
    let link = scene.path(&name);
    let stranger = scene.link_actor(&other);
    let own_file = copy_actor(&scene, format!("bin/{name}"));
    let versioned = copy_actor(&scene, format!("{name}-dir/jre/bin/{other}"));
    let renamed_to = |title: &str| vec!["renamed".to_owned(), title.to_owned(), "sleep".into()];
    let sleep =
        |before: &[&str]| before.iter().copied().chain(["sleep"]).map(str::to_owned).collect::<Vec<_>>();
    let whole = format!("^{name}$");
    for (label, path, first, part, pattern) in [
        ("node's main thread", &link, None, renamed_to(&other), &name),
        ("a title, and its own executable", &own_file, Some("some title"), renamed_to(&other), &whole),
        (
            "a title that begins with it",
            &stranger,
            Some(&*format!("{name} worker 3 [x]")),
            sleep(&[]),
            &whole,
        ),
        ("Wine", &stranger, Some(&*format!(r"Z:\srv\{name}.exe")), sleep(&[]), &format!(r"^{name}\.exe$")),
        ("a script", &stranger, None, sleep(&["-u", &in_folder(&format!("{name}.py"))]), &format!("^{name}")),
        ("a script by its name alone", &stranger, None, sleep(&[&in_folder(&name)]), &whole),
        (
            "a jar",
            &stranger,
            None,
            sleep(&["-jar", &in_folder(&format!("{name}.jar"))]),
            &format!(r"^{name}\.jar$"),
        ),
        ("a folder of its executable", &versioned, None, sleep(&[]), &format!("{name}-dir")),
    ] {
        let mut command = program(path);
        command.arg0(first.unwrap_or(path.to_str().unwrap())).args(&part);
        let process = settled(&scene, scene.spawn(command, Captured::All));
        let process = renamed(&scene, process, &other);
        let watchdog = scene.watchdog().with("--process-name", pattern);
        assert_near_with_option(&scene, label, &watchdog, &[], process.pid());
        // Whoever has the name is what is followed, and nobody else.
        let dry = DryRun::of(scene.watchdog().with("--process-name", &other));
        assert!(dry.matching().contains(&process.pid()), "{label}: {}", dry.ended);
        send(process.pid(), SIGKILL);
        process.ends();
    }
}

/// A reader of its log is not what is meant, nor is who has the name somewhere else.
#[test]
fn what_only_mentions_the_name_is_not_near() {
    let scene = Scene::new();
    let (name, other) = (scene.name().to_owned(), scene.other());
    let stranger = scene.link_actor(&other);
    for words in [
        &["sleep", &name][..],
        &["sleep", &format!("/var/log/{name}.log")],
        &["-u", "/srv/other.py", "sleep", &name],
        &["-u", &format!("/srv/{name}/other.py"), "sleep"],
    ] {
        let process = play(&scene, &stranger, words);
        let dry = DryRun::of(scene.watchdog());
        assert_eq!((dry.why_not(process.pid()), dry.matching()), (None, vec![]), "{words:?}: {}", dry.ended);
        send(process.pid(), SIGKILL);
        process.ends();
    }
}

/// With `--full`: in another case, without an anchor, without the first argument's path.
#[test]
fn a_command_line_that_nearly_matches_is_near_with_the_pattern_that_matches() {
    let scene = Scene::new();
    let name = scene.name();
    // /usr/bin/java -Xmx1g tsd.TSDMain
    let process = play(&scene, scene.path(name), &["-Xmx1g", "sleep", "TSDMain"]);
    for (flags, pattern) in [
        (&["--full"][..], format!("^{name} .*TSDMain")),
        (&["--full"], format!("{name} -XMX1G SLEEP tsdmain")),
        (&["--full"], "^-Xmx1g sleep TSDMain$".into()),
        (&["--full", "--exact"], format!("{name} -Xmx1g sleep TSDMain")),
        (&["--full"], format!("^/usr/local/bin/{name} .*TSDMain")),
    ] {
        let watchdog = scene.watchdog().with("--process-name", &pattern);
        assert_near_with_option(&scene, &pattern, &watchdog, flags, process.pid());
    }
}

/// Of a package or unit whose process is called otherwise, as php8.2-fpm's php-fpm8.2.
#[test]
fn the_process_of_a_unit_of_that_name_is_near() {
    // The group goes after the scene whose process is in it.
    let unit = Scene::new();
    let name = unit.name();
    let Some(group) = UnitGroup::new(&format!("{name}.service")) else {
        return skip("no control group can be made here");
    };
    let scene = Scene::new();
    let process = play(&scene, scene.link_actor(&scene.other()), &["sleep"]);
    group.take(process.pid());
    let watchdog = scene.watchdog().with("--process-name", name);
    assert_near_with_option(&scene, "a unit of the name", &watchdog, &[], process.pid());
    let command = format!("true service {name} start");
    let watchdog =
        scene.watchdog().with("--process-name", "no-such-process").with("--start-command", &command);
    let why = DryRun::of(watchdog.clone());
    let why =
        why.why_not(process.pid()).unwrap_or_else(|| panic!("not near by the start command: {}", why.ended));
    assert_counted_by(watchdog.clone(), &[], why, process.pid());
    // The mail has the question, and what to type.
    let once = watchdog.flag("--once").with("--max-fail-count", "2");
    let ended = once.run();
    assert_eq!(ended.code(), Some(1), "{ended}");
    assert!(ended.stderr.contains(&format!("pid {}", process.pid())), "{ended}");
    assert!(!options(said_of(&ended.stderr, process.pid())).is_empty(), "{ended}");
}

/// Each near line names what to type, for what was near before too.
#[test]
fn each_near_line_names_the_option() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let name = scene.name().to_owned();
    let misspelt = format!("{}z{}", &name[..10], &name[10..11]);
    for (flags, pattern, command) in [
        (&[][..], name.to_uppercase(), "false".to_owned()),
        (&[], misspelt, "false".into()),
        (&[], format!("^{}$", &name[..11]), "false".into()),
        (&["--exact"], name[1..].to_owned(), "false".into()),
        (&[], "no-such-process".into(), format!("true /usr/sbin/{name}")),
    ] {
        let watchdog = scene.watchdog().with("--process-name", &pattern).with("--start-command", command);
        let dry = DryRun::of(flags.iter().fold(watchdog.clone(), |it, flag| it.flag(flag)));
        let why = dry.why_not(pid).unwrap_or_else(|| panic!("{pattern}: not near: {}", dry.ended));
        assert_counted_by(watchdog, flags, why, pid);
    }
    if is_root() {
        let watchdog = scene.watchdog().with("--user", NOBODY.to_string());
        let dry = DryRun::of(watchdog.clone());
        assert_counted_by(watchdog, &[], dry.why_not(pid).unwrap_or_default(), pid);
    }
}

/// Names of more than 15 bytes whose executable is called otherwise.
#[test]
fn a_long_name_is_found_in_the_arguments_where_the_executable_has_another() {
    let scene = Scene::new();
    let long = format!("{}-and-a-long-tail", scene.name());
    let found = |label: &str, pattern: &str, pid: i32| {
        let dry = DryRun::of(scene.watchdog().with("--process-name", pattern).flag("--exact"));
        assert_eq!(dry.matching(), [pid], "{label}: {}", dry.ended);
    };
    let end = |process: Watchdog| {
        send(process.pid(), SIGKILL);
        process.ends();
    };

    let versioned = copy_actor(&scene, format!("{long}-1.2"));
    symlink(&versioned, scene.path(&long)).unwrap();
    let process = play(&scene, scene.path(&long), &["sleep"]);
    found("a versioned link", &long, process.pid());
    found("and its target", &regex_lite::escape(&format!("{long}-1.2")), process.pid());
    end(process);

    let own = copy_actor(&scene, format!("b/{long}"));
    let process = play(&scene, &own, &["sleep"]);
    fs::rename(&own, own.with_file_name(format!("{long}.old"))).unwrap();
    found("moved aside", &long, process.pid());
    fs::remove_file(own.with_file_name(format!("{long}.old"))).unwrap();
    found("and removed", &long, process.pid());
    end(process);

    let own = copy_actor(&scene, format!("c/{long}"));
    let process = play(&scene, &own, &["sleep"]);
    fs::rename(&own, scene.path("c/.something-else-dpkg-tmp")).unwrap();
    found("moved to another name", &long, process.pid());
    end(process);

    let wine = scene.link_actor(&format!("{long}.exe"));
    let process = titled(&scene, wine, format!(r"Z:\srv\{long}.exe"));
    found("Wine", &format!(r"{long}\.exe"), process.pid());
    end(process);
}

/// Waits for a record in this log that names a process (this one) with the option that counts it, and is no mere
/// information.
#[track_caller]
fn wait_told(scene: &Scene, log: &str, pid: Option<i32>) -> i32 {
    let number = Regex::new("pid ([0-9]+)").unwrap();
    scene.wait_until(&format!("{log} names {pid:?} with its option"), || {
        let text = scene.read(log);
        text.lines().filter(|line| !line.contains(" INFO ")).find_map(|line| {
            let mut all = number.captures_iter(line).filter_map(|found| found.get(1)?.as_str().parse().ok());
            all.find(|it| pid.is_none_or(|pid| pid == *it) && !options(said_of(line, *it)).is_empty())
        })
    })
}

/// Three attempts have time to come; one was made.
#[track_caller]
fn assert_no_second_copy(scene: &Scene, watchdog: &Watchdog, pid: i32) {
    watchdog.wait_checks(30);
    let name = String::from_utf8(fs::read(format!("/proc/{pid}/comm")).unwrap()).unwrap();
    assert_eq!((scene.starts(), named(name.trim_end())), (1, vec![pid]), "{}", scene.story());
}

/// The log's line on a process that the start command has left and that is nearly it.
#[track_caller]
fn assert_told_once(scene: &Scene, watchdog: &Invocation, flags: &[&str], pid: i32) {
    let told = || {
        let named = |record: &Record| !options(said_of(&record.text, pid)).is_empty();
        scene
            .log()
            .into_iter()
            .filter(|record| !record.text.starts_with("INFO") && named(record))
            .collect::<Vec<_>>()
    };
    let [said] = &told()[..] else { panic!("not said once: {:#?}", scene.log()) };
    assert_counted_by(watchdog.clone(), flags, said_of(&said.text, pid), pid);
}

#[test]
fn no_second_copy_is_started_beside_what_is_called_otherwise() {
    let scene = Scene::new();
    let other = scene.other();
    scene.link_actor(&format!("{other}i"));
    let script = scene.path(&format!("{}.py", scene.name())).into_os_string().into_string().unwrap();
    for (label, pattern, command) in [
        ("a name", scene.name().to_owned(), "$ACTOR renamed $OTHER sleep &".to_owned()),
        (
            "in a session of its own",
            scene.name().to_owned(),
            "setsid $ACTOR renamed $OTHER sleep & sleep 0.3".to_owned(),
        ),
        (
            "a script",
            format!("^{}", scene.name()),
            format!("$HERE/${{OTHER}}i -u {script} renamed $OTHER sleep &"),
        ),
        ("a daemon", scene.name().to_owned(), "$ACTOR daemonise 300 renamed $OTHER sleep".to_owned()),
        ("a command that stays", scene.name().to_owned(), "$ACTOR renamed $OTHER sleep; exit 3".to_owned()),
    ] {
        let instance = format!("i{}", label.len());
        let log = format!("log/{instance}.log");
        let watchdog = scene.watchdog().with("--process-name", pattern).with("--name", &instance);
        let watchdog = watchdog.with("--start-timeout", "1s").starting(&command);
        let starts = scene.starts();
        let running = watchdog.spawn();
        let pid = scene.wait_until("it is started", || named(&other).first().copied());
        wait_told(&scene, &log, Some(pid));
        running.wait_checks(30);
        assert_eq!((scene.starts(), named(&other)), (starts + 1, vec![pid]), "{label}: {}", scene.story());
        running.terminate();
        assert_eq!(named(&other), [pid], "{label}: nothing is ended\n{}", scene.story());
        send(pid, SIGKILL);
        scene.wait_until("it is gone", || named(&other).is_empty().then_some(()));
    }
}

/// It is told once; when it ends, the next is started; and when what matches comes, that is followed.
#[test]
fn the_watch_goes_on_beside_it() {
    let scene = Scene::new();
    let other = scene.other();
    let invocation = scene.watchdog().starting("$ACTOR renamed $OTHER sleep &");
    let watchdog = invocation.spawn();
    let pid = scene.wait_until("it is started", || named(&other).first().copied());
    scene.wait_for(&format!("^(?:WARN|ERROR) .*pid {pid}[^0-9]"));
    assert_no_second_copy(&scene, &watchdog, pid);
    assert_told_once(&scene, &scene.watchdog(), &[], pid);
    send(pid, SIGKILL);
    let next = scene.wait_until("the next is started", || match named(&other)[..] {
        [next] if next != pid => Some(next),
        _ => None,
    });
    assert_eq!(scene.starts(), 2, "{}", scene.story());
    let right = scene.start_actor(&["sleep"]);
    scene.wait_for(&format!(r"\(pid {right}\)"));
    send(right, SIGKILL);
    scene.wait_for(&format!(r"\(pid {right}\) was killed"));
    assert!(named(&other).contains(&next), "nothing is ended: {}", scene.story());
}

#[test]
fn from_cron_there_is_no_second_copy_either() {
    let scene = Scene::new();
    let other = scene.other();
    let once = scene.watchdog().starting("$ACTOR renamed $OTHER sleep &").flag("--once");
    let ended = once.clone().run();
    let pid = scene.wait_until("it is started", || named(&other).first().copied());
    assert_eq!((ended.code(), ended.stderr.lines().count()), (Some(3), 1), "{ended}\n{}", scene.story());
    assert_counted_by(scene.watchdog(), &[], said_of(&ended.stderr, pid), pid);
    for _ in 0..3 {
        let ended = once.clone().run();
        assert!(ended.code() == Some(3) && ended.stderr.lines().count() <= 1, "{ended}");
    }
    assert_eq!((scene.starts(), named(&other)), (1, vec![pid]), "{}", scene.story());
    // With that option, it is what is watched.
    let right =
        with_options(once.clone(), &[], said_of(&scene.read(&format!("log/{}.log", scene.name())), pid));
    let ended = right.run();
    assert_eq!((ended.code(), scene.starts()), (Some(0), 1), "{ended}");
    // And when it is gone, the next is started.
    send(pid, SIGKILL);
    scene.wait_until("it is gone", || named(&other).is_empty().then_some(()));
    fs::remove_dir_all(scene.path("state")).unwrap();
    assert_eq!((once.run().code(), scene.starts()), (Some(3), 2), "{}", scene.story());
}

/// Otherwise each attempt is judged as ever.
#[test]
fn what_may_be_something_else_keeps_nothing_from_being_started() {
    for (label, command, expected) in [
        ("the command failed", "$ACTOR renamed $OTHER sleep & exit 3", 3),
        ("a folder alone is near", "$FOLDER/bin/$OTHER sleep &", 3),
        ("it does not come from the command", "true", 3),
        ("nothing near is left", "$HERE/$OTHER sleep &", 3),
    ] {
        let scene = Scene::new();
        let other = scene.other();
        scene.link_actor(&other);
        let in_folder = copy_actor(&scene, format!("{}-dir/bin/{other}", scene.name()));
        let folder = in_folder.parent().unwrap().parent().unwrap().to_str().unwrap().to_owned();
        let before = play(&scene, scene.path(scene.name()), &["renamed", "before", "sleep"]);
        scene.wait_until("it has its other name", || scene.all().is_empty().then_some(()));
        if !label.starts_with("it does not") {
            send(before.pid(), SIGKILL);
            before.ends();
        }
        let command = format!("FOLDER={folder}; {command}");
        let ended = scene.watchdog().starting(&command).with("--restart-wait-interval", "0.3").run();
        assert_eq!(
            (ended.code(), scene.starts()),
            (Some(1), expected),
            "{label}: {ended}\n{}",
            scene.story()
        );
    }
}

/// What has matched in this boot is what is meant, and something else is left.
#[test]
fn where_the_process_was_seen_before_the_name_is_right() {
    let scene = Scene::new();
    let once = scene.watchdog().starting("$ACTOR renamed $OTHER sleep &").flag("--once");
    let pid = scene.start_actor(&["sleep"]);
    assert_eq!(once.clone().run().code(), Some(0));
    send(pid, SIGKILL);
    scene.wait_gone(pid);
    let ended = once.run();
    assert_eq!((ended.code(), scene.starts()), (Some(1), 3), "{ended}\n{}", scene.story());
}

/// With `exec` the command itself is what was meant: the question comes while it is running, and not when it is ended.
#[test]
fn a_start_command_that_stays_is_asked_about_in_time() {
    let scene = Scene::new();
    let other = scene.other();
    let command = "exec $ACTOR renamed $OTHER sleep";
    let _watchdog = scene.watchdog().starting(command).with("--start-timeout", "200s").spawn();
    let pid = scene.wait_until("it is started", || named(&other).first().copied());
    let said = scene.wait_for("is the name right");
    assert!(!said.text.starts_with("INFO"), "{said:?}");
    scene.wait_for(&format!("^WARN .*pid {pid}[^0-9]"));
    let about = |record: &Record| !options(said_of(&record.text, pid)).is_empty();
    let record = scene.log().into_iter().find(about).unwrap_or_else(|| panic!("{:#?}", scene.log()));
    assert_counted_by(scene.watchdog(), &[], said_of(&record.text, pid), pid);
    assert_eq!((scene.starts(), named(&other)), (1, vec![pid]), "{}", scene.story());
}

/// What it left running is what comes from it, each with the option that counts it.
#[test]
fn only_what_the_start_command_left_is_said_to_be_left() {
    let scene = Scene::new();
    let other = scene.other();
    let stranger = scene.link_actor(&other.replacen('z', "s", 1));
    scene.link_actor(&other);
    let command = "$HERE/$OTHER sleep & $HERE/$OTHER daemonise 300 sleep; touch $HERE/launched; \
                   until test -e $HERE/go; do sleep 0.02; done";
    let watchdog = scene.watchdog().starting(command).with("--max-fail-count", "1");
    let watchdog = watchdog.with("--restart-wait-interval", "1s").spawn();
    scene.wait_until("both are left", || scene.path("launched").exists().then_some(()));
    let all = <[i32; 2]>::try_from(named(&other)).unwrap();
    // It comes meanwhile, and has lost its parent: as every daemon that starts just then.
    let daemon = play(&scene, &stranger, &["fork-away", "sleep"]);
    daemon.ends();
    let stranger = scene.wait_until("a stranger has come", || {
        named(stranger.file_name().unwrap().to_str().unwrap()).first().copied()
    });
    fs::write(scene.path("go"), "").unwrap();
    assert_eq!(watchdog.ends().code(), Some(1), "{}", scene.story());
    let log = scene.log();
    let said = |pid: i32| log.iter().find(|record| !said_of(&record.text, pid).is_empty());
    for pid in all {
        let said = said(pid).unwrap_or_else(|| panic!("{pid} is not said to be left: {log:#?}"));
        assert_counted_by(scene.watchdog(), &[], said_of(&said.text, pid), pid);
    }
    assert_eq!(said(stranger), None, "it does not come from the start command");
}

/// The question is in the mail too.
#[test]
fn a_give_up_for_a_wrong_name_asks_whether_it_is_right() {
    let scene = Scene::new();
    scene.link_actor(&scene.other());
    let ended =
        scene.watchdog().starting("$HERE/$OTHER sleep &").with("--max-fail-count", "1").flag("--once").run();
    let pid = named(&scene.other())[0];
    assert_eq!(ended.code(), Some(1), "{ended}");
    assert!(ended.stderr.contains("is the name right"), "{ended}");
    assert!(!options(said_of(&ended.stderr, pid)).is_empty(), "{ended}");
}

/// A wrapper's name holds the service's: each has a pattern of its own.
#[test]
fn each_of_several_names_has_its_pattern() {
    let scene = Scene::new();
    let wrapper_name = format!("p.{}", scene.name());
    let wrapper = scene.link_actor(&wrapper_name);
    // The older one is the wrong one, and followed.
    let wrapper = play(&scene, wrapper, &["sleep"]);
    let service = play(&scene, scene.path(scene.name()), &["sleep"]);
    let dry = DryRun::of(scene.watchdog());
    let warning = dry.warnings();
    let patterns = Regex::new(r"--exact --process-name ('[^']*'|[^\s;,)]+)").unwrap();
    let patterns: Vec<_> = patterns.find_iter(&warning).map(|found| found.as_str().to_owned()).collect();
    let found = |pid: i32| {
        patterns
            .iter()
            .any(|pattern| DryRun::of(with_options(scene.watchdog(), &[], pattern)).matching() == [pid])
    };
    assert!(found(service.pid()) && found(wrapper.pid()), "{patterns:?}: {}", dry.ended);
    let _watchdog = scene.watchdog().spawn();
    let said = scene.wait_for("^WARN .*several names");
    for pattern in &patterns {
        assert!(said.text.contains(pattern), "{said:?}");
    }
}

// The real programs, where there are any.

/// Node calls its main thread `MainThread` since version 24.
#[test]
fn node_is_near_whatever_it_calls_its_thread() {
    let Some(node) = real("node") else { return };
    let scene = Scene::new();
    let name = format!("n{}", scene.name());
    symlink(node, scene.path(&name)).unwrap();
    let part = ["-e", "setInterval(() => {}, 1e6)"];
    let process = play(&scene, scene.path(&name), &part);
    let is_at_work = || {
        let threads = fs::read_dir(format!("/proc/{}/task", process.pid())).ok()?.count();
        (threads > 4).then(|| fs::read_to_string(format!("/proc/{}/comm", process.pid())).ok())?
    };
    let comm = scene.wait_until("node is at work", is_at_work);
    if comm.trim_end() == name {
        return skip("this node calls its main thread node; the stand-in is tried all the same");
    }
    let watchdog = scene.watchdog().with("--process-name", &name);
    assert_near_with_option(&scene, "node", &watchdog, &[], process.pid());
    send(process.pid(), SIGKILL);
    let start = format!("$HERE/{name} -e '{}' &", part[1]);
    let watchdog = watchdog.with("--name", "node").with("--restart-wait-interval", "1s").starting(&start);
    let starts = scene.starts();
    let running = watchdog.spawn();
    let pid = wait_told(&scene, "log/node.log", None);
    running.wait_checks(40);
    assert_eq!(scene.starts(), starts + 1, "{}", scene.story());
    send(pid, SIGKILL);
}

/// `#!/usr/bin/env python3`: its name is python3, and of a shell script bash.
#[test]
fn a_script_is_near_by_its_file() {
    for (interpreter, text) in
        [("python3", "import time\ntime.sleep(300)\n"), ("bash", "read -rt 300 <>\"$HERE/pipe\"\n")]
    {
        let Some(program) = real(interpreter) else { continue };
        let scene = Scene::new();
        mkfifo(&scene.path("pipe"), Mode::S_IRWXU).unwrap();
        let file = scene.path(&format!("{}-bot.py", scene.name()));
        script(&scene, &file, &format!("#!/usr/bin/env {interpreter}\n{text}"));
        let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let start = format!("PATH={path} {} &", file.display());
        let watchdog =
            scene.watchdog().with("--process-name", format!("{}-bot", scene.name())).starting(&start);
        let running = watchdog.with("--name", "bot").spawn();
        let all = || {
            let is_it = |process: &Process| {
                process.cmdline().is_ok_and(|line| line.len() == 2 && line[1] == file.to_str().unwrap())
            };
            processes().filter(is_it).map(|it| it.pid).collect::<Vec<_>>()
        };
        let pid = scene.wait_until("the script is at work", || all().first().copied());
        wait_told(&scene, "log/bot.log", Some(pid));
        running.wait_checks(30);
        assert_eq!((scene.starts(), all()), (1, vec![pid]), "{interpreter}: {}", scene.story());
        send(pid, SIGKILL);
    }
}

/// Its server is called `tmux: server`.
#[test]
fn tmux_s_server_is_near_by_an_exact_name() {
    let Some(tmux) = real("tmux") else { return };
    let scene = Scene::new();
    // Its own file, so that no other tmux of this machine is meant.
    symlink(tmux, scene.path("tmux")).unwrap();
    let socket = scene.path("socket").into_os_string().into_string().unwrap();
    let mut start = program(scene.path("tmux"));
    start.args(["-S", &socket, "-f", "/dev/null", "new-session", "-d", "sleep 300"]).env_remove("TMUX");
    assert_eq!(scene.spawn(start, Captured::All).ends().code(), Some(0), "{}", scene.story());
    let server = || {
        let is_it = |process: &Process| process.cmdline().is_ok_and(|line| line.contains(&socket));
        processes().find(is_it).map(|it| it.pid)
    };
    let pid = scene.wait_until("its server is there", server);
    let watchdog =
        scene.watchdog().with("--process-name", "tmux").with("--user", nix::unistd::geteuid().to_string());
    let dry = DryRun::of(watchdog.clone().flag("--exact"));
    let why = dry.why_not(pid).unwrap_or_else(|| panic!("not near: {}", dry.ended));
    assert_counted_by(watchdog, &["--exact"], why, pid);
    send(pid, SIGKILL);
}

/// Who types into a terminal is asked with the same names.
#[test]
fn the_question_for_the_name_names_the_option() {
    let scene = Scene::new();
    let other = scene.other();
    let process = play(&scene, scene.path(scene.name()), &["renamed", &other, "sleep"]);
    scene.wait_until("it has its other name", || scene.all().is_empty().then_some(()));
    let mut terminal = Terminal::new();
    let mut command = program(crate::harness::WATCHDOG);
    command.env("HOME", scene.path("home")).env("TERM", "xterm");
    let watchdog = terminal.start(&scene, command);
    terminal.expect("(?i)process name.*: ");
    terminal.enter(scene.name());
    let said = terminal.expect("(?i)start command.*: ");
    assert!(said.contains(&format!("pid {}", process.pid())), "{said}");
    assert!(!options(said_of(&said, process.pid())).is_empty(), "{said}");
    drop(watchdog);
}

/// While the start command runs, it is a part of that.
#[test]
fn a_script_of_the_start_command_is_not_what_was_meant_and_is_ended_with_it() {
    let scene = Scene::new();
    let script = scene.path(&format!("start-{}.sh", scene.name()));
    std::fs::write(&script, "while :; do sleep 0.05; done\n").unwrap();
    let _watchdog = scene
        .watchdog()
        .starting(&format!("bash {}; true", script.display()))
        .with("--start-timeout", "1.5")
        .with("--max-fail-count", "1")
        .spawn();
    scene.wait_for("the start command still runs after .*; ending the start command");
    scene.wait_for("gave up");
    assert_eq!(scene.count("no second copy is started"), 0, "{:#?}", scene.log());
    let runs_it = |process: Process| {
        process.cmdline().is_ok_and(|line| line.iter().any(|word| Path::new(word) == script))
    };
    assert!(!processes().any(runs_it), "{}", scene.story());
}
