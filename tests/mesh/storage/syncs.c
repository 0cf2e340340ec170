/* Lets the next syncs of a process fail as a broken disk does; loaded by test_sync.py. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

int failing_syncs = 0;

static int fails(void) {
    if (failing_syncs <= 0)
        return 0;
    failing_syncs--;
    errno = EIO;
    return 1;
}

int fsync(int fd) { return fails() ? -1 : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return fails() ? -1 : (int)syscall(SYS_fdatasync, fd); }
