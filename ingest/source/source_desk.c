#include "ingest/source/source_desk.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

/* Whether who asks has given up is looked at so often. */
#define CANCEL_LOOK_MS 100

enum stage { WAITS, TAKEN, COMMITS, DONE };

struct source_desk {
    pthread_mutex_t lock; /* guards all of it but `refs`, and the stage of each errand */
    pthread_cond_t done;
    struct errand *first;
    bool closed;
    atomic_int refs;
    atomic_int waiting; /* so that asking whether there is something costs nothing */
};

struct source_desk *source_desk_new(void)
{
    struct source_desk *desk = xcalloc(1, sizeof *desk);
    mutex_init(&desk->lock);
    cond_init(&desk->done);
    atomic_init(&desk->refs, 1);
    return desk;
}

struct source_desk *source_desk_get(struct source_desk *desk)
{
    atomic_fetch_add(&desk->refs, 1);
    return desk;
}

void source_desk_put(struct source_desk **slot)
{
    struct source_desk *desk = *slot;
    *slot = NULL;
    if (!desk || atomic_fetch_sub(&desk->refs, 1) > 1)
        return;
    pthread_cond_destroy(&desk->done);
    pthread_mutex_destroy(&desk->lock);
    free(desk);
}

static void append(struct source_desk *desk, struct errand *errand)
{
    struct errand **at = &desk->first;
    while (*at)
        at = &(*at)->next;
    *at = errand;
    atomic_fetch_add(&desk->waiting, 1);
}

static void take_out(struct source_desk *desk, struct errand *errand)
{
    struct errand **at = &desk->first;
    while (*at != errand)
        at = &(*at)->next;
    *at = errand->next;
    atomic_fetch_sub(&desk->waiting, 1);
}

static bool is_cancelled(const struct errand *errand)
{
    return errand->request->cancel && atomic_load(errand->request->cancel);
}

/* Under the lock. How long it may take from when it was taken is bounded by whoever does it. */
static void await(struct source_desk *desk, const struct errand *errand, int64_t end_ns)
{
    while (errand->stage != DONE) {
        int64_t left_ms = (end_ns - clock_mono_ns()) / 1000000;
        if ((left_ms < 0 || is_cancelled(errand)) && errand->stage != TAKEN)
            return;
        cond_wait_ms(&desk->done, &desk->lock,
            left_ms >= 0 && left_ms < CANCEL_LOOK_MS ? left_ms + 1 : CANCEL_LOOK_MS);
    }
}

static void say_why(struct errand *errand, struct err *err)
{
    if (errand->stage == DONE)
        *err = errand->err;
    else if (errand->stage == COMMITS)
        err_set(err, ERR_TIMEOUT,
            "not committed yet, because the ingestion stands still: /metrics "
            "says why; it will be when it goes on");
    else if (is_cancelled(errand))
        err_set(err, ERR_CANCELED, "given up before the ingestion had come to it");
    else
        err_set(err, ERR_TIMEOUT, "the ingestion is busy, or stands still: /metrics says why");
}

/* Under the lock; the errand is not the asker's any more. */
static bool leave(struct source_desk *desk, struct errand *errand, struct err *err)
{
    bool ok = errand->stage == DONE && errand->ok;
    say_why(errand, err);
    if (errand->stage == WAITS)
        take_out(desk, errand);
    if (errand->stage == COMMITS)
        errand->left = true;
    else
        free(errand);
    return ok;
}

bool source_desk_ask(struct source_desk *desk, const struct source_request *request,
    int64_t wait_ms, struct arena *arena, struct source_answer *answer, struct err *err)
{
    *answer = (struct source_answer){0};
    mutex_lock(&desk->lock);
    if (desk->closed) {
        mutex_unlock(&desk->lock);
        return err_set(err, ERR_UNAVAILABLE, "the ingestion has ended");
    }
    struct errand *errand = xcalloc(1, sizeof *errand);
    errand->request = request;
    errand->arena = arena;
    errand->answer = answer;
    append(desk, errand);
    await(desk, errand, clock_mono_ns() + wait_ms * 1000000);
    bool ok = leave(desk, errand, err);
    mutex_unlock(&desk->lock);
    return ok;
}

bool source_desk_waits(const struct source_desk *desk)
{
    return atomic_load(&desk->waiting) > 0;
}

struct errand *source_desk_take(struct source_desk *desk, bool lists)
{
    if (!source_desk_waits(desk))
        return NULL;
    mutex_lock(&desk->lock);
    struct errand *errand = desk->first;
    while (errand && lists && errand->request->action != SOURCE_LIST)
        errand = errand->next;
    if (errand) {
        take_out(desk, errand);
        errand->stage = TAKEN;
    }
    mutex_unlock(&desk->lock);
    return errand;
}

void source_desk_commits(struct source_desk *desk, struct errand *errand)
{
    mutex_lock(&desk->lock);
    errand->stage = COMMITS;
    mutex_unlock(&desk->lock);
}

static void finish(struct errand *errand, bool ok)
{
    errand->ok = ok;
    errand->stage = DONE;
    if (errand->left)
        free(errand);
}

void source_desk_done(struct source_desk *desk, struct errand *errand, bool ok)
{
    mutex_lock(&desk->lock);
    finish(errand, ok);
    pthread_cond_broadcast(&desk->done);
    mutex_unlock(&desk->lock);
}

void source_desk_close(struct source_desk *desk)
{
    mutex_lock(&desk->lock);
    desk->closed = true;
    for (struct errand *errand = desk->first; errand; errand = desk->first) {
        take_out(desk, errand);
        err_set(&errand->err, ERR_UNAVAILABLE, "the ingestion has ended");
        finish(errand, false);
    }
    pthread_cond_broadcast(&desk->done);
    mutex_unlock(&desk->lock);
}
