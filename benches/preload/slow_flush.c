/* Makes every flush of a file to the disk last longer, by as many microseconds as SLOW_FLUSH_US says. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static void linger(void) {
    const char *us = getenv("SLOW_FLUSH_US");
    long n = us ? atol(us) : 0;
    struct timespec pause = {n / 1000000, n % 1000000 * 1000};
    nanosleep(&pause, 0);
}

int fsync(int fd) {
    linger();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd) {
    linger();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
