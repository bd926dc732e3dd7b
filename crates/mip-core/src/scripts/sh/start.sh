# No command is taken from a folder that others can write to; names are bytes.
PATH=/usr/bin:/bin:/usr/sbin:/sbin
LC_ALL=C
export PATH LC_ALL
unset CDPATH
set -u
