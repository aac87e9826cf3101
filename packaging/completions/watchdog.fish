# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_watchdog_global_optspecs
    string join \n p/process-name= x/exact f/full u/user= pid-namespace= s/start-command= start-timeout= i/health-check-interval= w/restart-wait-interval= m/max-fail-count= stable-after= restart-delay= after-stop= retry-after= c/config= name= once dry-run no-input state-dir= log-dir= log-max-size= log-max-files= v q h/help V/version
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

complete -c watchdog -n "__fish_watchdog_needs_command" -s p -l process-name -d 'Name of the process: a regular expression, found anywhere in the name, as pgrep does' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -s u -l user -d 'Only processes of this effective user, by name or number' -r -f -a "(__fish_complete_users)"
complete -c watchdog -n "__fish_watchdog_needs_command" -l pid-namespace -d 'Whose processes count: those of this machine or container, or of containers in it too [default: own]' -r -f -a "own\t''
any\t''"
complete -c watchdog -n "__fish_watchdog_needs_command" -s s -l start-command -d 'Command that starts it, run by /bin/sh -c' -r -f -a "(__fish_complete_command)"
complete -c watchdog -n "__fish_watchdog_needs_command" -l start-timeout -d 'How long the command may be at work while the process is missing [default: 100s]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -s i -l health-check-interval -d 'Time between two checks [default: 1s]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -s w -l restart-wait-interval -d 'Time from the start command to the verdict on it [default: 5s]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -s m -l max-fail-count -d 'Failed attempts in a row after which to give up: 1 or more, or \'unlimited\' [default: 3]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -l stable-after -d 'How long it must run for its failures to be forgotten [default: 60s]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -l restart-delay -d 'Wait before the start after a crash or a kill [default: 100ms]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -l after-stop -d 'Wait before the start after a stop on purpose, or where the cause is not known [default: 3s]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -l retry-after -d 'Try again this long after giving up, then after twice the time, up to 1h [default: end instead]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -s c -l config -d 'Configuration file: a path, or a name for /etc/watchdog/NAME.toml' -r -F -a '(ls /etc/watchdog ~/.config/watchdog 2>/dev/null | sed -n \'s/\.toml$//p\')'
complete -c watchdog -n "__fish_watchdog_needs_command" -l name -d 'Name of this watchdog, and of its files [default: made from the process name]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -l state-dir -d 'Folder of lock and state [default: /run/watchdog, for other users than root ~/.local/state/watchdog]' -r -f -a "(__fish_complete_directories)"
complete -c watchdog -n "__fish_watchdog_needs_command" -l log-dir -d 'Folder of the logs [default: /var/log/watchdog, for other users than root ~/.local/state/watchdog]' -r -f -a "(__fish_complete_directories)"
complete -c watchdog -n "__fish_watchdog_needs_command" -l log-max-size -d 'Size at which a log is rotated [default: 1MiB]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -l log-max-files -d 'Older logs that are kept beside it [default: 5]' -r -f
complete -c watchdog -n "__fish_watchdog_needs_command" -s x -l exact -d 'The whole name has to match, not a part of it'
complete -c watchdog -n "__fish_watchdog_needs_command" -s f -l full -d 'Match the whole command line instead of the name'
complete -c watchdog -n "__fish_watchdog_needs_command" -l once -d 'Check once, start it if it is missing, and end: for cron and oneshot units'
complete -c watchdog -n "__fish_watchdog_needs_command" -l dry-run -d 'Say what would be done, and do nothing'
complete -c watchdog -n "__fish_watchdog_needs_command" -l no-input -d 'Never ask for what is missing'
complete -c watchdog -n "__fish_watchdog_needs_command" -s v -d 'More on standard error'
complete -c watchdog -n "__fish_watchdog_needs_command" -s q -d 'Less on standard error'
complete -c watchdog -n "__fish_watchdog_needs_command" -s h -l help -d 'Print help'
complete -c watchdog -n "__fish_watchdog_needs_command" -s V -l version -d 'Print version'
complete -c watchdog -n "__fish_watchdog_needs_command" -f -a "status" -d 'Show what each watchdog sees'
complete -c watchdog -n "__fish_watchdog_needs_command" -f -a "pause" -d 'Leave a process alone, until \'resume\' or a boot'
complete -c watchdog -n "__fish_watchdog_needs_command" -f -a "resume" -d 'End a pause, and forget failures and a give-up'
complete -c watchdog -n "__fish_watchdog_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c watchdog -n "__fish_watchdog_using_subcommand status" -l state-dir -d 'Folder of the state [default: /run/watchdog, for other users than root ~/.local/state/watchdog]' -r -f -a "(__fish_complete_directories)"
complete -c watchdog -n "__fish_watchdog_using_subcommand status" -l json -d 'As JSON, for scripts'
complete -c watchdog -n "__fish_watchdog_using_subcommand status" -s h -l help -d 'Print help'
complete -c watchdog -n "__fish_watchdog_using_subcommand pause" -l for -d 'Only for so long' -r -f
complete -c watchdog -n "__fish_watchdog_using_subcommand pause" -l state-dir -d 'Folder of the state [default: /run/watchdog, for other users than root ~/.local/state/watchdog]' -r -f -a "(__fish_complete_directories)"
complete -c watchdog -n "__fish_watchdog_using_subcommand pause" -l all -d 'Every watchdog'
complete -c watchdog -n "__fish_watchdog_using_subcommand pause" -l upgrade -d 'Every watchdog, while packages are upgraded: a pause of its own, beside those that people make'
complete -c watchdog -n "__fish_watchdog_using_subcommand pause" -s h -l help -d 'Print help'
complete -c watchdog -n "__fish_watchdog_using_subcommand resume" -l state-dir -d 'Folder of the state [default: /run/watchdog, for other users than root ~/.local/state/watchdog]' -r -f -a "(__fish_complete_directories)"
complete -c watchdog -n "__fish_watchdog_using_subcommand resume" -l all -d 'Every watchdog'
complete -c watchdog -n "__fish_watchdog_using_subcommand resume" -l upgrade -d 'Every watchdog, while packages are upgraded: a pause of its own, beside those that people make'
complete -c watchdog -n "__fish_watchdog_using_subcommand resume" -s h -l help -d 'Print help'
complete -c watchdog -n "__fish_watchdog_using_subcommand help; and not __fish_seen_subcommand_from status pause resume help" -f -a "status" -d 'Show what each watchdog sees'
complete -c watchdog -n "__fish_watchdog_using_subcommand help; and not __fish_seen_subcommand_from status pause resume help" -f -a "pause" -d 'Leave a process alone, until \'resume\' or a boot'
complete -c watchdog -n "__fish_watchdog_using_subcommand help; and not __fish_seen_subcommand_from status pause resume help" -f -a "resume" -d 'End a pause, and forget failures and a give-up'
complete -c watchdog -n "__fish_watchdog_using_subcommand help; and not __fish_seen_subcommand_from status pause resume help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c watchdog -n "__fish_watchdog_using_subcommand status pause resume" -f -a '(watchdog status 2>/dev/null | sed \'1d; s/ .*//\')'
