/*
 * A libvirt client whose events, timeouts and keepalive are served by eventry's loop:
 *
 *     cc -pthread libvirt_client.c $(pkg-config --cflags --libs eventry libvirt)
 *     ./libvirt_client 'test+unix:///default?socket=/run/eventry/eventry-sock' [SECONDS]
 *
 * Opens the connection with a keepalive of one second, lists what runs there, stays for some seconds, and
 * says whether the connection is still alive: the daemon answers, so it is as long as the loop serves it.
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

int main(int argc, char **argv)
{
    virConnectPtr connection;
    pthread_t loop;
    int alive, seconds = argc > 2 ? atoi(argv[2]) : 3;

    if (argc < 2) {
        fprintf(stderr, "usage: %s URI [SECONDS]\n", argv[0]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    /* Before anything is opened. */
    virEventRegisterImpl(eventry_add_handle, eventry_update_handle, eventry_remove_handle,
                         eventry_add_timeout, eventry_update_timeout, eventry_remove_timeout);
    if (pthread_create(&loop, NULL, run, NULL) != 0)
        return 1;

    connection = virConnectOpen(argv[1]);
    if (!connection)
        return 1;
    if (virConnectSetKeepAlive(connection, 1, 2) < 0 ||
        virConnectRegisterCloseCallback(connection, on_close, NULL, NULL) < 0)
        return 1;
    if (list(connection) < 0)
        return 1;
    sleep(seconds);
    alive = virConnectIsAlive(connection);
    printf("alive after %d s: %d\n", seconds, alive);
    virConnectUnregisterCloseCallback(connection, on_close);
    virConnectClose(connection);

    /* What the connection registered is freed by the loop. */
    usleep(100000);
    eventry_stop();
    pthread_join(loop, NULL);
    return alive == 1 ? 0 : 1;
}
