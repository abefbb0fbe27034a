/* Runs the cases on one or both implementations: conformance eventry|libvirt|both [CASE...]
 * or only strict removal: conformance strict SECONDS THREADS */
#include "conformance.h"

#include <errno.h>
#include <eventry.h>
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const struct api eventry_api = {
    "eventry",
    eventry_add_handle,
    eventry_update_handle,
    eventry_remove_handle,
    eventry_add_timeout,
    eventry_update_timeout,
    eventry_remove_timeout,
    eventry_run_once,
    eventry_register,
};

static const struct api libvirt_api = {
    "libvirt",
    virEventAddHandle,
    virEventUpdateHandle,
    virEventRemoveHandle,
    virEventAddTimeout,
    virEventUpdateTimeout,
    virEventRemoveTimeout,
    virEventRunDefaultImpl,
    virEventRegisterDefaultImpl,
};

const struct api *api;
int logs_calls;

enum { MOST_ENTRIES = 128, MOST_SECONDS = 60 };

static pthread_mutex_t saying = PTHREAD_MUTEX_INITIALIZER;
static char said[4096];
static struct entry entries[MOST_ENTRIES];
static int entry_count;
static int removed_count, freed_count;

void say(const char *format, ...)
{
    va_list arguments;
    size_t length;

    pthread_mutex_lock(&saying);
    length = strlen(said);
    if (length > 0 && length + 1 < sizeof(said))
        said[length++] = ' ';
    va_start(arguments, format);
    vsnprintf(said + length, sizeof(said) - length, format, arguments);
    va_end(arguments);
    pthread_mutex_unlock(&saying);
}

void check(int holds, const char *what)
{
    if (!holds)
        say("FAILED(%s)", what);
}

const char *errno_name(void)
{
    switch (errno) {
    case 0: return "0";
    case EBADF: return "EBADF";
    case EBUSY: return "EBUSY";
    case EDEADLK: return "EDEADLK";
    case EINVAL: return "EINVAL";
    default: return strerror(errno);
    }
}

double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

void sleep_ms(int milliseconds)
{
    double end = now_ms() + milliseconds;

    while (now_ms() < end)
        usleep(1000);
}

/* --- Entries --- */

/* Memory for a callback, freed as early as allowed, so that a sanitizer detects a later call and a missing free. */
static struct entry **pointer_to(struct entry *it)
{
    struct entry **pointer = malloc(sizeof(*pointer));

    if (!pointer)
        abort();
    *pointer = it;
    return pointer;
}

static void on_handle(int watch, int fd, int events, void *opaque)
{
    struct entry *it = *(struct entry **)opaque;

    check(it->id == 0 || watch == it->id, "the handle's id");
    check(fd == it->fd, "the descriptor");
    check(!it->freed, "a call after the free call");
    it->called_at = now_ms();
    it->events |= events;
    if (logs_calls)
        say("%s%d", it->name, events);
    if (it->then)
        it->then(it);
    __atomic_add_fetch(&it->calls, 1, __ATOMIC_SEQ_CST);
}

static void on_timeout(int timer, void *opaque)
{
    struct entry *it = *(struct entry **)opaque;

    check(it->id == 0 || timer == it->id, "the timeout's id");
    check(!it->freed, "a call after the free call");
    it->called_at = now_ms();
    if (logs_calls)
        say("%s", it->name);
    if (it->then)
        it->then(it);
    __atomic_add_fetch(&it->calls, 1, __ATOMIC_SEQ_CST);
}

static void on_free(void *opaque)
{
    struct entry *it = *(struct entry **)opaque;

    free(opaque);
    __atomic_add_fetch(&it->freed, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&freed_count, 1, __ATOMIC_SEQ_CST);
    check(it->freed == 1, "freed once");
}

struct entry *entry(const char *name)
{
    struct entry *it = &entries[entry_count++];

    if (entry_count > MOST_ENTRIES)
        abort();
    memset(it, 0, sizeof(*it));
    it->name = name;
    it->fd = it->peer = -1;
    return it;
}

struct entry *on_fd(const char *name, int fd, int events)
{
    struct entry *it = entry(name);

    it->fd = fd;
    it->id = api->add_handle(fd, events, on_handle, pointer_to(it), on_free);
    check(it->id > 0, "a handle was added");
    return it;
}

static struct entry *on_pair(const char *name, int events, const int ends[2])
{
    struct entry *it = entry(name);

    it->fd = ends[0];
    it->peer = ends[1];
    it->owns_fd = 1;
    fcntl(it->fd, F_SETFL, O_NONBLOCK);
    it->id = api->add_handle(it->fd, events, on_handle, pointer_to(it), on_free);
    check(it->id > 0, "a handle was added");
    return it;
}

struct entry *on_pipe(const char *name, int events)
{
    int ends[2];

    if (pipe(ends) < 0)
        abort();
    return on_pair(name, events, ends);
}

struct entry *on_socket(const char *name, int events)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
        abort();
    return on_pair(name, events, ends);
}

struct entry *timeout(const char *name, int milliseconds)
{
    struct entry *it = entry(name);

    it->is_timeout = 1;
    it->id = api->add_timeout(milliseconds, on_timeout, pointer_to(it), on_free);
    check(it->id > 0, "a timeout was added");
    return it;
}

void feed(struct entry *it)
{
    check(write(it->peer, "x", 1) == 1, "a byte was written");
}

void take(struct entry *it)
{
    char bytes[64];

    check(read(it->fd, bytes, sizeof(bytes)) > 0, "bytes were read");
}

void close_peer(struct entry *it)
{
    close(it->peer);
    it->peer = -1;
}

int drop(struct entry *it)
{
    int result = it->is_timeout ? api->remove_timeout(it->id) : api->remove_handle(it->id);

    if (result == 0 && !it->removed) {
        it->removed = 1;
        __atomic_add_fetch(&removed_count, 1, __ATOMIC_SEQ_CST);
    }
    return result;
}

/* --- Running --- */

static void on_mark(int timer, void *opaque)
{
    (void)timer;
    __atomic_add_fetch((int *)opaque, 1, __ATOMIC_SEQ_CST);
}

void turn(void)
{
    int marked = 0, mark = api->add_timeout(0, on_mark, &marked, NULL), runs = 0;

    while (!marked && runs++ < 1000)
        check(api->run_once() == 0, "run_once");
    check(marked, "a timeout of 0 is called");
    api->remove_timeout(mark);
    if (logs_calls)
        say("|");
}

void turns(int count)
{
    while (count-- > 0)
        turn();
}

static int is_at_least(const int *flag, int value)
{
    return __atomic_load_n(flag, __ATOMIC_SEQ_CST) >= value;
}

int run_until(const int *flag, int value)
{
    int marks = 0, mark = api->add_timeout(5, on_mark, &marks, NULL);
    double end = now_ms() + TIMEOUT_MS;

    while (!is_at_least(flag, value) && now_ms() < end)
        check(api->run_once() == 0, "run_once");
    api->remove_timeout(mark);
    return is_at_least(flag, value);
}

int run_for(int milliseconds)
{
    int ended = 0, runs = 0, mark = api->add_timeout(milliseconds, on_mark, &ended, NULL);

    while (!ended && runs < 10000000) {
        check(api->run_once() == 0, "run_once");
        runs++;
    }
    api->remove_timeout(mark);
    return runs;
}

const char *load_of(int milliseconds)
{
    return run_for(milliseconds) < 50 ? "quiet" : "spin";
}

void settle(void)
{
    check(run_until(&freed_count, removed_count), "what was removed was freed");
}

int wait_until(const int *flag, int value)
{
    double end = now_ms() + TIMEOUT_MS;

    while (!is_at_least(flag, value) && now_ms() < end)
        usleep(500);
    return is_at_least(flag, value);
}

static pthread_t runner;
static int runner_runs, runner_ends;

static void *run(void *unused)
{
    (void)unused;
    while (!is_at_least(&runner_ends, 1))
        check(api->run_once() == 0, "run_once");
    return NULL;
}

void start_runner(void)
{
    runner_ends = 0;
    runner_runs = pthread_create(&runner, NULL, run, NULL) == 0;
    check(runner_runs, "a thread was started");
}

void stop_runner(void)
{
    static int marks;
    int mark;

    if (!runner_runs)
        return;
    __atomic_store_n(&runner_ends, 1, __ATOMIC_SEQ_CST);
    mark = api->add_timeout(0, on_mark, &marks, NULL);
    pthread_join(runner, NULL);
    api->remove_timeout(mark);
    runner_runs = 0;
}

/* --- The cases --- */

static const struct test *const groups[] = {
    first_cases, scenarios, handle_cases, timeout_cases, loop_cases, libvirt_interop, removal_cases,
    reuse_cases, extensions, cancel_cases, strict_cases, NULL,
};

/* Number of cases started. */
static int begun;

/* Aborts the process if a case does not end, so that a loop that hangs is reported with its case. */
static void *watch(void *unused)
{
    int last = 0, seconds = 0;
    sigset_t all;

    (void)unused;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL); /* the thread that runs the cases handles their signals */
    while (seconds < MOST_SECONDS) {
        sleep_ms(1000);
        seconds = is_at_least(&begun, last + 1) ? 0 : seconds + 1;
        last = __atomic_load_n(&begun, __ATOMIC_SEQ_CST);
    }
    fprintf(stderr, "case number %d does not end with %s\n", last, api->name);
    abort();
}

/* Runs a case on an implementation, and copies its output. */
static void run_case(const struct test *test, const struct api *with, char *out, size_t size)
{
    int at;

    api = with;
    __atomic_add_fetch(&begun, 1, __ATOMIC_SEQ_CST);
    logs_calls = 0;
    said[0] = '\0';
    entry_count = removed_count = freed_count = 0;
    test->run();
    stop_runner();
    for (at = 0; at < entry_count; at++) {
        struct entry *it = &entries[at];
        if (it->id > 0 && !it->removed)
            drop(it);
    }
    settle();
    for (at = 0; at < entry_count; at++) {
        struct entry *it = &entries[at];
        check(it->freed == it->removed, "each entry was freed");
        if (it->owns_fd)
            close(it->fd);
        if (it->peer >= 0)
            close(it->peer);
    }
    snprintf(out, size, "%s", said);
}

static int is_wanted(const char *name, int count, char **names)
{
    int at;

    for (at = 0; at < count; at++)
        if (strcmp(names[at], name) == 0)
            return 1;
    return count == 0;
}

int main(int argc, char **argv)
{
    const char *which = argc > 1 ? argv[1] : "both";
    int with_eventry = strcmp(which, "libvirt") != 0, with_libvirt = strcmp(which, "eventry") != 0;
    int group, run_count = 0, differences = 0, failures = 0;
    pthread_t watchdog;

    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (strcmp(which, "strict") == 0) {
        api = &eventry_api;
        return argc == 4 && strict_for(atof(argv[2]) * 1e3, atoi(argv[3])) ? 0 : 1;
    }
    if (pthread_create(&watchdog, NULL, watch, NULL) != 0 || pthread_detach(watchdog) != 0)
        abort();
    for (group = 0; groups[group]; group++) {
        const struct test *test;
        for (test = groups[group]; test->name; test++) {
            char ours[4096] = "-", theirs[4096] = "-";
            int ok = 1;
            /* The first cases register the implementation and always run. */
            if (group > 0 && !is_wanted(test->name, argc - 2, argv + 2))
                continue;
            if (with_eventry) {
                run_case(test, &eventry_api, ours, sizeof(ours));
                ok &= strcmp(ours, test->expected) == 0;
            }
            if (with_libvirt && test->peer) {
                run_case(test, &libvirt_api, theirs, sizeof(theirs));
                ok &= strcmp(theirs, test->peer) == 0;
            }
            printf("case %s eventry=\"%s\" libvirt=\"%s\" expected-difference=%s%s\n", test->name, ours,
                   theirs, test->claim, ok ? "" : " FAILED");
            if (!ok)
                printf("  expected eventry=\"%s\" libvirt=\"%s\"\n", test->expected,
                       test->peer ? test->peer : "-");
            run_count++;
            failures += !ok;
            differences += strncmp(test->claim, "EV-", 3) == 0;
        }
    }
    printf("conformance %s: %d cases, %d with an expected difference, %d failed\n", which, run_count,
           differences, failures);
    return failures == 0 && run_count > 0 ? 0 : 1;
}
