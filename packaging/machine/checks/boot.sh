# shellcheck shell=bash
# What survives a reboot, and what happens while the machine comes up and goes down.
slow=slowd.service

# A service that takes five seconds to come up, and five after its process has gone to be down.
prepare() {
    make_daemon slowd
    cat >/etc/systemd/system/$slow <<'END'
[Service]
ExecStartPre=/bin/sleep 5
ExecStart=/usr/local/sbin/slowd 100000
ExecStopPost=/bin/sleep 5

[Install]
WantedBy=multi-user.target
END
    systemctl enable --now $slow
    configure slowd "service slowd start" 'after_stop = "100ms"'
    configure nginx "service nginx start" 'after_stop = "100ms"'
    eventually 20 is_running nginx
    systemctl enable --now watchdog@slowd.service watchdog@nginx.service
    eventually 10 is_at_rest slowd
    eventually 10 is_at_rest nginx
    # Ordered after nothing, it ends while services do.
    systemd-run --quiet --unit=unordered watchdog --name unordered --process-name nginx \
        --start-command "service nginx start" --after-stop 100ms
    eventually 10 is_at_rest unordered
    systemctl stop watchdog@nginx.service
    kill_and_wait nginx 20 unordered
    systemctl start watchdog@nginx.service
    kill_and_wait slowd 20
    configure cron "service cron start"
    watchdog pause cron
    ls /run/watchdog/cron.pause
}

# The log of each from the reboot on: first of the watch that ends, then of the one that begins.
no_start_command_at_shutdown() {
    local name
    for name in slowd nginx unordered; do
        tail -n "+$(($(cat /var/lib/lines.$name) + 1))" /var/log/watchdog/$name.log | grep 'stopped by SIGTERM'
        same "$(tail -n "+$(($(cat /var/lib/lines.$name) + 1))" /var/log/watchdog/$name.log |
            sed '/: watching /,$d' | grep -c 'not running; starting it')" 0
    done
}

watches_are_back() {
    same "$(property watchdog@slowd.service ActiveState)" active
    same "$(property watchdog@nginx.service ActiveState)" active
    eventually 20 is_at_rest slowd
    eventually 20 is_at_rest nginx
}

no_attempt_at_boot() {
    local name
    for name in slowd nginx; do
        tail -n "+$(($(cat /var/lib/lines.$name) + 1))" /var/log/watchdog/$name.log |
            sed -n '/: watching /,$p' >/tmp/boot.$name
        grep "following $name" /tmp/boot.$name
        not grep 'not running; starting it' /tmp/boot.$name
    done
    same "$(journalctl --quiet --boot --priority=warning --unit='watchdog@*' --output=cat)" ""
}

state_is_of_this_boot() {
    not test -e /run/watchdog/cron.pause
    watchdog status slowd --json | grep -E '"restarts": ?0'
    watchdog status nginx --json | grep -E '"restarts": ?0'
    grep -q "$(cat /proc/sys/kernel/random/boot_id)" /run/watchdog/nginx.json
}

case $BOOT in
    1)
        check "watches are enabled, and one is paused" prepare
        for name in slowd nginx unordered; do wc -l <"/var/log/watchdog/$name.log" >/var/lib/lines.$name; done
        trap - EXIT
        systemctl reboot
        exit
        ;;
    2)
        check "no start command ran while the machine went down" no_start_command_at_shutdown
        check "after a reboot the watches are back" watches_are_back
        check "nothing was started by a watchdog while the machine came up" no_attempt_at_boot
        check "what was remembered before, pause included, is gone" state_is_of_this_boot
        check "nginx, killed after a reboot, is back" kill_and_wait nginx
        check "slowd, killed after a reboot, is back" kill_and_wait slowd 30
        ;;
esac
