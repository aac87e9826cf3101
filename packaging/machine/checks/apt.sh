# shellcheck shell=bash
# The apt hook: while packages are unpacked, nothing is started.

# slow_package VERSION SECONDS: a package with a service, which its upgrade stops, and starts again after so long.
slow_package() {
    local root=/tmp/slowd_$1
    mkdir -p "$root/DEBIAN" "$root/usr/sbin" "$root/lib/systemd/system"
    cp /usr/bin/sleep "$root/usr/sbin/slowd"
    printf '[Service]\nExecStart=/usr/sbin/slowd 100000\n' >"$root/lib/systemd/system/slowd.service"
    cat >"$root/DEBIAN/control" <<END
Package: slowd
Version: $1
Architecture: all
Maintainer: nobody <nobody@localhost>
Description: service that is slow to upgrade
END
    printf '#!/bin/sh\nsystemctl stop slowd.service\n' >"$root/DEBIAN/prerm"
    printf '#!/bin/sh\nsleep %s\nsystemctl daemon-reload\nsystemctl start slowd.service\n' "$2" >"$root/DEBIAN/postinst"
    chmod 755 "$root/DEBIAN/prerm" "$root/DEBIAN/postinst"
    dpkg-deb --build --root-owner-group "$root" "$root.deb"
}

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get install --yes "$@"
}

prepare() {
    slow_package 1 0
    slow_package 2 8
    slow_package 3 300
    slow_package 4 0
    apt /tmp/slowd_1.deb
    configure slowd "service slowd start" 'restart_wait_interval = "2s"'
    configure nginx "service nginx start" 'restart_wait_interval = "2s"'
    configure cron "service cron start"
    systemctl start watchdog@slowd.service watchdog@nginx.service watchdog@cron.service
    watchdog pause cron
    eventually 10 is_at_rest slowd
    eventually 10 is_at_rest nginx
}

is_paused() {
    watchdog status "$1" --json | grep -Eq '"standing": ?"paused"'
}

is_not_paused() {
    not is_paused "$1"
}

upgrade_is_no_outage() {
    local pid apt
    pid=$(pid_of slowd)
    apt /tmp/slowd_2.deb &
    apt=$!
    eventually 30 is_gone slowd
    is_paused slowd
    is_paused nginx
    throughout 5 is_gone slowd
    wait $apt
    is_back slowd "$pid"
    eventually 10 is_at_rest slowd
    eventually 10 is_at_rest nginx
    same "$(attempts slowd)" 0
}

# What somebody paused stays so.
pause_by_hand_stays() {
    is_paused cron
}

reinstalled_nginx_is_no_outage() {
    apt --reinstall nginx-common nginx-light
    is_running nginx
    eventually 10 is_at_rest nginx
    throughout 4 is_running nginx
    same "$(attempts nginx)" 0
}

killed_apt() {
    local apt
    setsid --fork apt-get install --yes /tmp/slowd_3.deb
    is_configuring() { pgrep --full 'slowd.postinst configure'; }
    eventually 30 is_configuring
    is_paused slowd
    for apt in apt-get dpkg slowd.postinst; do pkill -KILL --exact "$apt"; done
    eventually 5 is_gone apt-get
    is_paused slowd
    # The half hour is too long to wait for; the check after this one waits for the end of a shorter one.
    watchdog status slowd --json | grep -Eo '"standing_seconds": ?[0-9]+' | tee /tmp/left
    (($(grep -o '[0-9]*$' /tmp/left) <= 3600))
}

# The hook's own command, with less time.
pause_of_apt_ends_by_time() {
    watchdog pause --upgrade --for 3s
    is_paused nginx
    eventually 10 is_not_paused nginx
    watchdog pause --upgrade --for 30m
}

next_apt_ends_the_pause() {
    dpkg --force-confold --remove --force-remove-reinstreq slowd || true
    apt /tmp/slowd_4.deb
    is_not_paused slowd
    eventually 15 is_at_rest slowd
}

apt_works_without_the_program() {
    mv /usr/bin/watchdog /usr/bin/watchdog.aside
    apt --reinstall /tmp/slowd_4.deb
    mv /usr/bin/watchdog.aside /usr/bin/watchdog
}

check "watches of two services, and one that is paused by hand" prepare
check "an upgrade that stops a service for 8 s is no outage" upgrade_is_no_outage
check "a pause by hand outlasts apt's" pause_by_hand_stays
check "slowd, killed after it, is back" kill_and_wait slowd
check "nginx installed again by apt is no outage" reinstalled_nginx_is_no_outage
check "nginx, killed after it, is back" kill_and_wait nginx
check "where apt is killed, the pause stays, and has an end" killed_apt
check "apt's pause ends by its time" pause_of_apt_ends_by_time
check "the next run of apt ends it" next_apt_ends_the_pause
check "slowd, killed after that, is back" kill_and_wait slowd
check "a hook that cannot work does not fail apt" apt_works_without_the_program
