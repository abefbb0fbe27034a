/* Clocks, measured sections, arguments and descriptors of the C program. */
#ifndef MEASURE_H
#define MEASURE_H

#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

/* CPU time of a section, in nanoseconds. */
static uint64_t duration;

UNUSED static _Noreturn void fail(const char *call) {
    fprintf(stderr, "%s: %s\n", call, strerror(errno));
    exit(1);
}

UNUSED static _Noreturn void fail_called(const char *entry) {
    fprintf(stderr, "an idle %s was called\n", entry);
    exit(1);
}

UNUSED static uint64_t clock_time(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

UNUSED static uint64_t now(void) {
    return clock_time(CLOCK_MONOTONIC);
}

UNUSED static uint64_t cpu_time(void) {
    return clock_time(CLOCK_THREAD_CPUTIME_ID);
}

/* A section of the program. It is over after a CPU time, or after eight times as much wall-clock time. */
struct section {
    uint64_t cpu_start, next_check, end;
};

UNUSED static struct section section_begin(void) {
    uint64_t time = now();
    struct section section = {.next_check = time + duration, .end = time + 8 * duration};
    section.cpu_start = cpu_time();
    return section;
}

UNUSED static bool section_is_over(struct section *section) {
    uint64_t time = now();
    if (time < section->next_check)
        return false;
    uint64_t used = cpu_time() - section->cpu_start;
    if (used >= duration || time >= section->end)
        return true;
    section->next_check = time + duration - used;
    return false;
}

/* Prints the CPU time per operation. */
UNUSED static void section_print(const struct section *section, const char *name, uint64_t operations) {
    uint64_t used = cpu_time() - section->cpu_start;
    printf("%s %f\n", name, (double)used / (double)(operations ? operations : 1));
}

/* Returns a descriptor that is readable if `counter` is not 0. */
UNUSED static int descriptor(unsigned counter) {
    int fd = eventfd(counter, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0)
        fail("eventfd");
    return fd;
}

UNUSED static void socket_pair(int pair[2]) {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
        fail("socketpair");
}

UNUSED static void *allocate(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory)
        fail("calloc");
    return memory;
}

/* Pseudo-random numbers, equal in every run: xorshift. */
UNUSED static uint64_t random_below(uint64_t limit) {
    static uint64_t state = 0x2545F4914F6CDD1D;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % limit;
}

/* Returns the resident memory of this process, in bytes. */
UNUSED static uint64_t resident(void) {
    uint64_t kilobytes = 0;
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    if (!status)
        fail("/proc/self/status");
    while (fgets(line, sizeof line, status) && sscanf(line, "VmRSS: %" SCNu64, &kilobytes) != 1)
        continue;
    fclose(status);
    return kilobytes * 1024;
}

#endif
