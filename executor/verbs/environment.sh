# shellcheck shell=sh
# What whoever logs in may have set and exported, and would make shell and tools do something else: the options of a
# bash (SHELLOPTS: with noclobber nothing is written over), where names without "/" are looked for, which files a
# pattern leaves out; how ls quotes names and tells times, what grep is given besides, the unit of sizes; what rsync
# skips, how it takes names for others, by what it connects. Before all that runs on a node, at either end of a copy.
set +aCefuvx
# shellcheck disable=SC3028,SC3040 # of a bash only; where sh knows it not, such a variable says nothing
case ${SHELLOPTS-} in *pipefail*) ! (set +o pipefail) 2>/dev/null || set +o pipefail ;; esac
unset CDPATH GLOBIGNORE QUOTING_STYLE TIME_STYLE GREP_OPTIONS
unset BLOCK_SIZE BLOCKSIZE DF_BLOCK_SIZE DU_BLOCK_SIZE LS_BLOCK_SIZE
unset RSYNC_RSH RSYNC_PARTIAL_DIR RSYNC_ICONV RSYNC_PROTECT_ARGS RSYNC_OLD_ARGS RSYNC_CHECKSUM_LIST \
    RSYNC_COMPRESS_LIST RSYNC_MAX_ALLOC RSYNC_CONNECT_PROG
