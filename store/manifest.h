/*
 * The manifest: which segments exist, which checkpoint counts, and up to which LSN each time block
 * is sealed. A checksummed log of edits, each all or nothing; see docs/format/manifest.md.
 *
 *     CURRENT          the name of the manifest file
 *     manifest-000001  header | edit frame*         same framing as the WAL, the LSN counts edits
 *
 * A new file is written with the whole state, and CURRENT renamed to it, when the log has grown
 * past MANIFEST_BYTES_MAX, and at every open. Behind each further edit stands an empty one, so that
 * an acknowledged one is never the last: damage to it is no torn edit. One thread at a time may
 * edit.
 */
#ifndef STORE_MANIFEST_H
#define STORE_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/late_marks.h"
#include "store/nothing.h"
#include "store/segment.h"
#include "store/state/state_manifest.h"

#define MANIFEST_BYTES_MAX (4u << 20)

/* A segment that counts. Raw segments hold cells as they were committed; derived ones hold coarser
 * cells, made from the raw segments of the same time whose lsn is at most theirs: `inputs` is the
 * digest of their names (store/resolution.h), by which a reader knows whether it still holds. 0: it
 * is kept (store/keep.h), and holds whatever raw segments there are. */
struct manifest_segment {
    char name[SEGMENT_NAME_MAX];
    uint64_t lsn; /* the last transaction whose cells may be in it */
    bool derived;
    uint64_t inputs;
    bool unread; /* in memory only: it counts, and could not be read when the store was opened */
};

/* Cells of the block that came with a transaction up to lsn are in segments. */
struct manifest_sealed {
    int64_t block;
    uint64_t lsn;
};

/* The file of the catalogue, and how much of it counts. */
struct manifest_catalog {
    uint32_t number; /* 0: none */
    uint64_t bytes, metrics, series;
};

struct manifest {
    char dir[1024];
    struct manifest_segment *segments; /* by lsn, so in order of their commits where they overlap */
    size_t n_segments, segments_cap;
    struct manifest_segment *quarantined; /* damaged: set aside, the files are kept */
    size_t n_quarantined, quarantined_cap;
    struct manifest_sealed *sealed; /* by block */
    size_t n_sealed, sealed_cap;
    struct late_marks late;
    struct nothing_list nothing; /* derivations of which nothing came */
    struct manifest_runs runs;   /* of state tables */
    struct manifest_catalog catalog;
    uint64_t checkpoint_lsn; /* 0: none */
    uint64_t committed_lsn;  /* at least this transaction is on disk */
    int64_t block_ms;        /* fixed when the store is made */
    uint32_t number;
    uint64_t edits, bytes;
    int fd;
    bool failed;
};

/* One atomic change: segments go and come in one step. Fields that are zero change nothing. */
struct manifest_edit {
    const char *const *drops; /* names of segments, quarantined ones too; go before the adds come */
    size_t n_drops;
    const struct manifest_segment *adds;
    size_t n_adds;
    const struct nothing *nothing;
    size_t n_nothing;
    const char *quarantine; /* name of a segment that is set aside, perhaps one of the adds */
    const struct manifest_run_edit *runs;
    bool seal;
    struct manifest_sealed sealed;
    const struct late_mark *late; /* of blocks that have none */
    size_t n_late;
    const struct manifest_catalog *catalog;
    uint64_t checkpoint_lsn;
    uint64_t committed_lsn; /* the edit comes of this transaction, which was synced */
};

/* Whether the edit takes the segment away. */
bool manifest_edit_drops(const struct manifest_edit *edit, const char *name);

/* Reads the manifest of the folder; one that has none starts with block_ms. Writes nothing.
 * ERR_CORRUPT names file and place; a torn last edit was never acknowledged and is dropped.
 * ERR_INVALID: the folder was made with another block_ms (0 accepts any). */
bool manifest_open(const char *dir, int64_t block_ms, struct manifest *out, struct err *err);
/* Between open and begin: segment i is quarantined; the file that is begun says so. */
void manifest_set_aside(struct manifest *manifest, size_t i);
/* Begins a fresh file, once everything that the manifest names was found whole; edits need it. */
bool manifest_begin(struct manifest *manifest, struct err *err);
/* Whether edits can be made: it was begun, and has not failed. */
bool manifest_works(const struct manifest *manifest);
/* An edit may or may not be on disk, and no more can be made until the store is opened anew. */
bool manifest_failed(const struct manifest *manifest);
void manifest_close(struct manifest *manifest);
/* Durable when it returns true. After a failed sync every edit fails until the store is opened
 * anew. */
bool manifest_apply(struct manifest *manifest, const struct manifest_edit *edit, struct err *err);
/* Whether there is a segment of that name, quarantined ones too. */
bool manifest_names(const struct manifest *manifest, const char *name);
/* Whether this is the name of the manifest's own file. */
bool manifest_is(const struct manifest *manifest, const char *name);
/* 0: the block was never sealed. */
uint64_t manifest_sealed_lsn(const struct manifest *manifest, int64_t block);

#endif
