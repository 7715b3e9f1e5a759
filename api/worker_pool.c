#include "api/worker_pool.h"

#include <stdlib.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "base/thread.h"

struct worker_pool {
    work_f *run;
    pthread_t *threads;
    size_t n;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t more;
    void **ring;
    size_t cap, head, waiting, running;
    bool ending;
};

static void *worker(void *arg)
{
    struct worker_pool *pool = arg;
    mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->waiting && !pool->ending)
            ensure(pthread_cond_wait(&pool->more, &pool->lock) == 0);
        if (!pool->waiting)
            break;
        void *work = pool->ring[pool->head];
        pool->head = (pool->head + 1) % pool->cap;
        pool->waiting--;
        pool->running++;
        mutex_unlock(&pool->lock);
        pool->run(work);
        mutex_lock(&pool->lock);
        pool->running--;
    }
    mutex_unlock(&pool->lock);
    return NULL;
}

struct worker_pool *worker_pool_new(const char *name, size_t n, size_t queue, work_f *run)
{
    ensure(n > 0 && queue > 0);
    struct worker_pool *pool = xcalloc(1, sizeof *pool);
    pool->run = run;
    pool->cap = queue;
    pool->ring = xcalloc(queue, sizeof *pool->ring);
    pool->n = n;
    pool->threads = xcalloc(n, sizeof *pool->threads);
    mutex_init(&pool->lock);
    cond_init(&pool->more);
    for (size_t i = 0; i < n; i++)
        thread_start(&pool->threads[i], name, worker, pool);
    return pool;
}

bool worker_pool_submit(struct worker_pool *pool, void *work)
{
    mutex_lock(&pool->lock);
    bool fits = pool->waiting < pool->cap && !pool->ending;
    if (fits) {
        pool->ring[(pool->head + pool->waiting++) % pool->cap] = work;
        pthread_cond_signal(&pool->more);
    }
    mutex_unlock(&pool->lock);
    return fits;
}

void worker_pool_load(struct worker_pool *pool, size_t *waiting, size_t *running)
{
    mutex_lock(&pool->lock);
    *waiting = pool->waiting;
    *running = pool->running;
    mutex_unlock(&pool->lock);
}

void worker_pool_end(struct worker_pool *pool)
{
    mutex_lock(&pool->lock);
    bool ended = pool->ending;
    pool->ending = true;
    pthread_cond_broadcast(&pool->more);
    mutex_unlock(&pool->lock);
    for (size_t i = 0; i < pool->n && !ended; i++)
        thread_join(pool->threads[i]);
}

void worker_pool_free(struct worker_pool **pool)
{
    struct worker_pool *p = *pool;
    *pool = NULL;
    if (!p)
        return;
    worker_pool_end(p);
    pthread_cond_destroy(&p->more);
    pthread_mutex_destroy(&p->lock);
    free(p->threads);
    free(p->ring);
    free(p);
}
