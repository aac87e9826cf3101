# shellcheck shell=bash
# What tells people: the hook, through a local mail server; and systemd, of the watchdog itself, as docs/hooks.md has it.
page=/usr/share/doc/process-watchdog/docs/hooks.md
mailbox=/home/tester/Maildir/new

# The block of the page that begins so.
block() {
    awk -v begins="# $1" '/^```/ { on = 0 } $0 == begins { on = 1 } on' "$page"
}

is_mailed() {
    grep -rqF "Subject: machine: $1" "$mailbox"
}

prepare() {
    useradd --create-home --shell /bin/sh tester
    eventually 20 systemctl is-active opensmtpd
    make_daemon maild
    configure maild "systemd-run --quiet --collect --unit=maild-daemon /usr/local/sbin/maild 100000" \
        'restart_wait_interval = "2s"' 'hook = "/usr/share/process-watchdog/hooks/mail tester"'
}

hook_can_be_tried() {
    watchdog test-hook maild
    eventually 30 is_mailed "maild: test"
}

death_and_recovery_are_mailed() {
    systemctl start watchdog@maild
    eventually 20 succeeded maild
    kill_and_wait maild
    eventually 30 is_mailed "maild: died"
    eventually 30 is_mailed "maild: recovered"
    grep -rqE 'maild \(pid [0-9]+\) (was killed by SIGKILL|died)' "$mailbox"
}

failed_unit_is_mailed() {
    block "/etc/systemd/system/failure-mail@.service" | sed 's/mail root/mail tester/' \
        >/etc/systemd/system/failure-mail@.service
    mkdir /etc/systemd/system/watchdog@wrongd.service.d
    block "systemctl edit watchdog@nginx" >/etc/systemd/system/watchdog@wrongd.service.d/mail.conf
    echo 'process_name = ""' >/etc/watchdog/wrongd.toml
    systemctl daemon-reload
    not systemctl start watchdog@wrongd
    eventually 30 is_mailed "watchdog@wrongd.service: failed"
}

# Instead of curl, which would need a network: it writes down where to and what.
prepare_ping() {
    cat >/usr/local/bin/curl <<'END'
#!/bin/sh
{ cat /dev/fd/3 && cat; } >>/run/pinged
printf ' 200'
END
    chmod 755 /usr/local/bin/curl
    install -m 600 /dev/null /etc/watchdog/ping.secret
    echo 'url = https://check.example/uuid' >/etc/watchdog/ping.secret
    mkdir /etc/systemd/system/watchdog-once@.service.d
    block "systemctl edit watchdog-once@nginx" >/etc/systemd/system/watchdog-once@.service.d/ping.conf
    systemctl daemon-reload
}

# pings_after NAME: what a run of its timer's unit tells the check service.
pings_after() {
    rm -f /run/pinged
    systemctl start "watchdog-once@$1.service" || true
    eventually 10 test -s /run/pinged
    cat /run/pinged
}

run_that_is_well_pings() {
    prepare_ping
    make_daemon pingd
    configure pingd "systemd-run --quiet --collect --unit=pingd-daemon /usr/local/sbin/pingd 100000" \
        'restart_wait_interval = "2s"'
    pings_after pingd | grep -qF 'https://check.example/uuid"'
}

run_that_fails_pings_so() {
    configure brokend "false" 'restart_wait_interval = "1s"' 'max_fail_count = 1'
    pings_after brokend | grep -qF 'https://check.example/uuid/fail"'
    grep -qF 'status 1' /run/pinged
    # Given up before, and left alone.
    pings_after brokend | grep -qF 'https://check.example/uuid/log"'
}

check "a local mail server runs" prepare
check "'test-hook' sends a mail that arrives" hook_can_be_tried
check "a death and its end are mailed" death_and_recovery_are_mailed
check "a watchdog that fails is mailed by OnFailure=" failed_unit_is_mailed
check "a run that is well pings a check service (ExecStopPost=)" run_that_is_well_pings
check "a run that fails pings that, and one that left it alone takes note" run_that_fails_pings_so
