#include "cmd/demo/demo_sender.h"

#include <stdlib.h>

#include "base/ensure.h"
#include "base/mem.h"

#define MINUTE_MS 60000
#define HOUR_MS   (60 * MINUTE_MS)

void demo_sender_init(struct demo_sender *sender, uint64_t seed, int64_t from_ms)
{
    *sender = (struct demo_sender){.random = {seed}, .from_ms = from_ms};
    demo_queue_init(&sender->arrivals);
}

void demo_sender_fini(struct demo_sender *sender)
{
    demo_queue_fini(&sender->arrivals);
    free(sender->under_way);
    free(sender->unused);
}

static void put(struct demo_sender *sender, const struct demo_event *event)
{
    if (event->arrival_ms < sender->from_ms)
        return;
    uint32_t id;
    if (sender->n_unused > 0) {
        id = sender->unused[--sender->n_unused];
    } else {
        GROW(sender->under_way, sender->cap, sender->n + 1);
        id = (uint32_t)sender->n++;
    }
    sender->under_way[id] = *event;
    sender->sent++;
    demo_queue_push(&sender->arrivals, event->arrival_ms, 0, id);
}

static int64_t travel_ms(struct demo_random *r)
{
    if (demo_random_chance(r, DEMO_LATE_SHARE)) {
        if (demo_random_chance(r, 0.9))
            return demo_random_between(r, MINUTE_MS, 20 * MINUTE_MS);
        return demo_random_between(r, 20 * MINUTE_MS, DEMO_LATE_MAX_MS);
    }
    double ms = 15 + demo_random_exp(r, 120);
    return ms < 2000 ? (int64_t)ms : 2000;
}

static bool has_type(const struct demo_event *event)
{
    return event->topic != DEMO_REVIEWS && event->topic != DEMO_COURIERS;
}

static enum demo_defect pick_defect(struct demo_random *r, const struct demo_event *event)
{
    enum demo_defect defect = DEMO_CUT + demo_random_below(r, DEMO_DEFECTS - DEMO_CUT);
    return defect == DEMO_UNKNOWN && !has_type(event) ? DEMO_OFF_SCALE : defect;
}

/* A spoiled copy with an id of its own: the sound event is sent all the same. */
static void send_broken(struct demo_sender *sender, const struct demo_event *event)
{
    struct demo_random *r = &sender->random;
    struct demo_event broken = *event;
    broken.number = ++sender->numbers;
    broken.defect = (uint8_t)pick_defect(r, event);
    broken.arrival_ms = event->time_ms + 50 + (int64_t)demo_random_exp(r, 100);
    if (broken.defect == DEMO_TOO_LATE)
        broken.time_ms =
            broken.arrival_ms - 24 * HOUR_MS - demo_random_between(r, MINUTE_MS, 48 * HOUR_MS);
    if (broken.defect == DEMO_FROM_FUTURE)
        broken.time_ms =
            broken.arrival_ms + 5 * MINUTE_MS + demo_random_between(r, MINUTE_MS, 3 * HOUR_MS);
    put(sender, &broken);
}

void demo_sender_send(struct demo_sender *sender, const struct demo_event *event)
{
    struct demo_random *r = &sender->random;
    struct demo_event sent = *event;
    sent.number = ++sender->numbers;
    sent.arrival_ms = sent.time_ms + travel_ms(r);
    put(sender, &sent);
    if (demo_random_chance(r, DEMO_TWICE_SHARE)) {
        double again_ms = 200 + demo_random_exp(r, 5000);
        sent.again = sent.arrival_ms >= sender->from_ms; /* else the log begins with it */
        sent.arrival_ms += again_ms < MINUTE_MS ? (int64_t)again_ms : MINUTE_MS;
        put(sender, &sent);
    }
    if (demo_random_chance(r, DEMO_BROKEN_SHARE))
        send_broken(sender, event);
}

int64_t demo_sender_next_ms(const struct demo_sender *sender)
{
    return demo_queue_next_ms(&sender->arrivals);
}

void demo_sender_receive(struct demo_sender *sender, struct demo_event *out)
{
    struct demo_task task = demo_queue_pop(&sender->arrivals);
    *out = sender->under_way[task.id];
    GROW(sender->unused, sender->cap_unused, sender->n_unused + 1);
    sender->unused[sender->n_unused++] = task.id;
}

int64_t demo_sender_oldest_ms(const struct demo_sender *sender)
{
    int64_t oldest = INT64_MAX;
    for (size_t i = 0; i < sender->arrivals.n; i++) {
        const struct demo_event *event = &sender->under_way[sender->arrivals.tasks[i].id];
        if (event->defect == DEMO_SOUND && event->time_ms < oldest)
            oldest = event->time_ms;
    }
    return oldest;
}
