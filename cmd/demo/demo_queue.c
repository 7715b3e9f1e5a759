#include "cmd/demo/demo_queue.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/ensure.h"
#include "base/mem.h"

void demo_queue_init(struct demo_queue *queue)
{
    *queue = (struct demo_queue){0};
}

void demo_queue_fini(struct demo_queue *queue)
{
    free(queue->tasks);
    *queue = (struct demo_queue){0};
}

static bool before(const struct demo_task *a, const struct demo_task *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

void demo_queue_push(struct demo_queue *queue, int64_t at_ms, uint32_t kind, uint32_t id)
{
    GROW(queue->tasks, queue->cap, queue->n + 1);
    struct demo_task task = {at_ms, queue->pushed++, kind, id};
    size_t i = queue->n++;
    for (; i > 0 && before(&task, &queue->tasks[(i - 1) / 2]); i = (i - 1) / 2)
        queue->tasks[i] = queue->tasks[(i - 1) / 2];
    queue->tasks[i] = task;
}

int64_t demo_queue_next_ms(const struct demo_queue *queue)
{
    return queue->n > 0 ? queue->tasks[0].at_ms : INT64_MAX;
}

struct demo_task demo_queue_pop(struct demo_queue *queue)
{
    ensure(queue->n > 0);
    struct demo_task first = queue->tasks[0];
    struct demo_task last = queue->tasks[--queue->n];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= queue->n)
            break;
        if (child + 1 < queue->n && before(&queue->tasks[child + 1], &queue->tasks[child]))
            child++;
        if (!before(&queue->tasks[child], &last))
            break;
        queue->tasks[i] = queue->tasks[child];
        i = child;
    }
    queue->tasks[i] = last;
    return first;
}
