# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# bring-up CTID PRIVATE ROOT DEVICE IDENTITY DUMPDIR STATE DUMPFILE: the pivot, with marks that outlive a power cut
# shellcheck disable=SC2034 # library.sh uses it
pivot=1
mark out
(ensure_up "$1" "$2" "$3" "$4" "$5" "$6" "$7" "$8")
status=$?
[ "$status" != 3 ] || mark refused "$status"
exit "$status"
