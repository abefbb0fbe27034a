/*
 * Misuse of the interface that the sanitizers must report, one kind per run.
 *
 *     misuse opaque    frees a callback's memory while it is registered: reported in C code
 *     misuse stats     reads the statistics into freed memory: reported in the library
 *     misuse leak      removes registrations and leaks their memory
 */
#include <eventry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void count(int timer, void *opaque)
{
    ++*(int *)opaque;
    eventry_remove_timeout(timer);
}

static void add(int free_it)
{
    int *calls = calloc(1, sizeof(*calls));

    if (!calls || eventry_add_timeout(0, count, calls, NULL) < 0)
        abort();
    if (free_it)
        free(calls);
}

int main(int argc, char **argv)
{
    const char *which = argc == 2 ? argv[1] : "";

    if (strcmp(which, "opaque") == 0) {
        add(1);
        eventry_run_once();
    } else if (strcmp(which, "stats") == 0) {
        struct eventry_stats *stats = malloc(sizeof(*stats));
        free(stats);
        eventry_stats(stats, sizeof(*stats));
    } else if (strcmp(which, "leak") == 0) {
        /* Old copies of a few pointers may be left where the sanitizer searches: in padding, or on the stack. */
        int at;
        for (at = 0; at < 16; at++) {
            add(0);
            eventry_run_once();
        }
    } else {
        fprintf(stderr, "usage: %s opaque|stats|leak\n", argv[0]);
        return 2;
    }
    printf("%s was not reported\n", which);
    return 0;
}
