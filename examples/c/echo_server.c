/*
 * An echo server on a Unix socket: cc echo_server.c $(pkg-config --cflags --libs eventry)
 *
 *     ./echo_server PATH
 *
 * Echoes the input of each client, and ends when a client sends the line "quit". Memory is freed by the free callbacks
 * only, so a connection may be removed in its own callback.
 */
#include <errno.h>
#include <eventry.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct connection {
    int watch, fd;
    size_t waiting; /* number of bytes to send */
    char bytes[4096];
};

static int connections;

static void free_connection(void *opaque)
{
    connections--;
    free(opaque);
}

/* The descriptor may be closed after the removal; the free callback frees the memory later. */
static void end(struct connection *it)
{
    eventry_remove_handle(it->watch);
    close(it->fd);
}

static void on_connection(int watch, int fd, int events, void *opaque)
{
    struct connection *it = opaque;
    ssize_t done;

    if (it->waiting > 0 && events & EVENTRY_WRITABLE) {
        done = send(fd, it->bytes, it->waiting, MSG_NOSIGNAL);
        if (done < 0 && errno != EAGAIN) {
            end(it);
            return;
        }
        if (done > 0) {
            it->waiting -= done;
            memmove(it->bytes, it->bytes + done, it->waiting);
        }
    } else if (it->waiting == 0 && events & (EVENTRY_READABLE | EVENTRY_HANGUP | EVENTRY_ERROR)) {
        done = recv(fd, it->bytes, sizeof(it->bytes), 0);
        if (done == 0 || (done < 0 && errno != EAGAIN)) {
            end(it);
            return;
        }
        it->waiting = done > 0 ? done : 0;
        if (it->waiting == 5 && memcmp(it->bytes, "quit\n", 5) == 0) {
            end(it);
            eventry_stop();
            return;
        }
    } else if (events & (EVENTRY_HANGUP | EVENTRY_ERROR)) {
        /* The remaining bytes cannot be sent. */
        end(it);
        return;
    }
    /* Read again only after everything was sent, so that the buffer is bounded. */
    eventry_update_handle(watch, it->waiting > 0 ? EVENTRY_WRITABLE : EVENTRY_READABLE);
}

static void on_listener(int watch, int fd, int events, void *opaque)
{
    struct connection *it;
    int accepted = accept(fd, NULL, NULL);

    (void)watch, (void)events, (void)opaque;
    if (accepted < 0)
        return;
    it = calloc(1, sizeof(*it));
    if (!it || fcntl(accepted, F_SETFL, O_NONBLOCK) < 0) {
        free(it);
        close(accepted);
        return;
    }
    it->fd = accepted;
    it->watch = eventry_add_handle(accepted, EVENTRY_READABLE, on_connection, it, free_connection);
    if (it->watch < 0) {
        /* After a failed addition, the memory still belongs to the caller. */
        perror("eventry_add_handle");
        free(it);
        close(accepted);
        return;
    }
    connections++;
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int listener, watch;

    if (argc != 2 || strlen(argv[1]) >= sizeof(address.sun_path)) {
        fprintf(stderr, "usage: %s PATH\n", argv[0]);
        return 2;
    }
    strcpy(address.sun_path, argv[1]);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(listener, 16) < 0) {
        perror(argv[1]);
        return 1;
    }
    watch = eventry_add_handle(listener, EVENTRY_READABLE, on_listener, NULL, NULL);
    if (watch < 0) {
        perror("eventry_add_handle");
        return 1;
    }
    if (eventry_run() < 0) {
        perror("eventry_run");
        return 1;
    }
    eventry_remove_handle(watch);
    close(listener);
    unlink(argv[1]);
    printf("stopped, %d connections left\n", connections);
    return 0;
}
