#include "api/peers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "base/thread.h"

#define TICK_MS 50

struct peer {
    int fd;
    enum peer_state state;
    bool cut;
    int64_t since_ns;
    atomic_bool *cancel;
    struct peer *next, *prev;
};

struct peers {
    int64_t limit_ns[PEER_STATES];
    pthread_t thread;
    pthread_mutex_t lock; /* guards all below, and the peers */
    pthread_cond_t wake;
    struct peer *first;
    size_t open;
    uint64_t cut;
    bool ending;
};

/* A client that is gone has closed its side: end of file, or an error. Bytes that wait are a
 * pipelined request, and nothing at all is the usual case. */
static bool gone(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

static void look_after(struct peers *peers, struct peer *peer, int64_t now_ns)
{
    if (peer->state == PEER_WORK) {
        if (peer->cancel && gone(peer->fd))
            atomic_store(peer->cancel, true);
        return;
    }
    int64_t limit = peers->limit_ns[peer->state];
    if (limit && !peer->cut && now_ns - peer->since_ns > limit) {
        peer->cut = true;
        peers->cut++;
        shutdown(peer->fd, SHUT_RDWR);
    }
}

static void *watch(void *arg)
{
    struct peers *peers = arg;
    mutex_lock(&peers->lock);
    while (!peers->ending) {
        int64_t now_ns = clock_mono_ns();
        for (struct peer *p = peers->first; p; p = p->next)
            look_after(peers, p, now_ns);
        cond_wait_ms(&peers->wake, &peers->lock, TICK_MS);
    }
    mutex_unlock(&peers->lock);
    return NULL;
}

struct peers *peers_new(const int64_t limit_ms[PEER_STATES])
{
    struct peers *peers = xcalloc(1, sizeof *peers);
    for (size_t i = 0; i < PEER_STATES; i++)
        peers->limit_ns[i] = limit_ms[i] * 1000000;
    mutex_init(&peers->lock);
    cond_init(&peers->wake);
    thread_start(&peers->thread, "http-peers", watch, peers);
    return peers;
}

void peers_free(struct peers **peers)
{
    struct peers *p = *peers;
    *peers = NULL;
    if (!p)
        return;
    mutex_lock(&p->lock);
    ensure(!p->first);
    p->ending = true;
    pthread_cond_signal(&p->wake);
    mutex_unlock(&p->lock);
    thread_join(p->thread);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

struct peer *peers_add(struct peers *peers, int fd)
{
    struct peer *peer = xcalloc(1, sizeof *peer);
    peer->fd = fd;
    peer->since_ns = clock_mono_ns();
    mutex_lock(&peers->lock);
    peer->next = peers->first;
    if (peer->next)
        peer->next->prev = peer;
    peers->first = peer;
    peers->open++;
    mutex_unlock(&peers->lock);
    return peer;
}

void peers_remove(struct peers *peers, struct peer *peer)
{
    mutex_lock(&peers->lock);
    if (peer->prev)
        peer->prev->next = peer->next;
    else
        peers->first = peer->next;
    if (peer->next)
        peer->next->prev = peer->prev;
    peers->open--;
    mutex_unlock(&peers->lock);
    free(peer);
}

void peers_set(struct peers *peers, struct peer *peer, enum peer_state state, atomic_bool *cancel)
{
    int64_t now_ns = clock_mono_ns();
    mutex_lock(&peers->lock);
    peer->state = state;
    peer->since_ns = now_ns;
    peer->cancel = cancel;
    mutex_unlock(&peers->lock);
}

void peers_cancel(struct peers *peers)
{
    mutex_lock(&peers->lock);
    for (struct peer *p = peers->first; p; p = p->next)
        if (p->cancel)
            atomic_store(p->cancel, true);
    mutex_unlock(&peers->lock);
}

void peers_count(struct peers *peers, size_t *open, uint64_t *cut)
{
    mutex_lock(&peers->lock);
    *open = peers->open;
    *cut = peers->cut;
    mutex_unlock(&peers->lock);
}
