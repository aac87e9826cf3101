# shellcheck shell=bash
# One check a minute from a real cron, its mail kept in a file.
mails=/var/mail/all

prepare() {
    cat >/usr/sbin/sendmail <<END
#!/bin/sh
exec cat >>$mails
END
    chmod 755 /usr/sbin/sendmail
    : >$mails
    make_daemon workerd
    make_daemon lined
    make_daemon batch-1
    make_daemon batch-2
    cat >/etc/watchdog/batch@.toml <<'END'
process_name = "^batch-%i$"
start_command = "setsid --fork batch-%i 100000"
restart_wait_interval = "1s"
END
    setsid --fork batch-1 100000
    setsid --fork batch-2 100000
    printf '#!/bin/sh\ntest -e /etc/workerd.conf && setsid --fork workerd 100000\n' >/usr/local/sbin/start-workerd
    chmod 755 /usr/local/sbin/start-workerd
    touch /etc/workerd.conf
    start-workerd
    cat >/etc/cron.d/watchdog <<'END'
* * * * * root /usr/bin/watchdog --once --process-name nginx --start-command "service nginx start"
* * * * * root /usr/bin/watchdog --once --process-name workerd --start-command start-workerd --restart-wait-interval 1s
* * * * * root /usr/bin/watchdog --once --config batch@1
* * * * * root /usr/bin/watchdog --once --config batch@2
* * * * * root /usr/bin/watchdog --process-name lined --start-command "setsid --fork lined 100000"
END
    eventually 20 is_running nginx
    eventually 20 is_running cron
}

# mails_about NAME: how many mails have its crontab line as their subject.
mails_about() {
    grep -c "^Subject: .*--process-name $1 " $mails || true
}

# one_run: cron's next runs of both lines have ended.
one_run() {
    local mark=/var/mail/mark name
    touch $mark
    for name in nginx workerd; do
        is_later() { [[ /run/watchdog/$name.json -nt $mark ]]; }
        eventually 130 is_later
        is_over() { not pgrep --full -- "--once --process-name $name"; }
        eventually 60 is_over
    done
    # Cron mails after the end.
    is_mailed() { not pgrep --exact sendmail; }
    eventually 5 is_mailed
    sleep 1
}

no_mail_while_well() {
    one_run
    same "$(cat $mails)" ""
}

one_mail_for_an_outage() {
    local pid
    pid=$(pid_of nginx)
    kill -KILL "$pid"
    rm /etc/workerd.conf
    kill -KILL "$(pid_of workerd)"
    one_run
    is_back nginx "$pid"
    same "$(mails_about nginx)" 1
    grep 'was not running; running again after .*: nginx' $mails
    same "$(grep -c '^[0-9].* nginx: ' $mails)" 1
}

one_mail_for_a_give_up() {
    same "$(mails_about workerd)" 1
    grep 'workerd: gave up after 3 failures in a row; trying again in 10m' $mails
    same "$(grep -c '^[0-9].* workerd: ' $mails)" 1
}

no_mail_while_it_stays_broken() {
    local before
    before=$(grep -c ^Subject: $mails)
    one_run
    same "$(grep -c ^Subject: $mails)" "$before"
}

one_mail_when_it_is_back() {
    touch /etc/workerd.conf
    start-workerd
    one_run
    same "$(mails_about workerd)" 2
    grep 'workerd: running again' $mails
    same "$(grep -c '^[0-9].* workerd: ' $mails)" 2
    same "$(mails_about nginx)" 1
}

line_without_once_keeps_one_watchdog() {
    same "$(pgrep --count --full '^/usr/bin/watchdog --process-name lined ')" 1
    kill_and_wait lined
    same "$(mails_about lined)" 0
}

instances_of_a_template() {
    local other
    other=$(pid_of batch-2)
    kill_and_wait batch-1 130 batch@1
    same "$(pid_of batch-2)" "$other"
    same "$(attempts batch@2)" 0
}

check "a crontab with cron's mail kept in a file" prepare
check "no mail while all is well" no_mail_while_well
check "nginx, killed, is back by the crontab line, with one mail of one record" one_mail_for_an_outage
check "one mail for a service that stays broken" one_mail_for_a_give_up
check "a line without --once keeps one watchdog, and is silent" line_without_once_keeps_one_watchdog
check "no further mail while it stays broken" no_mail_while_it_stays_broken
check "one mail when it is back" one_mail_when_it_is_back
check "an instance of a template is restarted alone" instances_of_a_template
