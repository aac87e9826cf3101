//! Real servers: nginx, redis and one in Python, each with the probe that docs/health.md gives for it.

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::signal::Signal;

use crate::harness::{Captured, Invocation, Scene, WATCHDOG};
use crate::machine::{free_port, is_here, program, send, skip};

/// A watchdog of a server, with short times.
fn serving<'a>(scene: &'a Scene, start: &str, probe: &str) -> Invocation<'a> {
    scene
        .watchdog()
        .starting(start)
        .with("--probe", probe)
        .with("--probe-interval", "0.1")
        .with("--probe-timeout", "5")
        .with("--probe-start-period", "0")
        .with("--probe-failures", "2")
        .with("--stop-timeout", "20")
}

/// The program `name` under the name that is watched.
fn call(scene: &Scene, name: &str) -> String {
    let path = std::env::var_os("PATH").unwrap();
    let mut all = std::env::split_paths(&path).map(|folder| folder.join(name));
    let file = all.find(|file| file.is_file()).unwrap();
    fs::create_dir(scene.path("bin")).unwrap();
    let link = scene.path("bin").join(scene.name());
    symlink(file, &link).unwrap();
    link.into_os_string().into_string().unwrap()
}

/// nginx with two workers, healthy while there is a file `ok`.
fn nginx(scene: &Scene) -> Option<Invocation<'_>> {
    if !is_here("nginx") {
        return None;
    }
    let (port, here) = (free_port(), scene.path("").display().to_string());
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {here}/temporary;"))
        .join(" ");
    let configuration = format!(
        "worker_processes 2; pid {here}/nginx.pid; error_log {here}/errors; events {{}} \
         http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port}; \
         location = / {{ root {here}; try_files /ok =503; }} }} }}"
    );
    fs::write(scene.path("nginx.conf"), configuration).unwrap();
    fs::write(scene.path("ok"), "").unwrap();
    let start = format!("{} -c {here}/nginx.conf", call(scene, "nginx"));
    Some(serving(scene, &start, &format!("http://127.0.0.1:{port}/")))
}

/// The master and two workers, once there are no others.
fn wait_three(scene: &Scene, without: &[i32]) -> Vec<i32> {
    scene.wait_until("a master and two workers", || {
        let all = scene.all();
        (all.len() == 3 && !all.iter().any(|pid| without.contains(pid))).then_some(all)
    })
}

#[test]
fn an_unhealthy_nginx_is_stopped_and_started() {
    let scene = Scene::new();
    let Some(watchdog) = nginx(&scene) else { return };
    let _watchdog = watchdog.with("--stop-signal", "QUIT").spawn();
    let first = wait_three(&scene, &[]);
    scene.wait_for("INFO healthy: ");
    fs::remove_file(scene.path("ok")).unwrap();
    scene.wait_for("is unhealthy: .* answered 503 Service Temporarily Unavailable");
    scene.wait_for("sent SIGQUIT");
    fs::write(scene.path("ok"), "").unwrap();
    wait_three(&scene, &first);
    scene.wait_for("healthy again: ");
    assert_eq!((scene.starts(), scene.count("died|was killed")), (2, 0), "{}", scene.story());
}

/// It reopens its logs on SIGUSR1, and runs on.
#[test]
fn the_workers_of_an_nginx_that_had_to_be_killed_do_not_keep_its_port() {
    for mode in ["process", "mixed"] {
        let scene = Scene::new();
        let Some(watchdog) = nginx(&scene) else { return };
        let watchdog = watchdog.with("--stop-signal", "USR1").with("--stop-timeout", "0.5");
        let _watchdog = watchdog.with("--kill-mode", mode).spawn();
        let first = wait_three(&scene, &[]);
        scene.wait_for("INFO healthy: ");
        fs::remove_file(scene.path("ok")).unwrap();
        scene.wait_for("killing it");
        fs::write(scene.path("ok"), "").unwrap();
        scene.wait_for("ending 2 processes that it left running");
        wait_three(&scene, &first);
        scene.wait_for("healthy again: ");
        assert_eq!(scene.starts(), 2, "{mode}: {}", scene.story());
    }
}

#[test]
fn an_nginx_that_reloads_or_hands_over_is_not_restarted() {
    let scene = Scene::new();
    let Some(watchdog) = nginx(&scene) else { return };
    let watchdog = watchdog.spawn();
    let first = wait_three(&scene, &[]);
    scene.wait_for("INFO healthy: ");
    send(first[0], Signal::SIGHUP);
    let reloaded = scene.wait_until("other workers", || {
        let all = scene.all();
        (all.len() == 3 && all[0] == first[0] && !all.contains(&first[1])).then_some(all)
    });
    watchdog.wait_checks(10);
    assert_eq!(scene.count("healthy: "), 1, "it is the same process");
    send(reloaded[0], Signal::SIGUSR2);
    scene.wait_until("two masters", || (scene.all().len() == 6).then_some(()));
    send(reloaded[0], Signal::SIGQUIT);
    let second = wait_three(&scene, &reloaded)[0];
    scene.wait_for(&format!(r"INFO healthy: \S+ \(pid {second}\)"));
    watchdog.wait_checks(10);
    assert_eq!((scene.starts(), scene.count("unhealthy|died|stopping")), (1, 0), "{}", scene.story());
}

/// The kernel accepts connections for it, and its client waits.
#[test]
fn a_hung_redis_is_told_by_its_client_and_not_by_a_connection() {
    if !is_here("redis-server") || !is_here("redis-cli") {
        return;
    }
    let scene = Scene::new();
    let (port, here) = (free_port(), scene.path("").display().to_string());
    let start = format!(
        "{} --port {port} --bind 127.0.0.1 --unixsocket {here}/socket --dir {here} --save '' \
         --enable-debug-command yes --daemonize yes",
        call(&scene, "redis-server")
    );
    let probe = format!("redis-cli -p {port} ping | grep -q PONG");
    let watchdog = serving(&scene, &start, &probe).with("--probe-timeout", "1");
    let _watchdog = watchdog.with("--on-unhealthy", "warn").spawn();
    scene.wait_for("INFO healthy: ");
    let mut hang = program("redis-cli");
    hang.args(["-p", &port.to_string(), "debug", "sleep", "300"]);
    let _hung = scene.spawn(hang, Captured::All);
    scene.wait_for("is unhealthy: 2 probes in a row failed; the last did not end within 1s");
    for check in [format!("tcp://127.0.0.1:{port}"), format!("unix:{here}/socket")] {
        let mut probe = program(WATCHDOG);
        probe.args(["probe", &check]);
        let ended = scene.spawn(probe, Captured::All).ends();
        assert_eq!(ended.code(), Some(0), "{ended}");
    }
}

#[test]
fn a_python_web_server_that_hangs_is_restarted() {
    if !is_here("python3") {
        return;
    }
    let scene = Scene::new();
    // Debian's python3-minimal has none.
    let mut has_server = program("python3");
    has_server.args(["-c", "import http.server"]);
    if !scene.spawn(has_server, Captured::All).ends().status.success() {
        return skip("this python3 has no http.server");
    }
    let port = free_port();
    let server = "import os, sys, time\n\
                  from http.server import BaseHTTPRequestHandler, HTTPServer\n\
                  class Handler(BaseHTTPRequestHandler):\n    \
                  def do_GET(self):\n        \
                  while os.path.exists('hang'):\n            \
                  time.sleep(0.05)\n        \
                  self.send_response(200)\n        \
                  self.end_headers()\n\
                  HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()\n";
    fs::write(scene.path("server.py"), server).unwrap();
    let here = scene.path("").display().to_string();
    let watchdog = serving(
        &scene,
        &format!("cd $HERE && python3 {here}server.py {port} &"),
        &format!("http://127.0.0.1:{port}/"),
    );
    let _watchdog = watchdog
        .with("--process-name", format!(r"^\S*python3?\S* {here}server\.py"))
        .with("--name", scene.name())
        .with("--probe-timeout", "1")
        .flag("--full")
        .spawn();
    scene.wait_for("INFO healthy: ");
    fs::write(scene.path("hang"), "").unwrap();
    scene.wait_for(r"is unhealthy: .* did not end within 1s \(probe_timeout\)");
    scene.wait_for("INFO stopped ");
    fs::remove_file(scene.path("hang")).unwrap();
    scene.wait_for("healthy again: ");
    assert_eq!(scene.starts(), 2, "{}", scene.story());
}
