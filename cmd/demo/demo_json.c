#include "cmd/demo/demo_json.h"

#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "cmd/demo/demo_model.h"
#include "cmd/demo/demo_random.h"
#include "cmd/demo/demo_world.h"

static const char *const topics[DEMO_TOPICS] = {
    "orders", "fridges", "reviews", "couriers", "payments"};
static const char *const stages[DEMO_STAGES] = {
    "placed", "accepted", "rejected", "prepared", "picked_up", "delivered", "cancelled"};
static const char *const fridge_events[DEMO_FRIDGE_EVENTS] = {
    "level", "restocked", "sold", "expired", "removed", "temperature", "door"};
static const char *const statuses[DEMO_PAYMENT_STATUSES] = {
    "authorized", "captured", "failed", "refunded"};
static const char *const reasons[DEMO_REASONS] = {
    NULL, "kitchen_busy", "out_of_stock", "payment_failed", "customer", "no_courier"};
static const char *const refusals[DEMO_DEFECTS] = {
    NULL, "malformed", "missing", "type", "range", "not_allowed", "late", "ahead"};

/* What people write, worst first; as JSON, so that some of it is escaped. */
static const char *const texts[6] = {"", "Cold, late and \\\"somewhere\\\" on the stairs.",
    "Took far too long.", "It was all right.", "Good food, friendly courier.",
    "Sehr lecker, gerne wieder! \\ud83c\\udf55"};

const char *demo_topic_name(enum demo_topic topic)
{
    ensure(topic < DEMO_TOPICS);
    return topics[topic];
}

const char *demo_stage_name(int stage)
{
    ensure(stage >= 0 && stage < DEMO_STAGES);
    return stages[stage];
}

const char *demo_fridge_event_name(int type)
{
    ensure(type >= 0 && type < DEMO_FRIDGE_EVENTS);
    return fridge_events[type];
}

const char *demo_payment_name(int status)
{
    ensure(status >= 0 && status < DEMO_PAYMENT_STATUSES);
    return statuses[status];
}

const char *demo_defect_refusal(enum demo_defect defect)
{
    ensure(defect < DEMO_DEFECTS);
    return refusals[defect];
}

/* ---- pieces of JSON ---- */

/* At most this many digits, with zeros in front. */
static void put_padded(struct buf *out, uint64_t v, int digits)
{
    char text[20];
    ensure(digits <= 20);
    for (int i = digits - 1; i >= 0; i--) {
        text[i] = (char)('0' + v % 10);
        v /= 10;
    }
    buf_add(out, text, (size_t)digits);
}

static void put_int(struct buf *out, int64_t v)
{
    uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;
    int digits = 1;
    for (uint64_t rest = u / 10; rest > 0; rest /= 10)
        digits++;
    if (v < 0)
        buf_char(out, '-');
    put_padded(out, u, digits);
}

static void put_hex(struct buf *out, uint64_t v)
{
    char text[16];
    for (int i = 15; i >= 0; i--, v >>= 4)
        text[i] = "0123456789abcdef"[v & 15];
    buf_add(out, text, sizeof text);
}

/* The comma and the name; the first field of an object has no comma. */
static void put_name(struct buf *out, const char *name)
{
    buf_str(out, out->ptr[out->len - 1] == '{' ? "\"" : ",\"");
    buf_str(out, name);
    buf_str(out, "\":");
}

static void field_text(struct buf *out, const char *name, const char *text)
{
    put_name(out, name);
    buf_char(out, '"');
    buf_str(out, text);
    buf_char(out, '"');
}

static void field_id(struct buf *out, const char *name, uint64_t id)
{
    put_name(out, name);
    buf_char(out, '"');
    put_hex(out, id);
    buf_char(out, '"');
}

static void field_int(struct buf *out, const char *name, int64_t v)
{
    put_name(out, name);
    put_int(out, v);
}

static void field_decimal(struct buf *out, const char *name, int64_t v, int digits, int64_t unit)
{
    put_name(out, name);
    uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;
    if (v < 0)
        buf_char(out, '-');
    put_int(out, (int64_t)(u / (uint64_t)unit));
    buf_char(out, '.');
    put_padded(out, u % (uint64_t)unit, digits);
}

/* Days since 1970-01-01 to a date of the proleptic Gregorian calendar: years that begin in March,
 * in eras of 400 (H. Hinnant, "chrono-compatible low-level date algorithms"). */
static void put_date(struct buf *out, int64_t days)
{
    days += 719468;
    int64_t era = days / 146097, day_of_era = days % 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153; /* from March */
    int64_t day = day_of_year - (153 * month + 2) / 5 + 1;
    put_padded(out, (uint64_t)(year_of_era + era * 400 + (month >= 10)), 4);
    buf_char(out, '-');
    put_padded(out, (uint64_t)(month < 10 ? month + 3 : month - 9), 2);
    buf_char(out, '-');
    put_padded(out, (uint64_t)day, 2);
}

static void field_time(struct buf *out, const char *name, int64_t time_ms, int utc_offset_min)
{
    put_name(out, name);
    int64_t local_ms = time_ms + utc_offset_min * 60000;
    int64_t ms = local_ms % 86400000;
    buf_char(out, '"');
    put_date(out, local_ms / 86400000);
    buf_char(out, 'T');
    put_padded(out, (uint64_t)(ms / 3600000), 2);
    buf_char(out, ':');
    put_padded(out, (uint64_t)(ms / 60000 % 60), 2);
    buf_char(out, ':');
    put_padded(out, (uint64_t)(ms / 1000 % 60), 2);
    buf_char(out, '.');
    put_padded(out, (uint64_t)(ms % 1000), 3);
    int away = utc_offset_min < 0 ? -utc_offset_min : utc_offset_min;
    if (away == 0) {
        buf_str(out, "Z\"");
        return;
    }
    buf_char(out, utc_offset_min < 0 ? '-' : '+');
    put_padded(out, (uint64_t)(away / 60), 2);
    buf_char(out, ':');
    put_padded(out, (uint64_t)(away % 60), 2);
    buf_char(out, '"');
}

/* ---- the topics ---- */

static void put_head(struct buf *out, const struct demo_event *event, uint64_t seed)
{
    buf_char(out, '{');
    field_id(out, "event_id", demo_mix(event->number + demo_mix(seed)));
    if (event->topic == DEMO_COURIERS)
        field_int(out, "occurred_at", event->time_ms);
    else
        field_time(out, "occurred_at", event->time_ms, demo_markets[event->market].utc_offset_min);
    if (event->defect != DEMO_NO_MARKET)
        field_text(out, "market", demo_markets[event->market].name);
}

/* The type or status, unless the event is to carry one that nobody declared. */
static void field_kind(
    struct buf *out, const char *name, const char *kind, const struct demo_event *event)
{
    field_text(out, name, event->defect == DEMO_UNKNOWN ? "teleported" : kind);
}

static void field_amount(struct buf *out, const struct demo_event *event)
{
    if (event->defect == DEMO_WRONG_TYPE)
        field_text(out, "amount", "twelve");
    else
        field_decimal(
            out, "amount", event->defect == DEMO_OFF_SCALE ? -1 : event->amount_cents, 2, 100);
}

static void write_order(struct buf *out, const struct demo_event *event)
{
    char name[32];
    const struct demo_market *market = &demo_markets[event->market];
    field_kind(out, "type", stages[event->type], event);
    field_id(out, "order_id", event->order);
    demo_store_name(event, name, sizeof name);
    field_text(out, "store", name);
    field_text(out, "category", demo_categories[event->category].name);
    field_text(out, "channel", demo_channels[event->channel]);
    field_amount(out, event);
    if (event->type == DEMO_PLACED) {
        field_int(out, "items", event->items);
        snprintf(name, sizeof name, "customer-%u", event->customer);
        field_text(out, "customer", name);
    }
    if (event->type == DEMO_PLACED || event->type == DEMO_DELIVERED)
        field_time(out, "promised_at", event->promised_ms, market->utc_offset_min);
    if (event->type == DEMO_PICKED_UP || event->type == DEMO_DELIVERED) {
        demo_courier_name(event, name, sizeof name);
        field_text(out, "courier", name);
    }
    if (event->reason != DEMO_NO_REASON)
        field_text(out, "reason", reasons[event->reason]);
}

static void write_fridge(struct buf *out, const struct demo_event *event)
{
    char name[32];
    field_kind(out, "type", fridge_events[event->type], event);
    demo_fridge_name(event->market, event->fridge, name, sizeof name);
    field_text(out, "fridge", name);
    if (event->defect == DEMO_WRONG_TYPE)
        field_text(out, "units", "some");
    if (event->defect == DEMO_OFF_SCALE)
        field_int(out, "units", -1);
    switch ((enum demo_fridge_event)event->type) {
    case DEMO_LEVEL:
        field_text(out, "sku", demo_skus[event->sku]);
        field_int(out, "level", event->level);
        field_int(out, "capacity", event->capacity);
        break;
    case DEMO_RESTOCKED:
    case DEMO_SOLD:
    case DEMO_EXPIRED:
    case DEMO_REMOVED:
        field_text(out, "sku", demo_skus[event->sku]);
        if (event->defect != DEMO_WRONG_TYPE && event->defect != DEMO_OFF_SCALE)
            field_int(out, "units", event->units);
        break;
    case DEMO_TEMPERATURE: field_decimal(out, "celsius", event->milli_celsius, 3, 1000); break;
    case DEMO_DOOR:
    case DEMO_FRIDGE_EVENTS: break;
    }
}

static void write_review(struct buf *out, const struct demo_event *event)
{
    char name[32];
    field_id(out, "order_id", event->order);
    demo_store_name(event, name, sizeof name);
    field_text(out, "store", name);
    if (event->defect == DEMO_WRONG_TYPE)
        field_text(out, "score", "five");
    else
        field_int(out, "score", event->defect == DEMO_OFF_SCALE ? 9 : event->score);
    field_int(out, "nps", event->nps);
    field_decimal(out, "sentiment", event->sentiment_milli, 3, 1000);
    field_text(out, "text", texts[event->score <= 5 ? event->score : 0]);
}

static void write_courier(struct buf *out, const struct demo_event *event)
{
    char name[32];
    demo_courier_name(event, name, sizeof name);
    field_text(out, "courier", name);
    field_id(out, "order_id", event->order);
    field_decimal(
        out, "lat", event->defect == DEMO_OFF_SCALE ? 91000000 : event->lat_micro, 6, 1000000);
    field_decimal(out, "lon", event->lon_micro, 6, 1000000);
    if (event->defect == DEMO_WRONG_TYPE)
        field_text(out, "eta_seconds", "soon");
    else
        field_int(out, "eta_seconds", event->eta_seconds);
}

static void write_payment(struct buf *out, const struct demo_event *event)
{
    field_id(out, "order_id", event->order);
    field_kind(out, "status", statuses[event->type], event);
    field_amount(out, event);
}

static void write_key(const struct demo_event *event, struct buf *key)
{
    char name[32];
    if (event->topic == DEMO_FRIDGES)
        demo_fridge_name(event->market, event->fridge, name, sizeof name);
    else if (event->topic == DEMO_COURIERS)
        demo_courier_name(event, name, sizeof name);
    else {
        put_hex(key, event->order);
        return;
    }
    buf_str(key, name);
}

void demo_json_write(
    const struct demo_event *event, uint64_t seed, struct buf *key, struct buf *value)
{
    write_key(event, key);
    put_head(value, event, seed);
    switch ((enum demo_topic)event->topic) {
    case DEMO_ORDERS: write_order(value, event); break;
    case DEMO_FRIDGES: write_fridge(value, event); break;
    case DEMO_REVIEWS: write_review(value, event); break;
    case DEMO_COURIERS: write_courier(value, event); break;
    case DEMO_PAYMENTS: write_payment(value, event); break;
    case DEMO_TOPICS: unreachable("no such topic");
    }
    if (event->defect == DEMO_CUT)
        value->len -= 5 + event->number % 7;
    else
        buf_char(value, '}');
}
