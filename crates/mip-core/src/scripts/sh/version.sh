
# Whether version $1 is version $2 or a newer one. Runs of digits compare as numbers and runs of
# letters as text; everything else separates. A part that is missing is 0, and letters come before
# numbers: 1.10 is newer than 1.9, 1.0 is 1, and 2.0rc1 is older than 2.0.
at_least() (
    left=$(plain "$1")
    right=$(plain "$2")
    while [ -n "$left$right" ]; do
        take "$left"
        left=$rest left_part=$part left_letters=$letters
        take "$right"
        right=$rest
        if [ "$left_letters" != "$letters" ]; then
            [ "$letters" = yes ]
            exit
        fi
        if [ "$left_part" != "$part" ]; then
            if [ "$letters" = no ] && [ "${#left_part}" -ne "${#part}" ]; then
                [ "${#left_part}" -gt "${#part}" ]
                exit
            fi
            expr "x$left_part" '>' "x$part" >/dev/null
            exit
        fi
    done
)

# Prints version $1 with a dot for everything that separates, without blanks and v at its start.
plain() {
    text=$(printf '%.1000s' "$1" | tr '\011-\015' ' ')
    while [ "${text# }" != "$text" ]; do text=${text# }; done
    printf '%s' "${text#[vV]}" | tr -c '0-9A-Za-z\200-\377' '.'
}

# Takes the first part off $1: `part`, whether it is of letters, and the `rest`.
take() {
    rest=$1
    while [ "${rest#.}" != "$rest" ]; do rest=${rest#.}; done
    case $rest in
    '' | [0-9]*)
        letters=no
        part=${rest%%[!0-9]*}
        rest=${rest#"$part"}
        while [ "${part#0}" != "$part" ]; do part=${part#0}; done
        ;;
    *)
        letters=yes
        part=${rest%%[0-9.]*}
        rest=${rest#"$part"}
        ;;
    esac
}
