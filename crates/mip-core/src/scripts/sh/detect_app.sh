
# The newest bundle that is this app counts.
look() {
    is_app "$1" || return 0
    this=
    [ -z "$key" ] || this=$(value "$info" "$key")
    if [ -z "$where" ] || ! at_least "$have" "$this"; then
        where=$1
        have=$this
    fi
}

app() {
    where=
    have=
    look "$root$path"
    if [ -z "$where" ] || [ "$moves" = yes ]; then
        search
    fi
    if [ -z "$where" ]; then
        left=
        each_receipt
        if [ -e "$root$path" ]; then
            say "not present: what is at $path is not $id"
        else
            say "not present: $name is neither at $path nor found elsewhere$left"
        fi
        exit 1
    fi
    if [ -n "$version" ] && [ -z "$have" ]; then
        say "cannot tell: $where has no $key"
        exit 2
    fi
    if [ -n "$version" ] && ! at_least "$have" "$version"; then
        say "older: $name $have is at ${where#"$root"}, and $version is wanted"
        exit 1
    fi
    said="${said:+$said, }$name${have:+ $have} at ${where#"$root"}"
}

if [ ! -x "$plistbuddy" ]; then
    say "cannot tell: there is no $plistbuddy to read apps with"
    exit 2
fi
said=
each_app
say "present: $said"
exit 0
