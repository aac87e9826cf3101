//! What those who watch many machines are shown: metrics, and Nagios's line (rule 62).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;

use nix::sys::signal::Signal::SIGKILL;
use regex_lite::Regex;

use crate::harness::{Captured, Ended, Scene, WATCHDOG};
use crate::machine::{is_here, kernel_tells, program, send};

/// The samples, by their series.
#[track_caller]
fn metrics(scene: &Scene) -> BTreeMap<String, f64> {
    let ended = scene.say(&["status", "--prometheus"]);
    assert_eq!((ended.code(), &*ended.stderr), (Some(0), ""), "{ended}");
    samples(&ended.stdout)
}

fn samples(text: &str) -> BTreeMap<String, f64> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let samples = samples.map(|line| line.rsplit_once(' ').unwrap());
    samples.map(|(series, value)| (series.to_owned(), value.parse().unwrap())).collect()
}

/// Waits until these series, to which the name is added, have these values; without a value there is no such series.
#[track_caller]
fn shows(scene: &Scene, expected: &[(&str, Option<f64>)]) {
    let with_name = |series: &str| match series.split_once('{') {
        Some((metric, labels)) => format!("{metric}{{name=\"{}\",{labels}", scene.name()),
        None => format!("{series}{{name=\"{}\"}}", scene.name()),
    };
    for (series, value) in expected {
        let series = format!("watchdog_{}", with_name(series));
        let shown = || metrics(scene).get(&series).copied() == *value;
        scene.wait_until(&format!("{series} {value:?}"), || shown().then_some(()));
    }
}

#[track_caller]
fn nagios(scene: &Scene, names: &[&str], status: i32, pattern: &str) {
    let ended = scene.say(&[&["status", "--nagios"], names].concat());
    let pattern = Regex::new(&format!("^WATCHDOG {}\n$", pattern.replace("NAME", scene.name()))).unwrap();
    assert!(pattern.is_match(&ended.stdout) && ended.stdout.len() < 1000, "{pattern}: {ended}");
    assert_eq!((ended.code(), &*ended.stderr), (Some(status), ""), "{ended}");
}

#[test]
fn what_happens_is_counted_and_judged() {
    let scene = Scene::new();
    let line = scene.watchdog().with("--max-fail-count", "2").with("--restart-wait-interval", "0.2");
    let line = line.starting("test -e $HERE/works && $ACTOR sleep &");
    fs::write(scene.path("works"), "").unwrap();
    let watchdog = line.clone().spawn();
    let pid = scene.wait_running();
    shows(
        &scene,
        &[
            ("starts_total{result=\"success\"}", Some(1.)),
            ("starts_total{result=\"failure\"}", Some(0.)),
            ("info{mode=\"service\",version=\"0.1.0\"}", Some(1.)),
            ("active", Some(1.)),
            ("process_up", Some(1.)),
            ("process_healthy", None),
            ("give_ups_total", Some(0.)),
            ("hold{reason=\"given_up\"}", Some(0.)),
        ],
    );
    let figures = r"up=1;;1:;0;1 uptime=\d+s;;;0 restarts=1c;;;0 failures=0;0;1;0;2";
    nagios(
        &scene,
        &["NAME"; 0],
        0,
        &format!(r"OK - NAME \(pid {pid}\) runs for \S+, 1 restart \| {figures}"),
    );

    fs::remove_file(scene.path("works")).unwrap();
    send(pid, SIGKILL);
    scene.wait_for("gave up");
    let killed = if kernel_tells() { "killed" } else { "unknown" };
    shows(
        &scene,
        &[
            (&format!("deaths_total{{cause=\"{killed}\"}}"), Some(1.)),
            ("deaths_total{cause=\"stopped\"}", Some(0.)),
            ("starts_total{result=\"success\"}", Some(1.)),
            ("starts_total{result=\"failure\"}", Some(2.)),
            ("give_ups_total", Some(1.)),
            ("hold{reason=\"given_up\"}", Some(1.)),
            ("failures", Some(2.)),
            ("process_up", Some(0.)),
            ("process_start_time_seconds", None),
        ],
    );
    let figures = "up=0;;1:;0;1 restarts=1c;;;0 failures=2;0;1;0;2";
    let exit = if kernel_tells() { "SIGKILL" } else { "unknown" };
    let text =
        format!(r"NAME is not running for \S+, failures: 2 of 2, gave up(, retry in \S+)?, last exit {exit}");
    watchdog.ends();
    let down = format!(r"CRITICAL - {text}, not watched \| {figures}");
    nagios(&scene, &[scene.name()], 2, &down);
    assert_eq!(scene.say(&["pause", scene.name()]).code(), Some(0));
    nagios(&scene, &["w*"], 1, &down.replace("CRITICAL", "WARNING").replace(", last", ", paused, last"));
    shows(&scene, &[("hold{reason=\"paused\"}", Some(1.)), ("active", Some(0.))]);

    // The next watchdog goes on counting; one that is no more is somebody's fault.
    fs::write(scene.path("works"), "").unwrap();
    assert_eq!(scene.say(&["resume", scene.name()]).code(), Some(0));
    let watchdog = line.spawn();
    shows(&scene, &[("starts_total{result=\"success\"}", Some(2.)), ("hold{reason=\"paused\"}", Some(0.))]);
    watchdog.send(SIGKILL);
    watchdog.ends();
    nagios(&scene, &[], 1, r"WARNING - NAME \(pid \d+\) runs for \S+, 2 restarts, not watched \| .*");
}

#[test]
fn of_several_the_worst_counts() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    for (name, exit) in [("good", 0), ("bad", 1)] {
        let line = scene.watchdog().with("--name", name).with("--max-fail-count", "1");
        let line = line.with("--restart-wait-interval", "0.1").starting("true").flag("--once");
        let line = if exit == 0 { line } else { line.with("--process-name", "no-such-process") };
        assert_eq!(line.run().code(), Some(exit));
    }
    nagios(&scene, &["good"], 0, r"OK - good \(pid \d+\) runs .*");
    nagios(
        &scene,
        &[],
        2,
        r"CRITICAL - 1 of 2 are well; bad is not running .* \| ok=1;;;0;2 warning=0;;;0;2 critical=1;;;0;2 unknown=0;;;0;2",
    );
    fs::write(scene.path("state/worse.json"), "{").unwrap();
    nagios(&scene, &["worse"], 3, "UNKNOWN - worse is unknown, state file damaged");
    nagios(&scene, &["good", "worse"], 3, "UNKNOWN - 1 of 2 are well; worse .*");
    nagios(&scene, &["goood"], 3, "UNKNOWN - no watchdog is named 'goood'; did you mean 'good'\\?");
    for wrong in [&["--nagios", "--json"][..], &["--nagios", "--colour"]] {
        assert_eq!(scene.say(&[&["status"], wrong].concat()).code(), Some(3), "{wrong:?}");
    }
    fs::remove_dir_all(scene.path("state")).unwrap();
    nagios(&scene, &[], 3, "UNKNOWN - no watchdog has run or is configured");
}

/// A probe that finds nothing new writes no file; a stop is no death.
#[test]
fn probes_and_stops_are_counted() {
    let scene = Scene::new();
    let probe = "echo >> $HERE/probes; test ! -e $HERE/slow || sleep 300; test ! -e $HERE/broken";
    let line = scene.watchdog().with("--probe", probe).with("--probe-interval", "0.05");
    let watchdog = line.with("--probe-timeout", "0.5").with("--on-unhealthy", "warn").spawn();
    let first = scene.wait_running();
    shows(&scene, &[("process_healthy", Some(1.))]);
    scene.wait_for("attempt 1 succeeded");
    let written = || fs::metadata(scene.kept("json")).unwrap().ino();
    let probes = || scene.read("probes").lines().count();
    // What was counted before is written once a minute, which may be now.
    let mut last = (written(), probes());
    scene.wait_until("ten probes that write nothing", || {
        if written() != last.0 {
            last = (written(), probes());
        }
        (probes() > last.1 + 10).then_some(())
    });

    fs::write(scene.path("slow"), "").unwrap();
    scene.wait_for("did not end within 500ms");
    fs::write(scene.path("broken"), "").unwrap();
    fs::remove_file(scene.path("slow")).unwrap();
    let before = probes();
    scene.wait_until("some probes fail", || (probes() > before + 4).then_some(()));
    shows(&scene, &[("process_healthy", Some(0.))]);
    nagios(&scene, &[], 2, r"CRITICAL - NAME \(pid \d+\) is unhealthy, has run for .*");
    fs::remove_file(scene.path("broken")).unwrap();
    shows(&scene, &[("process_healthy", Some(1.))]);
    assert_eq!(scene.say(&["restart", scene.name()]).code(), Some(0));
    let second = scene.wait_replaced(first);
    shows(&scene, &[("stops_total{reason=\"request\"}", Some(1.)), ("process_up", Some(1.))]);
    watchdog.terminate();
    let metrics = metrics(&scene);
    let sum = |metric: &str| -> f64 {
        metrics.iter().filter(|(series, _)| series.starts_with(metric)).map(|(_, value)| value).sum()
    };
    assert!(sum("watchdog_deaths_total") == 0., "{metrics:#?}");
    let all = sum("watchdog_probes_total{");
    let each = ["success", "failure", "timeout"].map(|result| {
        metrics[&format!("watchdog_probes_total{{name=\"{}\",result=\"{result}\"}}", scene.name())]
    });
    assert!(each[0] > 10. && each[1] >= 3. && each[2] >= 1., "{metrics:#?}");
    // One may be at work at the end, or have been ended.
    let made = f64::from(u32::try_from(probes()).unwrap());
    assert!((made - 3. ..=made).contains(&all), "{all} of {made}");
    send(second, SIGKILL);
}

/// Two looks differ in when they were made, and in nothing else; promtool takes them.
#[test]
fn a_series_stays_while_nothing_happens() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().spawn();
    scene.wait_for("following");
    shows(&scene, &[("process_up", Some(1.))]);
    let text = || scene.say(&["status", "--prometheus"]).stdout;
    let constant = || {
        let mut samples = samples(&text());
        samples.retain(|series, _| !series.starts_with("watchdog_last_check_timestamp_seconds"));
        samples
    };
    let first = constant();
    let started = first[&format!("watchdog_process_start_time_seconds{{name=\"{}\"}}", scene.name())];
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - 600. ..now + 1.).contains(&started), "{started} {now}");
    for _ in 0..20 {
        watchdog.wait_checks(1);
        assert_eq!(constant(), first);
    }
    fs::write(scene.path("shown"), text()).unwrap();
    if is_here("promtool") {
        let mut check = program("promtool");
        check.args(["check", "metrics"]).stdin(fs::File::open(scene.path("shown")).unwrap());
        let ended = scene.spawn(check, Captured::All).ends();
        assert_eq!((ended.code(), &*ended.stdout, &*ended.stderr), (Some(0), "", ""), "{ended}");
    }
    watchdog.terminate();
}

fn writes(scene: &Scene, file: &str) -> Ended {
    scene.say_through(&["sh", "-c", "umask 077; exec \"$@\"", "sh"], &["status", "--textfile", file])
}

#[test]
fn a_textfile_is_for_all_and_replaced_as_a_whole() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
    let file = scene.path("metrics/watchdog.prom");
    let path = file.to_str().unwrap();
    let ended = writes(&scene, path);
    let refused =
        format!("watchdog: cannot write --textfile {path}: No such file or directory (os error 2)\n");
    assert_eq!((ended.code(), ended.stderr), (Some(4), refused));
    fs::create_dir(scene.path("metrics")).unwrap();
    let ended = writes(&scene, path);
    assert_eq!((ended.code(), &*ended.stdout, &*ended.stderr), (Some(0), "", ""), "{ended}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    let whole = fs::read_to_string(&file).unwrap();
    assert_eq!(samples(&whole), samples(&scene.say(&["status", "--prometheus"]).stdout));
    assert!(whole.ends_with("} 0\n"), "{whole}");
    // Who reads the old one reads on; and nothing is left.
    let old = fs::File::open(&file).unwrap();
    assert_eq!(writes(&scene, path).code(), Some(0));
    assert_ne!(old.metadata().unwrap().ino(), fs::metadata(&file).unwrap().ino());
    assert_eq!(std::io::read_to_string(old).unwrap(), whole);
    assert_eq!(fs::read_dir(scene.path("metrics")).unwrap().count(), 1);
    // A link such as /dev/stdout, and what is no file such as /dev/null, is neither replaced nor followed.
    let precious = scene.path("precious");
    fs::write(&precious, "precious").unwrap();
    let link = || std::os::unix::fs::symlink(&precious, &file).unwrap();
    let pipe = || nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for put in [&link as &dyn Fn(), &pipe] {
        fs::remove_file(&file).unwrap();
        put();
        let ended = writes(&scene, path);
        let refused = format!(
            "watchdog: cannot write --textfile {path}: what is there is not a regular file; give another name, or print it with --prometheus\n"
        );
        assert_eq!((ended.code(), ended.stderr), (Some(4), refused));
        assert!(!file.symlink_metadata().unwrap().is_file());
    }
    assert_eq!(fs::read_to_string(precious).unwrap(), "precious");
}

/// What is redirected into a file of a full disk is not taken for all there is.
#[test]
fn what_cannot_be_written_is_an_error() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
    for (form, status) in [("--prometheus", 4), ("--json", 4), ("--nagios", 3)] {
        let through = ["sh", "-c", "exec \"$@\" >/dev/full", "sh"];
        let ended = scene.say_through(&through, &["status", form, scene.name()]);
        assert_eq!(ended.code(), Some(status), "{form}: {ended}");
        let why = "watchdog: cannot write to standard output: No space left on device (os error 28)\n";
        assert_eq!(ended.stderr, why, "{form}");
    }
}

/// A counter that begins at 3 has never risen.
#[test]
fn what_is_configured_is_there_from_the_beginning() {
    let scene = Scene::new();
    scene.open_to_all();
    let user =
        if crate::machine::is_root() { crate::machine::as_user(crate::machine::ALICE) } else { Vec::new() };
    let script = format!(
        "umask 022; export HOME=$HERE/alice XDG_CONFIG_HOME= XDG_STATE_HOME=; mkdir -p $HOME/.config/watchdog
         echo > $HOME/.config/watchdog/{0}.toml; exec {WATCHDOG} status --prometheus",
        scene.name()
    );
    let mut words = user.iter().map(String::as_str).chain(["sh", "-ec", &script]);
    let mut command = program(words.next().unwrap());
    command.args(words).stdin(Stdio::null());
    let ended = scene.spawn(command, Captured::All).ends();
    let own = samples(&ended.stdout).into_iter().filter(|(series, _)| series.contains(scene.name()));
    let own: Vec<_> = own.collect();
    assert!(ended.code() == Some(0) && own.len() == 30, "{}: {ended}", own.len());
    assert!(own.iter().all(|(_, value)| *value == 0.), "{own:?}");
}

/// A thousand, of which one is down; and who reads no more than the beginning is not waited for.
#[test]
fn a_thousand_are_shown() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    assert_eq!(scene.watchdog().with("--name", "web").flag("--once").run().code(), Some(0));
    let state = fs::read_to_string(scene.path("state/web.json")).unwrap();
    assert!(state.contains("\"name\":\"web\""), "{state}");
    for number in 1..1000 {
        let state = state.replace("\"name\":\"web\"", &format!("\"name\":\"web{number}\""));
        // Another process than that which runs.
        let state = if number == 7 { state.replace("\"started_ms\":", "\"started_ms\":7") } else { state };
        fs::write(scene.path(&format!("state/web{number}.json")), state).unwrap();
    }
    let shown = metrics(&scene);
    let up = |value: u8| {
        let is_up = |(series, shown): &(&String, &f64)| {
            series.starts_with("watchdog_process_up{") && shown.to_string() == value.to_string()
        };
        shown.iter().filter(is_up).count()
    };
    assert_eq!((up(1), up(0)), (999, 1));
    nagios(&scene, &[], 2, r"CRITICAL - 999 of 1000 are well; web7 is not running.* ok=999;;;0;1000 .*");
    for form in ["--prometheus", "--json", "--all"] {
        let mut head = program("sh");
        let state = scene.path("state").display().to_string();
        head.args(["-c", "\"$@\" | head -n 1", "sh", WATCHDOG, "status", form, "--state-dir", &state]);
        let ended = scene.spawn(head, Captured::All).ends();
        assert_eq!(
            (ended.code(), ended.stdout.lines().count(), &*ended.stderr),
            (Some(0), 1, ""),
            "{form} {ended}"
        );
    }
}

/// The table of the metrics is that of the program.
#[test]
fn the_page_has_each_metric() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    let probed = scene.watchdog().with("--probe", "true").flag("--once");
    assert_eq!(probed.run().code(), Some(0));
    let shown = scene.say(&["status", "--prometheus"]).stdout;
    let label = Regex::new(r#"([a-z_]+)="([^"]*)""#).unwrap();
    let mut labels: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for line in shown.lines().filter(|line| !line.starts_with('#')) {
        let (metric, rest) = line.split_once('{').unwrap();
        let of = labels.entry(metric.to_owned()).or_default();
        for label in label.captures_iter(rest).filter(|label| &label[1] != "name") {
            let value = if ["mode", "version"].contains(&&label[1]) { "" } else { &label[2] };
            of.insert(format!("{}={value}", &label[1]));
        }
    }
    let types = shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let program: BTreeSet<_> = types
        .map(|(metric, kind)| (metric.to_owned(), kind.to_owned(), labels.remove(metric).unwrap_or_default()))
        .collect();
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/monitoring.md")).unwrap();
    let code = Regex::new("`([^`]+)`").unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `watchdog_"));
    let documented: BTreeSet<_> = rows
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let words: Vec<_> = code.captures_iter(cells[2]).map(|word| word[1].to_owned()).collect();
            let (key, values) = words.split_first().map_or((None, &[][..]), |(key, rest)| (Some(key), rest));
            let pairs = match (key, values) {
                (Some(key), []) => BTreeSet::from([format!("{key}=")]),
                (Some(mode), [version]) if mode == "mode" => {
                    BTreeSet::from([format!("{mode}="), format!("{version}=")])
                }
                (Some(key), values) => values.iter().map(|value| format!("{key}={value}")).collect(),
                (None, _) => BTreeSet::new(),
            };
            (format!("watchdog_{}", cells[0].trim_end_matches('`')), cells[1].to_owned(), pairs)
        })
        .collect();
    assert_eq!(documented, program);
}
