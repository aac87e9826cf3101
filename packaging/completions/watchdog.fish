function __fish_watchdog_names
    set -l typed (commandline -opc)
    set -l place (string replace -rf -- '^--state-dir=' '' $typed)
    set -l at (contains -i -- --state-dir $typed)
    and set place $typed[(math $at + 1)]
    set -q place[1]
    and set place --state-dir (string replace -r '^~/' $HOME/ -- $place[-1])
    watchdog status $place 2>/dev/null | sed '1d; s/ .*//'
end

# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_watchdog_global_optspecs
    string join \n p/process-name= x/exact f/full u/user= pid-namespace= pid-file= s/start-command= start-timeout= i/health-check-interval= w/restart-wait-interval= m/max-fail-count= stable-after= restart-delay= after-stop= retry-after= probe= probe-interval= probe-timeout= probe-start-period= probe-failures= on-unhealthy= stop-command= stop-signal= stop-timeout= kill-mode= hook= c/config= name= once dry-run no-input state-dir= log-dir= log-max-size= log-max-files= v h help q V/version
end

function __fish_watchdog_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_watchdog_global_optspecs) -- $cmd 2>/dev/null
    or argparse -s (__fish_watchdog_global_optspecs) -- $cmd value 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_watchdog_using_subcommand
    set -l cmd (__fish_watchdog_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c watchdog -n "__fish_watchdog_needs_command" -s p -l process-name -a '(sed -n \'/^Name:./{s///;h};/^VmSize:/{x;/^[[:alnum:]._-]*$/p}\' /proc/*/status 2>/dev/null | sort -u)' -d 'Process name: a regular expression that may match any part of the name, as in pgrep' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -s u -l user -d 'Count only processes of this effective user (name or number)' -r -f -a "(__fish_complete_users)"
complete -c watchdog -n "__fish_watchdog_needs_command" -l pid-namespace -d 'own: only processes of this machine or container; any: those in its containers too [default: own]' -r -f -a "own\t''
any\t''"
complete -c watchdog -n "__fish_watchdog_needs_command" -l pid-file -d 'Count only the process whose pid is in this file' -r -F
complete -c watchdog -n "__fish_watchdog_needs_command" -s s -l start-command -d 'Command that starts the process, run by /bin/sh -c' -r -f -a "(__fish_complete_command)"
complete -c watchdog -n "__fish_watchdog_needs_command" -l start-timeout -d 'Longest time that the command may run while the process is missing [default: 100s]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -s i -l health-check-interval -d 'Time between two checks [default: 1s]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -s w -l restart-wait-interval -d 'Time from the start command until the attempt is judged [default: 5s]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -s m -l max-fail-count -d 'Give up after this many failed attempts in a row: 1 or more, or \'unlimited\' [default: 3]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -l stable-after -d 'Forget failures when the process has run for this time [default: 60s]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -l restart-delay -d 'Wait before restarting after a crash or a kill [default: 100ms]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -l after-stop -d 'Wait before restarting after a deliberate stop or an unknown cause [default: 3s]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -l retry-after -d 'Try again this long after giving up, doubling up to 1h [default: exit instead; 10m with --once]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -l probe -d 'Test of whether it works: a command, http://HOST[:PORT]/PATH, tcp://HOST:PORT, unix:/PATH or file:/PATH' -r -f -a "(__fish_complete_command)"
complete -c watchdog -n "__fish_watchdog_needs_command" -l probe-interval -d 'Time from the end of a probe to the next [default: 10s]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -l probe-timeout -d 'How long a probe may take; then it is killed, and has failed [default: 10s]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -l probe-start-period -d 'How long after its start failures do not count, unless a probe has succeeded [default: 60s]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -l probe-failures -d 'Failed probes in a row after which it is unhealthy [default: 3]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -l on-unhealthy -d 'What to do then: stop it and start it, or only say so [default: restart]' -r -f -a "restart\t''
warn\t''"
complete -c watchdog -n "__fish_watchdog_needs_command" -l stop-command -d 'Command that stops it, run by /bin/sh -c' -r -f -a "(__fish_complete_command)"
complete -c watchdog -n "__fish_watchdog_needs_command" -l stop-signal -d 'Signal that ends it, by name or number [default: TERM]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -l stop-timeout -d 'How long the command and the signal have, each, before it is killed; or \'never\' [default: 30s]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -l kill-mode -d 'What is ended when it is gone: nothing more, or all its descendants [default: process]' -r -f -a "process\t''
mixed\t''"
complete -c watchdog -n "__fish_watchdog_needs_command" -l hook -d 'Command that is run when something happens, to tell people' -r -f -a "(__fish_complete_command)"
complete -c watchdog -n "__fish_watchdog_needs_command" -s c -l config -d 'Configuration file: a path, or a name for /etc/watchdog/NAME.toml' -r -F -a '(ls /etc/watchdog ~/.config/watchdog 2>/dev/null | sed -n \'/@\.toml$/d; s/\.toml$//p\')'
complete -c watchdog -n "__fish_watchdog_needs_command" -l name -d 'Name of this watchdog and its files [default: made from the process name]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -l state-dir -d 'Directory of lock and state [default: /run/watchdog, for ordinary users ~/.local/state/watchdog]' -r -f -a "(__fish_complete_directories)"
complete -c watchdog -n "__fish_watchdog_needs_command" -l log-dir -d 'Directory of the logs [default: /var/log/watchdog, for ordinary users ~/.local/state/watchdog]' -r -f -a "(__fish_complete_directories)"
complete -c watchdog -n "__fish_watchdog_needs_command" -l log-max-size -d 'Rotate a log at this size [default: 1MiB]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -l log-max-files -d 'Keep this many older logs [default: 5]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -s x -l exact -d 'Match the whole name, not a part of it'
complete -c watchdog -n "__fish_watchdog_needs_command" -s f -l full -d 'Match the command line instead of the name'
complete -c watchdog -n "__fish_watchdog_needs_command" -l once -d 'Check once, start the process if it is missing, and exit; for cron and timers'
complete -c watchdog -n "__fish_watchdog_needs_command" -l dry-run -d 'Show what it would do, and do nothing'
complete -c watchdog -n "__fish_watchdog_needs_command" -l no-input -d 'Never ask; refuse if something required is missing'
complete -c watchdog -n "__fish_watchdog_needs_command" -s v -d 'Print all records on standard error'
complete -c watchdog -n "__fish_watchdog_needs_command" -s h -d 'Print the most used options, on one screen'
complete -c watchdog -n "__fish_watchdog_needs_command" -l help -d 'Print all options'
complete -c watchdog -n "__fish_watchdog_needs_command" -s q -d 'Print only errors on standard error'
complete -c watchdog -n "__fish_watchdog_needs_command" -s V -l version -d 'Print version'
complete -c watchdog -n "__fish_watchdog_needs_command" -f -a "status" -d 'Show each watchdog and its process'
complete -c watchdog -n "__fish_watchdog_needs_command" -f -a "logs" -d 'Show the end of the log'
complete -c watchdog -n "__fish_watchdog_needs_command" -f -a "start" -d 'Start a process now; end a pause or a stop'
complete -c watchdog -n "__fish_watchdog_needs_command" -f -a "stop" -d 'Stop a process until \'start\' or a reboot'
complete -c watchdog -n "__fish_watchdog_needs_command" -f -a "restart" -d 'Stop a process and start it again'
complete -c watchdog -n "__fish_watchdog_needs_command" -f -a "pause" -d 'Do not start a process until \'resume\' or a reboot'
complete -c watchdog -n "__fish_watchdog_needs_command" -f -a "resume" -d 'End a pause; forget failures and a give-up'
complete -c watchdog -n "__fish_watchdog_needs_command" -f -a "clean" -d 'Remove what is left of a watchdog that nobody runs'
complete -c watchdog -n "__fish_watchdog_needs_command" -f -a "validate" -d 'Say what is wrong with configurations'
complete -c watchdog -n "__fish_watchdog_needs_command" -f -a "probe" -d 'Run a built-in check'
complete -c watchdog -n "__fish_watchdog_needs_command" -f -a "test-hook" -d 'Run the hook of a configuration file with a test event'
complete -c watchdog -n "__fish_watchdog_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c watchdog -n "__fish_watchdog_using_subcommand status" -l state-dir -d 'Directory of the state [default: /run/watchdog, for ordinary users ~/.local/state/watchdog]' -r -f -a "(__fish_complete_directories)"
complete -c watchdog -n "__fish_watchdog_using_subcommand status" -l textfile -d 'Write the metrics to FILE, for node_exporter' -r -F
complete -c watchdog -n "__fish_watchdog_using_subcommand status" -s h -l help -d 'Print help'
complete -c watchdog -n "__fish_watchdog_using_subcommand status" -l all -d 'Also those that have not run, or ended long ago'
complete -c watchdog -n "__fish_watchdog_using_subcommand status" -l json -d 'Print JSON, for scripts'
complete -c watchdog -n "__fish_watchdog_using_subcommand status" -l watch -d 'Draw it again each second'
complete -c watchdog -n "__fish_watchdog_using_subcommand status" -l nagios -d 'Print one line for Nagios, and end with its status'
complete -c watchdog -n "__fish_watchdog_using_subcommand status" -l prometheus -d 'Print metrics for Prometheus'
complete -c watchdog -n "__fish_watchdog_using_subcommand logs" -l state-dir -d 'Directory of the state [default: /run/watchdog, for ordinary users ~/.local/state/watchdog]' -r -f -a "(__fish_complete_directories)"
complete -c watchdog -n "__fish_watchdog_using_subcommand logs" -s n -l lines -d 'Number of lines [default: 10]' -r -f
complete -c watchdog -n "__fish_watchdog_using_subcommand logs" -s h -l help -d 'Print help'
complete -c watchdog -n "__fish_watchdog_using_subcommand logs" -l all -d 'All watchdogs'
complete -c watchdog -n "__fish_watchdog_using_subcommand logs" -s f -l follow -d 'Show what is written from now on too'
complete -c watchdog -n "__fish_watchdog_using_subcommand logs" -l output -d 'Show what start commands write instead'
complete -c watchdog -n "__fish_watchdog_using_subcommand start" -l state-dir -d 'Directory of the state [default: /run/watchdog, for ordinary users ~/.local/state/watchdog]' -r -f -a "(__fish_complete_directories)"
complete -c watchdog -n "__fish_watchdog_using_subcommand start" -s h -l help -d 'Print help'
complete -c watchdog -n "__fish_watchdog_using_subcommand start" -l all -d 'All watchdogs'
complete -c watchdog -n "__fish_watchdog_using_subcommand stop" -l state-dir -d 'Directory of the state [default: /run/watchdog, for ordinary users ~/.local/state/watchdog]' -r -f -a "(__fish_complete_directories)"
complete -c watchdog -n "__fish_watchdog_using_subcommand stop" -s h -l help -d 'Print help'
complete -c watchdog -n "__fish_watchdog_using_subcommand stop" -l all -d 'All watchdogs'
complete -c watchdog -n "__fish_watchdog_using_subcommand restart" -l state-dir -d 'Directory of the state [default: /run/watchdog, for ordinary users ~/.local/state/watchdog]' -r -f -a "(__fish_complete_directories)"
complete -c watchdog -n "__fish_watchdog_using_subcommand restart" -s h -l help -d 'Print help'
complete -c watchdog -n "__fish_watchdog_using_subcommand restart" -l all -d 'All watchdogs'
complete -c watchdog -n "__fish_watchdog_using_subcommand pause" -l state-dir -d 'Directory of the state [default: /run/watchdog, for ordinary users ~/.local/state/watchdog]' -r -f -a "(__fish_complete_directories)"
complete -c watchdog -n "__fish_watchdog_using_subcommand pause" -l for -d 'End the pause after this time' -r -f
complete -c watchdog -n "__fish_watchdog_using_subcommand pause" -s h -l help -d 'Print help'
complete -c watchdog -n "__fish_watchdog_using_subcommand pause" -l all -d 'All watchdogs'
complete -c watchdog -n "__fish_watchdog_using_subcommand pause" -l upgrade -d 'All watchdogs, for a package upgrade; separate from pauses that people make'
complete -c watchdog -n "__fish_watchdog_using_subcommand resume" -l state-dir -d 'Directory of the state [default: /run/watchdog, for ordinary users ~/.local/state/watchdog]' -r -f -a "(__fish_complete_directories)"
complete -c watchdog -n "__fish_watchdog_using_subcommand resume" -s h -l help -d 'Print help'
complete -c watchdog -n "__fish_watchdog_using_subcommand resume" -l all -d 'All watchdogs'
complete -c watchdog -n "__fish_watchdog_using_subcommand resume" -l upgrade -d 'All watchdogs, for a package upgrade; separate from pauses that people make'
complete -c watchdog -n "__fish_watchdog_using_subcommand clean" -l state-dir -d 'Directory of the state [default: /run/watchdog, for ordinary users ~/.local/state/watchdog]' -r -f -a "(__fish_complete_directories)"
complete -c watchdog -n "__fish_watchdog_using_subcommand clean" -l log-dir -d 'Directory of the logs [default: /var/log/watchdog, for ordinary users ~/.local/state/watchdog]' -r -f -a "(__fish_complete_directories)"
complete -c watchdog -n "__fish_watchdog_using_subcommand clean" -s h -l help -d 'Print help'
complete -c watchdog -n "__fish_watchdog_using_subcommand clean" -l all -d 'All watchdogs'
complete -c watchdog -n "__fish_watchdog_using_subcommand clean" -l logs -d 'Remove its logs too'
complete -c watchdog -n "__fish_watchdog_using_subcommand validate" -s h -l help -d 'Print help'
complete -c watchdog -n "__fish_watchdog_using_subcommand probe" -l timeout -d 'Longest time that it may take [default: 10s]' -r -f
complete -c watchdog -n "__fish_watchdog_using_subcommand probe" -s h -l help -d 'Print help'
complete -c watchdog -n "__fish_watchdog_using_subcommand test-hook" -s h -l help -d 'Print help'
complete -c watchdog -n "__fish_watchdog_using_subcommand help; and not __fish_seen_subcommand_from status logs start stop restart pause resume clean validate probe test-hook help" -f -a "status" -d 'Show each watchdog and its process'
complete -c watchdog -n "__fish_watchdog_using_subcommand help; and not __fish_seen_subcommand_from status logs start stop restart pause resume clean validate probe test-hook help" -f -a "logs" -d 'Show the end of the log'
complete -c watchdog -n "__fish_watchdog_using_subcommand help; and not __fish_seen_subcommand_from status logs start stop restart pause resume clean validate probe test-hook help" -f -a "start" -d 'Start a process now; end a pause or a stop'
complete -c watchdog -n "__fish_watchdog_using_subcommand help; and not __fish_seen_subcommand_from status logs start stop restart pause resume clean validate probe test-hook help" -f -a "stop" -d 'Stop a process until \'start\' or a reboot'
complete -c watchdog -n "__fish_watchdog_using_subcommand help; and not __fish_seen_subcommand_from status logs start stop restart pause resume clean validate probe test-hook help" -f -a "restart" -d 'Stop a process and start it again'
complete -c watchdog -n "__fish_watchdog_using_subcommand help; and not __fish_seen_subcommand_from status logs start stop restart pause resume clean validate probe test-hook help" -f -a "pause" -d 'Do not start a process until \'resume\' or a reboot'
complete -c watchdog -n "__fish_watchdog_using_subcommand help; and not __fish_seen_subcommand_from status logs start stop restart pause resume clean validate probe test-hook help" -f -a "resume" -d 'End a pause; forget failures and a give-up'
complete -c watchdog -n "__fish_watchdog_using_subcommand help; and not __fish_seen_subcommand_from status logs start stop restart pause resume clean validate probe test-hook help" -f -a "clean" -d 'Remove what is left of a watchdog that nobody runs'
complete -c watchdog -n "__fish_watchdog_using_subcommand help; and not __fish_seen_subcommand_from status logs start stop restart pause resume clean validate probe test-hook help" -f -a "validate" -d 'Say what is wrong with configurations'
complete -c watchdog -n "__fish_watchdog_using_subcommand help; and not __fish_seen_subcommand_from status logs start stop restart pause resume clean validate probe test-hook help" -f -a "probe" -d 'Run a built-in check'
complete -c watchdog -n "__fish_watchdog_using_subcommand help; and not __fish_seen_subcommand_from status logs start stop restart pause resume clean validate probe test-hook help" -f -a "test-hook" -d 'Run the hook of a configuration file with a test event'
complete -c watchdog -n "__fish_watchdog_using_subcommand help; and not __fish_seen_subcommand_from status logs start stop restart pause resume clean validate probe test-hook help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c watchdog -n "__fish_watchdog_using_subcommand status logs start stop restart pause resume clean" -f -a '(__fish_watchdog_names)'
