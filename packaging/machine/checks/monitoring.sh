# shellcheck shell=bash
# Twenty watchdogs, as Prometheus and its Alertmanager see them: what is down raises an alert, and its repair ends it.
share=/usr/share/process-watchdog
textfile=/var/lib/prometheus/node-exporter/watchdog.prom
received=/var/log/received
hooked=/var/log/hooked

names() {
    seq --format='svc%02g' 1 20
}

# The first has a probe, and each has a hook.
twenty_are_watched() {
    local name hook probe='probe = "true"'
    # shellcheck disable=SC2016 # for the hook's shell
    hook='hook = "echo $WATCHDOG_EVENT $WATCHDOG_NAME >>'$hooked'"'
    for name in $(names); do
        make_daemon "$name"
        configure "$name" "/usr/local/sbin/$name 100000" 'restart_wait_interval = "1s"' 'max_fail_count = 2' "$hook" "$probe"
        probe=
        systemctl start --no-block "watchdog@$name.service"
    done
    for name in $(names); do
        eventually 60 succeeded "$name"
    done
}

# has NUMBER PATTERN: so many lines of the file of metrics are like that.
has() {
    same "$(grep -c "$2" "$textfile")" "$1"
}

# Each two seconds here, so that nobody waits.
metrics_are_written() {
    mkdir -p /etc/systemd/system/watchdog-textfile.timer.d
    printf '[Timer]\nOnCalendar=\nOnCalendar=*:*:0/2 UTC\nRandomizedDelaySec=0\n' \
        >/etc/systemd/system/watchdog-textfile.timer.d/soon.conf
    systemctl daemon-reload
    systemctl enable --now watchdog-textfile.timer
    eventually 10 has 20 '^watchdog_process_up{name="svc[0-9]*"} 1$'
    same "$(stat --format=%a "$textfile")" 644
    promtool check metrics <"$textfile"
}

timer_logs_nothing() {
    sleep 5
    same "$(journalctl --quiet --unit=watchdog-textfile.service --output=cat)" ""
}

# The package's rules, but that nothing waits for minutes.
prometheus_reads_them() {
    sed 's/for: [0-9]*m$/for: 2s/' "$share/prometheus/watchdog.rules.yml" >/etc/prometheus/watchdog.rules.yml
    cat >/etc/prometheus/prometheus.yml <<-'END'
		global: {scrape_interval: 1s, evaluation_interval: 1s}
		rule_files: [/etc/prometheus/watchdog.rules.yml]
		alerting: {alertmanagers: [{static_configs: [{targets: ["127.0.0.1:9093"]}]}]}
		scrape_configs: [{job_name: node, static_configs: [{targets: ["127.0.0.1:9100"]}]}]
	END
    cat >/etc/prometheus/alertmanager.yml <<-'END'
		route: {receiver: webhook, group_by: [alertname, name], group_wait: 0s, group_interval: 1s}
		receivers: [{name: webhook, webhook_configs: [{url: "http://127.0.0.1:9999/", send_resolved: true}]}]
	END
    # There is no network here for a cluster.
    echo 'ARGS="--cluster.listen-address="' >/etc/default/prometheus-alertmanager
    promtool check config /etc/prometheus/prometheus.yml
    systemd-run --quiet --unit=receive /srv/monitoring/receive "$received"
    systemctl start prometheus-node-exporter prometheus-alertmanager prometheus
    eventually 60 finds 20 'watchdog_process_up == 1'
}

# finds NUMBER QUERY: Prometheus answers with so many series.
finds() {
    same "$(promtool query instant http://127.0.0.1:9090 "$2" | grep -c '=>')" "$1"
}

was_told() {
    grep -x "$1" "$received"
}

heard() {
    grep -x "$1" "$hooked"
}

no_alert_while_all_is_well() {
    throughout 10 finds 0 ALERTS
    test ! -e "$received"
}

# It dies, and its program is gone.
what_cannot_start_is_told() {
    mv /usr/local/sbin/svc07 /usr/local/sbin/svc07.gone
    kill -KILL "$(pid_of svc07)"
    eventually 60 was_told 'firing WatchdogProcessDown svc07 svc07 does not run on 127.0.0.1:9100'
    eventually 60 was_told 'firing WatchdogGaveUp svc07 The watchdog gave up on svc07 on 127.0.0.1:9100'
    not grep -v svc07 "$received"
    eventually 10 heard 'died svc07'
    eventually 10 heard 'gave-up svc07'
    watchdog status --nagios svc07 | grep '^WATCHDOG CRITICAL - svc07 is not running .* gave up'
    watchdog status --nagios 'svc*' | grep '^WATCHDOG CRITICAL - 19 of 20 are well; svc07 '
}

# What a person has decided wakes nobody.
what_is_held_is_not_told() {
    watchdog pause svc08
    kill -KILL "$(pid_of svc08)"
    eventually 30 finds 1 'watchdog_hold{name="svc08", reason="paused"} == 1 and ignoring (reason) watchdog_process_up == 0'
    throughout 8 not grep -q 'svc08' "$received"
    not grep svc08 "$hooked"
    watchdog resume svc08
    eventually 20 is_running svc08
}

repair_is_told() {
    mv /usr/local/sbin/svc07.gone /usr/local/sbin/svc07
    watchdog start svc07
    eventually 60 was_told 'resolved WatchdogProcessDown svc07 svc07 does not run on 127.0.0.1:9100'
    eventually 60 was_told 'resolved WatchdogGaveUp svc07 The watchdog gave up on svc07 on 127.0.0.1:9100'
    eventually 10 heard 'recovered svc07'
    eventually 20 finds 20 'watchdog_process_up == 1'
}

series_stay() {
    finds 18 'changes(watchdog_process_start_time_seconds[5m]) == 0'
    finds 1 'increase(watchdog_give_ups_total[5m]) > 0'
    finds 20 'watchdog_hook_failures_total == 0'
}

# Of a hold, while there is one; and of probes, as the state file has them.
the_dashboard_finds() {
    watchdog pause svc09
    systemctl restart watchdog@svc01.service
    eventually 20 finds 1 'watchdog_hold{name="svc09"} == 1'
    eventually 20 finds 1 'watchdog_probes_total{result="success"} > 0'
    eventually 20 /srv/monitoring/ask "$share/prometheus/dashboard.json"
}

check "twenty are watched" twenty_are_watched
check "the timer writes their metrics, for all to read" metrics_are_written
check "it says nothing in the journal meanwhile" timer_logs_nothing
check "Prometheus sees twenty that run" prometheus_reads_them
check "there is no alert while all is well" no_alert_while_all_is_well
check "what cannot be started raises its alerts, and no others; its hook hears of it" what_cannot_start_is_told
check "what is paused raises none" what_is_held_is_not_told
check "its repair ends the alerts, and the hook hears of it" repair_is_told
check "no series changes while nothing happens" series_stay
check "each query of the dashboard finds something" the_dashboard_finds
