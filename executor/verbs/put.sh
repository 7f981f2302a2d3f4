# shellcheck shell=sh
# Of the session's shell and of the verbs.

put_line() { # TEXT WORDS: a line, on the disk, by dd with these words; else $why is why not, behind a colon, where dd says so
    dd_text=$1
    shift
    dd_said=$(printf '%s\n' "$dd_text" | dd "$@" 2>&1) && return
    why=
    case $dd_said in *'dd: '*) why=${dd_said#*dd: } why=${why%%"
"*} why=": ${why##*: }" ;; esac
    return 1
}
