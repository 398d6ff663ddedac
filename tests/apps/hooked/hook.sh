#!/bin/sh
# hook.sh NAME COMMAND: write a line into $TRACE, and run a command of the test's.
echo "$1 $SESSION_ATTEMPT" >> "$TRACE"
env | grep '^SESSION_' | sort > "$TRACE.$1"
pwd > "$TRACE.$1.pwd"
echo "This is $1, I know $PASSWORD"
eval "$2"
