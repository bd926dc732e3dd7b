
if [ "$left" = yes ]; then
    say "not everything was removed"
    exit 1
fi
say "done: what people made with it (documents, settings in their home folders) stays"
exit 0
