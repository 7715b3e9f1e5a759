/*
 * The ops of a compiled program: made by avro_program.c, run by avro_decode.c. Nobody else includes
 * it.
 *
 * A routine is a run of ops that ends with OP_RETURN. What is nested (records, items, branches of
 * unions) are routines, so that a recursive schema is a routine that calls itself.
 */
#ifndef INGEST_AVRO_OPS_H
#define INGEST_AVRO_OPS_H

#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "ingest/avro/avro_program.h"

enum avro_code {
    OP_RETURN,
    OP_REFUSE,  /* the reader has no place for what comes */
    OP_CALL,    /* a: the routine */
    OP_BLOCKS,  /* a: the routine of an item; b: 1 when a key is before each */
    OP_UNION,   /* a: the first of b entries of `branches` */
    OP_DEFAULT, /* a: the routine, run over constant b */
    OP_MARK,    /* what comes is there, and no value of the field */
    /* What is on the wire; `take` says what becomes of it. */
    OP_NULL,
    OP_BOOLEAN,
    OP_INT,
    OP_LONG,
    OP_FLOAT,
    OP_DOUBLE,
    OP_BYTES, /* and strings */
    OP_FIXED, /* a: bytes */
    OP_ENUM,  /* a: the first of b entries of `symbols` */
};

enum avro_take {
    TAKE_NOTHING,
    TAKE_BOOLEAN,
    TAKE_INTEGER,
    TAKE_DAYS,
    TAKE_MICROS,
    TAKE_NANOS,
    TAKE_FLOAT, /* an int or long that the reader knows as a float */
    TAKE_DOUBLE,
    TAKE_TEXT,
    TAKE_BYTES, /* a text, when they are one */
    TAKE_TIME_TEXT,
    TAKE_DECIMAL, /* b: its scale */
    TAKE_UUID,
};

struct avro_op {
    uint8_t code, take, field;
    uint32_t a, b;
};

/* symbols[i].ptr NULL: the reader does not know it. */
struct avro_program {
    const struct event_rules *rules;
    struct arena arena; /* symbols and constants */
    struct avro_op *ops;
    uint32_t *branches; /* routines */
    struct slice *symbols, *constants;
    size_t n_ops, ops_cap, n_branches, branches_cap, n_symbols, symbols_cap, n_constants,
        constants_cap;
    uint32_t start;
};

#endif
