# shellcheck shell=bash
# A long-running watch under systemd: watchdog@nginx.service.
unit=watchdog@nginx.service

is_ready() {
    configure nginx "service nginx start" 'restart_wait_interval = "2s"'
    eventually 20 is_running nginx
    systemctl enable --now "$unit"
    same "$(property "$unit" ActiveState)" active
    same "$(property "$unit" Type)" notify
    eventually 10 is_at_rest nginx
    same "$(attempts nginx)" 0
}

status_text_names_it() {
    property "$unit" StatusText | grep -F "nginx"
    property "$unit" StatusText | grep -F "$(pid_of nginx)"
}

# It has run for longer than restart_wait_interval; one that ends with status 0 sooner may be a launcher.
is_settled() {
    (($(ps -o etimes= -p "$(pid_of nginx)") > 3))
}

is_started_after_a_stop() {
    local pid before
    eventually 10 is_settled
    pid=$(pid_of nginx)
    before=$(attempts nginx)
    systemctl stop nginx
    eventually 5 is_gone nginx
    eventually 20 is_back nginx "$pid"
    eventually 10 succeeded nginx
    same "$(attempts nginx)" $((before + 1))
}

restart_by_hand_is_no_outage() {
    local pid before
    pid=$(pid_of nginx)
    before=$(attempts nginx)
    systemctl restart nginx
    eventually 10 is_back nginx "$pid"
    follows() { watchdog status nginx --json | grep -Eq "\"pid\": ?$(pid_of nginx)\b"; }
    eventually 10 follows
    throughout 5 same "$(attempts nginx)" "$before"
    is_back nginx "$pid"
}

# untouched COMMAND…: nginx is the same process after it, and watched as before.
untouched() {
    local pid
    pid=$(pid_of nginx)
    "$@"
    eventually 15 is_at_rest nginx
    same "$(pid_of nginx)" "$pid"
}

reload() {
    local watchdog
    watchdog=$(property "$unit" MainPID)
    configure nginx "service nginx start" 'restart_wait_interval = "3s"'
    systemctl reload "$unit"
    same "$(property "$unit" MainPID)" "$watchdog"
    eventually 5 grep -q 'configuration reloaded: ' /var/log/watchdog/nginx.log
}

reload_of_a_wrong_file() {
    local watchdog
    watchdog=$(property "$unit" MainPID)
    configure nginx "service nginx start" 'restart_wait_intervall = "3s"'
    systemctl reload "$unit" || true
    eventually 5 grep -q 'configuration not reloaded, the old settings stay' /var/log/watchdog/nginx.log
    configure nginx "service nginx start" 'restart_wait_interval = "2s"'
    systemctl reload "$unit"
    same "$(property "$unit" MainPID)" "$watchdog"
}

stop_and_start() {
    systemctl stop "$unit"
    same "$(property "$unit" Result)" success
    is_running nginx
    test -e /run/watchdog
    systemctl start "$unit"
}

stopped_watchdog_is_restarted() {
    local watchdog
    mkdir -p "/run/systemd/system/$unit.d"
    printf '[Service]\nWatchdogSec=3s\n' >"/run/systemd/system/$unit.d/soon.conf"
    systemctl daemon-reload
    systemctl restart "$unit"
    eventually 10 is_at_rest nginx
    watchdog=$(property "$unit" MainPID)
    # It answers: no restart while it is well.
    throughout 6 same "$(property "$unit" MainPID)" "$watchdog"
    kill -STOP "$watchdog"
    is_another() { [[ $(property "$unit" ActiveState) == active && $(property "$unit" MainPID) != "$watchdog" ]]; }
    eventually 90 is_another
    rm "/run/systemd/system/$unit.d/soon.conf"
    systemctl daemon-reload
}

pause_and_resume() {
    local pid before
    pid=$(pid_of nginx)
    before=$(attempts nginx)
    watchdog pause nginx
    systemctl stop nginx
    throughout 6 is_gone nginx
    same "$(attempts nginx)" "$before"
    watchdog resume nginx
    eventually 15 is_back nginx "$pid"
    eventually 10 succeeded nginx
}

pause_ends_by_time() {
    local pid
    pid=$(pid_of nginx)
    watchdog pause nginx --for 8s
    kill -KILL "$pid"
    eventually 2 is_gone nginx
    throughout 4 is_gone nginx
    eventually 15 is_back nginx "$pid"
    eventually 10 succeeded nginx
}

journal_has_priorities() {
    local all warnings
    all=$(journalctl --quiet --unit="$unit" --identifier=watchdog --output=cat)
    warnings=$(journalctl --quiet --unit="$unit" --identifier=watchdog --output=cat --priority=warning)
    grep -q ': watching ' <<<"$all"
    not grep -q ': watching ' <<<"$warnings"
    grep -q 'was killed by SIGKILL' <<<"$warnings"
    grep -q 'not running; starting it' <<<"$warnings"
    # The journal has the time and the priority; the text repeats neither.
    not grep -Eq '^[0-9]{4}-|^<[0-7]>|INFO|WARN' <<<"$all"
}

# What systemd itself says of the unit counts too: left-over processes, a watchdog that did not answer.
nothing_else_is_a_warning() {
    not grep -Ev 'not running; starting it|was killed by SIGKILL|configuration not reloaded|not running; paused|was killed or crashed' < <(
        journalctl --quiet --unit="$unit" --output=cat --priority=warning --until="@$1"
    )
}

logged() { grep -Eq "$1" /var/log/watchdog/nginx.log; }

unhealthy_is_stopped_by_systemd() {
    local pid
    pid=$(pid_of nginx)
    touch /var/www/html/health
    configure nginx "systemctl start nginx" 'restart_wait_interval = "2s"' 'probe = "http://127.0.0.1/health"' \
        'probe_interval = "500ms"' 'probe_start_period = "1s"' 'stop_command = "systemctl stop nginx"'
    systemctl reload "$unit"
    eventually 20 logged "INFO  nginx: healthy: nginx .pid $pid"
    rm /var/www/html/health
    eventually 20 is_back nginx "$pid"
    logged "stopping nginx .pid $pid., it is unhealthy: systemctl stop nginx"
    not logged "sent SIGTERM"
    touch /var/www/html/health
    eventually 20 logged "healthy again: nginx"
    same "$(property nginx.service ActiveState)" active
}

restart_stop_and_start() {
    local pid
    pid=$(pid_of nginx)
    watchdog restart nginx
    is_back nginx "$pid"
    watchdog stop nginx
    is_gone nginx
    same "$(property nginx.service ActiveState)" inactive
    throughout 4 is_gone nginx
    watchdog start nginx
    is_running nginx
}

# The signal ends it, and systemd starts it again.
started_again_by_systemd_is_not_stopped_twice() {
    mkdir -p /run/systemd/system/nginx.service.d
    printf '[Service]\nRestart=always\n' >/run/systemd/system/nginx.service.d/always.conf
    systemctl daemon-reload
    configure nginx "service nginx start" 'restart_wait_interval = "2s"'
    systemctl reload "$unit"
    not watchdog stop nginx 2>/tmp/said
    grep -F "somebody else has started it again; to stop it: systemctl stop nginx.service" /tmp/said
    is_running nginx
    watchdog start nginx
    rm /run/systemd/system/nginx.service.d/always.conf
    systemctl daemon-reload
}

gives_up() {
    make_daemon workerd
    configure workerd \
        'test -e /etc/workerd.conf && systemd-run --quiet --collect --unit=workerd-daemon /usr/local/sbin/workerd 100000' \
        'restart_wait_interval = "1s"' 'max_fail_count = 2' 'stable_after = "2s"'
    systemctl start watchdog@workerd.service
    eventually 20 grep -q 'gave up after 2 failures in a row\. ' /var/log/watchdog/workerd.log
    throughout 3 same "$(attempts workerd)" 2
    same "$(property watchdog@workerd.service ActiveState)" active
    watchdog status workerd | grep -F "gave up"
    property watchdog@workerd.service StatusText | grep -F "gave up"
}

repaired_by_hand_it_is_taken_up() {
    touch /etc/workerd.conf
    systemd-run --quiet --collect --unit=workerd-daemon /usr/local/sbin/workerd 100000
    eventually 20 is_at_rest workerd
    same "$(attempts workerd)" 2
}

# Three instances of one template: each is restarted alone, and a fourth disturbs none.
instances_of_a_template() {
    local at first second third
    for at in 1 2 3 4; do
        make_daemon "queue-$at"
    done
    cat >/etc/watchdog/queue@.toml <<'END'
process_name = "^queue-%i$"
start_command = "setsid --fork /usr/local/sbin/queue-%i 100000"
restart_wait_interval = "1s"
END
    systemctl enable --now watchdog@queue@1 watchdog@queue@2 watchdog@queue@3
    for at in 1 2 3; do
        eventually 20 is_running "queue-$at"
        eventually 20 succeeded "queue@$at"
    done
    first=$(pid_of queue-1)
    second=$(pid_of queue-2)
    third=$(pid_of queue-3)
    kill_and_wait queue-2 20 queue@2
    is_back queue-2 "$second"
    second=$(pid_of queue-2)
    systemctl enable --now watchdog@queue@4
    eventually 20 is_running queue-4
    same "$(pid_of queue-1) $(pid_of queue-2) $(pid_of queue-3)" "$first $second $third"
    same "$(watchdog status 'queue@*' | grep -c '^queue@')" 4
    not watchdog status queue@
    watchdog validate queue@1 /etc/watchdog/queue@.toml
}

check "is ready after the first probe, and starts nothing that runs" is_ready
check "the unit's status text says what is followed" status_text_names_it
check "nginx, killed, is back after one attempt" kill_and_wait nginx
check "nginx, stopped, is started after a moment" is_started_after_a_stop
check "'systemctl restart nginx' by hand is no outage" restart_by_hand_is_no_outage
check "'systemctl reload' leaves nginx alone" untouched reload
check "'systemctl reload' with a wrong file keeps the settings" untouched reload_of_a_wrong_file
check "'systemctl stop' and 'start' leave nginx alone" untouched stop_and_start
check "'systemctl restart' leaves nginx alone" untouched systemctl restart "$unit"
check "nginx, killed after these, is back" kill_and_wait nginx
# What follows is a fault of the watchdog itself, which is a warning of systemd's.
quiet_until=$(date +%s)
check "a watchdog that hangs (SIGSTOP) is restarted by systemd" untouched stopped_watchdog_is_restarted
check "nginx, killed after this, is back" kill_and_wait nginx
check "a pause leaves nginx stopped until 'resume'" pause_and_resume
check "a pause ends by its time" pause_ends_by_time
check "an unhealthy nginx is stopped by 'systemctl stop' and started" unhealthy_is_stopped_by_systemd
check "'watchdog restart', 'stop' and 'start' with that" restart_stop_and_start
check "nginx with Restart=always is not stopped twice" started_again_by_systemd_is_not_stopped_twice
check "records have a priority in the journal, and no time of their own" journal_has_priorities
check "nothing else of the unit is a warning" nothing_else_is_a_warning "$quiet_until"
check "gives up, and stays active" gives_up
check "repaired by hand after giving up, the process is taken up" repaired_by_hand_it_is_taken_up
check "killed later, it is started with no command given" kill_and_wait workerd
check "three instances of a template are restarted alone, and a fourth disturbs none" instances_of_a_template
