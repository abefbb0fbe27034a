/*
 * What the sanitizers must see, to show that they look: misuse of the interface, one kind per run.
 *
 *     misuse opaque    a callback's memory is freed while it is still registered: seen in C
 *     misuse stats     the statistics go to memory that was freed: seen in the library
 *     misuse leak      a registration is removed, and its memory lost
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
        add(0);
        eventry_run_once();
    } else {
        fprintf(stderr, "usage: %s opaque|stats|leak\n", argv[0]);
        return 2;
    }
    printf("%s was not seen\n", which);
    return 0;
}
