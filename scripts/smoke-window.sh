#!/usr/bin/env bash
# smoke-window.sh KVLAB [PICTURE]: the real window on a virtual display runs the default lanes once, takes a picture
# of itself and closes. Fails when it does not open, does not finish, or the picture is empty.
set -euo pipefail
kvlab=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
picture=${2:-$folder/window.png}

timeout 180 xvfb-run --auto-servernum --server-args='-screen 0 1280x800x24' \
    "$kvlab" app --tokens 64 --autorun --screenshot "$picture"

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
