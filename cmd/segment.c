/*
 * larder segment stat|verify|dump FILE: what is in a segment, whether it is whole, and its cells as
 * text. Works on the file alone; no store is opened, so it may be used beside a running server.
 *
 * A cell is one line: series, its time in milliseconds, its parts. Amounts are written as decimals,
 * exactly; a sample that is NaN with its bits.
 *
 *     orders_total{market="oslo"} 1700000005000 12.50
 *     fridge_celsius{fridge="f1"} 1700000005000 last=3.5 last_ms=1700000004100 min=3 max=4 sum=7.5
 * count=2 delivery_seconds{} 1700000005000 sum=730.2 count=2 [310:1 311:1]       bucket key : count
 *     up{job="a"} 1700000005000 NaN(0x7ff0000000000002)
 */
#include "cmd/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/number.h"
#include "store/segment.h"

static const char usage[] =
    "usage: larder segment stat [--json] FILE     what is in it: metrics, labels, sizes\n"
    "       larder segment verify FILE...         reads everything and checks it\n"
    "       larder segment dump FILE              every cell, one to a line\n"
    "\n"
    "Segments lie in the data folder under seg/ and are never changed.\n"
    "Exit codes: 0 fine, 1 a file is damaged, 2 usage or environment.\n";

static int report(const struct err *err)
{
    char text[ERR_TEXT_MAX + ERR_FILE_MAX + 32];
    fprintf(stderr, "larder segment: %s\n", err_format(err, text, sizeof text));
    return err->code == ERR_CORRUPT ? EXIT_FOUND : EXIT_USAGE;
}

/* Standard output may be full or gone; that must not look like success. */
static int finish_output(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    fprintf(stderr, "larder segment: cannot write: %s\n", strerror(errno));
    return EXIT_USAGE;
}

/* ---- text ---- */

static void add_quoted(struct buf *out, struct slice s)
{
    buf_char(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c == '\n')
            buf_str(out, "\\n");
        else
            buf_char(out, c);
    }
    buf_char(out, '"');
}

static void add_series(struct buf *out, const struct metric_def *def, struct labels labels)
{
    const char *comma = "";
    buf_slice(out, def->name);
    buf_char(out, '{');
    for (size_t i = 0; i < labels.n; i++) {
        if (slice_is(labels.items[i].name, LABEL_METRIC_NAME))
            continue;
        buf_str(out, comma);
        if (label_name_is_plain(labels.items[i].name))
            buf_slice(out, labels.items[i].name);
        else
            add_quoted(out, labels.items[i].name);
        buf_char(out, '=');
        add_quoted(out, labels.items[i].value);
        comma = ",";
    }
    buf_char(out, '}');
}

/* v / 10^digits, exactly. */
static void add_scaled(struct buf *out, int128 v, int digits)
{
    char text[64];
    size_t at = sizeof text;
    uint128 left = v < 0 ? -(uint128)v : (uint128)v;
    for (int n = 0; left > 0 || n <= digits; n++) {
        if (n == digits && digits > 0)
            text[--at] = '.';
        text[--at] = (char)('0' + (int)(left % 10));
        left /= 10;
    }
    if (v < 0)
        text[--at] = '-';
    buf_add(out, text + at, sizeof text - at);
}

static void add_sample(struct buf *out, uint64_t bits)
{
    char text[NUMBER_MAX];
    double v;
    memcpy(&v, &bits, sizeof v);
    if (isnan(v)) {
        buf_printf(out, "NaN(0x%016" PRIx64 ")", bits);
        return;
    }
    number_format_f(v, text);
    buf_str(out, text);
}

static void add_gauge(struct buf *out, const struct columns *c, size_t i, int digits)
{
    buf_str(out, "last=");
    add_scaled(out, c->last[i], digits);
    buf_printf(out, " last_ms=%" PRId64 " min=", c->last_ms[i]);
    add_scaled(out, c->min[i], digits);
    buf_str(out, " max=");
    add_scaled(out, c->max[i], digits);
    buf_str(out, " sum=");
    add_scaled(out, c->sum[i], digits);
    buf_printf(out, " count=%" PRId64, c->count[i]);
}

static void add_histogram(struct buf *out, const struct columns *c, size_t i, int digits)
{
    int128 count = 0;
    for (uint32_t b = c->bucket_at[i]; b < c->bucket_at[i + 1]; b++)
        count += c->bucket[b].count;
    buf_str(out, "sum=");
    add_scaled(out, c->sum[i], digits);
    buf_str(out, " count=");
    add_scaled(out, count, 0);
    buf_str(out, " [");
    for (uint32_t b = c->bucket_at[i]; b < c->bucket_at[i + 1]; b++)
        buf_printf(out, "%s%" PRId32 ":%" PRId64, b > c->bucket_at[i] ? " " : "", c->bucket[b].key,
            c->bucket[b].count);
    buf_char(out, ']');
}

static void add_cell(
    struct buf *out, const struct metric_def *def, const struct columns *c, size_t i)
{
    buf_printf(out, " %" PRId64 " ", c->t[i]);
    switch (c->kind) {
    case KIND_COUNTER:
    case KIND_LEVEL: add_scaled(out, c->amount[i], def->digits); break;
    case KIND_GAUGE: add_gauge(out, c, i, def->digits); break;
    case KIND_HISTOGRAM: add_histogram(out, c, i, def->digits); break;
    case KIND_SAMPLE: add_sample(out, c->bits[i]); break;
    }
    buf_char(out, '\n');
}

/* ---- dump ---- */

static bool dump_chunk(const struct segment *segment, uint32_t ordinal, size_t chunk,
    struct arena *arena, struct buf *line, struct err *err)
{
    struct columns c;
    const struct metric_def *def = segment_metric(segment, ordinal);
    arena_reset(arena);
    if (!segment_read(segment, ordinal, chunk, arena, &c, err))
        return false;
    buf_clear(line);
    add_series(line, def, segment_labels(segment, ordinal));
    size_t head = line->len;
    for (size_t i = 0; i < c.n; i++) {
        line->len = head;
        add_cell(line, def, &c, i);
        fwrite(line->ptr, 1, line->len, stdout);
    }
    return true;
}

static int dump(const struct segment *segment)
{
    struct err err = {0};
    struct arena arena;
    struct buf line;
    bool ok = true;
    arena_init(&arena, 0);
    buf_init(&line, 0);
    for (uint32_t i = 0; ok && i < segment_info(segment)->series; i++)
        for (size_t k = 0; ok && !ferror(stdout) && k < segment_chunks(segment, i); k++)
            ok = dump_chunk(segment, i, k, &arena, &line, &err);
    arena_fini(&arena);
    buf_fini(&line);
    return finish_output(ok ? EXIT_FINE : report(&err));
}

/* ---- stat ---- */

struct metric_stat {
    const struct metric_def *def;
    uint64_t series, chunks, cells, bytes;
};

/* Series are sorted by metric, so each metric is one run of ordinals. */
static struct metric_stat *metric_stats(const struct segment *segment, size_t *n)
{
    struct metric_stat *stats = NULL;
    size_t cap = 0;
    *n = 0;
    for (uint32_t i = 0; i < segment_info(segment)->series; i++) {
        const struct metric_def *def = segment_metric(segment, i);
        if (*n == 0 || stats[*n - 1].def != def) {
            GROW(stats, cap, *n + 1);
            stats[(*n)++] = (struct metric_stat){.def = def};
        }
        struct metric_stat *stat = &stats[*n - 1];
        stat->series++;
        for (size_t k = 0; k < segment_chunks(segment, i); k++) {
            struct chunk_info chunk;
            segment_chunk(segment, i, k, &chunk);
            stat->chunks++;
            stat->cells += chunk.n;
            stat->bytes += chunk.bytes;
        }
    }
    return stats;
}

static void page_bytes(const struct segment *segment, uint64_t *stored, uint64_t *raw)
{
    *stored = *raw = 0;
    for (uint32_t i = 0; i < segment_pages(segment); i++) {
        struct segment_page page;
        segment_page(segment, i, &page);
        *stored += page.bytes;
        *raw += page.raw_bytes;
    }
}

static void print_stat(const struct segment *segment)
{
    const struct segment_info *info = segment_info(segment);
    uint64_t stored, raw;
    size_t n_metrics, n_sources;
    struct metric_stat *metrics = metric_stats(segment, &n_metrics);
    const struct segment_source *sources = segment_sources(segment, &n_sources);
    page_bytes(segment, &stored, &raw);
    printf("name        %s\n", info->name);
    printf("block       (%" PRId64 ", %" PRId64 "]\n", info->t0, info->t1);
    printf("cells from  %" PRId64 " to %" PRId64 "\n", info->min_t, info->max_t);
    printf(
        "resolution  %" PRId64 "%s\n", info->resolution_ms, info->resolution_ms ? " ms" : ": raw");
    printf("bytes       %" PRIu64 ", %.3f per cell\n", info->bytes,
        (double)info->bytes / (double)info->cells);
    printf("data        %zu pages, %" PRIu64 " bytes, %" PRIu64 " unpacked\n",
        segment_pages(segment), stored, raw);
    printf("series      %" PRIu64 "\nchunks      %" PRIu64 "\ncells       %" PRIu64 "\n\n",
        info->series, info->chunks, info->cells);
    printf("%-10s %6s %10s %10s %12s  metric\n", "kind", "digits", "series", "cells", "unpacked");
    for (size_t i = 0; i < n_metrics; i++)
        printf("%-10s %6d %10" PRIu64 " %10" PRIu64 " %12" PRIu64 "  %.*s\n",
            kind_name(metrics[i].def->kind), metrics[i].def->digits, metrics[i].series,
            metrics[i].cells, metrics[i].bytes, SLICE_FMT(metrics[i].def->name));
    printf("\n%10s  label\n", "values");
    for (size_t i = 0; i < segment_label_names(segment); i++)
        printf("%10zu  %.*s\n", segment_label_values(segment, i),
            SLICE_FMT(segment_label_name(segment, i)));
    if (n_sources)
        printf("\n%10s  source\n", "next");
    for (size_t i = 0; i < n_sources; i++)
        printf("%10" PRId64 "  %.*s\n", sources[i].next, SLICE_FMT(sources[i].name));
    free(metrics);
}

static json_t *json_text(struct slice s)
{
    return json_stringn_nocheck(s.ptr, s.len);
}

static json_t *json_count(uint64_t v)
{
    return json_integer((json_int_t)v);
}

static json_t *json_metrics(const struct segment *segment)
{
    size_t n;
    json_t *out = json_array();
    struct metric_stat *metrics = metric_stats(segment, &n);
    for (size_t i = 0; i < n; i++) {
        json_t *m = json_object();
        json_object_set_new(m, "metric", json_text(metrics[i].def->name));
        json_object_set_new(m, "kind", json_string(kind_name(metrics[i].def->kind)));
        json_object_set_new(m, "digits", json_integer(metrics[i].def->digits));
        json_object_set_new(m, "every_ms", json_integer(metrics[i].def->every_ms));
        json_object_set_new(m, "series", json_count(metrics[i].series));
        json_object_set_new(m, "chunks", json_count(metrics[i].chunks));
        json_object_set_new(m, "cells", json_count(metrics[i].cells));
        json_object_set_new(m, "unpacked_bytes", json_count(metrics[i].bytes));
        json_array_append_new(out, m);
    }
    free(metrics);
    return out;
}

static void print_stat_json(const struct segment *segment)
{
    const struct segment_info *info = segment_info(segment);
    uint64_t stored, raw;
    size_t n;
    page_bytes(segment, &stored, &raw);
    json_t *out = json_object();
    json_object_set_new(out, "name", json_string(info->name));
    json_object_set_new(out, "t0", json_integer(info->t0));
    json_object_set_new(out, "t1", json_integer(info->t1));
    json_object_set_new(out, "min_t", json_integer(info->min_t));
    json_object_set_new(out, "max_t", json_integer(info->max_t));
    json_object_set_new(out, "resolution_ms", json_integer(info->resolution_ms));
    json_object_set_new(out, "bytes", json_count(info->bytes));
    json_object_set_new(out, "pages", json_count(segment_pages(segment)));
    json_object_set_new(out, "data_bytes", json_count(stored));
    json_object_set_new(out, "unpacked_bytes", json_count(raw));
    json_object_set_new(out, "series", json_count(info->series));
    json_object_set_new(out, "chunks", json_count(info->chunks));
    json_object_set_new(out, "cells", json_count(info->cells));
    json_object_set_new(out, "metrics", json_metrics(segment));
    json_t *labels = json_object(), *next = json_object();
    for (size_t i = 0; i < segment_label_names(segment); i++) {
        struct slice name = segment_label_name(segment, i);
        json_object_setn_new_nocheck(
            labels, name.ptr, name.len, json_count(segment_label_values(segment, i)));
    }
    json_object_set_new(out, "labels", labels);
    const struct segment_source *sources = segment_sources(segment, &n);
    for (size_t i = 0; i < n; i++)
        json_object_setn_new_nocheck(
            next, sources[i].name.ptr, sources[i].name.len, json_integer(sources[i].next));
    json_object_set_new(out, "sources", next);
    json_dumpf(out, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(out);
}

/* ---- verify ---- */

static int verify(int n, char **files)
{
    int worst = EXIT_FINE;
    for (int i = 0; i < n; i++) {
        struct segment *segment = NULL;
        struct err err = {0};
        int code = EXIT_FINE;
        if (!segment_open(files[i], &segment, &err) || !segment_verify(segment, &err))
            code = report(&err);
        else
            printf("%s: %" PRIu64 " series, %" PRIu64 " cells, whole\n", files[i],
                segment_info(segment)->series, segment_info(segment)->cells);
        segment_put(&segment);
        worst = code > worst ? code : worst;
    }
    return finish_output(worst);
}

static int misused(const char *what)
{
    fprintf(stderr, "larder segment: %s\n\n%s", what, usage);
    return EXIT_USAGE;
}

int cmd_segment(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage, stdout);
            return finish_output(EXIT_FINE);
        }
    bool is_stat = strcmp(verb, "stat") == 0;
    bool json = is_stat && argc > 2 && strcmp(argv[2], "--json") == 0;
    int first = 2 + json;
    if (strcmp(verb, "verify") == 0)
        return argc > 2 ? verify(argc - 2, argv + 2) : misused("verify needs a file");
    if (!is_stat && strcmp(verb, "dump") != 0)
        return misused(*verb ? "stat, verify or dump" : "it needs a verb");
    if (argc != first + 1 || argv[first][0] == '-')
        return misused("it needs one file");
    struct segment *segment = NULL;
    struct err err = {0};
    if (!segment_open(argv[first], &segment, &err))
        return report(&err);
    int code = EXIT_FINE;
    if (!is_stat) {
        code = dump(segment);
    } else {
        (json ? print_stat_json : print_stat)(segment);
        code = finish_output(EXIT_FINE);
    }
    segment_put(&segment);
    return code;
}
