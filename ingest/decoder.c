#include "ingest/decoder.h"

#include <stdlib.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "ingest/avro/avro_program.h"
#include "ingest/json_event.h"
#include "ingest/record_fields.h"

/* A schema of the registry; program NULL: no event can be made of it. */
struct known_schema {
    struct schema_ref ref;
    struct avro_program *program;
};

struct decoder {
    const struct stream *stream;
    struct json_decoder *json; /* NULL: it is Avro: */
    struct registry *registry;
    bool quiet;
    struct event_rules own; /* of Avro */
    const struct event_rules *rules;
    uint64_t beside;            /* fields that stand beside the value */
    struct avro_schema *reader; /* NULL: what the writer wrote */
    struct known_schema *known;
    size_t n_known, known_cap, last; /* few, and records come in runs */
    struct buf room;
};

struct decoder *decoder_new(const struct stream *stream, struct registry *registry, bool quiet)
{
    struct decoder *d = xcalloc(1, sizeof *d);
    struct err err;
    d->stream = stream;
    d->registry = registry;
    d->quiet = quiet;
    d->beside = record_fields_of(&stream->contract);
    if (stream->format == FORMAT_JSON) {
        d->json = json_decoder_new(&stream->contract);
        d->rules = json_decoder_rules(d->json);
        return d;
    }
    event_rules_init(&d->own, &stream->contract);
    d->rules = &d->own;
    buf_init(&d->room, EVENT_BYTES_MAX);
    if (stream->reader_schema.len) /* the config has checked it */
        ensure(avro_schema_parse(&stream->reader_schema, 1, &d->reader, &err));
    return d;
}

void decoder_free(struct decoder **decoder)
{
    struct decoder *d = *decoder;
    *decoder = NULL;
    if (!d)
        return;
    for (size_t i = 0; i < d->n_known; i++)
        avro_program_free(&d->known[i].program);
    free(d->known);
    avro_schema_free(&d->reader);
    if (!d->json)
        event_rules_fini(&d->own);
    json_decoder_free(&d->json);
    buf_fini(&d->room);
    free(d);
}

/* ---- schemas ---- */

static const struct known_schema *find_known(struct decoder *d, const struct schema_ref *ref)
{
    if (d->last < d->n_known && schema_ref_eq(&d->known[d->last].ref, ref))
        return &d->known[d->last];
    for (size_t i = 0; i < d->n_known; i++)
        if (schema_ref_eq(&d->known[i].ref, ref)) {
            d->last = i;
            return &d->known[i];
        }
    return NULL;
}

static const struct known_schema *learn(
    struct decoder *d, const struct schema_ref *ref, const struct avro_schema *writer)
{
    struct known_schema known = {.ref = *ref};
    char text[SCHEMA_REF_TEXT];
    struct err err;
    if (!avro_program_new(writer, d->reader, d->rules, &known.program, &err)) {
        known.program = NULL;
        if (!d->quiet)
            log_warn("stream %.*s: events of schema %s are refused: %s", SLICE_FMT(d->stream->name),
                schema_ref_text(ref, text), err.text);
    }
    GROW(d->known, d->known_cap, d->n_known + 1);
    d->last = d->n_known;
    d->known[d->n_known++] = known;
    return &d->known[d->last];
}

/* NULL: it waits, or there is none. */
static const struct known_schema *schema_of(
    struct decoder *d, const struct schema_ref *ref, struct decoder_wait *wait)
{
    const struct avro_schema *writer;
    const struct known_schema *known = find_known(d, ref);
    if (known)
        return known;
    switch (registry_get(d->registry, ref, &writer, &wait->why)) {
    case REGISTRY_KNOWN: return learn(d, ref, writer);
    case REGISTRY_WAIT:
        wait->waits = true;
        wait->schema = *ref;
        return NULL;
    case REGISTRY_NONE: return NULL;
    }
    unreachable("there are no other answers");
}

/* ---- records ---- */

static enum refusal decode_avro(struct decoder *d, const struct kafka_record *record,
    const struct rd_kafka_headers_s *headers, const struct record_fields *beside,
    struct arena *scratch, struct event *out, int *field, struct decoder_wait *wait)
{
    struct schema_ref ref;
    struct slice message, header = {NULL, 0};
    enum framing framing = d->stream->framing;
    if (framing == FRAMING_CONFLUENT)
        header = kafka_header(headers, FRAMING_HEADER);
    enum refusal refusal =
        framing_open(framing, record->value, header, &d->room, scratch, &ref, &message);
    if (field)
        *field = -1;
    if (refusal)
        return refusal;
    const struct known_schema *schema = schema_of(d, &ref, wait);
    if (!schema || !schema->program)
        return REFUSED_SCHEMA;
    return avro_decode_beside(schema->program, beside, message, scratch, out, field);
}

enum refusal decoder_decode(struct decoder *decoder, const struct kafka_record *record,
    struct arena *scratch, struct event *out, int *field, struct decoder_wait *wait)
{
    const struct rd_kafka_headers_s *headers = kafka_record_headers(record);
    struct record_fields room, *beside = decoder->beside ? &room : NULL;
    wait->waits = false;
    if (beside)
        record_fields_read(decoder->rules, decoder->beside, record, beside);
    trace_parse(kafka_header(headers, TRACE_HEADER), &out->trace);
    if (decoder->json)
        return json_decode_beside(decoder->json, beside, record->value, scratch, out, field);
    return decode_avro(decoder, record, headers, beside, scratch, out, field, wait);
}
