# What the scripts of this folder share: start a service once, wait for it within bounds, stop it by its pid.
# shellcheck shell=bash

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# DIR NAME ARGV...: in the background, log and pid in DIR. Refuses when one already runs there.
start() {
    local dir=$1 name=$2
    shift 2
    command -v "$1" >/dev/null || die "$1 is not installed"
    mkdir -p "$dir"
    if alive "$dir" "$name"; then die "$name already runs for $dir ($dir/$name.pid)"; fi
    # A session of its own, so that a Ctrl-C at the caller's terminal ends it through `down`, in order.
    setsid nohup "$@" >"$dir/$name.log" 2>&1 </dev/null &
    echo "$! $(born $!)" >"$dir/$name.pid"
}

# PID: when that process began; nothing when there is none. A number alone may be somebody else's by now.
born() {
    cut -d ' ' -f 22 "/proc/$1/stat" 2>/dev/null || true
}

# DIR NAME: whether what was started there still runs.
alive() {
    local pid since
    [ -f "$1/$2.pid" ] || return 1
    read -r pid since <"$1/$2.pid"
    [ -n "$since" ] && [ "$(born "$pid")" = "$since" ]
}

# DIR NAME SECONDS ARGV...: until ARGV succeeds; says why not, with the end of the service's log.
await() {
    local dir=$1 name=$2 deadline=$((SECONDS + $3))
    shift 3
    until "$@" >/dev/null 2>&1; do
        if ! alive "$dir" "$name"; then
            tail -n 15 "$dir/$name.log" >&2
            die "$name ended while starting; its log is above"
        fi
        if ((SECONDS >= deadline)); then
            tail -n 15 "$dir/$name.log" >&2
            die "$name did not answer in time; its log is above"
        fi
        sleep 0.1
    done
}

# DIR NAME SECONDS: SIGTERM, then SIGKILL after that long. Nothing to do is fine.
stop() {
    local dir=$1 name=$2 deadline=$((SECONDS + $3)) pid
    [ -f "$dir/$name.pid" ] || return 0
    read -r pid _ <"$dir/$name.pid"
    if alive "$dir" "$name"; then kill "$pid" 2>/dev/null || true; fi
    while alive "$dir" "$name"; do
        if ((SECONDS >= deadline)); then
            kill -9 "$pid" 2>/dev/null || true
            break
        fi
        sleep 0.1
    done
    rm -f "$dir/$name.pid"
}

# A port nobody listens on right now.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
