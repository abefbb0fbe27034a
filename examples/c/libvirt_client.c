/*
 * A libvirt client whose events, timeouts and keepalive run on eventry's loop:
 *
 *     cc -pthread libvirt_client.c $(pkg-config --cflags --libs eventry libvirt)
 *     ./libvirt_client 'test+unix:///default?socket=/run/eventry/eventry-sock' [SECONDS]
 *
 * Opens a connection with a keepalive of one second, stays connected for some seconds, lists the active domains
 * every five seconds, and prints whether the connection is alive. In between, the loop only serves the
 * keepalive: its timeout, and the handle on which the answers arrive.
 */
#include <eventry.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *run(void *unused)
{
    (void)unused;
    if (eventry_run() < 0)
        perror("eventry_run");
    return NULL;
}

static void on_close(virConnectPtr connection, int reason, void *opaque)
{
    (void)connection, (void)opaque;
    fprintf(stderr, "the connection was closed: reason %d\n", reason);
}

static int list(virConnectPtr connection)
{
    virDomainPtr *domains;
    int at, count = virConnectListAllDomains(connection, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);

    for (at = 0; at < count; at++) {
        printf("%u %s\n", virDomainGetID(domains[at]), virDomainGetName(domains[at]));
        virDomainFree(domains[at]);
    }
    if (count >= 0)
        free(domains);
    return count;
}

static struct eventry_stats stats(void)
{
    struct eventry_stats stats = { 0 };

    if (eventry_stats(&stats, sizeof(stats)) < 0)
        perror("eventry_stats");
    return stats;
}

/* Stays connected for some seconds. Returns 1 if the daemon answered each time and the loop made calls. */
static int stay(virConnectPtr connection, int seconds)
{
    struct eventry_stats before, after;
    int idle;

    for (; seconds > 0; seconds -= idle) {
        if (list(connection) < 0)
            return 0;
        idle = seconds < 5 ? seconds : 5;
        before = stats();
        sleep(idle);
        after = stats();
        printf("%d s idle: %d handles, %d timeouts, %d calls\n", idle, (int)after.handles,
               (int)after.timeouts, (int)(after.calls - before.calls));
        if (after.handles < 1 || after.timeouts < 1 || after.calls - before.calls + 1 < (unsigned)idle) {
            fprintf(stderr, "the loop does not serve the connection\n");
            return 0;
        }
    }
    return 1;
}

/* Returns the number of entries that are registered, or removed and not freed yet. */
static int unfreed(void)
{
    struct eventry_stats now = stats();

    return (int)(now.handles + now.timeouts + now.pending_frees);
}

/* Waits until the loop has freed all entries of the connection. Returns 1 if it has. */
static int is_all_freed(void)
{
    int tries;

    for (tries = 0; tries < 500 && unfreed() > 0; tries++)
        usleep(10000);
    return unfreed() == 0;
}

int main(int argc, char **argv)
{
    virConnectPtr connection;
    pthread_t loop;
    int served, alive, freed, seconds = argc > 2 ? atoi(argv[2]) : 5;

    if (argc < 2) {
        fprintf(stderr, "usage: %s URI [SECONDS]\n", argv[0]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    /* libvirt requires this before the first connection. */
    virEventRegisterImpl(eventry_add_handle, eventry_update_handle, eventry_remove_handle,
                         eventry_add_timeout, eventry_update_timeout, eventry_remove_timeout);
    if (pthread_create(&loop, NULL, run, NULL) != 0)
        return 1;

    connection = virConnectOpen(argv[1]);
    if (!connection)
        return 1;
    if (virConnectSetKeepAlive(connection, 1, 3) < 0 ||
        virConnectRegisterCloseCallback(connection, on_close, NULL, NULL) < 0)
        return 1;
    served = stay(connection, seconds);
    alive = virConnectIsAlive(connection);
    printf("alive after %d s: %d\n", seconds, alive);
    virConnectUnregisterCloseCallback(connection, on_close);
    virConnectClose(connection);

    freed = is_all_freed();
    printf("freed: %d of %d\n", (int)stats().frees, (int)stats().frees + unfreed());
    eventry_stop();
    pthread_join(loop, NULL);
    return served && alive == 1 && freed ? 0 : 1;
}
