
receipt() {
    if [ -n "$(receipt_value "$package" version)" ]; then
        left="; the receipt of $package is there, but a receipt is not the app"
    fi
}
