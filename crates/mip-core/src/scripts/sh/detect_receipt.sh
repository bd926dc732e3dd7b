
receipt() {
    have=$(receipt_value "$package" version)
    if [ -z "$have" ]; then
        say "not present: there is no receipt of $package"
        exit 1
    fi
    if [ -n "$version" ] && ! at_least "$have" "$version"; then
        say "older: the receipt of $package is for $have, and $version is wanted"
        exit 1
    fi
    said="${said:+$said, }$package $have"
}

if [ ! -x "$pkgutil" ]; then
    say "cannot tell: there is no $pkgutil to read receipts with"
    exit 2
fi
said=
each_receipt
say "present by receipt: $said"
exit 0
