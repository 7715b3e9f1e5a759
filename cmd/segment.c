/*
 * larder segment stat|verify|dump|repair FILE: what is in a segment, whether it is whole, its cells
 * as text (cell_text.h), and what can be read of a damaged one. Works on the file alone; no store
 * is opened, so it may be used beside a running server.
 */
#include "cmd/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "cmd/cell_text.h"
#include "store/segment.h"

static const char usage[] =
    "usage: larder segment stat [--json] FILE     what is in it: metrics, labels, sizes\n"
    "       larder segment verify FILE...         reads everything and checks it\n"
    "       larder segment dump FILE              every cell that can be read, one to a line\n"
    "       larder segment repair FILE FOLDER     what can be read of it, as a new segment there\n"
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

/* ---- dump ---- */

/* False: it is damaged, which is told; the rest goes on. */
static bool dump_chunk(const struct segment *segment, const struct segment_chunk *chunk,
    const struct metric_def *def, struct buf *line)
{
    struct columns c;
    struct arena arena;
    struct err err = {0};
    size_t head = line->len;
    arena_init(&arena, 0);
    bool ok = segment_read(segment, chunk, &arena, &c, &err);
    for (size_t i = 0; ok && i < c.n; i++) {
        line->len = head;
        cell_text_add(line, def, &c, i);
        fwrite(line->ptr, 1, line->len, stdout);
    }
    line->len = head;
    arena_fini(&arena);
    if (!ok)
        report(&err);
    return ok;
}

static bool dump_series(const struct segment *segment, uint32_t ordinal)
{
    const struct metric_def *def = NULL;
    const struct segment_chunk *chunks = NULL;
    struct labels labels;
    struct arena arena;
    struct buf line;
    struct err err = {0};
    size_t n = 0;
    arena_init(&arena, 0);
    buf_init(&line, 0);
    bool ok = segment_metric(segment, ordinal, &def, &err) &&
              segment_labels(segment, ordinal, &arena, &labels, &err) &&
              segment_chunks(segment, ordinal, INT64_MIN, INT64_MAX, &arena, &chunks, &n, &err);
    if (ok)
        cell_text_series(&line, def, labels);
    else
        report(&err);
    for (size_t k = 0; !ferror(stdout) && k < n; k++)
        ok &= dump_chunk(segment, &chunks[k], def, &line);
    arena_fini(&arena);
    buf_fini(&line);
    return ok;
}

static int dump(const struct segment *segment)
{
    bool ok = true;
    for (uint32_t i = 0; !ferror(stdout) && i < segment_info(segment)->series; i++)
        ok &= dump_series(segment, i);
    return finish_output(ok ? EXIT_FINE : EXIT_FOUND);
}

/* ---- stat ---- */

struct metric_stat {
    const struct metric_def *def;
    uint64_t series, chunks, cells, bytes;
};

/* What stat prints, gathered before anything is printed, for gathering may fail. */
struct stat {
    const struct segment_info *info;
    struct metric_stat *metrics;
    size_t n_metrics, metrics_cap;
    const struct segment_source *sources;
    size_t n_sources;
    uint64_t data_bytes, raw_bytes;
};

/* Series are sorted by metric, so each metric is one run of ordinals. */
static bool add_to_stat(
    struct stat *stat, const struct segment *segment, uint32_t ordinal, struct err *err)
{
    const struct metric_def *def = NULL;
    const struct segment_chunk *chunks = NULL;
    struct arena arena;
    size_t n = 0;
    arena_init(&arena, 0);
    bool ok = segment_metric(segment, ordinal, &def, err) &&
              segment_chunks(segment, ordinal, INT64_MIN, INT64_MAX, &arena, &chunks, &n, err);
    if (ok && (stat->n_metrics == 0 || stat->metrics[stat->n_metrics - 1].def != def)) {
        GROW(stat->metrics, stat->metrics_cap, stat->n_metrics + 1);
        stat->metrics[stat->n_metrics++] = (struct metric_stat){.def = def};
    }
    struct metric_stat *metric = ok ? &stat->metrics[stat->n_metrics - 1] : NULL;
    for (size_t k = 0; ok && k < n; k++) {
        metric->chunks++;
        metric->cells += chunks[k].n;
        metric->bytes += chunks[k].bytes;
    }
    if (ok)
        metric->series++;
    arena_fini(&arena);
    return ok;
}

static bool make_stat(struct stat *stat, const struct segment *segment, struct err *err)
{
    *stat = (struct stat){.info = segment_info(segment)};
    for (uint32_t i = 0; i < segment_pages(segment); i++) {
        struct segment_page page;
        segment_page(segment, i, &page);
        stat->data_bytes += page.bytes;
        stat->raw_bytes += page.raw_bytes;
    }
    for (uint32_t i = 0; i < stat->info->series; i++)
        if (!add_to_stat(stat, segment, i, err))
            return false;
    return segment_sources(segment, &stat->sources, &stat->n_sources, err);
}

static void print_stat(const struct segment *segment, const struct stat *stat)
{
    const struct segment_info *info = stat->info;
    printf("name        %s\n", info->name);
    printf("block       (%" PRId64 ", %" PRId64 "]\n", info->t0, info->t1);
    printf("cells from  %" PRId64 " to %" PRId64 "\n", info->min_t, info->max_t);
    printf(
        "resolution  %" PRId64 "%s\n", info->resolution_ms, info->resolution_ms ? " ms" : ": raw");
    printf("bytes       %" PRIu64 ", %.3f per cell\n", info->bytes,
        (double)info->bytes / (double)info->cells);
    printf("data        %zu pages, %" PRIu64 " bytes, %" PRIu64 " unpacked\n",
        segment_pages(segment), stat->data_bytes, stat->raw_bytes);
    printf("series      %" PRIu64 "\nchunks      %" PRIu64 "\ncells       %" PRIu64 "\n\n",
        info->series, info->chunks, info->cells);
    printf("%-10s %6s %10s %10s %12s  metric\n", "kind", "digits", "series", "cells", "unpacked");
    for (size_t i = 0; i < stat->n_metrics; i++) {
        const struct metric_stat *m = &stat->metrics[i];
        printf("%-10s %6d %10" PRIu64 " %10" PRIu64 " %12" PRIu64 "  %.*s\n",
            kind_name(m->def->kind), m->def->digits, m->series, m->cells, m->bytes,
            SLICE_FMT(m->def->name));
    }
    printf("\n%10s  label\n", "values");
    for (size_t i = 0; i < segment_label_names(segment); i++)
        printf("%10zu  %.*s\n", segment_label_values(segment, i),
            SLICE_FMT(segment_label_name(segment, i)));
    if (stat->n_sources)
        printf("\n%10s  source\n", "next");
    for (size_t i = 0; i < stat->n_sources; i++)
        printf("%10" PRId64 "  %.*s\n", stat->sources[i].next, SLICE_FMT(stat->sources[i].name));
}

static json_t *json_text(struct slice s)
{
    return json_stringn_nocheck(s.ptr, s.len);
}

static json_t *json_count(uint64_t v)
{
    return json_integer((json_int_t)v);
}

static json_t *json_metrics(const struct stat *stat)
{
    json_t *out = json_array();
    for (size_t i = 0; i < stat->n_metrics; i++) {
        const struct metric_stat *metric = &stat->metrics[i];
        json_t *m = json_object();
        json_object_set_new(m, "metric", json_text(metric->def->name));
        json_object_set_new(m, "kind", json_string(kind_name(metric->def->kind)));
        json_object_set_new(m, "digits", json_integer(metric->def->digits));
        json_object_set_new(m, "every_ms", json_integer(metric->def->every_ms));
        json_object_set_new(m, "series", json_count(metric->series));
        json_object_set_new(m, "chunks", json_count(metric->chunks));
        json_object_set_new(m, "cells", json_count(metric->cells));
        json_object_set_new(m, "unpacked_bytes", json_count(metric->bytes));
        json_array_append_new(out, m);
    }
    return out;
}

static void print_stat_json(const struct segment *segment, const struct stat *stat)
{
    const struct segment_info *info = stat->info;
    json_t *out = json_object();
    json_object_set_new(out, "name", json_string(info->name));
    json_object_set_new(out, "t0", json_integer(info->t0));
    json_object_set_new(out, "t1", json_integer(info->t1));
    json_object_set_new(out, "min_t", json_integer(info->min_t));
    json_object_set_new(out, "max_t", json_integer(info->max_t));
    json_object_set_new(out, "resolution_ms", json_integer(info->resolution_ms));
    json_object_set_new(out, "bytes", json_count(info->bytes));
    json_object_set_new(out, "pages", json_count(segment_pages(segment)));
    json_object_set_new(out, "data_bytes", json_count(stat->data_bytes));
    json_object_set_new(out, "unpacked_bytes", json_count(stat->raw_bytes));
    json_object_set_new(out, "series", json_count(info->series));
    json_object_set_new(out, "chunks", json_count(info->chunks));
    json_object_set_new(out, "cells", json_count(info->cells));
    json_object_set_new(out, "metrics", json_metrics(stat));
    json_t *labels = json_object(), *next = json_object();
    for (size_t i = 0; i < segment_label_names(segment); i++) {
        struct slice name = segment_label_name(segment, i);
        json_object_setn_new_nocheck(
            labels, name.ptr, name.len, json_count(segment_label_values(segment, i)));
    }
    json_object_set_new(out, "labels", labels);
    for (size_t i = 0; i < stat->n_sources; i++)
        json_object_setn_new_nocheck(next, stat->sources[i].name.ptr, stat->sources[i].name.len,
            json_integer(stat->sources[i].next));
    json_object_set_new(out, "sources", next);
    json_dumpf(out, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(out);
}

static int stat_segment(const struct segment *segment, bool json)
{
    struct stat stat;
    struct err err = {0};
    int code = EXIT_FINE;
    if (!make_stat(&stat, segment, &err)) {
        code = report(&err);
    } else {
        (json ? print_stat_json : print_stat)(segment, &stat);
        code = finish_output(EXIT_FINE);
    }
    free(stat.metrics);
    return code;
}

/* ---- verify ---- */

static int verify(int n, char **files)
{
    int worst = EXIT_FINE;
    for (int i = 0; i < n; i++) {
        struct segment *segment = NULL;
        struct err err = {0};
        int code = EXIT_FINE;
        if (!segment_open(files[i], NULL, &segment, &err) || !segment_verify(segment, &err))
            code = report(&err);
        else
            printf("%s: %" PRIu64 " series, %" PRIu64 " cells, whole\n", files[i],
                segment_info(segment)->series, segment_info(segment)->cells);
        segment_put(&segment);
        worst = code > worst ? code : worst;
    }
    return finish_output(worst);
}

/* ---- repair ---- */

static void print_loss(void *ctx, const struct segment_loss *loss)
{
    struct buf line;
    buf_init(&line, 0);
    cell_text_loss(&line, ctx, loss);
    fwrite(line.ptr, 1, line.len, stdout);
    buf_fini(&line);
}

static int repair(const char *file, const char *folder)
{
    struct segment *segment = NULL;
    struct segment_repaired out;
    struct err err = {0};
    int code = EXIT_FINE;
    struct err why = {0};
    bool open = segment_open_damaged(file, -1, &segment, &why, &err);
    const struct segment_repair_how how = {.lost = print_loss, .ctx = segment, .disk_errors = true};
    if (why.code != ERR_OK)
        report(&why);
    if (!open || !segment_repair(segment, folder, &how, &out, &err)) {
        code = report(&err);
    } else {
        bool lost = out.lost_series || out.lost_chunks || out.lost_ids || out.lost_sources;
        if (out.lost_ids)
            printf("lost: the ids of series; a store looks them up by their labels\n");
        if (out.lost_sources)
            printf("lost: the positions of the sources\n");
        if (out.info.series)
            printf("%s/%s: %" PRIu64 " of %" PRIu64 " cells\n", folder, out.info.name,
                out.info.cells, segment_info(segment)->cells);
        else
            printf("nothing is left\n");
        code = lost ? EXIT_FOUND : EXIT_FINE;
    }
    segment_put(&segment);
    return finish_output(code);
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
    bool is_stat = strcmp(verb, "stat") == 0, json = false;
    const char *file = NULL;
    if (strcmp(verb, "verify") == 0)
        return argc > 2 ? verify(argc - 2, argv + 2) : misused("verify needs a file");
    if (strcmp(verb, "repair") == 0)
        return argc == 4 ? repair(argv[2], argv[3]) : misused("repair needs a file and a folder");
    if (!is_stat && strcmp(verb, "dump") != 0)
        return misused(*verb ? "stat, verify, dump or repair" : "it needs a verb");
    for (int i = 2; i < argc; i++) {
        bool is_json = is_stat && strcmp(argv[i], "--json") == 0;
        json |= is_json;
        if (!is_json && (file || argv[i][0] == '-'))
            return misused("it needs one file");
        file = is_json ? file : argv[i];
    }
    if (!file)
        return misused("it needs one file");
    struct segment *segment = NULL;
    struct err err = {0};
    if (!segment_open(file, NULL, &segment, &err))
        return report(&err);
    int code = is_stat ? stat_segment(segment, json) : dump(segment);
    segment_put(&segment);
    return code;
}
