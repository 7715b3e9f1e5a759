/*
 * A bounded pool of threads with a bounded queue in front: work that does not fit is refused at
 * once, so that a burst of requests costs an error each and not the machine's memory.
 */
#ifndef API_WORKER_POOL_H
#define API_WORKER_POOL_H

#include <stdbool.h>
#include <stddef.h>

struct worker_pool;

typedef void work_f(void *work);

/* run is called once for every piece of work, in the order of submission, on one of n threads. */
struct worker_pool *worker_pool_new(const char *name, size_t n, size_t queue, work_f *run);
/* False when the queue is full or the pool has ended: the work is still the caller's. Thread-safe.
 */
bool worker_pool_submit(struct worker_pool *pool, void *work);
/* Work that waits and work that runs, now. */
void worker_pool_load(struct worker_pool *pool, size_t *waiting, size_t *running);
/* Runs what is queued, then ends the threads; whatever is submitted from then on is refused. */
void worker_pool_end(struct worker_pool *pool);
/* Ends it first when that has not happened. No other call may happen beside it. */
void worker_pool_free(struct worker_pool **pool);

#endif
