
# ---- From here on the script is the same for every installer of its kind.

# One line, whatever is in a name.
say() {
    printf '%s' "$*" | tr '\000-\037\177' '?'
    echo
}

# Prints the folder $1 without links; nothing for the root folder itself.
folder_of_option() {
    folder=$(cd -P -- "$1" 2>/dev/null && pwd -P) || return 1
    [ "$folder" = / ] || printf '%s' "$folder"
}
