#include "cmd/demo/demo_truth.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/ensure.h"
#include "base/map.h"
#include "base/mem.h"
#include "cmd/demo/demo_json.h"
#include "cmd/demo/demo_model.h"
#include "cmd/demo/demo_world.h"

#define MINUTE_MS 60000
#define EXPIRE_MS (6 * 60 * MINUTE_MS) /* of orders, as the shipped config has it */

enum metric {
    ORDERS,
    ORDER_AMOUNT,
    FRIDGE_UNITS,
    RATINGS,
    PAYMENTS,
    LEVELS, /* from here on: what they stand at, not what came */
    ORDERS_OPEN = LEVELS,
    FRIDGE_STOCK
};

/* A series of the truth: metric and label values, packed so that sorting by key sorts by metric. */
struct amount {
    uint64_t key; /* metric << 48 | a << 32 | b << 16 | c */
    int64_t amount;
};

struct minute {
    struct map map; /* key to index in amounts */
    struct amount *amounts;
    size_t n, cap;
};

/* What is known of an order that is not over, or of which the first is not. */
struct order {
    uint64_t id;
    bool placed, over;
    uint8_t market;
    int64_t placed_ms, over_ms;
};

struct demo_truth {
    FILE *file;
    char *path;
    int64_t first; /* number of minutes[0] since 1970: it ends at first * 60 s */
    struct minute *minutes;
    size_t n, cap;
    int64_t complete_ms;  /* the end of a minute */
    struct minute levels; /* of all complete ones: what levels stand at */
    struct map orders_map;
    struct order *orders;
    size_t n_orders, orders_cap;
    uint64_t refused[DEMO_TOPICS][DEMO_DEFECTS];
    uint64_t produced, twice;
};

static uint64_t key_of(enum metric metric, int a, int b, int c)
{
    return (uint64_t)metric << 48 | (uint64_t)a << 32 | (uint64_t)b << 16 | (uint64_t)c;
}

static int part(uint64_t key, int shift)
{
    return (int)(key >> shift & 0xffff);
}

bool demo_truth_open(const char *path, uint64_t seed, double rate, int64_t start_ms,
    struct demo_truth **out, struct err *err)
{
    FILE *file = NULL;
    if (path) {
        file = fopen(path, "we");
        if (!file)
            return err_sys(err, "cannot write the truth to %s", path);
        fprintf(file, "{\"seed\":%" PRIu64 ",\"rate\":%g,\"start\":%" PRId64 "}\n", seed, rate,
            start_ms / 1000);
    }
    struct demo_truth *truth = xcalloc(1, sizeof *truth);
    truth->file = file;
    truth->path = xstrdup(path ? path : "");
    truth->complete_ms = INT64_MIN;
    *out = truth;
    return true;
}

static void minute_free(struct minute *minute)
{
    map_fini(&minute->map);
    free(minute->amounts);
}

bool demo_truth_close(struct demo_truth **truth, struct err *err)
{
    struct demo_truth *t = *truth;
    if (!t)
        return true;
    bool ok = !t->file || fclose(t->file) == 0;
    if (!ok)
        err_sys(err, "cannot write the truth to %s", t->path);
    for (size_t i = 0; i < t->n; i++)
        minute_free(&t->minutes[i]);
    minute_free(&t->levels);
    map_fini(&t->orders_map);
    free(t->orders);
    free(t->minutes);
    free(t->path);
    free(t);
    *truth = NULL;
    return ok;
}

/* ---- counting ---- */

/* The minute that the event time belongs to; it must not be complete yet. */
static struct minute *minute_at(struct demo_truth *truth, int64_t time_ms)
{
    ensure(time_ms > truth->complete_ms && time_ms > 0);
    int64_t number = (time_ms + MINUTE_MS - 1) / MINUTE_MS;
    if (truth->n == 0)
        truth->first = number;
    size_t before = number < truth->first ? (size_t)(truth->first - number) : 0;
    size_t need = before > 0 ? truth->n + before : (size_t)(number - truth->first) + 1;
    if (need > truth->n) {
        GROW(truth->minutes, truth->cap, need);
        if (before > 0)
            memmove(truth->minutes + before, truth->minutes, truth->n * sizeof *truth->minutes);
        for (size_t i = before > 0 ? 0 : truth->n; i < (before > 0 ? before : need); i++)
            truth->minutes[i] = (struct minute){0};
        truth->n = need;
        truth->first -= (int64_t)before;
    }
    return &truth->minutes[number - truth->first];
}

static bool has_key(const void *ctx, const void *key, uint32_t id)
{
    const struct minute *minute = ctx;
    return minute->amounts[id].key == *(const uint64_t *)key;
}

/* What the key has after this. */
static int64_t add_to(struct minute *minute, uint64_t key, int64_t amount)
{
    uint64_t hash = hash64(&key, sizeof key);
    uint32_t id = map_find(&minute->map, hash, has_key, minute, &key);
    if (id == MAP_NONE) {
        GROW(minute->amounts, minute->cap, minute->n + 1);
        id = (uint32_t)minute->n++;
        minute->amounts[id] = (struct amount){key, 0};
        map_insert(&minute->map, hash, id);
    }
    return minute->amounts[id].amount += amount;
}

static void add(struct demo_truth *truth, int64_t time_ms, uint64_t key, int64_t amount)
{
    add_to(minute_at(truth, time_ms), key, amount);
}

/* ---- orders that are open ---- */

static bool order_is(const void *ctx, const void *key, uint32_t id)
{
    const struct demo_truth *truth = ctx;
    return truth->orders[id].id == *(const uint64_t *)key;
}

static struct order *order_of(struct demo_truth *truth, uint64_t number)
{
    uint64_t hash = hash64(&number, sizeof number);
    uint32_t id = map_find(&truth->orders_map, hash, order_is, truth, &number);
    if (id == MAP_NONE) {
        GROW(truth->orders, truth->orders_cap, truth->n_orders + 1);
        id = (uint32_t)truth->n_orders++;
        truth->orders[id] = (struct order){.id = number};
        map_insert(&truth->orders_map, hash, id);
    }
    return &truth->orders[id];
}

/* The last one takes its place. */
static void forget(struct demo_truth *truth, struct order *order)
{
    const struct order *last = &truth->orders[--truth->n_orders];
    uint32_t id = (uint32_t)(order - truth->orders);
    map_remove(&truth->orders_map, hash64(&order->id, sizeof order->id), id);
    if (order == last)
        return;
    uint64_t hash = hash64(&last->id, sizeof last->id);
    map_remove(&truth->orders_map, hash, (uint32_t)truth->n_orders);
    *order = *last;
    map_insert(&truth->orders_map, hash, id);
}

/* An order is open from its placing to its end; one of which only the end is in the log never was.
 * What is placed is under way, and its minute not complete, for as long as it may come behind the
 * end. */
static void count_open(struct demo_truth *truth, const struct demo_event *e)
{
    bool ends = e->type == DEMO_DELIVERED || e->type == DEMO_CANCELLED || e->type == DEMO_REJECTED;
    if (e->type != DEMO_PLACED && !ends)
        return;
    struct order *order = order_of(truth, e->order);
    if (e->type == DEMO_PLACED) {
        order->placed = true;
        order->market = e->market;
        order->placed_ms = e->time_ms;
        add(truth, e->time_ms, key_of(ORDERS_OPEN, e->market, 0, 0), 1);
    } else {
        order->over = true;
        order->over_ms = e->time_ms;
    }
    if (order->placed && order->over) {
        add(truth, order->over_ms, key_of(ORDERS_OPEN, e->market, 0, 0), -1);
        forget(truth, order);
    }
}

static void count_fridge(struct demo_truth *truth, const struct demo_event *e)
{
    switch ((enum demo_fridge_event)e->type) {
    case DEMO_RESTOCKED:
    case DEMO_SOLD:
    case DEMO_EXPIRED:
    case DEMO_REMOVED:
        add(truth, e->time_ms, key_of(FRIDGE_UNITS, e->fridge, e->sku, e->type), e->units);
        add(truth, e->time_ms, key_of(FRIDGE_STOCK, e->fridge, e->sku, 0),
            e->type == DEMO_RESTOCKED ? e->units : -(int64_t)e->units);
        break;
    case DEMO_LEVEL:
    case DEMO_TEMPERATURE:
    case DEMO_DOOR:
    case DEMO_FRIDGE_EVENTS: break;
    }
}

void demo_truth_count(struct demo_truth *truth, const struct demo_event *e)
{
    truth->produced++;
    if (e->defect != DEMO_SOUND) {
        truth->refused[e->topic][e->defect]++;
        return;
    }
    if (e->again) {
        truth->twice++;
        return;
    }
    switch ((enum demo_topic)e->topic) {
    case DEMO_ORDERS:
        add(truth, e->time_ms, key_of(ORDERS, e->market, e->category, e->type), 1);
        if (e->type == DEMO_PLACED)
            add(truth, e->time_ms, key_of(ORDER_AMOUNT, e->market, e->category, 0),
                e->amount_cents);
        count_open(truth, e);
        break;
    case DEMO_FRIDGES: count_fridge(truth, e); break;
    case DEMO_REVIEWS: add(truth, e->time_ms, key_of(RATINGS, e->market, e->score, 0), 1); break;
    case DEMO_PAYMENTS: add(truth, e->time_ms, key_of(PAYMENTS, e->market, e->type, 0), 1); break;
    case DEMO_COURIERS:
    case DEMO_TOPICS: break;
    }
}

/* Orders without an end by then have expired: that of some lies before the log. */
static void expire_orders(struct demo_truth *truth, int64_t complete_ms)
{
    for (size_t i = truth->n_orders; i-- > 0;) {
        struct order *order = &truth->orders[i];
        if (!order->placed || order->placed_ms + EXPIRE_MS > complete_ms)
            continue;
        add(truth, order->placed_ms + EXPIRE_MS, key_of(ORDERS_OPEN, order->market, 0, 0), -1);
        forget(truth, order);
    }
}

/* ---- writing ---- */

static void write_labels(FILE *file, uint64_t key)
{
    char fridge[32];
    const char *market = demo_markets[part(key, 32) % DEMO_MARKETS].name;
    switch ((enum metric)(key >> 48)) {
    case ORDERS:
        fprintf(file,
            "\"orders_total\",\"labels\":{\"market\":\"%s\",\"category\":\"%s\","
            "\"stage\":\"%s\"}",
            market, demo_categories[part(key, 16)].name, demo_stage_name(part(key, 0)));
        break;
    case ORDER_AMOUNT:
        fprintf(file, "\"order_amount_total\",\"labels\":{\"market\":\"%s\",\"category\":\"%s\"}",
            market, demo_categories[part(key, 16)].name);
        break;
    case FRIDGE_UNITS:
        demo_fridge_name(part(key, 32) % DEMO_MARKETS, part(key, 32), fridge, sizeof fridge);
        fprintf(file,
            "\"fridge_units_total\",\"labels\":{\"fridge\":\"%s\",\"sku\":\"%s\","
            "\"movement\":\"%s\"}",
            fridge, demo_skus[part(key, 16)], demo_fridge_event_name(part(key, 0)));
        break;
    case RATINGS:
        fprintf(file, "\"ratings_total\",\"labels\":{\"market\":\"%s\",\"score\":\"%d\"}", market,
            part(key, 16));
        break;
    case PAYMENTS:
        fprintf(file, "\"payments_total\",\"labels\":{\"market\":\"%s\",\"status\":\"%s\"}", market,
            demo_payment_name(part(key, 16)));
        break;
    case ORDERS_OPEN:
        fprintf(file, "\"orders_open\",\"labels\":{\"market\":\"%s\"}", market);
        break;
    case FRIDGE_STOCK:
        demo_fridge_name(part(key, 32) % DEMO_MARKETS, part(key, 32), fridge, sizeof fridge);
        fprintf(file,
            "\"fridge_stock_estimated_units\",\"labels\":{\"fridge\":\"%s\",\"sku\":\"%s\"}",
            fridge, demo_skus[part(key, 16)]);
        break;
    }
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = ((const struct amount *)a)->key, y = ((const struct amount *)b)->key;
    return (x > y) - (x < y);
}

static void write_amount(FILE *file, uint64_t key, int64_t amount, int64_t end_s)
{
    fprintf(file, "{\"minute\":%" PRId64 ",\"metric\":", end_s);
    write_labels(file, key);
    if (key >> 48 == ORDER_AMOUNT)
        fprintf(file, ",\"amount\":%" PRId64 ".%02d}\n", amount / 100, (int)(amount % 100));
    else
        fprintf(file, ",\"amount\":%" PRId64 "}\n", amount);
}

static void write_minute(struct demo_truth *truth, struct minute *minute, int64_t end_s)
{
    if (minute->n > 0)
        qsort(minute->amounts, minute->n, sizeof *minute->amounts, by_key);
    for (size_t i = 0; i < minute->n; i++) {
        uint64_t key = minute->amounts[i].key;
        int64_t amount = minute->amounts[i].amount;
        if (key >> 48 < LEVELS)
            write_amount(truth->file, key, amount, end_s);
        else if (amount != 0)
            write_amount(truth->file, key, add_to(&truth->levels, key, amount), end_s);
    }
}

static void write_state(struct demo_truth *truth)
{
    fprintf(truth->file,
        "{\"complete\":%" PRId64 ",\"produced\":%" PRIu64 ",\"twice\":%" PRIu64 ",\"refused\":{",
        truth->complete_ms / 1000, truth->produced, truth->twice);
    const char *between = "";
    for (int topic = 0; topic < DEMO_TOPICS; topic++) {
        for (int defect = DEMO_CUT; defect < DEMO_DEFECTS; defect++) {
            if (truth->refused[topic][defect] == 0)
                continue;
            fprintf(truth->file, "%s\"%s/%s\":%" PRIu64, between,
                demo_topic_name((enum demo_topic)topic),
                demo_defect_refusal((enum demo_defect)defect), truth->refused[topic][defect]);
            between = ",";
        }
    }
    fprintf(truth->file, "}}\n");
}

bool demo_truth_complete(struct demo_truth *truth, int64_t complete_ms, struct err *err)
{
    complete_ms -= complete_ms % MINUTE_MS;
    if (complete_ms <= truth->complete_ms)
        return true;
    expire_orders(truth, complete_ms);
    truth->complete_ms = complete_ms;
    size_t done = 0;
    for (; done < truth->n && (truth->first + (int64_t)done) * MINUTE_MS <= complete_ms; done++) {
        struct minute *minute = &truth->minutes[done];
        if (truth->file)
            write_minute(truth, minute, (truth->first + (int64_t)done) * 60);
        minute_free(minute);
    }
    truth->n -= done;
    truth->first += (int64_t)done;
    if (truth->n)
        memmove(truth->minutes, truth->minutes + done, truth->n * sizeof *truth->minutes);
    if (!truth->file)
        return true;
    write_state(truth);
    if (fflush(truth->file) != 0)
        return err_sys(err, "cannot write the truth to %s", truth->path);
    return true;
}
