
# Prints the paths that the receipt of package $1 lists. $2 narrows that: --only-files, --only-dirs.
paths() {
    base=$(receipt_value "$1" location)
    while [ "${base#/}" != "$base" ]; do base=${base#/}; done
    while [ "${base%/}" != "$base" ]; do base=${base%/}; done
    base=${base:+/$base}
    package_id=$1
    shift
    receipts "$@" --files "$package_id" | while IFS= read -r file; do
        case /$file/ in
        *//* | */./* | */../*) ;;
        *) printf '%s\n' "$base/$file" ;;
        esac
    done
}

# Whether the folder $1 belongs to the system or to many products, so that it stays.
is_shared() {
    case $1 in
    /Applications/Utilities | /opt/local | /opt/homebrew | /Users/Shared) ;;
    /Library/Audio/* | /Library/Developer/* | /Library/Java/* | /Library/Preferences/* | \
        /Library/Security/* | /Library/Python/* | /Library/Perl/* | /Library/Ruby/*)
        case $1 in
        /Library/Audio/Plug-Ins/*/* | /Library/Java/JavaVirtualMachines/*) return 1 ;;
        esac
        ;;
    /usr/local/bin | /usr/local/sbin | /usr/local/lib | /usr/local/libexec | /usr/local/include | \
        /usr/local/etc | /usr/local/var | /usr/local/share | /usr/local/opt | /usr/local/src | \
        /usr/local/man | /usr/local/man/* | /usr/local/share/man | /usr/local/share/man/* | \
        /usr/local/share/doc | /usr/local/share/info | /usr/local/share/locale | \
        /usr/local/share/zsh | /usr/local/share/zsh/* | /usr/local/lib/pkgconfig | \
        /usr/local/Cellar | /usr/local/Homebrew | /usr/local/Frameworks) ;;
    /Applications/* | /Library/*/* | /usr/local/* | /opt/* | /Users/Shared/* | /private/etc/*/* | \
        /etc/*/* | /private/var/*/* | /var/*/*) return 1 ;;
    esac
    return 0
}

# Whether the file $1 belongs to the system or to a person, whatever a receipt says.
is_foreign() {
    case $1 in
    /usr/local/* | /Users/Shared/*) return 1 ;;
    /System/* | /usr/* | /bin/* | /sbin/* | /dev/* | /Users/* | /Volumes/*) return 0 ;;
    esac
    return 1
}

receipt() {
    if [ -z "$(receipt_value "$package" version)" ]; then
        return 0
    fi
    case $1 in
    list)
        paths "$package" --only-files >>"$work/files"
        paths "$package" --only-dirs >>"$work/folders"
        printf '%s\n' "$package" >>"$work/ours"
        ;;
    forget)
        if does "forget the receipt of $package"; then
            receipts --forget "$package" >/dev/null || leave "the receipt of $package"
        fi
        ;;
    esac
}

# Lists what only these packages brought: what another receipt has too stays.
list() {
    for kind in files folders ours; do
        : >"$work/$kind"
    done
    each_receipt list
    if [ ! -s "$work/ours" ]; then
        return 0
    fi
    receipts --pkgs | grep -Fxv -f "$work/ours" | while IFS= read -r other; do
        paths "$other"
    done | sort -u >"$work/others"
    for kind in files folders; do
        sort -u "$work/$kind" | comm -23 - "$work/others" >"$work/$kind.own"
        mv "$work/$kind.own" "$work/$kind"
    done
}

# Stops the launchd jobs that the packages brought.
stop_jobs() {
    while IFS= read -r file <&3; do
        case $file in
        /Library/LaunchDaemons/*.plist) domain=system ;;
        /Library/LaunchAgents/*.plist) domain=gui/$user ;;
        *) continue ;;
        esac
        if [ -f "$root$file" ] && does "stop the job of $file"; then
            # One that is not loaded is no error.
            "$launchctl" bootout "$domain" "$root$file" >/dev/null 2>&1 </dev/null
        fi
    done 3<"$work/files"
}

remove_files() {
    while IFS= read -r file <&3; do
        # A folder where the receipt has a file is not what was installed.
        if [ ! -L "$root$file" ] && [ ! -f "$root$file" ]; then
            continue
        elif is_foreign "$file"; then
            leave "$file belongs to the system or to a person"
        elif ! in_place "$file"; then
            leave "$file is behind a link"
        elif does "remove $file"; then
            rm -f -- "$root$file" || leave "$file cannot be removed"
        fi
    done 3<"$work/files"
}

# Deepest first; a folder that holds anything else is not empty, and stays.
remove_folders() {
    sort -r "$work/folders" >"$work/deepest"
    while IFS= read -r file <&3; do
        if [ -L "$root$file" ] || [ ! -d "$root$file" ] || is_shared "$file" || ! in_place "$file"; then
            continue
        elif [ "$dry_run" = yes ]; then
            say "would remove $file if it is empty then"
        elif rmdir -- "$root$file" 2>/dev/null; then
            say "remove $file"
        fi
    done 3<"$work/deepest"
}

work=$(mktemp -d /tmp/mip-uninstall.XXXXXX) || exit 2
trap 'rm -rf -- "$work"' EXIT
trap 'exit 1' HUP INT TERM
