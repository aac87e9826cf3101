# shellcheck shell=bash
# The package itself: what it brings, an upgrade under running watches, and that nothing of it stays.

textfile=/var/lib/prometheus/node-exporter/watchdog.prom

# Every file, but for what apt, dpkg and the machine keep of their own.
files() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /srv -o -path /var/tmp \
        -o -path /var/cache -o -path /var/lib/apt -o -path /var/lib/private -o -path /var/log/journal \
        -o -path /var/lib/dpkg/triggers -o -path /var/lib/dpkg/updates -o -path /var/lib/systemd/timers \) -prune -o \
        ! -path '/var/lib/dpkg/*-old' ! -path '/var/lib/dpkg/lock*' ! -path '/var/log/*' -print
    find /run /var/log -name '*watchdog*'
}

installs() {
    files | sort >/tmp/before
    install_package
    dpkg --status process-watchdog | grep -x 'Status: install ok installed'
}

brings_what_it_says() {
    test -x /usr/bin/watchdog
    man --where watchdog
    man --where 5 watchdog.toml
    watchdog --version
    same "$(dpkg-query --show --showformat='${Conflicts}' process-watchdog)" watchdog
    test -d /etc/watchdog
    ls /usr/share/doc/process-watchdog/examples
    test -s /usr/share/doc/process-watchdog/docs/contract.md
    # Nothing runs or is enabled before somebody says so.
    same "$(loaded_units)" ""
    same "$(find /etc/systemd -name '*watchdog*')" ""
}

# Active or failed.
loaded_units() {
    systemctl list-units --plain --no-legend 'watchdog*'
}

units() {
    dpkg --listfiles process-watchdog | grep -E "/lib/systemd/$1/[^/]*\.(service|timer)$"
}

# verifies FOLDER OPTION…: a template is verified as an instance of it.
verifies() {
    local unit said
    units "$1" | grep -q watchdog
    for unit in $(units "$1"); do
        unit=$(basename "$unit")
        echo "$unit"
        # It reads what a unit is ordered after too, which may have faults of its own.
        said=$(XDG_RUNTIME_DIR=/run/user/0 systemd-analyze "${@:2}" verify "${unit/@./@nginx.}" 2>&1) ||
            echo "watchdog: status $?: $said"
        not grep watchdog <<<"$said"
    done
}

# It is a drop-in of a unit by the name of the process.
drop_ins_verify() {
    local example name
    for example in /usr/share/doc/process-watchdog/examples/*.conf; do
        name=$(basename "$example" .conf)
        echo "$name"
        mkdir -p "/run/systemd/system/watchdog@$name.service.d"
        cp "$example" "/run/systemd/system/watchdog@$name.service.d/"
        not grep -E "watchdog|$name" < <(systemd-analyze verify "watchdog@$name.service" 2>&1)
        rm -r "/run/systemd/system/watchdog@$name.service.d"
    done
}

watches_begin() {
    make_daemon directd
    configure nginx "service nginx start" 'restart_wait_interval = "2s"'
    configure directd "/usr/local/sbin/directd 100000" 'restart_wait_interval = "2s"'
    eventually 20 is_running nginx
    systemctl enable --now watchdog@nginx.service watchdog@directd.service watchdog-once@nginx.timer \
        watchdog-textfile.timer
    eventually 10 is_at_rest nginx
    eventually 10 succeeded directd
    eventually 60 grep '^watchdog_active{name="nginx"} 1$' "$textfile"
}

# The same package with a higher version.
make_upgrade() {
    rm -rf /tmp/upgrade
    dpkg-deb --raw-extract /srv/process-watchdog.deb /tmp/upgrade
    sed -i 's/^Version: .*/Version: 9999/' /tmp/upgrade/DEBIAN/control
    dpkg-deb --build --root-owner-group /tmp/upgrade /tmp/upgrade.deb
}

upgrade_leaves_processes_alone() {
    local nginx directd
    nginx=$(pid_of nginx)
    directd=$(pid_of directd)
    make_upgrade
    DEBIAN_FRONTEND=noninteractive apt-get install --yes /tmp/upgrade.deb
    same "$(dpkg-query --show --showformat='${Version}' process-watchdog)" 9999
    eventually 20 is_at_rest nginx
    eventually 20 is_at_rest directd
    same "$(pid_of nginx)" "$nginx"
    same "$(pid_of directd)" "$directd"
}

upgrade_keeps_configuration() {
    grep 'restart_wait_interval = "2s"' /etc/watchdog/nginx.toml
    systemctl is-enabled watchdog@nginx.service watchdog@directd.service watchdog-once@nginx.timer \
        watchdog-textfile.timer
}

watches_run_the_new_program() {
    local unit
    for unit in watchdog@nginx.service watchdog@directd.service; do
        same "$(property $unit ActiveState)" active
        same "$(readlink "/proc/$(property $unit MainPID)/exe")" /usr/bin/watchdog
    done
    same "$(property watchdog-once@nginx.timer ActiveState)" active
}

remove_keeps_configuration() {
    local nginx
    nginx=$(pid_of nginx)
    DEBIAN_FRONTEND=noninteractive apt-get remove --yes process-watchdog
    test -e /etc/watchdog/nginx.toml
    same "$(pid_of nginx)" "$nginx"
    eventually 10 is_gone watchdog
    # node_exporter would show it for ever.
    not test -e "$textfile"
    # Its apt hook is configuration, and still there.
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --reinstall nginx-common 2>&1 | tee /tmp/apt.log
    not grep -Ei 'watchdog|problem executing' /tmp/apt.log
}

comes_back() {
    DEBIAN_FRONTEND=noninteractive apt-get install --yes /tmp/upgrade.deb
    systemctl start watchdog@nginx.service
    eventually 10 is_at_rest nginx
}

purge_leaves_nothing() {
    local nginx
    nginx=$(pid_of nginx)
    DEBIAN_FRONTEND=noninteractive apt-get purge --yes process-watchdog
    same "$(pid_of nginx)" "$nginx"
    eventually 10 is_gone watchdog
    rm /usr/local/sbin/directd
    files | sort >/tmp/after
    diff /tmp/before /tmp/after
    same "$(loaded_units)" ""
}

check "apt installs the package" installs || exit
check "it brings program, manual and examples, and enables nothing" brings_what_it_says
check "'systemd-analyze verify' has nothing to say of each unit" verifies system
check "nor of each user unit" verifies user --user
check "nor of each drop-in example" drop_ins_verify
check "watches by service and timer, and one of a daemon that it started itself" watches_begin
check "an upgrade leaves the watched processes alone" upgrade_leaves_processes_alone
check "an upgrade keeps configuration and what is enabled" upgrade_keeps_configuration
check "the watches go on, with the new program" watches_run_the_new_program
check "nginx, killed after an upgrade, is back" kill_and_wait nginx
check "a daemon started directly, killed after an upgrade, is back" kill_and_wait directd
check "removed, it leaves processes and configuration, and apt works" remove_keeps_configuration
check "installed again, it watches as before" comes_back
check "purged, it leaves nothing but the watched processes" purge_leaves_nothing
