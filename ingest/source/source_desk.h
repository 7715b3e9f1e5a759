/*
 * Where requests of operators wait for the ingest thread. Who asks sleeps until its request is
 * done, gives up, or until nobody has begun with it for too long. Between taking one and telling
 * that it remains to be committed the ingest thread waits for nothing but the broker, and not long:
 * so long the asker cannot leave.
 *
 *     any thread:     source_desk_ask
 *     ingest thread:  source_desk_take  (does it)  source_desk_done
 */
#ifndef INGEST_SOURCE_DESK_H
#define INGEST_SOURCE_DESK_H

#include "ingest/source/source_request.h"

struct source_desk;

/* One that is done. Request, arena and answer are the asker's. */
struct errand {
    const struct source_request *request;
    struct arena *arena;
    struct source_answer *answer;
    struct err err;
    struct errand *next;
    int stage;
    bool ok, left;
};

/* With one reference. Whoever asks has one of its own. */
struct source_desk *source_desk_new(void);
struct source_desk *source_desk_get(struct source_desk *desk);
void source_desk_put(struct source_desk **desk);

/* By any thread. A change is committed when it comes back true, in a transaction of its own; rows
 * and notes are in the arena. ERR_NOT_FOUND: no such partition; ERR_INVALID: it cannot be done so;
 * ERR_UNAVAILABLE: the broker does not answer, or the ingestion has ended; ERR_TIMEOUT: it was not
 * done within wait_ms, and the text says whether it may be all the same; ERR_CANCELED: who asked
 * gave up before it was begun. */
bool source_desk_ask(struct source_desk *desk, const struct source_request *request,
    int64_t wait_ms, struct arena *arena, struct source_answer *answer, struct err *err);

/* Somebody waits. */
bool source_desk_waits(const struct source_desk *desk);
/* The oldest that waits, or NULL. lists: of those that change nothing. */
struct errand *source_desk_take(struct source_desk *desk, bool lists);
/* Its answer is filled, and remains to be committed: from here on the asker may leave, and nothing
 * of the asker's is used any more. */
void source_desk_commits(struct source_desk *desk, struct errand *errand);
/* Its answer, or its err, is filled. The errand is gone then. */
void source_desk_done(struct source_desk *desk, struct errand *errand, bool ok);
/* What waits, and what is asked from now on, fails. */
void source_desk_close(struct source_desk *desk);

#endif
