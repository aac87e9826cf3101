# shellcheck shell=bash
# The same for a user without a login, by lingering.
unit=watchdog@workerd.service

as_user() {
    setpriv --reuid=tester --regid=tester --init-groups env -i HOME=/home/tester USER=tester \
        PATH=/usr/local/bin:/usr/bin:/bin XDG_RUNTIME_DIR="/run/user/$(id -u tester)" "$@"
}

is_up() {
    as_user systemctl --user is-active default.target
}

prepare() {
    useradd --create-home --shell /bin/sh tester
    make_daemon workerd
    mkdir -p /home/tester/.config/watchdog
    cat >/home/tester/.config/watchdog/workerd.toml <<'END'
process_name = "workerd"
start_command = "systemd-run --user --quiet --collect --unit=workerd-daemon /usr/local/sbin/workerd 100000"
restart_wait_interval = "2s"
END
    chown -R tester: /home/tester
    loginctl enable-linger tester
    eventually 30 is_up
}

# The user's watch, by its own log.
attempts() {
    grep -c 'not running; starting it' "/home/tester/.local/state/watchdog/$1.log" || true
}

succeeded() {
    grep -E 'starting it .attempt|attempt [0-9]+ succeeded' "/home/tester/.local/state/watchdog/$1.log" |
        tail -n 1 | grep -q succeeded
}

begins() {
    as_user systemctl --user enable --now $unit
    eventually 10 is_running workerd
    eventually 10 succeeded workerd
    same "$(ps -o user= -p "$(pid_of workerd)")" tester
}

reload_and_restart() {
    local pid
    pid=$(pid_of workerd)
    as_user systemctl --user reload $unit
    as_user systemctl --user restart $unit
    as_user systemctl --user is-active $unit
    as_user watchdog status workerd
    same "$(pid_of workerd)" "$pid"
}

timer() {
    as_user systemctl --user stop $unit
    as_user systemctl --user start watchdog-once@workerd.timer
    as_user systemctl --user start watchdog-once@workerd.service
    as_user systemctl --user stop watchdog-once@workerd.timer
    as_user systemctl --user start $unit
}

is_back_after_boot() {
    eventually 60 is_up
    as_user systemctl --user is-active $unit
    eventually 20 is_running workerd
    eventually 20 succeeded workerd
}

case $BOOT in
    1)
        check "a user's service manager runs without a login" prepare || {
            end_of_checks
            exit
        }
        check "a user's watch starts what is missing" begins
        check "workerd, killed, is back" kill_and_wait workerd
        check "reload and restart of the user's watch leave workerd alone" reload_and_restart
        check "one check by the user's timer" timer
        trap - EXIT
        systemctl reboot
        exit
        ;;
    *)
        check "after a reboot, still without a login, it is watched" is_back_after_boot
        check "workerd, killed after it, is back" kill_and_wait workerd
        ;;
esac
