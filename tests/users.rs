//! Whose processes count: the user that was asked for, and when that is known.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal::SIGKILL;
use procfs::process::Process;

use crate::dry_run::DryRun;
use crate::harness::{Captured, Scene};
use crate::machine::{is_root, send, skip, unshare};
use crate::which::NOBODY;

/// The effective user counts, and who may become another is not that user's.
#[test]
fn a_set_user_id_program_is_not_root_s() {
    if !is_root() {
        return skip("only root can make a process of several users");
    }
    let scene = Scene::new();
    let nobody = NOBODY.to_string();
    for (real, effective, saved, user, counts) in [
        // Somebody runs a set-user-id program by the watched name.
        (&*nobody, "0", "0", "root", false),
        ("1", "0", "0", "root", false),
        ("0", "0", &nobody, "root", false),
        ("0", "0", "0", "root", true),
        // atd and proftpd.
        ("0", "1", "1", "1", true),
        ("0", &nobody, "0", "nobody", true),
        ("1", &nobody, &nobody, "nobody", false),
    ] {
        let pid = scene.start_actor(&["users", real, effective, saved, "sleep"]);
        let is_so = || {
            let status = Process::new(pid).and_then(|it| it.status()).ok()?;
            let users = [status.ruid, status.euid, status.suid].map(|user| user.to_string());
            (users == [real, effective, saved]).then_some(())
        };
        scene.wait_until("it has its users", is_so);
        let dry = DryRun::of(scene.watchdog().with("--user", user));
        let found = dry.matching() == [pid];
        assert_eq!(found, counts, "{real} {effective} {saved} as {user}: {}", dry.ended);
        assert!(counts || dry.why_not(pid).is_some(), "{real} {effective} {saved}: near: {}", dry.ended);
        send(pid, SIGKILL);
        scene.wait_gone(pid);
    }
}

/// A time namespace in which the machine has been up for so long, and an /etc/passwd of the scene.
fn booted(scene: &Scene, seconds: f64) -> Option<Vec<String>> {
    let up = fs::read_to_string("/proc/uptime").unwrap();
    let up: f64 = up.split(' ').next().unwrap().parse().unwrap();
    let offset = format!("{:.0}", seconds - up);
    let way = unshare(scene, &["--mount", "--time", "--boottime", &offset, "--fork", "--kill-child"]);
    let Some(mut way) = way else {
        skip("no time namespace can be made here");
        return None;
    };
    fs::copy("/etc/passwd", scene.path("passwd")).unwrap();
    let bound = r#"mount --bind "$HERE/passwd" /etc/passwd && exec "$@""#;
    way.extend(["sh", "-c", bound, "sh"].map(str::to_owned));
    Some(way)
}

/// Users may come from a directory that is there some time after the boot.
#[test]
fn a_user_that_is_unknown_early_in_a_boot_is_waited_for() {
    let scene = Scene::new();
    let Some(early) = booted(&scene, 60.0) else { return };
    let early: Vec<_> = early.iter().map(String::as_str).collect();
    let watchdog = || scene.watchdog().with("--user", scene.name()).through(&early);
    let ended = watchdog().flag("--once").run();
    assert_eq!((ended.code(), scene.starts()), (Some(3), 0), "{ended}");
    let running = watchdog().spawn();
    scene.wait_for("cannot tell.* meanwhile|cannot tell.* until");
    assert_eq!(scene.starts(), 0, "{}", scene.story());
    // An ordinary user is root in there.
    let line = format!("{}:x:0:0::/:/bin/sh\n", scene.name());
    let passwd = fs::read_to_string(scene.path("passwd")).unwrap();
    fs::write(scene.path("passwd"), format!("{line}{passwd}")).unwrap();
    scene.wait_for("attempt 1 succeeded");
    drop(running);
}

#[test]
fn a_user_that_is_unknown_later_is_a_mistake() {
    let scene = Scene::new();
    let Some(late) = booted(&scene, 600.0) else { return };
    let late: Vec<_> = late.iter().map(String::as_str).collect();
    for flag in ["--once", "-q"] {
        let ended = scene.watchdog().with("--user", scene.name()).flag(flag).through(&late).run();
        assert_eq!((ended.code(), scene.starts()), (Some(2), 0), "{ended}");
    }
    // And at once, if somebody is there to type it right.
    let Some(early) = booted(&scene, 60.0) else { return };
    let early: Vec<_> = early.iter().map(String::as_str).collect();
    let (_terminal, watchdog) = scene.watchdog().with("--user", scene.name()).through(&early).in_terminal();
    assert_eq!(watchdog.ends().code(), Some(2));
}

/// Those whom /etc/passwd does not have are asked of getent(1), which need not be there.
#[test]
fn a_user_may_be_known_to_a_directory_alone() {
    let scene = Scene::new();
    fs::create_dir(scene.path("bin")).unwrap();
    let own = nix::unistd::geteuid();
    let script =
        format!("#!/bin/sh\n[ \"$*\" = 'passwd {0}' ] && echo '{0}:*:{own}:7::/:/bin/sh'\n", scene.name());
    scene.write_script("getent", &script);
    fs::rename(scene.path("getent"), scene.path("bin/getent")).unwrap();
    let once = |user: &str, path: String| {
        let mut command = scene.watchdog().with("--user", user).flag("--once").command();
        command.env("PATH", path);
        scene.spawn(command, Captured::All).ends()
    };
    let with_getent = || format!("{}:{}", scene.path("bin").display(), std::env::var("PATH").unwrap());
    let ended = once(scene.name(), with_getent());
    assert_eq!((ended.code(), scene.starts()), (Some(0), 1), "{ended}");
    let ended = once("nobody-of-that-name", with_getent());
    assert_eq!(ended.code(), Some(2), "{ended}");
    assert!(ended.stderr.contains("--user 'nobody-of-that-name': no such user"), "{ended}");
}

#[test]
fn the_units_are_ordered_after_the_users() {
    for folder in ["packaging/systemd", "packaging/systemd/user"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_user_s = path.parent().unwrap().ends_with("user");
            if path.extension().is_none_or(|kind| kind != "service") || is_user_s {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            // What looks for no process asks for no user.
            if !text.contains("--config %i") {
                continue;
            }
            let ordered = text
                .lines()
                .any(|line| line.starts_with("After=") && line.contains("nss-user-lookup.target"));
            assert!(ordered, "{}", path.display());
        }
    }
}
