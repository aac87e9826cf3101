# shellcheck shell=bash
# One check a minute by systemd's timer: watchdog-once@.timer and watchdog-once@.service.
timer=watchdog-once@nginx.timer
service=watchdog-once@nginx.service

timer_is_active() {
    configure nginx "service nginx start" 'restart_wait_interval = "2s"'
    eventually 20 is_running nginx
    systemctl enable --now "$timer"
    same "$(property "$timer" ActiveState)" active
}

# How many runs have ended since a cursor of the journal.
runs_since() {
    journalctl --quiet --unit="$service" --after-cursor="$1" --output=cat | grep -c '^Finished' || true
}

cursor() {
    journalctl --quiet --lines=0 --show-cursor | sed -n 's/^-- cursor: //p'
}

three_quiet_runs() {
    local cursor pid attempts began
    cursor=$(cursor)
    pid=$(pid_of nginx)
    attempts=$(attempts nginx)
    began=$SECONDS
    are_three() { (($(runs_since "$cursor") >= 3)); }
    eventually 260 are_three
    # No pile-up: not more than one a minute, with what a random delay may take off.
    ((SECONDS - began >= 90))
    same "$(pid_of nginx)" "$pid"
    same "$(attempts nginx)" "$attempts"
    same "$(journalctl --quiet --after-cursor="$cursor" --priority=warning --output=cat \
        --unit='watchdog*')" ""
    same "$(journalctl --quiet --after-cursor="$cursor" --priority=warning --output=cat \
        --identifier=watchdog)" ""
}

outlives_the_oneshot() {
    make_daemon directd
    configure directd "/usr/local/sbin/directd 100000" 'restart_wait_interval = "2s"'
    systemctl start watchdog-once@directd.service
    same "$(property watchdog-once@directd.service ActiveState)" inactive
    same "$(property watchdog-once@directd.service Result)" success
    throughout 3 is_running directd
    same "$(attempts directd)" 1
}

# The next run, in the same control group, finds it and leaves it.
outlives_the_next_run() {
    local pid
    pid=$(pid_of directd)
    systemctl start watchdog-once@directd.service
    throughout 2 same "$(pid_of directd)" "$pid"
    same "$(attempts directd)" 1
}

remembered_give_up_is_no_failed_unit() {
    configure brokend "false" 'restart_wait_interval = "1s"' 'max_fail_count = 2'
    not systemctl start watchdog-once@brokend.service
    systemctl is-failed watchdog-once@brokend.service
    systemctl start watchdog-once@brokend.service
    not systemctl is-failed watchdog-once@brokend.service
    same "$(attempts brokend)" 2
}

killed_is_back_by_the_timer() {
    kill_and_wait nginx 130
    has_finished() { [[ $(property "$service" ActiveState) == inactive ]]; }
    eventually 20 has_finished
    same "$(property "$service" Result)" success
    # One record of the outcome, and what led to it is in the log.
    same "$(journalctl --quiet --identifier=watchdog --unit="$service" --output=cat --priority=warning |
        grep -c 'was not running; running again after')" 1
}

check "the timer is enabled and runs" timer_is_active
check "a daemon that a oneshot started itself outlives it" outlives_the_oneshot
check "and the next run leaves it alone" outlives_the_next_run
check "a remembered give-up is no failed unit" remembered_give_up_is_no_failed_unit
check "nginx, killed, is back by the timer" killed_is_back_by_the_timer
check "three quiet runs of the timer leave no warning in the journal" three_quiet_runs
