#!/bin/sh
# hook.sh NAME COMMAND: write a line into $TRACE once all else is told, and run a test's command.
env | grep '^SESSION_' | sort > "$TRACE.$1"
pwd > "$TRACE.$1.pwd"
echo "This is $1, I know $PASSWORD"
echo "$1 $SESSION_ATTEMPT" >> "$TRACE"
eval "$2"
