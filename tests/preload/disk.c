// Stands between a program and its files: see lib.rs for what each variable asks for.
//
// It is loaded with LD_PRELOAD. Every call goes to the C library's own, unless a fault is due.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FDS 65536
#define HEAL "/gastown-disk/heal"

enum kind { NONE, IO, SHORT, SPLIT, FULL, SYNC, TRUNCATE, READ, KILL };
enum op { OPEN, WRITE, FLUSH, CUT, REMOVE, RENAME, GET };

static const char *const KINDS[] = {"", "io", "short", "split", "full", "sync", "truncate", "read", "kill"};
static const char *const OPS[] = {"open", "write", "flush", "cut", "remove", "rename", "read"};

static struct {
    const char *folder;
    size_t folder_len;
    enum kind kind;
    int always;
    long nth;
    long sync_us;
    int report;
    int trace;
} disk = {.report = -1, .trace = -1};

static _Atomic(char *) names[FDS];
static atomic_long count;
static atomic_int healed;
// The descriptor whose next write fails because the last one was short, plus one.
static atomic_int broken;
static pthread_mutex_t traced = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_read)(int, void *, size_t);
static ssize_t (*real_pread)(int, void *, size_t, off64_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off64_t);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);

static void *find(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

static int append_to(const char *variable) {
    const char *path = getenv(variable);
    if (!path) return -1;
    return (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static void begin(void) {
    real_open = find("open64");
    real_openat = find("openat64");
    real_close = find("close");
    real_read = find("read");
    real_pread = find("pread64");
    real_write = find("write");
    real_pwrite = find("pwrite64");
    real_fsync = find("fsync");
    real_fdatasync = find("fdatasync");
    real_ftruncate = find("ftruncate64");
    real_unlink = find("unlink");
    real_rename = find("rename");
    disk.folder = getenv("GASTOWN_DISK_FOLDER");
    disk.folder_len = disk.folder ? strlen(disk.folder) : 0;
    const char *us = getenv("GASTOWN_DISK_SYNC_US");
    disk.sync_us = us ? atol(us) : 0;
    const char *fault = getenv("GASTOWN_DISK_FAULT");
    char kind[16], times[16];
    long nth;
    if (fault && sscanf(fault, "%15[a-z]:%15[a-z]:%ld", kind, times, &nth) == 3) {
        for (int n = IO; n <= KILL; n++)
            if (strcmp(kind, KINDS[n]) == 0) disk.kind = (enum kind)n;
        disk.always = strcmp(times, "always") == 0;
        disk.nth = nth;
        if (disk.kind == NONE) abort();
    }
    disk.report = append_to("GASTOWN_DISK_REPORT");
    disk.trace = append_to("GASTOWN_DISK_TRACE");
}

static void ready(void) { pthread_once(&once, begin); }

static int is_ours(const char *path) {
    return disk.folder && path && strncmp(path, disk.folder, disk.folder_len) == 0 &&
           (path[disk.folder_len] == '/' || path[disk.folder_len] == 0 ||
            (disk.folder_len > 0 && disk.folder[disk.folder_len - 1] == '/'));
}

static int is_acks(const char *path) {
    size_t len = strlen(path);
    return len > 5 && strcmp(path + len - 5, ".acks") == 0;
}

static const char *name_of(int fd) { return fd >= 0 && fd < FDS ? atomic_load(&names[fd]) : NULL; }

static int concerns(enum kind kind, enum op op) {
    switch (kind) {
    case IO:
    case KILL: return op != GET;
    case SHORT:
    case SPLIT: return op == WRITE;
    case FULL: return op == WRITE || op == OPEN || op == CUT;
    case SYNC: return op == FLUSH;
    case TRUNCATE: return op == CUT;
    case READ: return op == GET;
    default: return 0;
    }
}

static void report(enum op op, const char *path, long nth) {
    if (disk.report < 0) return;
    char line[512];
    const char *slash = strrchr(path, '/');
    int len = snprintf(line, sizeof line, "%ld %s %s\n", nth, OPS[op], slash ? slash + 1 : path);
    if (len > 0) syscall(SYS_write, disk.report, line, (size_t)len);
}

// Whether it goes wrong this time.
static int is_due(enum op op, const char *path) {
    if (disk.kind == NONE || !path || is_acks(path) || !concerns(disk.kind, op)) return 0;
    long n = atomic_fetch_add(&count, 1) + 1;
    if (n != disk.nth && !(disk.always && n > disk.nth)) return 0;
    if (atomic_load(&healed)) return 0;
    if (n == disk.nth || n == disk.nth + 1) report(op, path, n);
    if (disk.kind == KILL && op != WRITE) kill(getpid(), SIGKILL);
    return 1;
}

static int refuse(void) {
    errno = disk.kind == FULL ? ENOSPC : EIO;
    return -1;
}

static void trace(char kind, const char *path, uint64_t place, const void *data, size_t len) {
    if (disk.trace < 0 || !path) return;
    if (is_acks(path)) {
        if (kind != 'W') return;
        kind = 'A';
    }
    unsigned char header[24] = {(unsigned char)kind};
    uint16_t name = (uint16_t)strlen(path);
    uint64_t size = len;
    memcpy(header + 2, &name, 2);
    memcpy(header + 8, &place, 8);
    memcpy(header + 16, &size, 8);
    struct iovec parts[3] = {{header, sizeof header}, {(void *)path, name}, {(void *)data, len}};
    pthread_mutex_lock(&traced);
    syscall(SYS_writev, disk.trace, parts, 3);
    pthread_mutex_unlock(&traced);
}

static int opened(int fd, const char *path, int flags) {
    if (fd < 0 || fd >= FDS || !is_ours(path)) return fd;
    // A name is never freed: another thread may be reading it.
    atomic_store(&names[fd], strdup(path));
    if (flags & O_TRUNC) trace('T', path, 0, NULL, 0);
    return fd;
}

// A full disk refuses only what makes a file.
static int refuses_open(const char *path, int flags) {
    if (!is_ours(path)) return 0;
    struct stat found;
    if (disk.kind == FULL && (!(flags & O_CREAT) || stat(path, &found) == 0)) return 0;
    return is_due(OPEN, path);
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open64(const char *path, int flags, ...) {
    ready();
    MODE(flags)
    if (refuses_open(path, flags)) return refuse();
    return opened(real_open(path, flags, mode), path, flags);
}

int open(const char *path, int flags, ...) {
    ready();
    MODE(flags)
    if (refuses_open(path, flags)) return refuse();
    return opened(real_open(path, flags, mode), path, flags);
}

int openat64(int at, const char *path, int flags, ...) {
    ready();
    MODE(flags)
    if (refuses_open(path, flags)) return refuse();
    return opened(real_openat(at, path, flags, mode), path, flags);
}

int openat(int at, const char *path, int flags, ...) {
    ready();
    MODE(flags)
    if (refuses_open(path, flags)) return refuse();
    return opened(real_openat(at, path, flags, mode), path, flags);
}

int close(int fd) {
    ready();
    if (fd >= 0 && fd < FDS) {
        atomic_store(&names[fd], NULL);
        int mine = fd + 1;
        atomic_compare_exchange_strong(&broken, &mine, 0);
    }
    return real_close(fd);
}

ssize_t read(int fd, void *to, size_t len) {
    ready();
    return is_due(GET, name_of(fd)) ? refuse() : real_read(fd, to, len);
}

ssize_t pread64(int fd, void *to, size_t len, off64_t at) {
    ready();
    return is_due(GET, name_of(fd)) ? refuse() : real_pread(fd, to, len, at);
}

ssize_t pread(int fd, void *to, size_t len, off_t at) { return pread64(fd, to, len, at); }

// A write at a place, or where the descriptor is.
static ssize_t put(int fd, const void *from, size_t len, off64_t at, int placed) {
    const char *path = name_of(fd);
    off64_t place = at;
    if (path && disk.trace >= 0 && !placed) place = lseek64(fd, 0, SEEK_CUR);
    size_t some = len;
    if (path) {
        int mine = fd + 1;
        if (atomic_compare_exchange_strong(&broken, &mine, 0)) return refuse();
        if (is_due(WRITE, path)) {
            if (disk.kind == IO || disk.kind == FULL || len < 2) {
                if (disk.kind == KILL) kill(getpid(), SIGKILL);
                if (disk.kind != SPLIT) return refuse();
            } else {
                some = len / 2;
            }
            if (disk.kind == SHORT) atomic_store(&broken, fd + 1);
        }
    }
    trace('W', path, (uint64_t)place, from, some);
    ssize_t done = placed ? real_pwrite(fd, from, some, at) : real_write(fd, from, some);
    if (some < len && disk.kind == KILL) kill(getpid(), SIGKILL);
    return done;
}

ssize_t write(int fd, const void *from, size_t len) {
    ready();
    return put(fd, from, len, 0, 0);
}

ssize_t pwrite64(int fd, const void *from, size_t len, off64_t at) {
    ready();
    return put(fd, from, len, at, 1);
}

ssize_t pwrite(int fd, const void *from, size_t len, off_t at) { return pwrite64(fd, from, len, at); }

static int flush(int fd, int (*real)(int)) {
    const char *path = name_of(fd);
    if (!path || is_acks(path)) return real(fd);
    if (is_due(FLUSH, path)) return refuse();
    struct timespec until;
    if (disk.sync_us > 0) clock_gettime(CLOCK_MONOTONIC, &until);
    int done = real(fd);
    if (disk.sync_us > 0) {
        until.tv_sec += disk.sync_us / 1000000;
        until.tv_nsec += disk.sync_us % 1000000 * 1000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec += 1;
        }
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
        }
    }
    if (done == 0) trace('S', path, 0, NULL, 0);
    return done;
}

int fsync(int fd) {
    ready();
    return flush(fd, real_fsync);
}

int fdatasync(int fd) {
    ready();
    return flush(fd, real_fdatasync);
}

int ftruncate64(int fd, off64_t len) {
    ready();
    const char *path = name_of(fd);
    struct stat found;
    // A full disk refuses only what makes a file longer.
    int is_concerned = disk.kind != FULL || (fstat(fd, &found) == 0 && found.st_size < len);
    if (is_concerned && is_due(CUT, path)) return refuse();
    trace('T', path, (uint64_t)len, NULL, 0);
    return real_ftruncate(fd, len);
}

int ftruncate(int fd, off_t len) { return ftruncate64(fd, len); }

int unlink(const char *path) {
    ready();
    if (strcmp(path, HEAL) == 0) atomic_store(&healed, 1);
    const char *ours = is_ours(path) ? path : NULL;
    if (is_due(REMOVE, ours)) return refuse();
    int done = real_unlink(path);
    if (done == 0) trace('U', ours, 0, NULL, 0);
    return done;
}

int rename(const char *from, const char *to) {
    ready();
    if (is_due(RENAME, is_ours(from) ? from : NULL)) return refuse();
    return real_rename(from, to);
}
