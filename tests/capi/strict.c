/*
 * Strict removal: no call begins after a removal has returned 0.
 *
 * Some threads add and remove handles and timeouts that are always ready while another one runs the loop. Each
 * registration has a flag, which its remover sets after the removal has returned and its callback reads first.
 * With eventry a removal that returns 1 does not set the flag, because one last call is running, and every
 * other removal waits until that call has returned.
 */
#include "conformance.h"

#include <eventry.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Minimum number of cycles, and limits of the number of threads that remove. */
enum { FLOOR_PER_MS = 25, REMOVERS = 2, MAX_REMOVERS = 64 };

/* A registration, shared by its remover and the loop, and freed by the last user. */
struct cycle {
    int removed, running, users;
};

static int calls, late, frees, is_ours;
static int ends[2];
static double until;
/* Set after the first late call, to end the test. */
static int until_late;

struct remover {
    pthread_t thread;
    unsigned random;
    int cycles, idle, in_flight, waited, still_running;
};

static int is_set(const int *flag) { return __atomic_load_n(flag, __ATOMIC_SEQ_CST); }
static void set(int *flag, int value) { __atomic_store_n(flag, value, __ATOMIC_SEQ_CST); }
static void add_one(int *count) { __atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST); }

static void let_go(struct cycle *it)
{
    if (__atomic_sub_fetch(&it->users, 1, __ATOMIC_SEQ_CST) == 0)
        free(it);
}

static void called(struct cycle *it)
{
    if (is_set(&it->removed))
        add_one(&late);
    set(&it->running, 1);
    add_one(&calls);
    set(&it->running, 0);
}

static void on_handle(int watch, int fd, int events, void *opaque)
{
    (void)watch, (void)fd, (void)events;
    called(opaque);
}

static void on_timeout(int timer, void *opaque)
{
    (void)timer;
    called(opaque);
}

static void on_free(void *opaque)
{
    add_one(&frees);
    let_go(opaque);
}

/* Waits between zero and a turn's duration, so that removals happen at any point of a call. */
static void pause_a_while(unsigned length)
{
    volatile unsigned at;

    for (at = 0; at < length; at++)
        ;
}

/* Removes a registration. Returns 1 if the implementation reports a running call, else 0. */
static int remove_one(int id, int is_timeout, int wait)
{
    if (!is_ours)
        return is_timeout ? api->remove_timeout(id) : api->remove_handle(id);
    if (wait)
        return is_timeout ? eventry_remove_timeout_and_wait(id) : eventry_remove_handle_and_wait(id);
    return is_timeout ? eventry_remove_timeout_status(id) : eventry_remove_handle_status(id);
}

static void cycle(struct remover *self)
{
    struct cycle *it = calloc(1, sizeof(*it));
    int number = self->cycles++, is_timeout = number & 1, wait = is_ours && number & 2, id, answer;

    if (!it)
        abort();
    it->users = 2;
    id = is_timeout ? api->add_timeout(0, on_timeout, it, on_free)
                    : api->add_handle(ends[0], R, on_handle, it, on_free);
    self->random = self->random * 1103515245 + 12345;
    pause_a_while((self->random >> 16) % 4096);
    answer = remove_one(id, is_timeout, wait);
    if (answer == 0) {
        set(&it->removed, 1);
        self->still_running += is_ours && is_set(&it->running);
        self->waited += wait;
        self->idle += !wait;
    } else if (answer == 1) {
        self->in_flight++;
    } else {
        abort();
    }
    let_go(it);
}

static void *remove_often(void *opaque)
{
    struct remover *self = opaque;

    /* Under valgrind turns may be late. */
    while (now_ms() < until || (calls == 0 && now_ms() < until + 5000)) {
        cycle(self);
        if (until_late && is_set(&late))
            break;
    }
    return NULL;
}

/* Runs removers for a duration, and returns their results together. */
static struct remover stress(const char *name, double milliseconds, int threads)
{
    struct remover removers[MAX_REMOVERS], sum = { 0 };
    int at;

    memset(removers, 0, sizeof(removers));
    calls = late = frees = 0;
    is_ours = strcmp(api->name, "eventry") == 0;
    if (pipe(ends) < 0 || write(ends[1], "x", 1) != 1)
        abort();
    start_runner();
    until = now_ms() + milliseconds;
    for (at = 0; at < threads; at++) {
        removers[at].random = at;
        if (pthread_create(&removers[at].thread, NULL, remove_often, &removers[at]) != 0)
            abort();
    }
    for (at = 0; at < threads; at++) {
        struct remover *it = &removers[at];
        pthread_join(it->thread, NULL);
        sum.cycles += it->cycles;
        sum.idle += it->idle;
        sum.in_flight += it->in_flight;
        sum.waited += it->waited;
        sum.still_running += it->still_running;
    }
    check(wait_until(&frees, sum.cycles), "each registration was freed");
    stop_runner();
    check(frees == sum.cycles, "each was freed once");
    close(ends[0]);
    close(ends[1]);
    printf("%s: %s: %d threads, %d cycles in %.1f s, %d calls, %d removals met one, %d waited, %d late starts\n", name,
           api->name, threads, sum.cycles, (now_ms() - until + milliseconds) / 1e3, calls, sum.in_flight, sum.waited, late);
    return sum;
}

int strict_for(double milliseconds, int threads)
{
    struct remover sum;

    if (threads < 1 || threads > MAX_REMOVERS)
        return 0;
    sum = stress("strict removal", milliseconds, threads);

    return late == 0 && sum.still_running == 0 && calls > 0 && sum.in_flight > 0 && sum.waited > 0 &&
           frees == sum.cycles && sum.cycles >= FLOOR_PER_MS * milliseconds;
}

static void strict(void)
{
    struct remover sum = stress("strict", 300, REMOVERS);

    say("late=%d still-running=%d", late, sum.still_running);
    say("called=%d idle=%d waited=%d", calls > 0, sum.idle > 0, sum.waited > 0);
}

/* Shows that libvirt's loop begins a call after the removal has returned. */
static void an(void)
{
    until_late = 1;
    stress("AN", strcmp(api->name, "eventry") == 0 ? 500 : 30000, REMOVERS);
    until_late = 0;
    say("late=%s", late ? "some" : "none");
}

const struct test strict_cases[] = {
    OWN("strict", strict, "late=0 still-running=0 called=1 idle=1 waited=1"),
    DIFFERS("AN", an, "late=none", "EV-702", "late=some"),
    { 0 },
};
