/*
 * The labels of a segment while it is written: strings are kept once, a series is a list of small
 * numbers, and at the end three sections come out of it: one column of dictionary codes per label
 * name, the dictionaries, and the posting lists.
 *
 *     column page    name u32 | first u32 | n u32 | codec u8 | zero 3 | stream of n codes
 *     postings page  name u32 | first u32 | n u32 | offset u32 per list | list*
 *
 * name is the rank of the label name. A column is cut every COLUMN_GROUP ordinals; a group in which
 * no series has the label is left out. Postings: list i is that of the value with rank first + i;
 * offsets count from the page's first raw byte. Pages are in order of name, then first. The
 * metric's name has a dictionary, but neither column nor lists: the table of metrics says it all.
 */
#ifndef STORE_SEGMENT_LABEL_INDEX_H
#define STORE_SEGMENT_LABEL_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/map.h"
#include "store/labels.h"
#include "store/segment/section.h"

#define COLUMN_GROUP 8192
/* Up to so many series a column is read as fast as its posting lists, so there are none. */
#define POSTINGS_SERIES_MIN 65536

struct label_pair {
    uint32_t name;
    struct slice value;
};

struct label_index {
    struct arena strings;
    struct map name_map, pair_map;
    struct slice *names;
    struct label_pair *pairs;
    uint32_t *labels;  /* pairs of all series, one series behind the other */
    size_t *label_end; /* where each series ends in labels */
    size_t n_names, names_cap, n_pairs, pairs_cap, n_labels, labels_cap, n_series, series_cap;
};

void label_index_init(struct label_index *index);
void label_index_fini(struct label_index *index);
/* The next series. ERR_INVALID: labels are not sorted, or there are none; ERR_LIMIT: they break a
 * bound of store/labels.h. */
bool label_index_add(struct label_index *index, struct labels labels, struct err *err);
/* The labels of the series added last, of which there is one (ensured). */
struct labels label_index_last(const struct label_index *index, struct label out[LABELS_MAX]);
/* Appends all pages; the series section gets its columns. */
void label_index_put(struct label_index *index, struct section_buf *series,
    struct section_buf *dict, struct section_buf *postings);

#endif
