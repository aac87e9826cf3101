# shellcheck shell=bash
# A real Docker daemon: its process is dockerd, and `docker` finds it.

docker_runs() {
    mkdir -p /etc/docker
    # What this machine without a network cannot do is left out.
    cat >/etc/docker/daemon.json <<'END'
{"iptables": false, "ip6tables": false, "ip-forward": false, "bridge": "none", "storage-driver": "vfs"}
END
    # Its own unit would restart it, and would refuse the fourth start in a minute.
    mkdir -p /etc/systemd/system/docker.service.d
    printf '[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestart=no\n' >/etc/systemd/system/docker.service.d/no-restart.conf
    systemctl daemon-reload
    # It may have failed at boot, before it had that file, and too often.
    systemctl reset-failed docker.service docker.socket || true
    service docker restart
    eventually 60 answers
}

answers() {
    docker version
}

# Without a watchdog it stays dead: what brings it back below is the watchdog.
stays_dead_alone() {
    kill -KILL "$(pid_of dockerd)"
    eventually 5 is_gone dockerd
    throughout 5 is_gone dockerd
    service docker start
    eventually 60 answers
}

killed() {
    kill_and_wait dockerd 60 docker
    eventually 60 answers
}

stopped() {
    local pid containerd
    pid=$(pid_of dockerd)
    containerd=$(pid_of containerd)
    systemctl stop docker.service
    eventually 60 is_back dockerd "$pid"
    eventually 60 answers
    same "$(pid_of containerd)" "$containerd"
    eventually 20 succeeded docker
}

service_watches() {
    configure docker "service docker start"
    systemctl start watchdog@docker.service
    eventually 10 is_at_rest docker
}

command_watches() {
    systemctl stop watchdog@docker.service
    rm /etc/watchdog/docker.toml
    setsid --fork watchdog --process-name docker --start-command "service docker start" </dev/null &>/dev/null
    eventually 10 is_at_rest docker
}

ends_by_sigterm() {
    local pid
    pid=$(pid_of dockerd)
    kill -TERM "$(pid_of watchdog)"
    eventually 5 is_gone watchdog
    grep 'stopped by SIGTERM; dockerd' /var/log/watchdog/docker.log
    same "$(pid_of dockerd)" "$pid"
}

check "dockerd runs here" docker_runs || {
    end_of_checks
    exit
}
check "dockerd, killed, stays dead without a watchdog" stays_dead_alone
check "watchdog@docker follows dockerd" service_watches
check "dockerd, killed, is back by watchdog@docker" killed
check "dockerd, stopped, is back by watchdog@docker" stopped
check "watchdog --process-name docker --start-command \"service docker start\"" command_watches
check "dockerd, killed, is back by that command" killed
check "dockerd, stopped, is back by that command" stopped
check "SIGTERM ends that command, and leaves dockerd running" ends_by_sigterm
