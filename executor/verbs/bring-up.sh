# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# bring-up CTID PRIVATE ROOT DEVICE IDENTITY DUMPDIR STATE DUMPFILE STAGED: the pivot, with marks that outlive a power cut
# shellcheck disable=SC2034 # library.sh uses it
pivot=1
mark out
if [ "$9" != - ]; then
    (name_config "$1" "$9")
    status=$?
    is_named "$1" "$9" || mark refused "$status"
    [ "$status" = 0 ] || exit "$status"
fi
(ensure_up "$1" "$2" "$3" "$4" "$5" "$6" "$7" "$8")
status=$?
if [ "$status" = 3 ]; then
    # Before "no" is said nothing is left here that could be started, be it by force. What is still to end in the root
    # area is for the undo to wait for.
    [ "$9" = - ] || (hide_config "$1" - "$conf/$1.conf" "$9" -) || exit 1
    mark refused "$status"
fi
exit "$status"
