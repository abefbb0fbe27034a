/* One set of cases for every implementation with the seven functions of the event API. */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <stddef.h>

typedef void (*on_handle_fn)(int watch, int fd, int events, void *opaque);
typedef void (*on_timeout_fn)(int timer, void *opaque);
typedef void (*free_fn)(void *opaque);

enum { R = 1, W = 2, E = 4, H = 8 };

/* How long to wait for what must happen. */
enum { PATIENCE_MS = 5000 };

/* An implementation. */
struct api {
    const char *name;
    int (*add_handle)(int fd, int events, on_handle_fn callback, void *opaque, free_fn free);
    void (*update_handle)(int watch, int events);
    int (*remove_handle)(int watch);
    int (*add_timeout)(int milliseconds, on_timeout_fn callback, void *opaque, free_fn free);
    void (*update_timeout)(int timer, int milliseconds);
    int (*remove_timeout)(int timer);
    int (*run_once)(void);
    int (*register_default)(void);
};

/* The one under test. */
extern const struct api *api;

/* A case, and what it must say. Where the implementations differ, `claim` names the rule that says so and
 * `peer` is what the other one must say; NULL if the case is for eventry alone. */
struct test {
    const char *name;
    void (*run)(void);
    const char *expected;
    const char *claim;
    const char *peer;
};

#define SAME(name, run, expected) { name, run, expected, "same", expected }
#define DIFFERS(name, run, expected, claim, peer) { name, run, expected, claim, peer }
#define OWN(name, run, expected) { name, run, expected, "eventry-only", NULL }

extern const struct test first_cases[], scenarios[], handle_cases[], timeout_cases[], loop_cases[],
    libvirt_interop[], removal_cases[], extensions[], strict_cases[];

/* Removes from two threads what a third calls, for so long; says what it saw on stdout. Whether no call
 * began after its removal had returned. */
int strict_for(double milliseconds);

/* An entry of a case: a handle or a timeout. */
struct entry {
    const char *name;
    int id;
    int is_timeout;
    int fd, peer; /* the other end of fd, or -1 */
    int owns_fd;
    int calls, events, freed, removed;
    double called_at;
    void (*then)(struct entry *self);
    struct entry *other;
    int value;
};

/* What the case says: one line, compared as text. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Whether callbacks say their name and events. */
extern int aloud;

/* Says what a call returned and what errno it left. */
#define TELL_ERRNO(what, call)                                          \
    do {                                                                \
        errno = 0;                                                      \
        int result_ = (call);                                           \
        say("%s=%d,%s", what, result_, errno_name());                   \
    } while (0)
const char *errno_name(void);

/* A new entry, not added. */
struct entry *entry(const char *name);
/* Handles on a pipe's read end, on a socket, on a given descriptor; timeouts. */
struct entry *on_pipe(const char *name, int events);
struct entry *on_socket(const char *name, int events);
struct entry *on_fd(const char *name, int fd, int events);
struct entry *timeout(const char *name, int milliseconds);
/* Makes the entry ready by writing to its peer. */
void feed(struct entry *it);
void take(struct entry *it);
void close_peer(struct entry *it);
/* Removes the entry; what the implementation returned. */
int drop(struct entry *it);

/* One iteration that does not block: everything ready or due has been called when it ends. */
void turn(void);
void turns(int count);
/* Iterations until `*flag` is at least `value`, or five seconds have passed; whether it got there. */
int run_until(const int *flag, int value);
/* Iterations for so long. Their number. */
int run_for(int milliseconds);
/* The same, as "quiet" or "spin". */
const char *load_of(int milliseconds);
/* Iterations until everything that was removed has been freed. */
void settle(void);

/* A thread that runs the loop until the end of the case or stop_runner. */
void start_runner(void);
void stop_runner(void);
/* Waits until `*flag` is at least `value`, with the same patience; whether it got there. */
int wait_until(const int *flag, int value);

double now_ms(void);
void sleep_ms(int milliseconds);
/* Fails the case with a reason. */
void check(int holds, const char *what);

#endif
