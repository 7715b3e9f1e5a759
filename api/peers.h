/*
 * The connections of the HTTP server, and a thread that watches over them. libmicrohttpd's own
 * timeout counts inactivity only, so a client that sends a byte every few seconds would hold a
 * connection for ever; here every state of a connection has a deadline, past which its socket is
 * shut down and libmicrohttpd ends it. While a request is being worked on, the thread looks whether
 * its client is still there and cancels the work when not.
 *
 * Who calls: the server's thread adds, removes and sets states; anybody may call peers_cancel.
 */
#ifndef API_PEERS_H
#define API_PEERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum peer_state {
    PEER_CONNECTED, /* accepted; its first request has not come in whole */
    PEER_IDLE,      /* kept alive: between requests, or in the headers of the next one */
    PEER_BODY,      /* the headers are in, the body is not */
    PEER_WORK,      /* the request is queued or worked on; has no deadline of its own */
    PEER_SEND,      /* the answer is on its way */
    PEER_STATES,
};

struct peers;
struct peer;

/* limit_ms: how long a connection may stay in each state; 0: for ever. */
struct peers *peers_new(const int64_t limit_ms[PEER_STATES]);
/* All peers must have been removed. */
void peers_free(struct peers **peers);

/* The socket is open until peers_remove. */
struct peer *peers_add(struct peers *peers, int fd);
void peers_remove(struct peers *peers, struct peer *peer);
/* cancel is set to true when the client goes away in PEER_WORK; it must live until the state is set
 * again or the peer is removed. NULL in other states. */
void peers_set(struct peers *peers, struct peer *peer, enum peer_state state, atomic_bool *cancel);
/* Cancels the work of all. */
void peers_cancel(struct peers *peers);

/* Connections that are open, and those that were cut at a deadline since the start. */
void peers_count(struct peers *peers, size_t *open, uint64_t *cut);

#endif
