#include "ingest/registry/registry_answer.h"

#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/slice.h"

/* What is collected of a schema and what it refers to: texts, each after what it refers to. */
struct collection {
    answer_get *get;
    void *ctx;
    json_t *answers[AVRO_SCHEMA_TEXTS_MAX]; /* own the texts */
    struct slice texts[AVRO_SCHEMA_TEXTS_MAX];
    struct slice subjects[AVRO_SCHEMA_TEXTS_MAX]; /* of references; in answers' memory */
    int64_t versions[AVRO_SCHEMA_TEXTS_MAX];
    size_t n_answers, n_texts, n_seen;
};

static struct slice text_member(const json_t *json, const char *key)
{
    const json_t *v = json_object_get(json, key);
    return json_is_string(v) ? slice_of(json_string_value(v), json_string_length(v))
                             : (struct slice){NULL, 0};
}

static bool unexpected(const char *url, long status, const json_t *answer, struct err *err)
{
    bool denied = status == 401 || status == 403;
    struct slice why = text_member(answer, "message");
    if (!why.ptr)
        why = text_member(answer, "Message"); /* so says AWS now and then */
    if (status == 200)
        return err_set(err, ERR_UNAVAILABLE, "%s: the answer makes no sense", url);
    return err_set(err, ERR_UNAVAILABLE, "%s: HTTP %ld%s%s%.*s", url, status,
        denied ? ", the registry does not let us in" : "", why.len ? ", " : "",
        (int)(why.len < 200 ? why.len : 200), why.ptr ? why.ptr : "");
}

static bool other_kind(struct slice kind, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "it is a schema of %.*s, not of Avro",
        (int)(kind.len < 32 ? kind.len : 32), kind.ptr);
}

/* ---- Confluent ---- */

/* A registry says so in its own words; a 404 of anything else that stands there is no answer. */
static bool says_missing(long status, const json_t *answer)
{
    json_int_t code = json_integer_value(json_object_get(answer, "error_code"));
    return status == 404 && code >= 40400 && code < 40500;
}

enum answer_verdict answer_judge(const char *url, long status, const json_t *json, struct err *err)
{
    if (says_missing(status, json))
        return ANSWER_NONE;
    if (status == 200 && json_is_object(json))
        return ANSWER_SCHEMA;
    unexpected(url, status, json, err);
    return ANSWER_NOTHING;
}

/* Whether it is there already; else it is noted. */
static bool seen(struct collection *c, struct slice subject, int64_t version)
{
    for (size_t i = 0; i < c->n_seen; i++)
        if (c->versions[i] == version && slice_eq(c->subjects[i], subject))
            return true;
    if (c->n_seen < AVRO_SCHEMA_TEXTS_MAX) {
        c->subjects[c->n_seen] = subject;
        c->versions[c->n_seen++] = version;
    }
    return false;
}

/* As curl_easy_escape does: what a path may hold stays. */
static void add_escaped(struct buf *path, struct slice name)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                "0123456789-._~";
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] && strchr(plain, name.ptr[i]))
            buf_char(path, name.ptr[i]);
        else
            buf_printf(path, "%%%02X", (uint8_t)name.ptr[i]);
}

static bool collect(struct collection *c, json_t *answer, int depth, struct err *err);

static bool collect_reference(
    struct collection *c, const json_t *reference, int depth, struct err *err)
{
    struct slice subject = text_member(reference, "subject");
    const json_t *version = json_object_get(reference, "version");
    json_t *answer;
    if (!subject.len || !json_is_integer(version))
        return err_set(err, ERR_UNAVAILABLE, "the registry's answer has a bad reference");
    if (seen(c, subject, json_integer_value(version)))
        return true;
    struct buf path;
    buf_init(&path, 0);
    buf_str(&path, "/subjects/");
    add_escaped(&path, subject);
    /* What was deleted since may still be what somebody wrote with. */
    buf_printf(&path, "/versions/%lld?deleted=true", (long long)json_integer_value(version));
    bool ok = c->get(c->ctx, buf_cstr(&path), &answer, err) && collect(c, answer, depth + 1, err);
    buf_fini(&path);
    return ok;
}

/* Takes the answer over. Recursion ends at AVRO_SCHEMA_TEXTS_MAX. */
static bool collect(struct collection *c, json_t *answer, int depth, struct err *err)
{
    struct slice text = text_member(answer, "schema"), kind = text_member(answer, "schemaType");
    const json_t *references = json_object_get(answer, "references");
    if (c->n_answers == AVRO_SCHEMA_TEXTS_MAX || depth == AVRO_SCHEMA_TEXTS_MAX) {
        json_decref(answer);
        return err_set(
            err, ERR_LIMIT, "a schema refers to more than %d others", AVRO_SCHEMA_TEXTS_MAX - 1);
    }
    c->answers[c->n_answers++] = answer;
    if (kind.len && !slice_is(kind, "AVRO"))
        return other_kind(kind, err);
    if (!text.ptr)
        return err_set(err, ERR_UNAVAILABLE, "the registry's answer has no 'schema'");
    for (size_t i = 0; i < json_array_size(references); i++)
        if (!collect_reference(c, json_array_get(references, i), depth, err))
            return false;
    c->texts[c->n_texts++] = text;
    return true;
}

bool answer_confluent(
    answer_get *get, void *ctx, const char *path, struct avro_schema **out, struct err *err)
{
    struct collection c = {.get = get, .ctx = ctx};
    json_t *answer;
    bool ok = get(ctx, path, &answer, err) && collect(&c, answer, 0, err) &&
              avro_schema_parse_writer(c.texts, c.n_texts, out, err);
    for (size_t i = 0; i < c.n_answers; i++)
        json_decref(c.answers[i]);
    return ok;
}

/* ---- Glue ---- */

/* "EntityNotFoundException", with a prefix perhaps. */
static bool is_not_found(const json_t *answer)
{
    struct slice type = text_member(answer, "__type");
    return type.ptr && strstr(type.ptr, "EntityNotFoundException");
}

bool answer_glue(
    const char *url, long status, const json_t *json, struct avro_schema **out, struct err *err)
{
    struct slice text = text_member(json, "SchemaDefinition");
    struct slice kind = text_member(json, "DataFormat"), state = text_member(json, "Status");
    if (status == 400 && is_not_found(json))
        return err_set(err, ERR_NOT_FOUND, "Glue has no such schema version");
    if (status != 200 || !text.ptr)
        return unexpected(url, status, json, err);
    if (kind.len && !slice_is(kind, "AVRO"))
        return other_kind(kind, err);
    if (state.len && !slice_is(state, "AVAILABLE"))
        return err_set(err, ERR_UNAVAILABLE, "Glue's schema version is %.*s",
            (int)(state.len < 32 ? state.len : 32), state.ptr);
    return avro_schema_parse_writer(&text, 1, out, err);
}
