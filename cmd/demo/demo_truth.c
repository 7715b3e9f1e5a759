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

enum metric { ORDERS, ORDER_AMOUNT, FRIDGE_UNITS, RATINGS, PAYMENTS };

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

struct demo_truth {
    FILE *file;
    char *path;
    int64_t first; /* number of minutes[0] since 1970: it ends at first * 60 s */
    struct minute *minutes;
    size_t n, cap;
    int64_t complete_ms; /* the end of a minute */
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

static void add(struct demo_truth *truth, int64_t time_ms, uint64_t key, int64_t amount)
{
    struct minute *minute = minute_at(truth, time_ms);
    uint64_t hash = hash64(&key, sizeof key);
    uint32_t id = map_find(&minute->map, hash, has_key, minute, &key);
    if (id == MAP_NONE) {
        GROW(minute->amounts, minute->cap, minute->n + 1);
        id = (uint32_t)minute->n++;
        minute->amounts[id] = (struct amount){key, 0};
        map_insert(&minute->map, hash, id);
    }
    minute->amounts[id].amount += amount;
}

static void count_fridge(struct demo_truth *truth, const struct demo_event *e)
{
    switch ((enum demo_fridge_event)e->type) {
    case DEMO_RESTOCKED:
    case DEMO_SOLD:
    case DEMO_EXPIRED:
    case DEMO_REMOVED:
        add(truth, e->time_ms, key_of(FRIDGE_UNITS, e->fridge, e->sku, e->type), e->units);
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
        break;
    case DEMO_FRIDGES: count_fridge(truth, e); break;
    case DEMO_REVIEWS: add(truth, e->time_ms, key_of(RATINGS, e->market, e->score, 0), 1); break;
    case DEMO_PAYMENTS: add(truth, e->time_ms, key_of(PAYMENTS, e->market, e->type, 0), 1); break;
    case DEMO_COURIERS:
    case DEMO_TOPICS: break;
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
    }
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = ((const struct amount *)a)->key, y = ((const struct amount *)b)->key;
    return (x > y) - (x < y);
}

static void write_minute(FILE *file, struct minute *minute, int64_t end_s)
{
    if (minute->n > 0)
        qsort(minute->amounts, minute->n, sizeof *minute->amounts, by_key);
    for (size_t i = 0; i < minute->n; i++) {
        const struct amount *a = &minute->amounts[i];
        fprintf(file, "{\"minute\":%" PRId64 ",\"metric\":", end_s);
        write_labels(file, a->key);
        if (a->key >> 48 == ORDER_AMOUNT)
            fprintf(
                file, ",\"amount\":%" PRId64 ".%02d}\n", a->amount / 100, (int)(a->amount % 100));
        else
            fprintf(file, ",\"amount\":%" PRId64 "}\n", a->amount);
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
    truth->complete_ms = complete_ms;
    size_t done = 0;
    for (; done < truth->n && (truth->first + (int64_t)done) * MINUTE_MS <= complete_ms; done++) {
        struct minute *minute = &truth->minutes[done];
        if (truth->file)
            write_minute(truth->file, minute, (truth->first + (int64_t)done) * 60);
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
