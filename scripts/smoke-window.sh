#!/usr/bin/env bash
# smoke-window.sh KVLAB [PICTURE]: the real window on a virtual display.
# 1. It runs the default lanes once, takes a picture of itself and closes; fails when it does not open, when a lane does not finish, or
#    when the picture is empty; and when a run that cannot succeed is said to have succeeded.
# 2. A person's mouse and keyboard (xdotool): a run is started with the space bar, a pane is chosen with the mouse, pictures are saved
#    with Ctrl+P, the run is saved with Ctrl+S, and the window is closed in the middle of a run.
set -euo pipefail
kvlab=$(realpath "$1")
folder=$(mktemp -d)
export KVLAB_CONFIG=$folder/config
trap 'rm -rf "$folder"' EXIT
picture=${2:-$folder/window.png}

fail() {
    echo "$1"
    exit 1
}

# A window that drew nothing compresses to a few kilobytes; one with plots and text has tens.
drawn() {
    local bytes
    bytes=$(stat -c %s "$1")
    [ "$bytes" -ge 20000 ] || fail "the picture $1 has only $bytes bytes: nothing was drawn"
    head -c 8 "$1" | grep -q PNG || fail "the picture $1 is no PNG"
}

in_window() {
    timeout 180 xvfb-run --auto-servernum --server-args='-screen 0 1280x800x24' "$kvlab" app --autorun --in-window "$@"
}
in_window --screenshot "$picture"
drawn "$picture"
if in_window --tokens 5000 --screenshot "$folder/too-long.png" 2>"$folder/message"; then
    fail "a run past the context was said to have finished"
fi
if ! grep -q 'did not finish: the prompt has' "$folder/message"; then
    echo "a run past the context was refused with another message:"
    cat "$folder/message"
    exit 1
fi
echo "the window ran and drew a picture of $(stat -c %s "$picture") bytes"

# What follows needs keys to arrive, one after the other, at a window that has no window manager.
person() {
    cd "$folder"
    "$kvlab" app --tokens 300 --lanes contiguous,paged:16 &
    local window=$! id=
    for _ in $(seq 100); do
        id=$(xdotool search --onlyvisible --name '^kvlab$' 2>/dev/null | head -n 1) && [ -n "$id" ] && break
        sleep 0.1
    done
    [ -n "$id" ] || fail "no window came up"
    sleep 1
    xdotool windowfocus "$id"
    xdotool mousemove --window "$id" 900 500
    xdotool key space
    sleep 4
    save ctrl+p first.png
    # The third pane, by its place in the row of panes; and by its key, which is 3.
    xdotool key 3
    sleep 1
    save ctrl+p second.png
    xdotool mousemove --window "$id" 480 47 click 1
    sleep 1
    xdotool mousemove --window "$id" 900 500
    save ctrl+p third.png
    save ctrl+s kept.jsonl
    drawn first.png
    drawn second.png
    drawn third.png
    cmp -s first.png second.png && fail "the key 3 changed nothing"
    cmp -s second.png third.png && fail "a click on the first pane changed nothing"
    "$kvlab" show kept.jsonl | grep -q '^ *paged:16 ' || fail "the saved run has no lane paged:16"
    # A run under way when the window closes.
    xdotool key r
    sleep 0.2
    xdotool key ctrl+q
    for _ in $(seq 100); do
        kill -0 "$window" 2>/dev/null || break
        sleep 0.1
    done
    kill -0 "$window" 2>/dev/null && fail "the window does not close in the middle of a run"
    wait "$window" || fail "the window closed with an error"
    [ -s "$KVLAB_CONFIG/window.json" ] || fail "the window remembers nothing"
    "$kvlab" show "$KVLAB_CONFIG/last-run.jsonl" | grep -q '^ *paged:16 ' || fail "the run it was closed on is lost"
}

# KEYS FILE: opens the dialog, writes the name and agrees.
save() {
    xdotool key "$1"
    sleep 0.5
    xdotool key ctrl+a
    xdotool type --delay 20 "$2"
    xdotool key Return
    for _ in $(seq 50); do
        [ -s "$2" ] && break
        sleep 0.1
    done
    [ -s "$2" ] || fail "$1 wrote no $2"
    sleep 0.3
}

# Functions do not pass through xvfb-run's shell.
{
    declare -f person save drawn fail
    echo person
} >"$folder/person.sh"
export kvlab folder
timeout 180 xvfb-run --auto-servernum --server-args='-screen 0 1280x800x24' bash -euo pipefail "$folder/person.sh"
echo "a mouse and a keyboard ran it, looked around, saved, and closed it in the middle of a run"
