/* Common declarations of the conformance cases, which run on every implementation of the event API. */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <stddef.h>

typedef void (*on_handle_fn)(int watch, int fd, int events, void *opaque);
typedef void (*on_timeout_fn)(int timer, void *opaque);
typedef void (*free_fn)(void *opaque);

enum { R = 1, W = 2, E = 4, H = 8 };

/* Maximum wait for an expected event. */
enum { TIMEOUT_MS = 5000 };

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

/* The implementation under test. */
extern const struct api *api;

/* A case and its expected output. Where the implementations differ, `claim` names the rule and `peer` is the
 * expected output of libvirt's; NULL if the case is for eventry only. */
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
    libvirt_interop[], removal_cases[], reuse_cases[], extensions[], cancel_cases[], strict_cases[];

/* Removes entries on some threads while another one calls them, for a duration; prints counts. Returns 1 if no call
 * began after its removal had returned. */
int strict_for(double milliseconds, int threads);

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

/* Appends to the output of the case: one line, compared as text. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Callbacks append their name and events to the output. */
extern int logs_calls;

/* Appends the result and errno of a call to the output. */
#define SAY_ERRNO(what, call)                                          \
    do {                                                                \
        errno = 0;                                                      \
        int result_ = (call);                                           \
        say("%s=%d,%s", what, result_, errno_name());                   \
    } while (0)
const char *errno_name(void);

/* Returns a new entry that is not added. */
struct entry *entry(const char *name);
/* Add handles on a pipe's read end, on a socket, on a given descriptor; timeouts. */
struct entry *on_pipe(const char *name, int events);
struct entry *on_socket(const char *name, int events);
struct entry *on_fd(const char *name, int fd, int events);
struct entry *timeout(const char *name, int milliseconds);
/* Makes the entry ready by writing to its peer. */
void feed(struct entry *it);
void take(struct entry *it);
void close_peer(struct entry *it);
/* Removes the entry, and returns the result. */
int drop(struct entry *it);

/* Runs the loop until every ready or due entry has been called once; does not block. */
void turn(void);
void turns(int count);
/* Runs the loop until `*flag` is at least `value`. Returns 0 after TIMEOUT_MS. */
int run_until(const int *flag, int value);
/* Runs the loop for a duration. Returns the number of iterations. */
int run_for(int milliseconds);
/* Does the same, and returns "quiet" or "spin". */
const char *load_of(int milliseconds);
/* Runs the loop until all removed entries are freed. */
void settle(void);

/* Start and stop a thread that runs the loop; the end of the case stops it too. */
void start_runner(void);
void stop_runner(void);
/* Waits until `*flag` is at least `value`. Returns 0 after TIMEOUT_MS. */
int wait_until(const int *flag, int value);

double now_ms(void);
void sleep_ms(int milliseconds);
/* Fails the case with a reason. */
void check(int holds, const char *what);

#endif
