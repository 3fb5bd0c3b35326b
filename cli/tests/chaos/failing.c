/* A disk that does as it is told by the file named by STARLING_ORDERS, which is shared with whoever
 * gives the orders: numbers of 8 bytes each, in the order of the struct below. Only the file of the
 * store is touched, whose name ends in ".redb".
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct orders {
    uint64_t fail_writes; /* so many writes are made in half, and then fail */
    uint64_t fail_syncs;  /* so many syncs fail; the ones after them say that all is well */
    uint64_t fail_reads;  /* so many reads fail */
    uint64_t halve;       /* every write takes half of what it is given */
    uint64_t sync_ms;     /* so long a sync takes, and for as long as this says so */
    uint64_t failed;      /* told: how many failed */
    uint64_t after;       /* told: writes and syncs that came after one had failed */
};

static struct orders *orders;

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("STARLING_ORDERS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *page = mmap(NULL, sizeof *orders, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED) orders = page;
    close(fd);
}

static uint64_t look(uint64_t *at) { return __atomic_load_n(at, __ATOMIC_SEQ_CST); }

/* One less to fail, and yes; or no. */
static int takes(uint64_t *count) {
    uint64_t left = look(count);
    while (left > 0) {
        if (__atomic_compare_exchange_n(count, &left, left - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
            __atomic_add_fetch(&orders->failed, 1, __ATOMIC_SEQ_CST);
            return 1;
        }
    }
    return 0;
}

static int watched(int fd) {
    char link[64], path[4096];
    if (!orders) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path);
    return length > 5 && memcmp(path + length - 5, ".redb", 5) == 0;
}

static void note_if_late(void) {
    if (look(&orders->failed)) __atomic_add_fetch(&orders->after, 1, __ATOMIC_SEQ_CST);
}

static int failure(void) {
    errno = EIO;
    return -1;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    if (!watched(fd)) return real(fd, bytes, count, at);
    note_if_late();
    if (takes(&orders->fail_writes)) {
        if (real(fd, bytes, count / 2, at) < 0) abort();
        return failure();
    }
    if (look(&orders->halve) && count > 1) count /= 2;
    return real(fd, bytes, count, at);
}

ssize_t pread64(int fd, void *bytes, size_t count, off64_t at) {
    REAL(ssize_t, "pread64", int, void *, size_t, off64_t);
    if (watched(fd) && takes(&orders->fail_reads)) return failure();
    return real(fd, bytes, count, at);
}

static int before_sync(int fd) {
    if (!watched(fd)) return 0;
    note_if_late();
    struct timespec moment = {0, 5 * 1000 * 1000};
    for (uint64_t waited = 0; waited < look(&orders->sync_ms); waited += 5) nanosleep(&moment, NULL);
    return takes(&orders->fail_syncs) ? failure() : 0;
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    return before_sync(fd) ? -1 : real(fd);
}

int fsync(int fd) {
    REAL(int, "fsync", int);
    return before_sync(fd) ? -1 : real(fd);
}
