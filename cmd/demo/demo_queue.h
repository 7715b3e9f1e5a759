/*
 * A priority queue by time: a binary heap of small tasks. Tasks of one millisecond come out in the
 * order in which they went in, so that a run is repeated exactly.
 */
#ifndef CMD_DEMO_QUEUE_H
#define CMD_DEMO_QUEUE_H

#include <stddef.h>
#include <stdint.h>

struct demo_task {
    int64_t at_ms;
    uint64_t order; /* set by demo_queue_push */
    uint32_t kind, id;
};

struct demo_queue {
    struct demo_task *tasks; /* tasks[i] is not later than tasks[2i+1], tasks[2i+2] */
    size_t n, cap;
    uint64_t pushed;
};

void demo_queue_init(struct demo_queue *queue);
void demo_queue_fini(struct demo_queue *queue);
void demo_queue_push(struct demo_queue *queue, int64_t at_ms, uint32_t kind, uint32_t id);
/* Time of the first task; INT64_MAX when there is none. */
int64_t demo_queue_next_ms(const struct demo_queue *queue);
/* Takes out the first; there must be one. */
struct demo_task demo_queue_pop(struct demo_queue *queue);

#endif
