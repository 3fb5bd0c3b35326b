/* A file layer that can forget: what a program writes to its store and has not synced yet.
 *
 * Preloaded, it notes before each write to the file named by STARLING_UNSYNCED what was there, in
 * "<file>.undo", and empties that when a sync has succeeded. Whoever kills the program takes any of
 * those writes back afterwards, as a machine does that loses its power.
 *
 * A sync takes its time, as one of a disk does: else few kills would fall into what is not synced.
 *
 * A record: offset (8 bytes), bytes of the write (8), bytes that were there (8), and those bytes; an
 * offset of ~0 is a change of the file's length, whose second number is the length before.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* How long a sync takes at least. */
#define SYNC_NS 8000000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int undo = -1;
static dev_t device;
static ino_t inode;

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* Is this the file? Asked by inode, for it may not exist when the program starts. */
static int watched(int fd) {
    struct stat file, named;
    const char *path = getenv("STARLING_UNSYNCED");
    if (!path || fstat(fd, &file) || !S_ISREG(file.st_mode)) return 0;
    if (undo < 0) {
        char name[4096];
        if (stat(path, &named)) return 0;
        device = named.st_dev;
        inode = named.st_ino;
        if (strlen(path) > sizeof name - 6) abort();
        strcat(strcpy(name, path), ".undo");
        undo = open(name, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (undo < 0) abort();
    }
    return file.st_dev == device && file.st_ino == inode;
}

static void put(const void *bytes, size_t count) {
    REAL(ssize_t, "write", int, const void *, size_t);
    if (real(undo, bytes, count) != (ssize_t)count) abort();
}

/* What is about to be overwritten. */
static void note(int fd, off64_t at, size_t count) {
    REAL(ssize_t, "pread64", int, void *, size_t, off64_t);
    char *before = malloc(count ? count : 1);
    if (!before) abort();
    ssize_t had = real(fd, before, count, at);
    uint64_t head[3] = {(uint64_t)at, count, had < 0 ? 0 : (uint64_t)had};
    char *record = malloc(sizeof head + head[2]);
    if (!record) abort();
    memcpy(record, head, sizeof head);
    memcpy(record + sizeof head, before, head[2]);
    put(record, sizeof head + head[2]);
    free(record);
    free(before);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    pthread_mutex_lock(&lock);
    if (watched(fd)) note(fd, at, count);
    ssize_t wrote = real(fd, bytes, count, at);
    pthread_mutex_unlock(&lock);
    return wrote;
}

int ftruncate64(int fd, off64_t length) {
    REAL(int, "ftruncate64", int, off64_t);
    pthread_mutex_lock(&lock);
    if (fd != undo && watched(fd)) {
        struct stat file;
        if (fstat(fd, &file)) abort();
        uint64_t head[3] = {~(uint64_t)0, (uint64_t)file.st_size, 0};
        put(head, sizeof head);
    }
    int result = real(fd, length);
    pthread_mutex_unlock(&lock);
    return result;
}

/* The time that a disk takes. */
static void take_time(int fd) {
    struct timespec wait = {0, SYNC_NS};
    pthread_mutex_lock(&lock);
    int ours = watched(fd);
    pthread_mutex_unlock(&lock);
    if (ours) nanosleep(&wait, NULL);
}

/* Synced: nothing of it can be forgotten any more. */
static void forget(int fd, int result) {
    REAL(int, "ftruncate64", int, off64_t);
    pthread_mutex_lock(&lock);
    if (result == 0 && watched(fd) && real(undo, 0)) abort();
    pthread_mutex_unlock(&lock);
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    take_time(fd);
    int result = real(fd);
    forget(fd, result);
    return result;
}

int fsync(int fd) {
    REAL(int, "fsync", int);
    take_time(fd);
    int result = real(fd);
    forget(fd, result);
    return result;
}
