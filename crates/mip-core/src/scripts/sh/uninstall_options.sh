
root=
tools=
dry_run=no
while [ $# -gt 0 ]; do
    case $1 in
    --dry-run | -n) dry_run=yes ;;
    --root | --tools)
        if [ $# -lt 2 ] || ! folder=$(folder_of_option "$2"); then
            say "nothing was done: $1 needs a folder"
            exit 2
        fi
        if [ "$1" = --root ]; then root=$folder; else tools=$folder; fi
        shift
        ;;
    -*)
        say "nothing was done: there is no option $1"
        exit 2
        ;;
    *) ;; # Some servers pass arguments of their own.
    esac
    shift
done
launchctl=${tools:-/bin}/launchctl
stat=${tools:-/usr/bin}/stat

if [ "$dry_run" = no ] && [ -z "$root" ] && [ "$(id -u)" != 0 ]; then
    say "nothing was done: only root can remove this; --dry-run shows what would be done"
    exit 2
fi
# Another volume has no processes and jobs of its own.
live=yes
[ -z "$root" ] || [ -n "$tools" ] || live=no
user=$("$stat" -f %u /dev/console 2>/dev/null) || user=0
left=no

# Says what is done, or what would be; false when it is only to be said.
does() {
    if [ "$dry_run" = yes ]; then
        say "would $*"
        return 1
    fi
    say "$*"
}

# Says what stays.
leave() {
    left=yes
    say "left: $*"
}

# Whether the folder of path $1 is the very folder that its name says: no link leads elsewhere.
in_place() {
    folder=${1%/*}
    real=$(cd -P -- "$root$folder/" 2>/dev/null && pwd -P) || return 1
    [ "$real" != / ] || real=
    # /etc, /tmp and /var are links to /private on every Mac.
    [ "$real" = "$root$folder" ] || [ "$real" = "$root/private$folder" ]
}
