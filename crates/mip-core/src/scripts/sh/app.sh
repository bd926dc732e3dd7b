
plistbuddy=${tools:-/usr/libexec}/PlistBuddy
mdfind=${tools:-/usr/bin}/mdfind

# Prints the value of key $2 in the property list $1, in whatever form that is stored.
value() {
    read_value=$("$plistbuddy" -c "Print :$2" "$1" 2>/dev/null) || return 1
    printf '%s' "$read_value"
}

# Whether the bundle at $1 has this app's identifier. Sets `info` to its Info.plist.
is_app() {
    info=$1/Contents/Info.plist
    [ -f "$info" ] || info=$1/Info.plist
    [ -f "$info" ] && [ "$(value "$info" CFBundleIdentifier)" = "$id" ]
}

# Calls `look` with every place where the app may be: what Spotlight knows, and the usual folders.
search() {
    while IFS= read -r place; do
        case ${place#"$root"} in
        /Volumes/* | /private/* | */.Trash/* | */.Trashes/* | *.backupdb/* | *.app/*) ;;
        /*) look "$place" ;;
        esac
    done <<END
$(spotlight)
END
    for place in "$root"/Applications "$root"/Applications/* \
        "$root"/Users/*/Applications "$root"/Users/*/Applications/*; do
        look "$place/$name"
    done
}

# Prints the places that Spotlight knows.
spotlight() {
    [ "$indexed" = yes ] || return 0
    set -- "kMDItemCFBundleIdentifier == '$id'"
    [ -z "$root" ] || set -- -onlyin "$root" "$@"
    "$mdfind" "$@" 2>/dev/null
}
