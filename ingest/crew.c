#include "ingest/crew.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "base/thread.h"

#define IDLE_MS 10000

struct hand {
    struct crew *crew;
    size_t member;
    pthread_t thread;
};

struct crew {
    size_t members;
    struct hand *hands;   /* of the members from 1 on */
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t begun, left;
    uint64_t job;  /* its number */
    bool open;     /* who comes may join it */
    size_t inside; /* hands that have joined */
    bool ending;
    crew_aside_f *aside; /* NULL: nothing is asked */
    void *aside_ctx;
    /* of the job; written before it is opened */
    crew_work_f *work;
    void *ctx;
    size_t n, part;
    atomic_size_t next;
};

static void do_parts(struct crew *crew, size_t member)
{
    for (;;) {
        size_t from = atomic_fetch_add_explicit(&crew->next, crew->part, memory_order_relaxed);
        if (from >= crew->n)
            return;
        size_t to = crew->n - from < crew->part ? crew->n : from + crew->part;
        crew->work(crew->ctx, member, from, to);
    }
}

/* The lock is held, and let go meanwhile. */
static void do_aside(struct crew *crew)
{
    crew_aside_f *aside = crew->aside;
    void *ctx = crew->aside_ctx;
    crew->aside = NULL;
    mutex_unlock(&crew->lock);
    aside(ctx);
    mutex_lock(&crew->lock);
}

static void *run(void *arg)
{
    const struct hand *hand = arg;
    struct crew *crew = hand->crew;
    uint64_t done = 0;
    mutex_lock(&crew->lock);
    while (!crew->ending) {
        if (crew->aside) {
            do_aside(crew);
            continue;
        }
        if (!crew->open || crew->job == done) {
            cond_wait_ms(&crew->begun, &crew->lock, IDLE_MS);
            continue;
        }
        done = crew->job;
        crew->inside++;
        mutex_unlock(&crew->lock);
        do_parts(crew, hand->member);
        mutex_lock(&crew->lock);
        if (--crew->inside == 0)
            pthread_cond_signal(&crew->left);
    }
    mutex_unlock(&crew->lock);
    return NULL;
}

struct crew *crew_new(size_t members)
{
    struct crew *crew = xcalloc(1, sizeof *crew);
    ensure(members > 0 && members <= CREW_MAX);
    crew->members = members;
    mutex_init(&crew->lock);
    cond_init(&crew->begun);
    cond_init(&crew->left);
    crew->hands = xcalloc(members, sizeof *crew->hands);
    for (size_t i = 1; i < members; i++) {
        char name[16];
        snprintf(name, sizeof name, "ingest-%zu", i);
        crew->hands[i] = (struct hand){.crew = crew, .member = i};
        thread_start(&crew->hands[i].thread, name, run, &crew->hands[i]);
    }
    return crew;
}

void crew_free(struct crew **crew)
{
    struct crew *c = *crew;
    *crew = NULL;
    if (!c)
        return;
    mutex_lock(&c->lock);
    c->ending = true;
    pthread_cond_broadcast(&c->begun);
    mutex_unlock(&c->lock);
    for (size_t i = 1; i < c->members; i++)
        thread_join(c->hands[i].thread);
    pthread_cond_destroy(&c->begun);
    pthread_cond_destroy(&c->left);
    pthread_mutex_destroy(&c->lock);
    free(c->hands);
    free(c);
}

size_t crew_members(const struct crew *crew)
{
    return crew->members;
}

/* Whoever has not woken up when everything is taken is not waited for. */
void crew_run(struct crew *crew, size_t n, size_t part, crew_work_f *work, void *ctx)
{
    ensure(part > 0);
    if (crew->members == 1 || n <= part) {
        if (n)
            work(ctx, 0, 0, n);
        return;
    }
    crew->work = work;
    crew->ctx = ctx;
    crew->n = n;
    crew->part = part;
    atomic_store(&crew->next, 0);
    mutex_lock(&crew->lock);
    crew->job++;
    crew->open = true;
    pthread_cond_broadcast(&crew->begun);
    mutex_unlock(&crew->lock);
    do_parts(crew, 0);
    mutex_lock(&crew->lock);
    crew->open = false;
    while (crew->inside > 0)
        cond_wait_ms(&crew->left, &crew->lock, IDLE_MS);
    mutex_unlock(&crew->lock);
}

void crew_aside(struct crew *crew, crew_aside_f *aside, void *ctx)
{
    if (crew->members == 1) {
        aside(ctx);
        return;
    }
    mutex_lock(&crew->lock);
    crew->aside = aside;
    crew->aside_ctx = ctx;
    pthread_cond_signal(&crew->begun);
    mutex_unlock(&crew->lock);
}
