#include "ingest/registry/registry_fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include <curl/curl.h>
#include <jansson.h>

#include "base/clock.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "base/sigv4.h"
#include "ingest/registry/registry_answer.h"

#define CONNECT_MS    3000L
#define TIMEOUT_MS    10000
#define ANSWER_MAX    (4u << 20) /* a schema of 1 MiB with every byte escaped */
#define REDIRECTS_MAX 3L
#define GLUE_TARGET   "AWSGlue.GetSchemaVersion"
#define GLUE_TYPE     "application/x-amz-json-1.1"

struct registry_fetch {
    const struct registry_options *options;
    const atomic_bool *stop;
    CURL *curl;
    struct buf body;
    size_t url; /* the one that has answered last */
    char detail[CURL_ERROR_SIZE];
};

struct registry_fetch *registry_fetch_new(
    const struct registry_options *options, const atomic_bool *stop)
{
    struct registry_fetch *f = xcalloc(1, sizeof *f);
    ensure(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    f->options = options;
    f->stop = stop;
    f->curl = curl_easy_init();
    ensure(f->curl);
    buf_init(&f->body, ANSWER_MAX);
    return f;
}

void registry_fetch_free(struct registry_fetch **fetch)
{
    struct registry_fetch *f = *fetch;
    *fetch = NULL;
    if (!f)
        return;
    curl_easy_cleanup(f->curl);
    curl_global_cleanup();
    buf_fini(&f->body);
    free(f);
}

/* ---- HTTP ---- */

static size_t on_data(char *data, size_t size, size_t n, void *ctx)
{
    struct buf *body = ctx;
    buf_add(body, data, size * n);
    return body->failed ? 0 : size * n;
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct registry_fetch *f = ctx;
    (void)a, (void)b, (void)c, (void)d;
    return atomic_load(f->stop);
}

/* NULL for what is empty: then the option is not set. */
static const char *option_text(struct slice s)
{
    return s.len ? s.ptr : NULL; /* copies end in NUL */
}

static void set_up(struct registry_fetch *f, const char *url, struct curl_slist *headers)
{
    const struct registry_options *o = f->options;
    CURL *c = f->curl;
    curl_easy_reset(c);
    buf_clear(&f->body);
    f->detail[0] = 0;
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR,
        strncasecmp(url, "https:", 6) == 0 ? "https" : "http,https");
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, f->detail);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(o->timeout_ms ? o->timeout_ms : TIMEOUT_MS));
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &f->body);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, f);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_ACCEPT_ENCODING, "");
    if (o->ca_file.len)
        curl_easy_setopt(c, CURLOPT_CAINFO, option_text(o->ca_file));
    if (o->cert_file.len)
        curl_easy_setopt(c, CURLOPT_SSLCERT, option_text(o->cert_file));
    if (o->key_file.len)
        curl_easy_setopt(c, CURLOPT_SSLKEY, option_text(o->key_file));
}

/* The registry's own answer, an object, will be as large again; a page of something in between will
 * not. */
static bool too_large(const struct registry_fetch *f, const char *url, long status, struct err *err)
{
    bool own = status == 200 && f->body.len && f->body.ptr[0] == '{';
    return err_set(err, own ? ERR_LIMIT : ERR_UNAVAILABLE, "%s: an answer of more than %u bytes",
        url, ANSWER_MAX);
}

static bool perform(struct registry_fetch *f, const char *url, long *status, struct err *err)
{
    CURLcode code = curl_easy_perform(f->curl);
    curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, status);
    if (code == CURLE_OK)
        return true;
    if (f->body.failed)
        return too_large(f, url, *status, err);
    return err_set(
        err, ERR_UNAVAILABLE, "%s: %s", url, *f->detail ? f->detail : curl_easy_strerror(code));
}

/* NULL: the answer is no JSON. */
static json_t *body_json(const struct registry_fetch *f)
{
    return json_loadb(f->body.ptr ? f->body.ptr : "", f->body.len, 0, NULL);
}

/* ---- Confluent ---- */

static void authorize(struct registry_fetch *f)
{
    const struct registry_options *o = f->options;
    if (o->token.len) {
        curl_easy_setopt(f->curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt(f->curl, CURLOPT_XOAUTH2_BEARER, option_text(o->token));
    } else if (o->user.len) {
        curl_easy_setopt(f->curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(f->curl, CURLOPT_USERNAME, option_text(o->user));
        curl_easy_setopt(f->curl, CURLOPT_PASSWORD, option_text(o->password));
    }
}

/* One server's answer to a GET. ANSWER_SCHEMA: *answer is the caller's. */
static enum answer_verdict get_one(
    struct registry_fetch *f, size_t at, const char *path, json_t **answer, struct err *err)
{
    enum answer_verdict verdict = ANSWER_NOTHING;
    long status = 0;
    struct slice base = f->options->urls[at];
    struct buf url;
    while (base.len && base.ptr[base.len - 1] == '/')
        base.len--;
    buf_init(&url, 0);
    buf_slice(&url, base);
    buf_str(&url, path);
    struct curl_slist *headers =
        curl_slist_append(NULL, "Accept: application/vnd.schemaregistry.v1+json, application/json");
    set_up(f, buf_cstr(&url), headers);
    curl_easy_setopt(f->curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(f->curl, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
    authorize(f);
    *answer = NULL;
    if (perform(f, buf_cstr(&url), &status, err)) {
        *answer = body_json(f);
        verdict = answer_judge(buf_cstr(&url), status, *answer, err);
    }
    if (verdict != ANSWER_SCHEMA)
        json_decref(*answer);
    curl_slist_free_all(headers);
    buf_fini(&url);
    return verdict;
}

/* Of the servers the first that knows; one after the other from the one that answered last. */
static bool get(void *ctx, const char *path, json_t **answer, struct err *err)
{
    struct registry_fetch *f = ctx;
    size_t n = f->options->n_urls, start = f->url;
    struct err away = {0};
    bool denied = false;
    for (size_t i = 0; i < n; i++) {
        size_t at = (start + i) % n;
        enum answer_verdict verdict = get_one(f, at, path, answer, &away);
        if (verdict == ANSWER_NOTHING && away.code != ERR_LIMIT)
            continue;
        f->url = at;
        if (verdict == ANSWER_NOTHING)
            break;
        if (verdict == ANSWER_SCHEMA)
            return true;
        denied = true;
    }
    if (denied && away.code != ERR_LIMIT)
        return err_set(err, ERR_NOT_FOUND, "the registry has no %s", path);
    *err = away;
    return false;
}

static bool fetch_confluent(struct registry_fetch *f, const struct schema_ref *ref,
    struct avro_schema **out, struct err *err)
{
    char text[SCHEMA_REF_TEXT], path[128];
    snprintf(path, sizeof path, ref->is_number ? "/schemas/ids/%s" : "/schemas/guids/%s",
        schema_ref_text(ref, text));
    return answer_confluent(get, f, path, out, err);
}

/* ---- Glue ---- */

/* "host:port" of a URL. */
static struct slice host_of(struct slice url)
{
    const char *p = strstr(url.ptr, "://");
    const char *from = p ? p + 3 : url.ptr;
    return slice_of(from, strcspn(from, "/?#"));
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, struct slice value)
{
    struct buf line;
    buf_init(&line, 0);
    buf_printf(&line, "%s: %.*s", name, SLICE_FMT(value));
    list = curl_slist_append(list, buf_cstr(&line));
    buf_fini(&line);
    ensure(list);
    return list;
}

static struct curl_slist *sign_glue(
    const struct registry_options *o, struct slice host, struct slice body)
{
    char date[SIGV4_DATE_MAX], hash[SHA256_HEX_MAX];
    int64_t now = clock_now_ms();
    struct sigv4_key key = {o->access_key, o->secret_key, o->region, SLICE("glue")};
    struct sigv4_header headers[5];
    struct buf authorization;
    size_t n = 0;
    sigv4_date(now, date);
    sha256_hex(body, hash);
    headers[n++] = (struct sigv4_header){SLICE("content-type"), SLICE(GLUE_TYPE)};
    headers[n++] = (struct sigv4_header){SLICE("host"), host};
    headers[n++] = (struct sigv4_header){SLICE("x-amz-date"), slice_from(date)};
    if (o->session_token.len)
        headers[n++] = (struct sigv4_header){SLICE("x-amz-security-token"), o->session_token};
    headers[n++] = (struct sigv4_header){SLICE("x-amz-target"), SLICE(GLUE_TARGET)};
    struct sigv4_request request = {.method = SLICE("POST"),
        .path = SLICE("/"),
        .query = SLICE(""),
        .headers = headers,
        .n_headers = n,
        .payload_sha256 = slice_from(hash),
        .now_ms = now};
    buf_init(&authorization, 0);
    sigv4_sign(&key, &request, &authorization);
    struct curl_slist *list = NULL;
    for (size_t i = 0; i < n; i++)
        list = add_header(list, headers[i].name.ptr, headers[i].value);
    list = add_header(list, "authorization", buf_view(&authorization));
    buf_fini(&authorization);
    return list;
}

static bool fetch_glue(struct registry_fetch *f, const struct schema_ref *ref,
    struct avro_schema **out, struct err *err)
{
    const struct registry_options *o = f->options;
    char id[SCHEMA_REF_TEXT], body[128];
    struct buf url;
    long status = 0;
    buf_init(&url, 0);
    if (o->n_urls)
        buf_printf(&url, "%.*s", SLICE_FMT(o->urls[0]));
    else
        buf_printf(&url, "https://glue.%.*s.amazonaws.com%s/", SLICE_FMT(o->region),
            slice_starts(o->region, SLICE("cn-")) ? ".cn" : "");
    snprintf(body, sizeof body, "{\"SchemaVersionId\": \"%s\"}", schema_ref_text(ref, id));
    struct slice where = slice_from(buf_cstr(&url));
    struct curl_slist *headers = sign_glue(o, host_of(where), slice_from(body));
    set_up(f, where.ptr, headers);
    curl_easy_setopt(f->curl, CURLOPT_POSTFIELDS, body);
    bool ok = perform(f, where.ptr, &status, err);
    json_t *answer = ok ? body_json(f) : NULL;
    ok = ok && answer_glue(where.ptr, status, answer, out, err);
    json_decref(answer);
    curl_slist_free_all(headers);
    buf_fini(&url);
    return ok;
}

bool registry_fetch_schema(struct registry_fetch *fetch, const struct schema_ref *ref,
    struct avro_schema **out, struct err *err)
{
    return fetch->options->framing == FRAMING_GLUE ? fetch_glue(fetch, ref, out, err)
                                                   : fetch_confluent(fetch, ref, out, err);
}
