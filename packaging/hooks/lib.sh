# shellcheck shell=sh
# What the hooks in this folder have in common; each reads this file, which stands beside it. They end with the status
# of curl if it reached nobody, with 69 if a server did not take the message, and with 78 if a file is wrong.

# Bytes, whatever the locale is.
export LC_ALL=C

# shellcheck disable=SC2034 # for the hooks
title="$WATCHDOG_HOST: $WATCHDOG_NAME: $WATCHDOG_EVENT"

# fail STATUS MESSAGE
fail() {
    printf '%s: %s\n' "${0##*/}" "$2" >&2
    exit "$1"
}

# Standard input as anybody takes it: valid UTF-8, no control characters but line ends and tabs, at most 3,500 bytes.
# (From UTF-8 straight to UTF-8, iconv would let through what is beyond Unicode.)
text() {
    head -c 3500 | iconv -c -f UTF-8 -t UTF-16LE 2>/dev/null | iconv -f UTF-16LE -t UTF-8 |
        tr -d '\000-\010\013-\037\177'
}

# read_secrets FILE KEY…: the file, which only its owner may read, has a line "KEY = VALUE" for each.
read_secrets() {
    secrets=$1
    shift
    [ -f "$secrets" ] || fail 78 "'$secrets' is no file; give one of mode 0600 that has a line 'KEY = VALUE' for: $*"
    mode=$(stat -L -c %a -- "$secrets")
    case $mode in
        600 | 400) ;;
        *) fail 78 "$secrets has mode $mode, and a secret in it; type: chmod 600 '$secrets'" ;;
    esac
    for key; do
        [ -n "$(secret "$key")" ] || fail 78 "$secrets has no line '$key = …'"
    done
}

# secret KEY: prints the value. Quotes may stand around it; none of what is cut out is in a token or an address.
secret() {
    sed -n "/^$1 *=/{s/^[^=]*= *//p;q;}" <"$secrets" | tr -d '"\\\r'
}

# post CONFIG OPTION…: sends standard input with curl. CONFIG is its configuration with all that is secret, and comes
# through a descriptor: everybody sees a command line.
post() {
    config=$1
    shift
    answer=$(curl -sS --max-time 20 --write-out ' %{http_code}' --config /dev/fd/3 "$@" 3<<END
$config
END
    )
    case $answer in
        *' 2'??) ;;
        *) fail 69 "not taken: $answer" ;;
    esac
}
