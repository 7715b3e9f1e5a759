#include "ingest/rollup_text.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/mem.h"

/* ---- text ---- */

static void write_scalar(struct slice text, struct buf *out)
{
    buf_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < ' ' || c == 0x7f)
            buf_printf(out, "\\x%02x", c);
        else
            buf_char(out, (char)c);
    }
    buf_char(out, '"');
}

struct pair {
    const struct yaml_node *key, *value;
};

static int compare_pairs(const void *a, const void *b)
{
    return slice_cmp(((const struct pair *)a)->key->text, ((const struct pair *)b)->key->text);
}

/* The pairs of a mapping in order of key, on the heap. */
static struct pair *sorted_pairs(const struct yaml_node *node)
{
    struct pair *pairs = xcalloc(node->n + 1, sizeof *pairs);
    for (size_t i = 0; i < node->n; i++)
        pairs[i] = (struct pair){node->keys[i], node->values[i]};
    qsort(pairs, node->n, sizeof *pairs, compare_pairs);
    return pairs;
}

/* Depth is bounded by the parser. */
void rollup_text_write(const struct yaml_node *node, struct buf *out)
{
    if (node->type == YAML_SCALAR) {
        write_scalar(node->text, out);
    } else if (node->type == YAML_SEQUENCE) {
        for (size_t i = 0; i < node->n; i++) {
            buf_str(out, i ? ", " : "[");
            rollup_text_write(node->values[i], out);
        }
        buf_str(out, node->n ? "]" : "[]");
    } else {
        struct pair *pairs = sorted_pairs(node);
        for (size_t i = 0; i < node->n; i++) {
            buf_str(out, i ? ", " : "{");
            write_scalar(pairs[i].key->text, out);
            buf_str(out, ": ");
            rollup_text_write(pairs[i].value, out);
        }
        buf_str(out, node->n ? "}" : "{}");
        free(pairs);
    }
}

/* ---- meaning ---- */

/* What does not decide which cells there are, or is hashed in another form. */
static bool is_apart(struct slice key)
{
    static const char *const apart[] = {
        "help", "unit", "stale_after", "every", "schema", "reduce", "kind", "by"};
    for (size_t i = 0; i < sizeof apart / sizeof *apart; i++)
        if (slice_is(key, apart[i]))
            return true;
    return false;
}

struct label_text {
    struct slice name, value;
};

static int compare_labels(const void *a, const void *b)
{
    return slice_cmp(((const struct label_text *)a)->name, ((const struct label_text *)b)->name);
}

static void add_labels(const struct yaml_node *by, struct buf *out)
{
    struct label_text labels[ROLLUP_LABELS_MAX];
    size_t n = 0;
    for (size_t i = 0; by && i < by->n; i++) {
        const struct yaml_node *item = by->values[i];
        bool named = item->type == YAML_MAPPING;
        for (size_t k = 0; k < (named ? item->n : 1) && n < ROLLUP_LABELS_MAX; k++)
            labels[n++] = named ? (struct label_text){item->keys[k]->text, item->values[k]->text}
                                : (struct label_text){item->text, item->text};
    }
    qsort(labels, n, sizeof *labels, compare_labels);
    for (size_t i = 0; i < n; i++) {
        buf_lstr(out, labels[i].name);
        buf_lstr(out, labels[i].value);
    }
}

struct hash128 rollup_meaning(const struct yaml_node *node, const struct rollup *rollup)
{
    struct buf text;
    struct pair *pairs = sorted_pairs(node);
    buf_init(&text, 0);
    for (size_t i = 0; i < node->n; i++)
        if (!is_apart(pairs[i].key->text)) {
            buf_lstr(&text, pairs[i].key->text);
            rollup_text_write(pairs[i].value, &text);
        }
    buf_varint(&text, rollup->def.kind);
    buf_svarint(&text, rollup->def.every_ms);
    buf_svarint(&text, rollup->def.kind == KIND_HISTOGRAM ? rollup->def.schema : 0);
    add_labels(yaml_get(node, "by"), &text);
    struct hash128 hash = hash128(text.ptr, text.len);
    free(pairs);
    buf_fini(&text);
    return hash;
}
