#include "ingest/source/client_end.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

struct ending {
    rd_kafka_t *rk;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t cond;
    bool ended, left; /* left: nobody waits any more */
};

static void forget(struct ending *ending)
{
    pthread_cond_destroy(&ending->cond);
    pthread_mutex_destroy(&ending->lock);
    free(ending);
}

static void *end(void *arg)
{
    struct ending *ending = arg;
    rd_kafka_destroy_flags(ending->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    mutex_lock(&ending->lock);
    bool left = ending->left;
    ending->ended = true;
    pthread_cond_signal(&ending->cond);
    mutex_unlock(&ending->lock);
    if (left)
        forget(ending);
    return NULL;
}

static bool wait_until_ended(struct ending *ending, int wait_ms)
{
    int64_t end_ns = clock_mono_ns() + (int64_t)wait_ms * 1000000, left_ns;
    mutex_lock(&ending->lock);
    while (!ending->ended && (left_ns = end_ns - clock_mono_ns()) > 0)
        cond_wait_ms(&ending->cond, &ending->lock, left_ns / 1000000 + 1);
    ending->left = !ending->ended;
    mutex_unlock(&ending->lock);
    return !ending->left;
}

void client_end(rd_kafka_t *rk, int wait_ms)
{
    struct ending *ending = xcalloc(1, sizeof *ending);
    pthread_t thread;
    ending->rk = rk;
    mutex_init(&ending->lock);
    cond_init(&ending->cond);
    thread_start(&thread, "kafka-end", end, ending);
    if (wait_until_ended(ending, wait_ms)) {
        thread_join(thread);
        forget(ending);
    } else {
        log_warn("kafka: the client does not end; it is left behind");
        pthread_detach(thread);
    }
}
