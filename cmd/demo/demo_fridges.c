#include "cmd/demo/demo_fridges.h"

#include <stdlib.h>

#include "base/mem.h"
#include "cmd/demo/demo_world.h"

#define MINUTE_MS 60000

/* Every sku of the world is in a fridge with the same chance; no sku twice. */
static void stock_up(struct demo_random *r, struct demo_fridge *fridge)
{
    uint8_t all[DEMO_SKUS];
    for (uint8_t i = 0; i < DEMO_SKUS; i++)
        all[i] = i;
    for (uint32_t i = 0; i < DEMO_FRIDGE_SKUS; i++) {
        uint32_t j = i + demo_random_below(r, DEMO_SKUS - i);
        fridge->skus[i] = all[j];
        all[j] = all[i];
        fridge->capacity[i] = (uint16_t)(30 + 4 * demo_random_below(r, 11));
        fridge->level[i] = (uint16_t)(fridge->capacity[i] - demo_random_below(r, 28));
    }
}

void demo_fridges_init(struct demo_fridges *fridges, uint64_t seed, double sales_per_s,
    struct demo_sender *sender, struct demo_queue *queue, uint32_t task_kind)
{
    *fridges = (struct demo_fridges){
        .random = {seed}, .sender = sender, .queue = queue, .task_kind = task_kind};
    double n = 2 * DEMO_MARKETS + 36 * sales_per_s;
    fridges->n = n < DEMO_FRIDGES_MAX ? (uint32_t)n : DEMO_FRIDGES_MAX;
    fridges->fridges = xcalloc(fridges->n, sizeof *fridges->fridges);
    for (uint32_t i = 0; i < fridges->n; i++) {
        struct demo_fridge *fridge = &fridges->fridges[i];
        fridge->market = (uint8_t)(i % DEMO_MARKETS);
        fridge->milli_celsius = 4000 + (int32_t)(400 * demo_random_normal(&fridges->random));
        stock_up(&fridges->random, fridge);
    }
}

void demo_fridges_fini(struct demo_fridges *fridges)
{
    free(fridges->fridges);
}

static struct demo_event about(
    const struct demo_fridges *fridges, uint32_t id, enum demo_fridge_event type, int64_t now_ms)
{
    return (struct demo_event){
        .time_ms = now_ms,
        .topic = DEMO_FRIDGES,
        .type = (uint8_t)type,
        .fridge = (uint16_t)id,
        .market = fridges->fridges[id].market,
    };
}

static void tell_units(struct demo_fridges *fridges, uint32_t id, int slot,
    enum demo_fridge_event type, uint32_t units, int64_t now_ms)
{
    struct demo_event event = about(fridges, id, type, now_ms);
    event.sku = fridges->fridges[id].skus[slot];
    event.units = (uint16_t)units;
    demo_sender_send(fridges->sender, &event);
}

static void tell_level(struct demo_fridges *fridges, uint32_t id, int slot, int64_t now_ms)
{
    struct demo_event event = about(fridges, id, DEMO_LEVEL, now_ms);
    event.sku = fridges->fridges[id].skus[slot];
    event.level = fridges->fridges[id].level[slot];
    event.capacity = fridges->fridges[id].capacity[slot];
    demo_sender_send(fridges->sender, &event);
}

static void tell_door(struct demo_fridges *fridges, uint32_t id, int64_t now_ms)
{
    struct demo_event event = about(fridges, id, DEMO_DOOR, now_ms);
    demo_sender_send(fridges->sender, &event);
    struct demo_fridge *fridge = &fridges->fridges[id];
    if (fridge->milli_celsius < 6500)
        fridge->milli_celsius += 30;
}

static uint32_t stock(const struct demo_fridge *fridge, uint32_t *capacity)
{
    uint32_t sum = 0;
    *capacity = 0;
    for (int i = 0; i < DEMO_FRIDGE_SKUS; i++) {
        sum += fridge->level[i];
        *capacity += fridge->capacity[i];
    }
    return sum;
}

/* The driver comes when less than half is left, and not at once. */
static void call_driver(struct demo_fridges *fridges, uint32_t id, int64_t now_ms)
{
    struct demo_fridge *fridge = &fridges->fridges[id];
    uint32_t capacity, left = stock(fridge, &capacity);
    if (fridge->refill_due || left * 2 > capacity)
        return;
    fridge->refill_due = true;
    double ms = 4 * MINUTE_MS + demo_random_exp(&fridges->random, 12 * MINUTE_MS);
    demo_queue_push(fridges->queue, now_ms + (int64_t)ms, fridges->task_kind, id);
}

/* What the customer takes: the first slots are the popular ones, and who finds the favourite sold
 * out looks for something else, though not for long. -1: nothing. */
static int choose(struct demo_random *r, const struct demo_fridge *fridge, uint32_t units)
{
    for (int i = 0; i < 3; i++) {
        uint32_t a = demo_random_below(r, DEMO_FRIDGE_SKUS);
        uint32_t b = demo_random_below(r, DEMO_FRIDGE_SKUS + 4);
        uint32_t slot = a < b ? a : b;
        if (fridge->level[slot] >= units)
            return (int)slot;
    }
    return -1;
}

void demo_fridges_visit(struct demo_fridges *fridges, int market, int64_t now_ms)
{
    struct demo_random *r = &fridges->random;
    uint32_t here = (fridges->n - (uint32_t)market + DEMO_MARKETS - 1) / DEMO_MARKETS;
    uint32_t id = (uint32_t)market + DEMO_MARKETS * demo_random_below(r, here);
    struct demo_fridge *fridge = &fridges->fridges[id];
    uint32_t units = demo_random_chance(r, 0.12) ? 2 : 1;
    if (demo_random_chance(r, 0.5))
        tell_door(fridges, id, now_ms);
    int slot = choose(r, fridge, units);
    if (slot < 0)
        return;
    fridge->level[slot] = (uint16_t)(fridge->level[slot] - units);
    tell_units(fridges, id, slot, DEMO_SOLD, units, now_ms + demo_random_between(r, 500, 9000));
    call_driver(fridges, id, now_ms);
}

void demo_fridges_refill(struct demo_fridges *fridges, uint32_t id, int64_t now_ms)
{
    struct demo_random *r = &fridges->random;
    struct demo_fridge *fridge = &fridges->fridges[id];
    fridge->refill_due = false;
    tell_door(fridges, id, now_ms);
    for (int i = 0; i < DEMO_FRIDGE_SKUS; i++) {
        int64_t at_ms = now_ms + 10000 * (i + 1);
        if (fridge->level[i] > 2 && demo_random_chance(r, 0.12)) {
            uint32_t bad = 1 + demo_random_below(r, 2);
            fridge->level[i] = (uint16_t)(fridge->level[i] - bad);
            bool expired = demo_random_chance(r, 0.85);
            tell_units(fridges, id, i, expired ? DEMO_EXPIRED : DEMO_REMOVED, bad, at_ms);
        }
        uint32_t missing = (uint32_t)(fridge->capacity[i] - fridge->level[i]);
        if (missing == 0)
            continue;
        fridge->level[i] = fridge->capacity[i];
        tell_units(fridges, id, i, DEMO_RESTOCKED, missing, at_ms + 2000);
        tell_level(fridges, id, i, at_ms + 4000);
    }
}

void demo_fridges_read_level(struct demo_fridges *fridges, int64_t now_ms)
{
    uint32_t at = fridges->next_level++ % (fridges->n * DEMO_FRIDGE_SKUS);
    tell_level(fridges, at / DEMO_FRIDGE_SKUS, (int)(at % DEMO_FRIDGE_SKUS), now_ms);
}

/* Back to 4 degrees by a fifth per reading; a compressor that rests lets it rise to 12. */
void demo_fridges_read_temperature(struct demo_fridges *fridges, int64_t now_ms)
{
    struct demo_random *r = &fridges->random;
    uint32_t id = fridges->next_temperature++ % fridges->n;
    struct demo_fridge *fridge = &fridges->fridges[id];
    if (fridge->broken_until_ms < now_ms && demo_random_chance(r, 0.0005))
        fridge->broken_until_ms = now_ms + demo_random_between(r, 20, 90) * MINUTE_MS;
    int32_t aim = fridge->broken_until_ms > now_ms ? 12000 : 4000;
    fridge->milli_celsius += (aim - fridge->milli_celsius) / 5;
    fridge->milli_celsius += (int32_t)(60 * demo_random_normal(r));
    struct demo_event event = about(fridges, id, DEMO_TEMPERATURE, now_ms);
    event.milli_celsius = fridge->milli_celsius;
    demo_sender_send(fridges->sender, &event);
}
