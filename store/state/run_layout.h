/*
 * The header of a run file and where its parts lie; docs/format/state.md.
 *
 * RUN_VERSION changes when an older program would read a newer file wrongly; older programs refuse
 * it then. Whoever changes a byte changes that page too.
 */
#ifndef STORE_STATE_RUN_LAYOUT_H
#define STORE_STATE_RUN_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "store/state/run.h"

#define RUN_MAGIC        "LRUN"
#define RUN_VERSION      1
#define RUN_HEADER_BYTES 4096
#define RUN_FENCE_BYTES  16

struct run_header {
    struct run_info info; /* name and bytes follow from the rest */
    struct hash128 id;
    uint64_t filter_lines;
    uint32_t fences_crc, filter_crc;
};

void run_header_put(uint8_t out[RUN_HEADER_BYTES], const struct run_header *header);
/* Checks magic, version, CRC and bounds. file is for errors. */
bool run_header_get(
    const uint8_t in[RUN_HEADER_BYTES], const char *file, struct run_header *out, struct err *err);
/* The name of the file with this id. */
void run_name(struct hash128 id, char out[RUN_NAME_MAX]);
uint64_t run_fences_at(const struct run_info *info);
uint64_t run_filter_at(const struct run_info *info);

#endif
