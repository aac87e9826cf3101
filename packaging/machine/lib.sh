# shellcheck shell=bash
# Helpers of the checks, which run as root inside the machine.

# check TITLE COMMAND…: runs it, up to the first command in it that fails, and reports. A condition that is to be
# false stands behind `not`, since `set -e` does not see `!`.
check() {
    local title=$1 verdict log began status
    shift
    log=$SUBJECT.$BOOT.$((++checks)).log
    began=$EPOCHREALTIME
    (
        set -eE
        trap 'echo "failed (${FUNCNAME[0]:-}, line $LINENO): $BASH_COMMAND" >&2' ERR
        "$@"
    ) >"/srv/logs/$log" 2>&1 </dev/null
    status=$?
    verdict=ok
    if ((status != 0)); then
        verdict='not ok'
        show_logs "$began" >>"/srv/logs/$log" 2>&1
    fi
    printf '%s\t%s\t%s\t%s\t%s\n' "$verdict" "$SUBJECT" "$title" "$(seconds_since "$began")" "$log" >/srv/results
    return "$status"
}
checks=0

# skip TITLE WHY
skip() {
    printf 'skipped\t%s\t%s\t0\t%s\n' "$SUBJECT" "$1" "$2" >/srv/results
}

# The host takes a machine that ends without this for one that failed.
end_of_checks() {
    printf 'done\t%s\n' "$SUBJECT" >/srv/results
}

# What may tell why a check failed that began then.
show_logs() {
    echo "--- journal"
    journalctl --quiet --no-pager --output=short-precise --since="@${1%.*}" | tail -n 50
    local log
    for log in /var/log/watchdog/*.log; do
        [[ -e $log ]] && echo "--- $log" && tail -n 15 "$log"
    done
    echo "--- processes"
    ps -e -o pid,ppid,etimes,stat,args
}

# Microseconds in, tenths of a second out; bash has no fractions.
seconds_since() {
    local tenths=$(((${EPOCHREALTIME/./} - ${1/./}) / 100000))
    echo "$((tenths / 10)).$((tenths % 10))"
}

# eventually SECONDS COMMAND…: waits until it succeeds.
eventually() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS >= deadline)); then
            echo "not in time: $*" >&2
            "$@"
            return 1
        fi
        sleep 0.1
    done
}

# throughout SECONDS COMMAND…: it succeeds at each look. For what must not happen.
throughout() {
    local deadline=$((SECONDS + $1))
    shift
    while ((SECONDS < deadline)); do
        "$@" || {
            echo "not throughout: $*" >&2
            return 1
        }
        sleep 0.1
    done
}

not() {
    ! "$@"
}

# same A B
same() {
    [[ $1 == "$2" ]] || {
        echo "'$1' is not '$2'" >&2
        return 1
    }
}

install_package() {
    DEBIAN_FRONTEND=noninteractive apt-get install --yes /srv/process-watchdog.deb
}

# configure NAME START_COMMAND [LINE…]: writes /etc/watchdog/NAME.toml.
configure() {
    local name=$1 command=$2
    shift 2
    {
        printf 'process_name = "%s"\nstart_command = "%s"\n' "$name" "$command"
        printf '%s\n' "$@"
    } >"/etc/watchdog/$name.toml"
}

# The process of that name, and of nginx's the master: its workers may outlive it for a moment.
pid_of() {
    if [[ $1 == nginx ]]; then
        pgrep --full --oldest '^(nginx: master process )?/usr/sbin/nginx '
    else
        pgrep --exact --oldest "$1"
    fi
}

is_running() {
    pid_of "$1" >/dev/null
}

is_gone() {
    not is_running "$1"
}

# is_back NAME PID: another process than that one runs.
is_back() {
    local pid
    pid=$(pid_of "$1") && [[ $pid != "$2" ]]
}

# How often a start command has been run, by the log of a watchdog.
attempts() {
    if [[ ! -e /var/log/watchdog/$1.log ]]; then
        echo 0
        return
    fi
    grep -c 'not running; starting it' "/var/log/watchdog/$1.log" || true
}

# succeeded NAME: all attempts in the log have been judged, and the last was a success.
succeeded() {
    grep -E 'starting it .attempt|attempt [0-9]+ succeeded' "/var/log/watchdog/$1.log" | tail -n 1 |
        grep -q succeeded
}

# kill_and_wait NAME [SECONDS [LOG]]: kills the process; another is there in time, after one attempt that is a
# success. LOG is the watchdog's name where it is not the process's.
kill_and_wait() {
    local pid before log=${3:-$1}
    pid=$(pid_of "$1")
    before=$(attempts "$log")
    kill -KILL "$pid"
    eventually "${2:-20}" is_back "$1" "$pid"
    eventually 20 succeeded "$log"
    same "$(attempts "$log")" $((before + 1))
}

property() {
    systemctl show --value --property="$2" "$1"
}

# A watchdog that has judged its last attempt and follows the process.
is_at_rest() {
    watchdog status "$1" --json | grep -Eq '"state": ?"running"' &&
        watchdog status "$1" --json | grep -Eq '"standing": ?null'
}

# make_daemon NAME: a program of that name that does nothing.
make_daemon() {
    cp /usr/bin/sleep "/usr/local/sbin/$1"
}
