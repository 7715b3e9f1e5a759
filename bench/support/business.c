#include "bench/support/business.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/ensure.h"
#include "base/mem.h"

#define COURIERS 900
#define FRIDGES  400
#define SKUS     24
#define WAITING  4 /* payments and reviews that follow an event of an order */

const char *const topic_names[TOPICS] = {"orders", "fridges", "reviews", "couriers", "payments"};

static const char *const stages[] = {"placed", "accepted", "prepared", "picked_up", "delivered"};
static const char *const markets[] = {"porto", "berlin", "lisbon", "madrid", "paris", "warsaw"};
static const char *const categories[] = {"bakery", "burger", "chinese", "coffee", "dessert",
    "greek", "indian", "italian", "japanese", "kebab", "korean", "mexican", "pizza", "salad",
    "sandwich", "seafood", "sushi", "thai", "vegan", "ramen"};
static const char *const channels[] = {"app", "web", "kiosk"};
static const char *const movements[] = {"restocked", "sold", "sold", "sold", "expired", "removed"};

#define COUNT(table)        (sizeof(table) / sizeof *(table))
#define PICK(table, random) ((table)[(random) % COUNT(table)])

struct order {
    uint64_t id, random; /* random bits that decide what does not change in its life */
    int64_t promised_ms;
    unsigned stage;
    bool ended; /* or not begun */
};

struct follower {
    enum topic topic;
    const char *status; /* of a payment */
    struct order order;
};

struct business {
    struct business_options options;
    struct business_totals totals;
    uint64_t state, orders_begun;
    struct order *orders;
    size_t n_orders;
    struct follower followers[WAITING];
    size_t n_followers;
    int64_t cached_s;
    char cached[32];
    /* the value that is being written */
    struct business_event *out;
    bool empty;
};

/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2016. */
static uint64_t next_random(struct business *b)
{
    b->state ^= b->state >> 12;
    b->state ^= b->state << 25;
    b->state ^= b->state >> 27;
    return b->state * 0x2545f4914f6cdd1dull;
}

/* ---- writing a value: JSON, or Avro by the schemas below ---- */

static void put(struct business *b, const void *bytes, size_t len)
{
    ensure(b->out->value_len + len <= VALUE_MAX);
    memcpy(b->out->value + b->out->value_len, bytes, len);
    b->out->value_len += len;
}

static void put_long(struct business *b, int64_t v)
{
    uint64_t zigzag = (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
    do {
        uint8_t byte = (uint8_t)(zigzag & 0x7f) | (zigzag > 0x7f ? 0x80 : 0);
        put(b, &byte, 1);
    } while (zigzag >>= 7);
}

static void name(struct business *b, const char *key)
{
    put(b, b->empty ? "{\"" : ",\"", 2);
    put(b, key, strlen(key));
    put(b, "\":", 2);
    b->empty = false;
}

static void text(struct business *b, const char *key, const char *value)
{
    size_t len = strlen(value);
    if (b->options.avro) {
        put_long(b, (int64_t)len);
        put(b, value, len);
        return;
    }
    name(b, key);
    put(b, "\"", 1);
    put(b, value, len);
    put(b, "\"", 1);
}

/* An optional field of Avro is a union of null with something. */
static void optional(struct business *b)
{
    if (b->options.avro)
        put_long(b, 1);
}

static void number(struct business *b, const char *key, int64_t value)
{
    char digits[24];
    if (b->options.avro) {
        put_long(b, value);
        return;
    }
    name(b, key);
    put(b, digits, (size_t)snprintf(digits, sizeof digits, "%" PRId64, value));
}

/* A number with digits behind the point; in Avro a decimal in bytes. */
static void decimal(struct business *b, const char *key, int64_t value, int digits)
{
    uint8_t bytes[8];
    char digits_text[32];
    int64_t unit = 1;
    for (int i = 0; i < digits; i++)
        unit *= 10;
    if (b->options.avro) {
        size_t n = 1; /* as few as hold the value with its sign */
        while (n < 8 && (value >> (8 * n - 1) != 0 && value >> (8 * n - 1) != -1))
            n++;
        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)((uint64_t)value >> (8 * (n - 1 - i)));
        put_long(b, (int64_t)n);
        put(b, bytes, n);
        return;
    }
    name(b, key);
    int64_t magnitude = value < 0 ? -value : value;
    put(b, digits_text,
        (size_t)snprintf(digits_text, sizeof digits_text, "%s%" PRId64 ".%0*" PRId64,
            value < 0 ? "-" : "", magnitude / unit, digits, magnitude % unit));
}

static void moment(struct business *b, const char *key, int64_t ms)
{
    char value[40];
    if (b->options.avro) {
        put_long(b, ms);
        return;
    }
    if (ms / 1000 != b->cached_s) {
        time_t seconds = (time_t)(ms / 1000);
        struct tm tm;
        gmtime_r(&seconds, &tm);
        strftime(b->cached, sizeof b->cached, "%Y-%m-%dT%H:%M:%S", &tm);
        b->cached_s = ms / 1000;
    }
    snprintf(value, sizeof value, "%s.%03dZ", b->cached, (int)(ms % 1000));
    text(b, key, value);
}

static void key_text(struct business *b, const char *key, char letter, uint64_t number_of)
{
    char value[32];
    snprintf(value, sizeof value, "%c%" PRIu64, letter, number_of);
    text(b, key, value);
}

/* Text up to the size of an event; in Avro a little of it. */
static void filling(struct business *b, const char *key)
{
    char letters[VALUE_BYTES];
    size_t n = 12;
    if (!b->options.avro) {
        size_t used = b->out->value_len + strlen(key) + 7; /* ,"":"" and the brace */
        n = used < VALUE_BYTES ? VALUE_BYTES - used : 0;
    }
    uint64_t bits = next_random(b);
    for (size_t i = 0; i < n; i++, bits = bits >> 5 | bits << 59)
        letters[i] = (char)('a' + bits % 26);
    if (b->options.avro) {
        optional(b);
        put_long(b, (int64_t)n);
        put(b, letters, n);
        return;
    }
    name(b, key);
    put(b, "\"", 1);
    put(b, letters, n);
    put(b, "\"}", 2);
}

/* ---- events ---- */

const char *topic_schema(enum topic topic)
{
#define FIELD(name, type)    "{\"name\":\"" name "\",\"type\":" type "}"
#define OPTIONAL(name, type) "{\"name\":\"" name "\",\"type\":[\"null\"," type "],\"default\":null}"
#define TIME                 "{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}"
#define DECIMAL(scale)                                                                             \
    "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":18,\"scale\":" scale "}"
#define COMMON                                                                                     \
    FIELD("event_id", "\"string\"")                                                                \
    "," FIELD("occurred_at", TIME) "," FIELD("market", "\"string\"") ","
#define RECORD(name, fields)                                                                       \
    "{\"type\":\"record\",\"name\":\"" name "\",\"fields\":[" COMMON fields "]}"
    static const char *const schemas[TOPICS] = {
        RECORD("order",
            FIELD("type", "\"string\"") "," FIELD("order_id", "\"string\"") "," OPTIONAL(
                "store", "\"string\"") "," OPTIONAL("category",
                "\"string\"") "," OPTIONAL("channel", "\"string\"") "," OPTIONAL("items",
                "\"int\"") "," OPTIONAL("amount", DECIMAL("2")) "," OPTIONAL("promised_at",
                TIME) "," OPTIONAL("courier", "\"string\"") "," OPTIONAL("customer", "\"string\"")),
        RECORD("fridge",
            FIELD("type", "\"string\"") "," FIELD("fridge", "\"string\"") "," OPTIONAL(
                "sku", "\"string\"") "," OPTIONAL("level", "\"int\"") "," OPTIONAL("capacity",
                "\"int\"") "," OPTIONAL("units", "\"int\"") "," OPTIONAL("celsius",
                DECIMAL("2")) "," OPTIONAL("note", "\"string\"")),
        RECORD("review",
            FIELD("order_id", "\"string\"") "," OPTIONAL("store", "\"string\"") "," FIELD(
                "score", "\"int\"") "," OPTIONAL("nps", "\"int\"") "," OPTIONAL("sentiment",
                DECIMAL("3")) "," OPTIONAL("text", "\"string\"")),
        RECORD("courier",
            OPTIONAL("courier", "\"string\"") "," OPTIONAL("order_id", "\"string\"") "," OPTIONAL(
                "lat", DECIMAL("6")) "," OPTIONAL("lon", DECIMAL("6")) "," OPTIONAL("eta_seconds",
                "\"int\"") "," OPTIONAL("note", "\"string\"")),
        RECORD("payment",
            FIELD("order_id", "\"string\"") "," FIELD("status", "\"string\"") "," OPTIONAL(
                "amount", DECIMAL("2")) "," OPTIONAL("note", "\"string\"")),
    };
    return schemas[topic];
}

static void begin(struct business *b, enum topic topic, const char *market)
{
    char id[48];
    struct business_event *out = b->out;
    uint8_t framing[5] = {0, 0, 0, 0, (uint8_t)(topic + 1)};
    out->topic = topic;
    out->value_len = 0;
    b->empty = true;
    if (b->options.avro)
        put(b, framing, sizeof framing);
    snprintf(id, sizeof id, "%08" PRIx64 "-%06" PRIx64, b->totals.events, next_random(b) >> 40);
    text(b, "event_id", id);
    moment(b, "occurred_at", out->time_ms);
    text(b, "market", market);
}

static void end(struct business *b, const char *filler, char letter, uint64_t entity)
{
    struct business_event *out = b->out;
    filling(b, filler);
    out->entity = entity;
    out->key_len = (size_t)snprintf(out->key, sizeof out->key, "%c%" PRIu64, letter, entity);
}

static void follow(struct business *b, enum topic topic, const char *status, const struct order *o)
{
    if (!b->options.orders_only)
        b->followers[b->n_followers++] =
            (struct follower){.topic = topic, .status = status, .order = *o};
}

static const char *begin_order(struct business *b, struct order *o)
{
    uint64_t random = next_random(b);
    *o = (struct order){.id = ++b->orders_begun, .random = random};
    o->promised_ms = b->out->time_ms + 1200000 + (int64_t)(random % 1800000);
    b->totals.placed++;
    b->totals.amount += 500 + random % 9000;
    follow(b, TOPIC_PAYMENTS, "authorized", o);
    return stages[0];
}

/* A new order, or the next stage of an open one. */
static const char *next_stage(struct business *b, struct order *o)
{
    if (o->id == 0 || o->ended)
        return begin_order(b, o);
    if (o->stage == 0 && o->random % 40 == 7) {
        o->ended = true;
        b->totals.rejected++;
        return "rejected";
    }
    if (o->stage == 1 && o->random % 11 == 0) {
        o->ended = true;
        b->totals.cancelled++;
        return "cancelled";
    }
    o->stage++;
    o->ended = o->stage + 1 == COUNT(stages);
    if (o->ended) {
        b->totals.delivered++;
        b->totals.captured += !b->options.orders_only;
        follow(b, TOPIC_PAYMENTS, "captured", o);
        if (o->random >> 60 < 4)
            follow(b, TOPIC_REVIEWS, NULL, o);
    }
    return stages[o->stage];
}

static void order_event(struct business *b)
{
    struct order *o = &b->orders[next_random(b) % b->n_orders];
    const char *stage = next_stage(b, o);
    uint64_t random = o->random;
    begin(b, TOPIC_ORDERS, PICK(markets, random >> 8));
    text(b, "type", stage);
    key_text(b, "order_id", 'o', o->id);
    optional(b);
    key_text(b, "store", 's', (random >> 16) % 500);
    optional(b);
    text(b, "category", PICK(categories, random >> 24));
    optional(b);
    text(b, "channel", PICK(channels, random >> 32));
    optional(b);
    number(b, "items", 1 + (int64_t)((random >> 40) % 9));
    optional(b);
    decimal(b, "amount", 500 + (int64_t)(random % 9000), 2);
    optional(b);
    number(b, "promised_at", o->promised_ms);
    optional(b);
    key_text(b, "courier", 'c', (random >> 48) % COURIERS);
    end(b, "customer", 'o', o->id);
}

static void payment_event(struct business *b, const struct follower *f)
{
    begin(b, TOPIC_PAYMENTS, PICK(markets, f->order.random >> 8));
    key_text(b, "order_id", 'o', f->order.id);
    text(b, "status", f->status);
    optional(b);
    decimal(b, "amount", 500 + (int64_t)(f->order.random % 9000), 2);
    end(b, "note", 'o', f->order.id);
}

static void review_event(struct business *b, const struct order *o)
{
    uint64_t random = next_random(b);
    begin(b, TOPIC_REVIEWS, PICK(markets, o->random >> 8));
    key_text(b, "order_id", 'o', o->id);
    optional(b);
    key_text(b, "store", 's', (o->random >> 16) % 500);
    number(b, "score", 1 + (int64_t)(random % 5));
    optional(b);
    number(b, "nps", (int64_t)((random >> 8) % 11));
    optional(b);
    decimal(b, "sentiment", (int64_t)((random >> 16) % 2001) - 1000, 3);
    end(b, "text", 'o', o->id);
}

static void courier_event(struct business *b)
{
    uint64_t random = next_random(b), courier = random % COURIERS;
    begin(b, TOPIC_COURIERS, PICK(markets, courier));
    optional(b);
    key_text(b, "courier", 'c', courier);
    optional(b);
    key_text(b, "order_id", 'o', b->orders_begun);
    optional(b);
    decimal(b, "lat", 40000000 + (int64_t)((random >> 16) % 1000000), 6);
    optional(b);
    decimal(b, "lon", -3000000 + (int64_t)((random >> 40) % 1000000), 6);
    optional(b);
    number(b, "eta_seconds", (int64_t)((random >> 32) % 1800));
    end(b, "note", 'c', courier);
}

/* What a field that is not there looks like; JSON leaves it out. */
static void absent(struct business *b)
{
    if (b->options.avro)
        put_long(b, 0);
}

static void fridge_event(struct business *b)
{
    uint64_t random = next_random(b), fridge = random % FRIDGES, kind = (random >> 16) % 10;
    bool level = kind < 4, moves = !level && kind < 8;
    begin(b, TOPIC_FRIDGES, PICK(markets, fridge));
    text(b, "type", level ? "level" : moves ? PICK(movements, random >> 24) : "temperature");
    key_text(b, "fridge", 'f', fridge);
    optional(b);
    key_text(b, "sku", 'k', (random >> 32) % SKUS);
    for (int i = 0; i < 2; i++) {
        if (level) {
            optional(b);
            number(b, i ? "capacity" : "level", i ? 40 : (int64_t)((random >> 40) % 40));
        } else {
            absent(b);
        }
    }
    if (moves) {
        optional(b);
        number(b, "units", 1 + (int64_t)((random >> 40) % 6));
    } else {
        absent(b);
    }
    if (!level && !moves) {
        optional(b);
        decimal(b, "celsius", 200 + (int64_t)((random >> 40) % 600), 2);
    } else {
        absent(b);
    }
    end(b, "note", 'f', fridge);
}

/* Followers lie in a queue that is never longer than what one order's event adds. */
static void follower_event(struct business *b)
{
    struct follower f = b->followers[0];
    b->n_followers--;
    memmove(b->followers, b->followers + 1, b->n_followers * sizeof f);
    if (f.topic == TOPIC_PAYMENTS)
        payment_event(b, &f);
    else
        review_event(b, &f.order);
}

/* ---- */

struct business *business_new(const struct business_options *options)
{
    struct business *b = xcalloc(1, sizeof *b);
    ensure(options->seed && options->per_second);
    b->options = *options;
    b->state = options->seed;
    b->cached_s = -1;
    /* So many are open that each of five stages takes its part of open_s. */
    uint64_t open_s = options->open_s ? options->open_s : 1800;
    b->n_orders = options->per_second * open_s * (options->orders_only ? 100 : 45) / 100 / 5 + 1;
    b->orders = xcalloc(b->n_orders, sizeof *b->orders);
    return b;
}

void business_free(struct business **business)
{
    struct business *b = *business;
    *business = NULL;
    if (!b)
        return;
    free(b->orders);
    free(b);
}

size_t business_bytes(const struct business *business)
{
    return sizeof *business + business->n_orders * sizeof *business->orders;
}

void business_next(struct business *business, struct business_event *out)
{
    struct business *b = business;
    b->out = out;
    out->time_ms = b->options.first_ms + (int64_t)(b->totals.events * 1000 / b->options.per_second);
    out->timestamp_ms = out->time_ms + (int64_t)(next_random(b) % 2000);
    uint64_t kind = b->options.orders_only ? 0 : next_random(b) % 100;
    if (b->n_followers)
        follower_event(b);
    else if (kind < 56)
        order_event(b);
    else if (kind < 81)
        courier_event(b);
    else
        fridge_event(b);
    b->totals.events++;
    b->totals.by_topic[out->topic]++;
    b->totals.bytes += out->value_len;
    b->totals.last_ms = out->time_ms;
}

const struct business_totals *business_totals(const struct business *business)
{
    return &business->totals;
}
