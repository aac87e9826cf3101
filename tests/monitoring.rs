//! What the package brings for Prometheus and Grafana, by Prometheus's own engine (`promtool`).

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use regex_lite::Regex;
use serde_json::Value;

use crate::harness::{Captured, Ended, Scene};
use crate::machine::{is_here, program};

/// Some watchdogs, one in each state, and one of whom all is known; how each series goes on from the first minute.
const SAMPLE: [(&str, &str); 27] = [
    (r#"watchdog_active{name="well"}"#, "1x60"),
    (r#"watchdog_info{name="well", mode="service", version="0.1.0"}"#, "1x60"),
    (r#"watchdog_process_up{name="well"}"#, "1x60"),
    (r#"watchdog_process_healthy{name="well"}"#, "1x60"),
    (r#"watchdog_hold{name="well", reason="paused"}"#, "0x60"),
    (r#"watchdog_hold{name="well", reason="given_up"}"#, "0x60"),
    (r#"watchdog_process_start_time_seconds{name="well"}"#, "5x60"),
    (r#"watchdog_failures{name="well"}"#, "0x60"),
    (r#"watchdog_last_check_timestamp_seconds{name="well"}"#, "0+30x60"),
    (r#"watchdog_starts_total{name="well", result="success"}"#, "0+1x60"),
    (r#"watchdog_stops_total{name="well", reason="unhealthy"}"#, "0+1x60"),
    (r#"watchdog_deaths_total{name="well", cause="crashed"}"#, "0+1x60"),
    (r#"watchdog_probes_total{name="well", result="success"}"#, "0+1x60"),
    (r#"watchdog_give_ups_total{name="well"}"#, "0+1x60"),
    (r#"watchdog_hook_failures_total{name="well"}"#, "0+1x60"),
    (r#"watchdog_active{name="down"}"#, "1x60"),
    (r#"watchdog_process_up{name="down"}"#, "0x60"),
    (r#"watchdog_active{name="given up"}"#, "1x60"),
    (r#"watchdog_process_up{name="given up"}"#, "0x60"),
    (r#"watchdog_hold{name="given up", reason="given_up"}"#, "1x60"),
    (r#"watchdog_process_up{name="unhealthy"}"#, "1x60"),
    (r#"watchdog_process_healthy{name="unhealthy"}"#, "0x60"),
    (r#"watchdog_process_up{name="held"}"#, "0x60"),
    (r#"watchdog_process_healthy{name="held"}"#, "0x60"),
    (r#"watchdog_hold{name="held", reason="hours"}"#, "1x60"),
    (r#"watchdog_active{name="unwatched"}"#, "0x60"),
    (r#"watchdog_last_check_timestamp_seconds{name="unwatched"}"#, "60x60"),
];
/// What the numbers at the top of the dashboard are then.
const NUMBERS: [(&str, u8); 6] =
    [("Watchdogs", 4), ("Down", 2), ("Given up", 1), ("Unhealthy", 1), ("Held", 1), ("Unwatched", 1)];

fn packaging(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(packaging(path)).unwrap()
}

fn promtool(scene: &Scene, words: &[&str], file: &Path) -> Ended {
    let mut command = program("promtool");
    command.args(words).arg(file).stdin(Stdio::null());
    scene.spawn(command, Captured::All).ends()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("prometheus/dashboard.json")).unwrap()
}

/// The queries, with the titles of their panels and with what Grafana fills in.
fn queries() -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for panel in dashboard()["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap().replace("$__rate_interval", "2m");
            let query = query.replace("$instance", ".*").replace("$name", ".*");
            queries.push((panel["title"].as_str().unwrap().to_owned(), query));
        }
    }
    queries
}

#[test]
fn alerts_fire_when_they_should() {
    if !is_here("promtool") {
        return;
    }
    let scene = Scene::new();
    for (words, file) in
        [(["check", "rules"], "watchdog.rules.yml"), (["test", "rules"], "watchdog.rules.test.yml")]
    {
        let ended = promtool(&scene, &words, &packaging("prometheus").join(file));
        assert_eq!(ended.code(), Some(0), "{ended}");
    }
}

/// An alert that no test lets fire may never fire at all.
#[test]
fn each_alert_is_seen_to_fire() {
    let (rules, tests) = (read("prometheus/watchdog.rules.yml"), read("prometheus/watchdog.rules.test.yml"));
    let alert = Regex::new(r"(?m)^      - alert: (\w+)$").unwrap();
    let alerts: Vec<_> = alert.captures_iter(&rules).map(|found| found[1].to_owned()).collect();
    assert_eq!(alerts.len(), rules.matches("expr:").count());
    for alert in alerts {
        let expected = tests.split("alertname: ").filter(|test| test.starts_with(&format!("{alert}\n")));
        let (fires, stays): (Vec<_>, Vec<_>) = expected.partition(|test| !test.contains("exp_alerts: []"));
        assert!(!fires.is_empty() && !stays.is_empty(), "{alert}");
    }
}

/// Each query of the dashboard is run, and shows something.
#[test]
fn the_dashboard_asks_what_there_is_an_answer_to() {
    if !is_here("promtool") {
        return;
    }
    let mut test = "tests:\n  - interval: 30s\n    input_series:\n".to_owned();
    for (series, values) in SAMPLE {
        writeln!(test, "      - {{series: '{series}', values: '{values}'}}").unwrap();
    }
    test.push_str("    promql_expr_test:\n");
    let mut numbers = 0;
    for (title, query) in queries() {
        let (query, value) = match NUMBERS.iter().find(|(number, _)| *number == title) {
            Some((_, value)) => {
                numbers += 1;
                (query, *value)
            }
            None => (format!("count({query}) > bool 0"), 1),
        };
        writeln!(test, "      - {{eval_time: 20m, expr: '{query}', exp_samples: [{{value: {value}}}]}}")
            .unwrap();
        // A number is there too where nothing is wrong.
        if query.contains("or vector(0)") {
            let query = query.replace(r#"name=~".*""#, r#"name="nobody""#);
            writeln!(test, "      - {{eval_time: 20m, expr: '{query}', exp_samples: [{{value: 0}}]}}")
                .unwrap();
        }
    }
    assert_eq!(numbers, NUMBERS.len());
    let scene = Scene::new();
    fs::write(scene.path("test.yml"), test).unwrap();
    let ended = promtool(&scene, &["test", "rules"], &scene.path("test.yml"));
    assert_eq!(ended.code(), Some(0), "{ended}");
}

/// What the program writes of a watchdog with a probe: metrics, and their labels but for the name.
fn written() -> BTreeSet<String> {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    assert_eq!(scene.watchdog().with("--probe", "true").flag("--once").run().code(), Some(0));
    let shown = scene.say(&["status", "--prometheus"]).stdout;
    let name = format!("name=\"{}\"", scene.name());
    let series = shown.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    let series: BTreeSet<_> = series
        .map(|(series, _)| series.replace(&format!("{name},"), "").replace(&format!("{{{name}}}"), ""))
        .collect();
    assert!(series.len() > 30, "{shown}");
    series
}

/// What is asked for is what is written.
#[test]
fn rules_and_dashboard_know_no_other_metrics() {
    let written = written();
    let metric = Regex::new(r"\bwatchdog_[a-z_]+\b").unwrap();
    let known: BTreeSet<_> =
        written.iter().map(|series| metric.find(series).unwrap().as_str().to_owned()).collect();
    let rules = read("prometheus/watchdog.rules.yml");
    let dashboard: String = queries().into_iter().map(|(_, query)| query + "\n").collect();
    let sample = SAMPLE.map(|(series, _)| series).join("\n");
    for text in [&rules, &read("prometheus/watchdog.rules.test.yml"), &dashboard, &sample] {
        let used = metric.find_iter(text).map(|found| found.as_str().to_owned());
        let unknown: Vec<_> = used.filter(|metric| !known.contains(metric)).collect();
        assert_eq!(unknown, [""; 0]);
        // A label's value that is never written would never be found.
        let label = Regex::new(r#"\b((?:reason|cause|result)!?=~?"[a-z_|]+")"#).unwrap();
        for found in label.captures_iter(text) {
            let (key, values) = found[1].split_once(['!', '=']).unwrap();
            for value in values.trim_matches(['=', '~', '"']).split('|') {
                let pair = format!("{key}=\"{value}\"");
                assert!(written.iter().any(|series| series.contains(&pair)), "{pair}");
            }
        }
    }
    // And the dashboard is tried with all that is written.
    let sampled: BTreeSet<_> = metric.find_iter(&sample).map(|found| found.as_str().to_owned()).collect();
    assert_eq!(sampled, known);
}

#[test]
fn the_dashboard_is_one_for_any_prometheus() {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert_eq!((&variables[0]["name"], &variables[0]["type"]), (&"datasource".into(), &"datasource".into()));
    let panels = dashboard["panels"].as_array().unwrap();
    let source = serde_json::json!({ "type": "prometheus", "uid": "${datasource}" });
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    for asks in variables[1..].iter().chain(panels).chain(targets) {
        assert_eq!(asks["datasource"], source, "{asks}");
    }
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    // No two panels in one place, and none beyond Grafana's 24 columns.
    let mut taken = BTreeSet::new();
    for panel in panels {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        assert!(x + w <= 24, "{panel}");
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(place), "{place:?}: {panel}");
        }
        assert!(
            !panel["title"].as_str().unwrap().is_empty()
                && !panel["description"].as_str().unwrap().is_empty()
        );
    }
}
