
# Whether version $1 is version $2 or a newer one. The release (digits and dots, from the first
# digit on) counts first, number by number: 1.10 is newer than 1.9, and 1.0 is 1. What follows it
# decides between equal releases: 2.0rc1 is older than 2.0, and 2.0 (7) is newer than that.
at_least() (
    split "$1"
    left_release=$release
    left_build=$build
    split "$2"
    compare "$left_release" "$release"
    [ "$order" -ne 0 ] || compare "$left_build" "$build"
    [ "$order" -ge 0 ]
)

# Splits version $1 into `release` and `build`.
split() {
    text=$(printf '%.1000s' "$1" | tr '[:upper:]' '[:lower:]' | tr -c '0-9a-z.' '-')
    release=
    build=$text
    case $text in
    *[0-9]*)
        text=${text#"${text%%[0-9]*}"}
        release=${text%%[!0-9.]*}
        build=${text#"$release"}
        ;;
    esac
}

# Sets `order` to -1, 0 or 1: how $1 compares with $2, part by part. Runs of digits are numbers of
# any length, runs of letters are text and come before numbers, and a part that is missing is 0.
compare() {
    right=$2
    take "$1"
    while [ -n "$part$rest$right" ]; do
        left=$rest
        left_part=$part
        left_letters=$letters
        take "$right"
        right=$rest
        order=1
        if [ "$left_letters" != "$letters" ]; then
            [ "$letters" = yes ] || order=-1
            return
        elif [ "$letters" = no ] && [ "${#left_part}" -ne "${#part}" ]; then
            [ "${#left_part}" -gt "${#part}" ] || order=-1
            return
        elif [ "$left_part" != "$part" ]; then
            expr "x$left_part" '>' "x$part" >/dev/null || order=-1
            return
        fi
        take "$left"
    done
    order=0
}

# Takes the first part off $1: `part`, whether it is of letters, and the `rest`.
take() {
    rest=${1#"${1%%[0-9a-z]*}"}
    letters=no
    case $rest in
    [a-z]*)
        letters=yes
        part=${rest%%[!a-z]*}
        ;;
    *) part=${rest%%[!0-9]*} ;;
    esac
    rest=${rest#"$part"}
    while [ "$letters" = no ] && [ "${part#0}" != "$part" ]; do part=${part#0}; done
}
