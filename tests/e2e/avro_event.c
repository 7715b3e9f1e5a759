/*
 * What our resolver makes of Avro messages, for a test that compares it with another. Each line of
 * standard input is a pair of schemas and messages in hexadecimal; a reader "-" is the writer:
 *
 *     WRITER <tab> READER { <tab> MESSAGE }
 *
 * The answer is a line of JSON: a text when the pair does not resolve, else a list with, for each
 * message, the reason of its refusal or the fields of the event, as the contract below keeps them.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "ingest/avro/avro_program.h"

#define F(n, t, ...)                                                                               \
    {                                                                                              \
        .name = {n, sizeof(n) - 1}, .type = t, __VA_ARGS__                                         \
    }

static const struct contract contract = {
    .stream = {"pairs", 5},
    .n_fields = 10,
    .event_time = 9,
    .event_id = -1,
    .key = -1,
    .revision = -1,
    .fields =
        {
            F("s0", FIELD_STRING),
            F("s1", FIELD_STRING),
            F("n0", FIELD_INT),
            F("n1", FIELD_INT),
            F("d0", FIELD_DECIMAL, .digits = 3),
            F("d1", FIELD_DECIMAL, .digits = 0),
            F("t0", FIELD_TIME),
            F("t1", FIELD_TIME),
            F("b0", FIELD_BOOL),
            F("at", FIELD_TIME, .required = true),
        },
};

static size_t unhex(char *text)
{
    size_t n = strlen(text) / 2;
    for (size_t i = 0; i < n; i++) {
        char two[3] = {text[2 * i], text[2 * i + 1], 0}, *end;
        text[i] = (char)strtoul(two, &end, 16);
        ensure(end == two + 2);
    }
    return n;
}

static json_t *fields_json(const struct event *event)
{
    json_t *out = json_object();
    for (size_t i = 0; i < contract.n_fields; i++) {
        const struct field *f = &contract.fields[i];
        const struct field_value *v = &event->v[i];
        if (v->present)
            json_object_set_new(out, f->name.ptr,
                f->type == FIELD_STRING ? json_stringn(v->str.ptr, v->str.len)
                                        : json_integer(v->num));
    }
    return out;
}

static json_t *decode(const struct avro_program *program, char *hex)
{
    struct arena scratch;
    struct event event;
    size_t n = unhex(hex);
    char *exact = xmalloc(n + 1); /* a sanitizer sees what is read behind it */
    memcpy(exact, hex, n);
    arena_init(&scratch, 64u << 10);
    enum refusal why = avro_decode(program, slice_of(exact, n), &scratch, &event, NULL);
    json_t *out = why == REFUSED_NOT ? fields_json(&event) : json_string(refusal_name(why));
    arena_fini(&scratch);
    free(exact);
    return out;
}

static json_t *answer(const struct event_rules *rules, char *line)
{
    struct avro_schema *writer = NULL, *reader = NULL;
    struct avro_program *program = NULL;
    struct err err = {0};
    char *rest = line, *w = strsep(&rest, "\t"), *r = strsep(&rest, "\t");
    ensure(w && r);
    struct slice writer_text = slice_from(w), reader_text = slice_from(r);
    json_t *out = NULL;
    if (avro_schema_parse(&writer_text, 1, &writer, &err) &&
        (strcmp(r, "-") == 0 || avro_schema_parse(&reader_text, 1, &reader, &err)) &&
        avro_program_new(writer, reader, rules, &program, &err)) {
        out = json_array();
        for (char *message; (message = strsep(&rest, "\t"));)
            json_array_append_new(out, decode(program, message));
        avro_program_free(&program);
    }
    avro_schema_free(&writer);
    avro_schema_free(&reader);
    return out ? out : json_string(err.text);
}

int main(void)
{
    struct event_rules rules;
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    event_rules_init(&rules, &contract);
    while ((len = getline(&line, &cap, stdin)) > 0) {
        if (line[len - 1] == '\n')
            line[len - 1] = '\0';
        json_t *out = answer(&rules, line);
        json_dumpf(out, stdout, JSON_ENCODE_ANY | JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
        json_decref(out);
    }
    free(line);
    event_rules_fini(&rules);
    return 0;
}
