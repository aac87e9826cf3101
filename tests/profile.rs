//! What the file gives start command, stop command and probe: environment, directory, umask, user (rule 56).

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use nix::sys::signal::Signal::SIGKILL;
use procfs::process::Process;

use crate::config::{by_file, reload};
use crate::dry_run::DryRun;
use crate::harness::{Captured, Invocation, Scene};
use crate::machine::{ALICE, as_user, is_root, processes, send, skip, with_mounts};

/// Leaves what it gets in files of this name.
fn look(name: &str) -> String {
    let look = |what: &str, file: &str| {
        format!("{what} > $HERE/{name}.{file}.new; mv $HERE/{name}.{file}.new $HERE/{name}.{file}")
    };
    let all = [("cat /proc/$$/environ", "env"), ("pwd -P", "pwd"), ("umask", "umask"), ("id -G", "groups")];
    all.map(|(what, file)| look(what, file)).join("; ")
}

/// The variables that were left.
fn variables(scene: &Scene, name: &str) -> HashMap<String, String> {
    let all = scene.read(&format!("{name}.env"));
    let all = all.split('\0').filter_map(|variable| variable.split_once('='));
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A watchdog whose start command, stop command and probe leave what they get. Its process is stopped and started.
fn look_at_all(scene: &Scene, more: &str, way: &[&str]) {
    let (start, stop) = (format!("{}; $ACTOR sleep &", look("start")), look("stop"));
    let more = format!(
        "stop_command = '''{stop}; kill $WATCHDOG_PROCESS_PID'''\nprobe = '''{}'''\nprobe_interval = 0.1\n{more}",
        look("probe")
    );
    let watchdog = by_file(scene, &start, &more).through(way).spawn();
    let pid = scene.wait_running();
    scene.wait_until("it is probed", || scene.path("probe.groups").exists().then_some(()));
    let said = scene.say(&["restart", scene.name()]);
    assert_eq!(said.code(), Some(0), "{said}\n{}", scene.story());
    scene.wait_replaced(pid);
    watchdog.terminate();
}

#[test]
fn the_environment_arrives_as_it_is_written() {
    let scene = Scene::new();
    let folder = scene.path("folder with % and $HOME");
    fs::create_dir(&folder).unwrap();
    let literal = "50% %i %% $HOME ${USER} $(id) `id` \\ \"double\" 'single' # no comment\nnext line\n\u{e4}\u{20ac}\t;&|";
    let more = format!(
        "working_directory = {folder:?}\numask = \"0027\"\n[env]\nLITERAL = {literal:?}\n\"an.odd-name\" = \"\"\n\
         PATH = \"/usr/bin:/bin:/none\"\nHOME = \"/nowhere\"\nNUMBER = 1.50\n"
    );
    look_at_all(&scene, &more.replace("\\u{e4}", "\u{e4}").replace("\\u{20ac}", "\u{20ac}"), &[]);
    for name in ["start", "stop", "probe"] {
        let variables = variables(&scene, name);
        assert_eq!(variables["LITERAL"], literal, "{name}");
        assert_eq!((&*variables["an.odd-name"], &*variables["NUMBER"]), ("", "1.50"), "{name}");
        assert_eq!((&*variables["PATH"], &*variables["HOME"]), ("/usr/bin:/bin:/none", "/nowhere"), "{name}");
        assert_eq!(variables.contains_key("WATCHDOG_NAME"), name != "start", "{name}");
        let here = folder.canonicalize().unwrap();
        assert_eq!(Path::new(scene.read(&format!("{name}.pwd")).trim_end()), here, "{name}");
        assert_eq!(scene.read(&format!("{name}.umask")).trim(), "0027", "{name}");
        let about = scene.path(&format!("{name}.env")).metadata().unwrap();
        assert_eq!(about.mode() & 0o777, 0o640, "{name}");
    }
}

/// A password is for the program, and for whoever may read the file.
#[test]
fn values_are_shown_by_a_dry_run_and_not_in_the_log() {
    let scene = Scene::new();
    let more = "env = { TOKEN = \"s3cret\", LANG = \"C\" }\numask = \"077\"\nworking_directory = \"/\"";
    let dry = DryRun::of(by_file(&scene, "$ACTOR sleep &", more));
    let shown: Vec<_> = dry.rows("environment").map(|row| row.join("=")).collect();
    assert!(shown.contains(&"TOKEN=s3cret".to_owned()), "{}", dry.ended);
    let setting = |key: &str| dry.rows("setting").find(|row| row[0] == key).unwrap()[1].clone();
    assert!(setting("env").contains("s3cret") && setting("umask") == "077", "{}", dry.ended);
    let ended = by_file(&scene, "$ACTOR sleep &", more).flag("--once").run();
    assert_eq!(ended.code(), Some(0), "{ended}");
    let settings = scene.wait_for("INFO settings: ").text;
    for said in ["env LANG TOKEN", "working_directory /", "umask 077"] {
        assert!(settings.contains(said), "{said}: {settings}");
    }
    assert!(scene.log().iter().all(|record| !record.text.contains("s3cret")), "{}", scene.story());
}

/// What a `--dry-run` of a file with these lines says is wrong with it.
fn wrong(scene: &Scene, start_command: &str, more: &str) -> String {
    let ended = by_file(scene, start_command, more).flag("--dry-run").run();
    assert_eq!(ended.code(), Some(2), "{more}: {ended}");
    ended.stderr
}

#[test]
fn what_is_wrong_is_said_with_what_to_type() {
    let scene = Scene::new();
    for (more, said) in [
        ("umask = 22", "umask '22': is not three or four octal digits; say \"022\""),
        ("umask = 0o22", "umask: only decimal numbers fit; give a text in quotes, as in umask = \"027\""),
        ("umask = \"0o22\"", "say \"022\""),
        ("umask = \"+22\"", "is not three or four octal digits"),
        ("umask = \"7777\"", "is not three or four octal digits"),
        ("umask = \"u=rwx\"", "is not three or four octal digits"),
        (
            "working_directory = \"srv/x\"",
            "working_directory 'srv/x': does not begin with /; give the whole path",
        ),
        ("working_directory = \"~/x\"", "does not begin with /"),
        ("working_directory = \"/a\\u0000b\"", "contains a null byte"),
        ("env = { \"A=B\" = \"x\" }", "the name 'A=B' has a ="),
        ("env = { \"A\\u0000\" = \"x\" }", "has a = or a null byte"),
        ("env = { A = \"a\\u0000b\" }", "the value of A has a null byte"),
        ("env = { \"\" = \"x\" }", "a variable has no name"),
        ("env = { WATCHDOG_NAME = \"x\" }", "WATCHDOG_NAME is the watchdog's own; give another name"),
        ("env = { NOTIFY_SOCKET = \"x\" }", "NOTIFY_SOCKET is the watchdog's own"),
        ("env = { A = true }", "A: true or false does not fit; give a text in quotes"),
        ("env = { A = [1] }", "A: a list does not fit"),
        ("env.hook = \"x\"", "env: hook is a setting, and no variable: write it above the table; "),
        ("environment = { A = \"b\" }", "unknown setting 'environment'; did you mean env?"),
        ("umask = 022", "unexpected leading zero, expected nothing; put it in quotes"),
        ("env = \"A=B\"", "env: a text does not fit; give a table, as in env = { LANG = "),
        ("run_as = \"no-such-user\"", "run_as 'no-such-user': there is no user 'no-such-user'"),
        ("run_as = \"root:no-such-group\"", "there is no group 'no-such-group'"),
        ("run_as = \"4294967294\"", "there is no user '4294967294'"),
        ("run_as = \"\"", "is not a user, or a user and a group"),
        ("run_as = \"root:\"", "is not a user, or a user and a group"),
        ("run_as = \"root:root:root\"", "is not a user, or a user and a group"),
        ("run_as = \"-v\"", "is not a user, or a user and a group"),
    ] {
        let stderr = wrong(&scene, "true", more);
        assert!(stderr.contains("x.toml:6: ") && stderr.contains(said), "{more}: {stderr}");
    }
    let ended = scene.watchdog().with("--umask", "022").run();
    assert_eq!(ended.code(), Some(2), "{ended}");
}

#[test]
fn only_root_can_run_a_command_as_somebody_else() {
    let scene = Scene::new();
    let dry = |way: &[String]| {
        let way: Vec<_> = way.iter().map(String::as_str).collect();
        by_file(&scene, "true", "run_as = \"root\"").through(&way).flag("--dry-run").run()
    };
    let ended = dry(&if is_root() { as_user(ALICE) } else { Vec::new() });
    assert_eq!(ended.code(), Some(2), "{ended}");
    let said = "x.toml:6: run_as 'root': only root can run a command as somebody else; remove it";
    assert!(ended.stderr.contains(said), "{ended}");
}

#[test]
fn a_start_command_that_could_not_be_run_is_mailed_with_the_cause() {
    let scene = Scene::new();
    let folder = scene.path("srv");
    let more = format!("working_directory = {folder:?}\nmax_fail_count = 1");
    let ended = by_file(&scene, "./run", &more).flag("--once").run();
    let folder = folder.display();
    let cause = format!("attempt 1: the start command could not be run: working_directory {folder}: No such");
    assert!(ended.code() == Some(1) && ended.stderr.contains(&cause), "{ended}");
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let scene = Scene::new();
    let folder = scene.path("srv");
    let more = format!("working_directory = {folder:?}\nmax_fail_count = \"unlimited\"");
    let watchdog = || by_file(&scene, "./run", &more);
    let missing = format!("working_directory: {} does not exist", folder.display());
    assert_eq!(DryRun::of(watchdog()).warnings(), missing);
    let running = watchdog().spawn();
    scene.wait_for(&missing);
    scene.wait_for(&format!(
        "WARN cannot run the start command: working_directory {}: No such",
        folder.display()
    ));
    scene.wait_for("attempt 1 of unlimited failed|attempt 1 failed");
    assert_eq!((scene.starts(), scene.count("'\\./run'|\\./run does")), (0, 0), "{:#?}", scene.log());
    // What is executed is looked for there.
    scene.write_script("run", "#!/bin/sh\n$ACTOR sleep &\n");
    fs::create_dir(scene.path("new")).unwrap();
    fs::rename(scene.path("run"), scene.path("new/run")).unwrap();
    fs::rename(scene.path("new"), &folder).unwrap();
    scene.wait_for("attempt [0-9]+ succeeded");
    assert_eq!(DryRun::of(watchdog()).warnings(), "");
    // A file is none.
    fs::write(scene.path("file"), "").unwrap();
    let file = more.replace(&format!("{folder:?}"), &format!("{:?}", scene.path("file")));
    by_file(&scene, "./run", &file);
    reload(&scene, &running);
    scene.wait_for("working_directory: .*/file is no directory");
}

#[test]
fn what_is_not_passed_on_is_doubted() {
    let scene = Scene::new();
    let warnings = |start_command: &str, more: &str| {
        let file = format!("start_command = {start_command:?}\n{more}");
        let line = by_file(&scene, "", "");
        let text = fs::read_to_string(scene.path("x.toml")).unwrap();
        let text: Vec<_> = text.lines().filter(|line| !line.starts_with("start_command")).collect();
        fs::write(scene.path("x.toml"), format!("{}\n{file}\n", text.join("\n"))).unwrap();
        DryRun::of(line).warnings()
    };
    let both = "umask = \"022\"\nenv = { A = \"b\" }";
    let said = |given: &str, by: &str| format!("{given} not reach what {by} starts");
    for (command, more, expected) in [
        ("service x start", both, said("env, umask do", "service")),
        ("/usr/sbin/service x start", "umask = \"022\"", said("umask does", "/usr/sbin/service")),
        (
            "sleep 1; if true; then systemctl start x; fi",
            "working_directory = \"/\"",
            said("working_directory does", "systemctl"),
        ),
    ] {
        let warnings = warnings(command, more);
        assert!(warnings.contains(&expected), "{command}: {warnings}");
    }
    for (command, more) in [("service x start", ""), ("echo service systemctl", both), ("my-service", both)] {
        assert!(!warnings(command, more).contains("not reach"), "{command} {more}");
    }
    if !is_root() {
        return skip("only root's start command runs as another user than its own");
    }
    let only_filters = "user only says whose processes count: the start command runs as root";
    assert!(warnings("true", "user = \"daemon\"").contains(only_filters));
    for more in ["user = \"root\"", "user = \"daemon\"\nrun_as = \"daemon\"", ""] {
        assert!(!warnings("true", more).contains(only_filters), "{more}");
    }
}

/// With users and groups of the scene.
fn with_users(scene: &Scene) -> Option<Vec<String>> {
    let (passwd, group) = (scene.path("passwd"), scene.path("group"));
    let add = |file: &str, lines: &str| format!("{}{lines}", fs::read_to_string(file).unwrap());
    let user = format!("{}:x:{ALICE}:{ALICE}:Alice:/home/alice:/bin/false\n", scene.name());
    fs::write(&passwd, add("/etc/passwd", &user)).unwrap();
    let groups = format!(
        "{name}:x:{ALICE}:\nnet{name}:x:60950:root,{name}\nno{name}:x:60951:x\n",
        name = scene.name()
    );
    fs::write(&group, add("/etc/group", &groups)).unwrap();
    let way =
        with_mounts(scene, "mount --bind $HERE/passwd /etc/passwd && mount --bind $HERE/group /etc/group");
    if way.is_none() {
        skip("only root can have users of its own, and run as them");
    }
    way
}

#[test]
fn all_three_run_as_the_user_with_his_groups() {
    let scene = Scene::new();
    scene.open_to_all();
    let Some(way) = with_users(&scene) else { return };
    let way: Vec<_> = way.iter().map(String::as_str).collect();
    let (name, net) = (scene.name(), format!("net{}", scene.name()));
    for (run_as, groups) in
        [(name.to_owned(), [ALICE, 60_950].as_slice()), (format!("{ALICE}:{net}"), &[60_950])]
    {
        for file in ["start", "stop", "probe"] {
            let _ = fs::remove_file(scene.path(&format!("{file}.groups")));
        }
        look_at_all(&scene, &format!("run_as = {run_as:?}\nenv = {{ SHELL = \"/bin/mine\" }}"), &way);
        for file in ["start", "stop", "probe"] {
            let told = scene.read(&format!("{file}.groups"));
            let mut told: Vec<u32> = told.split_whitespace().map(|group| group.parse().unwrap()).collect();
            told.dedup();
            assert_eq!(told, groups, "{file} as {run_as}");
            let about = scene.path(&format!("{file}.groups")).metadata().unwrap();
            assert_eq!((about.uid(), about.gid()), (ALICE, groups[0]), "{file} as {run_as}");
            let variables = variables(&scene, file);
            for (variable, value) in
                [("HOME", "/home/alice"), ("USER", name), ("LOGNAME", name), ("SHELL", "/bin/mine")]
            {
                assert_eq!(variables[variable], value, "{file} as {run_as}: {variable}");
            }
        }
        let pid = scene.wait_running();
        let status = Process::new(pid).unwrap().status().unwrap();
        assert_eq!([status.ruid, status.euid, status.suid, status.fuid], [ALICE; 4]);
        assert_eq!((status.capeff, status.capprm), (0, 0));
        send(pid, SIGKILL);
        scene.wait_gone(pid);
    }
}

/// A built-in check too.
#[test]
fn a_check_that_is_built_in_runs_as_the_user() {
    if !is_root() {
        return skip("only root can run something as somebody else");
    }
    let scene = Scene::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Nobody answers.
    let probe = format!("http://{}/", listener.local_addr().unwrap());
    let _watchdog =
        by_file(&scene, "$ACTOR sleep &", &format!("probe = {probe:?}\nrun_as = \"nobody\"")).spawn();
    let user = scene.wait_until("it is probed", || {
        let is_probe = |it: &Process| it.cmdline().is_ok_and(|line| line.contains(&probe));
        processes().find(is_probe).and_then(|probe| Some(probe.status().ok()?.ruid))
    });
    assert_eq!(user, crate::which::NOBODY);
}

#[test]
fn a_user_who_cannot_be_become_is_no_reason_to_run_as_root() {
    if !is_root() {
        return skip("only root can run something as somebody else");
    }
    let scene = Scene::new();
    for capability in ["-setuid", "-setgid"] {
        let refused = "cannot run the start command: run_as nobody: Operation not permitted";
        let before = scene.count(refused);
        let way = ["setpriv", "--bounding-set", capability, "--inh-caps", capability];
        let more = "run_as = \"nobody\"\nmax_fail_count = 1\nretry_after = \"1h\"";
        let watchdog = by_file(&scene, "$ACTOR sleep &", more).through(&way).spawn();
        scene.wait_until("it is refused", || (scene.count(refused) > before).then_some(()));
        scene.wait_for("gave up");
        watchdog.terminate();
        assert_eq!((scene.starts(), scene.all().len()), (0, 0), "{}", scene.story());
        fs::remove_file(scene.kept("json")).unwrap();
    }
}

/// Stands in for getent(1) where users come from the network.
const GETENT: &str = "#!/bin/sh\n[ ! -e \"$HERE/hangs\" ] || exec sleep 60\n[ ! -e \"$HERE/down\" ] || exit 2\n\
    case \"$1 $2\" in\n\
    'passwd carol') echo 'carol:*:60903:60904:Carol:/net/carol:/bin/sh' ;;\n\
    'initgroups carol') echo 'carol                 60904 60990 2000000001' ;;\n\
    'group net') echo 'net:*:60991:' ;;\n\
    *) exit 2 ;;\n\
    esac\n";

#[test]
fn a_user_may_be_one_of_the_network() {
    if !is_root() {
        return skip("only root can run something as somebody else");
    }
    let scene = Scene::new();
    scene.open_to_all();
    fs::create_dir(scene.path("bin")).unwrap();
    scene.write_script("getent", GETENT);
    fs::rename(scene.path("getent"), scene.path("bin/getent")).unwrap();
    let with_getent = |line: Invocation| {
        let path = format!("{}:{}", scene.path("bin").display(), std::env::var("PATH").unwrap());
        let mut command = line.command();
        command.env("PATH", path);
        scene.spawn(command, Captured::All)
    };
    let more = |run_as: &str| format!("run_as = {run_as:?}\nmax_fail_count = \"unlimited\"");
    let start = format!("{}; $ACTOR sleep &", look("start"));
    let watchdog = with_getent(by_file(&scene, &start, &more("carol:net")));
    let pid = scene.wait_running();
    assert_eq!(scene.read("start.groups").trim(), "60991 60904 60990 2000000001");
    assert_eq!(variables(&scene, "start")["HOME"], "/net/carol");
    // While nobody knows her, nothing is started in her place; and who hangs is not waited for.
    for trouble in ["down", "hangs"] {
        let _ = fs::remove_file(scene.path("start.groups"));
        let failures =
            scene.count("cannot run the start command: run_as carol:net: there is no user 'carol'");
        fs::write(scene.path(trouble), "").unwrap();
        for pid in scene.all() {
            send(pid, SIGKILL);
        }
        scene.wait_until("nobody knows her", || {
            (scene.count("cannot run the start command: run_as carol:net: there is no user 'carol'")
                > failures)
                .then_some(())
        });
        assert!(!scene.path("start.groups").exists());
        fs::remove_file(scene.path(trouble)).unwrap();
        scene.wait_replaced(pid);
        scene.wait_until("she is known", || (!scene.read("start.groups").is_empty()).then_some(()));
        assert_eq!(scene.read("start.groups").trim(), "60991 60904 60990 2000000001");
    }
    watchdog.terminate();
    fs::write(scene.path("down"), "").unwrap();
    let ended = with_getent(by_file(&scene, &start, &more("carol"))).ends();
    assert_eq!(ended.code(), Some(2), "{ended}");
    assert!(ended.stderr.contains("run_as 'carol': there is no user 'carol'"), "{ended}");
}

/// The folder is the user's to enter.
#[test]
fn a_directory_is_entered_as_the_user() {
    if !is_root() {
        return skip("only root can run something as somebody else");
    }
    let scene = Scene::new();
    scene.open_to_all();
    let folder = scene.path("private");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    let more = format!("working_directory = {folder:?}\nrun_as = \"nobody\"\nmax_fail_count = \"unlimited\"");
    let _watchdog = by_file(&scene, "$ACTOR sleep &", &more).spawn();
    scene.wait_for("cannot run the start command: working_directory .*/private: Permission denied");
    chown(&folder, Some(crate::which::NOBODY), None).unwrap();
    scene.wait_for("attempt [0-9]+ succeeded");
}
