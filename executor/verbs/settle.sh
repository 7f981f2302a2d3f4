# shellcheck shell=sh
# settle is the wrapper's own business: it must not wait for the lock that it is to free (wrapper.sh).
exit 1
