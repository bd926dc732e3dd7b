
root=
tools=
while [ $# -gt 0 ]; do
    case $1 in
    --root | --tools)
        if [ $# -lt 2 ] || ! folder=$(folder_of_option "$2"); then
            say "cannot tell: $1 needs a folder"
            exit 2
        fi
        if [ "$1" = --root ]; then root=$folder; else tools=$folder; fi
        shift
        ;;
    *) ;; # Some servers pass arguments of their own.
    esac
    shift
done
