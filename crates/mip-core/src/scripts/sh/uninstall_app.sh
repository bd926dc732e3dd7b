
osascript=${tools:-/usr/bin}/osascript
ps=${tools:-/bin}/ps
# Seconds that an app has to end by itself.
patience=20

# Removes the bundle at path $1 of the volume, whole.
remove_bundle() {
    if ! in_place "$1"; then
        leave "$1 is behind a link"
    elif does "remove $1"; then
        rm -rf -- "$root$1" || leave "$1 cannot be removed"
    fi
}

# Prints the process identifiers of programs inside the app.
running() {
    "$ps" -axo pid= -o comm= 2>/dev/null | while read -r process program; do
        case $program in
        "$root$path"/*) printf '%s\n' "$process" ;;
        esac
    done
}

# Waits up to $1 seconds; true when no program of the app runs any more.
ended() {
    seconds=$1
    while [ -n "$(running)" ]; do
        [ "$seconds" -gt 0 ] || return 1
        seconds=$((seconds - 1))
        sleep 1
    done
}

# A copy that was moved. What is in a home folder belongs to a person.
look() {
    if [ "$1" = "$root$path" ] || ! is_app "$1"; then
        return 0
    fi
    case ${1#"$root"} in
    /Applications/*)
        if [ -L "$1" ]; then
            leave "${1#"$root"} is a link"
        else
            remove_bundle "${1#"$root"}"
        fi
        ;;
    *) leave "${1#"$root"} is a copy outside /Applications: remove it by hand" ;;
    esac
}

app() {
    case $1 in
    check)
        if [ -L "$root$path" ]; then
            say "nothing was done: $path is a link"
            exit 2
        fi
        if [ -e "$root$path" ] && ! is_app "$root$path"; then
            say "nothing was done: what is at $path is not $id"
            exit 2
        fi
        ;;
    quit)
        if [ -n "$(running)" ] && does "quit $name"; then
            # Asked kindly first: it may have something to save.
            if [ "$indexed" = yes ]; then
                "$launchctl" asuser "$user" "$osascript" \
                    -e "tell application id \"$id\" to quit" >/dev/null 2>&1 </dev/null &
            fi
            ended "$patience" || for process in $(running); do
                kill "$process"
            done
            if ! ended 5; then
                say "nothing was removed: $name still runs"
                exit 1
            fi
        fi
        ;;
    remove)
        if [ -e "$root$path" ]; then
            remove_bundle "$path"
        fi
        ;;
    copies) search ;;
    esac
}
