/*
 * Writes down what a process does to the files of one folder, in order, so that a test can work
 * out what a loss of power would have left of them (tests/crash/power.py). Loaded by LD_PRELOAD.
 *
 * MESH_TRACE_ROOT names the folder, MESH_TRACE_OUT the trace. A record is a head of 40 bytes, then
 * the name, then the data. Syncs are noted and not done: the trace decides what was durable.
 * MESH_TRACE_FULL=n:k lets k writes fail from the n-th on, as on a disk without space.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[4096];
static size_t root_length;
static int out = -1;
static long full_from, full_count, writes;

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("MESH_TRACE_ROOT"), *name = getenv("MESH_TRACE_OUT");
    if (!folder || !name || strlen(folder) >= sizeof root)
        return;
    out = (int)syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    const char *full = getenv("MESH_TRACE_FULL");
    if (full)
        sscanf(full, "%ld:%ld", &full_from, &full_count);
    strcpy(root, folder);
    root_length = strlen(root);
}

struct head {
    uint64_t kind, inode, at, name_bytes, data_bytes;
};

static void note(char kind, uint64_t inode, uint64_t at, const char *name, const void *data,
                 size_t size) {
    struct head head = {(uint64_t)kind, inode, at, name ? strlen(name) : 0, data ? size : 0};
    struct iovec parts[3] = {
        {&head, sizeof head}, {(void *)name, head.name_bytes}, {(void *)data, head.data_bytes}};
    if (syscall(SYS_writev, out, parts, 3) != (long)(sizeof head + head.name_bytes + head.data_bytes))
        _exit(99); /* A trace with a hole proves nothing. */
}

static int is_ours(const char *path) {
    return out >= 0 && strncmp(path, root, root_length) == 0 &&
           (path[root_length] == '/' || path[root_length] == 0);
}

/* The inode of an open file in the folder, 0 if it is none; its name if wanted. */
static uint64_t inode_of(int fd, char *name, size_t size) {
    char link[64], here[4096];
    struct stat found;
    if (out < 0 || fd < 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, here, sizeof here - 1);
    if (length <= 0)
        return 0;
    here[length] = 0;
    if (!is_ours(here) || fstat(fd, &found) != 0)
        return 0;
    if (name)
        snprintf(name, size, "%s", here);
    return (uint64_t)found.st_ino;
}

static int absolute(int folder, const char *path, char *whole, size_t size) {
    if (path[0] == '/')
        return snprintf(whole, size, "%s", path) < (int)size;
    char link[64], here[4096];
    if (folder == AT_FDCWD)
        snprintf(link, sizeof link, "/proc/self/cwd");
    else
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, here, sizeof here - 1);
    if (length <= 0)
        return 0;
    here[length] = 0;
    return snprintf(whole, size, "%s/%s", here, path) < (int)size;
}

static int open_at(int folder, const char *path, int flags, mode_t mode) {
    char whole[8192];
    int saved;
    if (!absolute(folder, path, whole, sizeof whole) || !is_ours(whole))
        return (int)syscall(SYS_openat, folder, path, flags, mode);
    pthread_mutex_lock(&lock);
    int is_new = (flags & O_CREAT) && faccessat(AT_FDCWD, whole, F_OK, AT_SYMLINK_NOFOLLOW) != 0;
    int fd = (int)syscall(SYS_openat, folder, path, flags, mode);
    saved = errno;
    if (fd >= 0) {
        uint64_t inode = inode_of(fd, NULL, 0);
        if (is_new)
            note('C', inode, 0, whole, NULL, 0);
        else if (flags & O_TRUNC)
            note('T', inode, 0, NULL, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    return fd;
}

#define MODE(flags, last)                                                                          \
    mode_t mode = 0;                                                                               \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                         \
        va_list rest;                                                                              \
        va_start(rest, last);                                                                      \
        mode = va_arg(rest, mode_t);                                                               \
        va_end(rest);                                                                              \
    }

int open(const char *path, int flags, ...) {
    MODE(flags, flags)
    return open_at(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE(flags, flags)
    return open_at(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    MODE(flags, flags)
    return open_at(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags, flags)
    return open_at(folder, path, flags | O_LARGEFILE, mode);
}

/* Under the lock: whether the disk has no space for this write. */
static int is_full(void) {
    writes++;
    return full_from && writes >= full_from && writes < full_from + full_count;
}

static ssize_t write_at(int fd, const void *data, size_t size, off64_t at) {
    uint64_t inode = inode_of(fd, NULL, 0);
    if (!inode)
        return syscall(SYS_pwrite64, fd, data, size, at);
    pthread_mutex_lock(&lock);
    int refused = is_full();
    ssize_t done = refused ? -1 : syscall(SYS_pwrite64, fd, data, size, at);
    int saved = refused ? ENOSPC : errno;
    if (done > 0)
        note('W', inode, (uint64_t)at, NULL, data, (size_t)done);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return done;
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    return write_at(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    return write_at(fd, data, size, at);
}

ssize_t write(int fd, const void *data, size_t size) {
    uint64_t inode = out >= 0 ? inode_of(fd, NULL, 0) : 0;
    if (!inode && (fd != 1 || out < 0))
        return syscall(SYS_write, fd, data, size);
    pthread_mutex_lock(&lock);
    if (!inode) /* What was said; noted before anybody can hear it. */
        note('M', 0, 0, NULL, data, size);
    int refused = inode && is_full();
    ssize_t done = refused ? -1 : syscall(SYS_write, fd, data, size);
    int saved = refused ? ENOSPC : errno;
    if (inode && done > 0)
        note('W', inode, (uint64_t)(lseek64(fd, 0, SEEK_CUR) - done), NULL, data, (size_t)done);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return done;
}

static int truncate_to(int fd, off64_t size) {
    uint64_t inode = inode_of(fd, NULL, 0);
    pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_ftruncate, fd, size);
    int saved = errno;
    if (inode && done == 0)
        note('T', inode, (uint64_t)size, NULL, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return done;
}
int ftruncate(int fd, off_t size) { return truncate_to(fd, size); }
int ftruncate64(int fd, off64_t size) { return truncate_to(fd, size); }

static int sync_of(int fd) {
    char name[4096];
    uint64_t inode = inode_of(fd, name, sizeof name);
    if (!inode)
        return (int)syscall(SYS_fsync, fd);
    pthread_mutex_lock(&lock);
    note('F', inode, 0, name, NULL, 0);
    pthread_mutex_unlock(&lock);
    return 0;
}
int fsync(int fd) { return sync_of(fd); }
int fdatasync(int fd) { return sync_of(fd); }

/* A change of names: R from, to; L from, to; U name; D folder made. */
static int renamed(char kind, const char *from, const char *to, int done) {
    int saved = errno;
    char whole[2][8192];
    if (done == 0 && absolute(AT_FDCWD, from, whole[0], sizeof whole[0]) &&
        absolute(AT_FDCWD, to, whole[1], sizeof whole[1]) && is_ours(whole[1]))
        note(kind, 0, 0, whole[0], whole[1], strlen(whole[1]));
    errno = saved;
    return done;
}
static int named(char kind, int folder, const char *path, int done) {
    int saved = errno;
    char whole[8192];
    if (done == 0 && absolute(folder, path, whole, sizeof whole) && is_ours(whole))
        note(kind, 0, 0, whole, NULL, 0);
    errno = saved;
    return done;
}

#define LOCKED(expression)                                                                         \
    pthread_mutex_lock(&lock);                                                                     \
    int done = expression;                                                                         \
    pthread_mutex_unlock(&lock);                                                                   \
    return done;

int rename(const char *from, const char *to) {
    LOCKED(renamed('R', from, to,
                   (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0)))
}
int link(const char *from, const char *to) {
    LOCKED(renamed('L', from, to, (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0)))
}
int linkat(int one, const char *from, int two, const char *to, int flags) {
    if (one != AT_FDCWD || two != AT_FDCWD)
        _exit(99); /* Nothing of ours does this; unnoticed it would spoil the trace. */
    LOCKED(renamed('L', from, to, (int)syscall(SYS_linkat, one, from, two, to, flags)))
}
int unlink(const char *path) {
    LOCKED(named('U', AT_FDCWD, path, (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0)))
}
int unlinkat(int folder, const char *path, int flags) {
    LOCKED(named('U', folder, path, (int)syscall(SYS_unlinkat, folder, path, flags)))
}
int rmdir(const char *path) {
    LOCKED(named('U', AT_FDCWD, path, (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR)))
}
int mkdir(const char *path, mode_t mode) {
    LOCKED(named('D', AT_FDCWD, path, (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode)))
}
