
pkgutil=${tools:-/usr/sbin}/pkgutil

# pkgutil on the volume that is looked at.
receipts() {
    [ -z "$root" ] || set -- --volume "$root" "$@"
    "$pkgutil" "$@" 2>/dev/null
}

# Prints the value of the line $2 of the receipt of package $1.
receipt_value() {
    receipts --pkg-info "$1" | sed -n "s/^$2: *//p" | head -n 1
}
