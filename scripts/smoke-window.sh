#!/usr/bin/env bash
# smoke-window.sh KVLAB [PICTURE]: the real window on a virtual display runs the default lanes once, takes a picture
# of itself and closes. Fails when it does not open, when a lane does not finish, or when the picture is empty; and
# when a run that cannot succeed is said to have succeeded.
set -euo pipefail
kvlab=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
picture=${2:-$folder/window.png}

in_window() {
    timeout 180 xvfb-run --auto-servernum --server-args='-screen 0 1280x800x24' "$kvlab" app --autorun --in-window "$@"
}
in_window --screenshot "$picture"
if in_window --tokens 5000 --screenshot "$folder/too-long.png" 2>"$folder/message"; then
    echo "a run past the context was said to have finished"
    exit 1
fi
if ! grep -q 'did not finish: the prompt has' "$folder/message"; then
    echo "a run past the context was refused with another message:"
    cat "$folder/message"
    exit 1
fi

# A window that drew nothing compresses to a few kilobytes; one with plots and text has tens.
bytes=$(stat -c %s "$picture")
if [ "$bytes" -lt 20000 ]; then
    echo "the picture has only $bytes bytes: nothing was drawn"
    exit 1
fi
if ! head -c 8 "$picture" | grep -q PNG; then
    echo "the picture is no PNG"
    exit 1
fi
echo "the window ran and drew a picture of $bytes bytes"
