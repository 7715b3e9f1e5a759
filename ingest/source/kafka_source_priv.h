/*
 * The inside of a kafka_source, for the files that make it up: topics.c knows which topics and
 * partitions there are, discovery.c asks the broker for them and for where logs begin and end,
 * assignment.c tells librdkafka what to fetch, broker_view.c hears how far it is, hints.c tells the
 * broker how far we are, and kafka_source.c takes in records. All of it is used by one thread,
 * callbacks of librdkafka included, but the logger.
 */
#ifndef INGEST_KAFKA_SOURCE_PRIV_H
#define INGEST_KAFKA_SOURCE_PRIV_H

#include <librdkafka/rdkafka.h>

#include "ingest/kafka_source.h"
#include "ingest/source/lanes.h"
#include "ingest/stream_topics.h"

#define POLL_MAX 2000
/* One that does not read again and again is broken where it lies, and not on the way. */
#define BROKEN_MAX 5
/* Of all topics together, without those that are given up; what is over is not read, and said. */
#define PARTITIONS_MAX 4096
/* Partition numbers above this come from a broken answer. */
#define PARTITION_NUMBER_MAX 100000

struct topic {
    char *name;
    size_t stream;
    struct partition **partitions; /* by number; NULL: not seen, or of another shard */
    size_t n, cap;
    int32_t count;     /* partitions that the broker has named; 0: none yet */
    bool by_pattern;   /* no stream names it: a pattern does */
    bool listed;       /* a broker has told its partitions in this run */
    bool read_before;  /* an earlier run has read it */
    bool came_later;   /* it was not there when it was looked for first */
    bool barred;       /* not to be read: a sharded lifecycle needs equal partition counts */
    char trouble[256]; /* why it cannot be read now; "" when it can */
};

struct kafka_source {
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    rd_kafka_queue_t *hints; /* what becomes of the positions that are told; NULL: none yet */
    bool hinting;            /* they are under way */
    char hint_trouble[256];
    const struct streams *streams;
    struct shard shard;
    struct topic *topics;
    size_t n_topics, topics_cap;
    struct stream_topics *names;
    bool has_patterns;
    bool *stream_read_before; /* by stream: an earlier run has read one of its topics */
    struct partition **partitions;
    size_t n_partitions, partitions_cap;
    struct lanes *lanes;
    size_t lanes_bytes_max;
    rd_kafka_message_t *held[POLL_MAX]; /* of the last poll */
    size_t n_held;
    const rd_kafka_topic_t *last_rkt; /* messages come in runs */
    struct partition *last;
    bool connected, looked; /* the topics of patterns have been looked for */
    bool crowded;           /* there are more than PARTITIONS_MAX partitions */
    bool changed;           /* what is to be fetched */
    bool restless;          /* something waits for the next look at the topics */
    int64_t now_ms;
    char trouble[512], parked_why[ERR_TEXT_MAX + 512], shard_trouble[512],
        told[PARTITION_NAME_MAX + PARTITION_CAUSE_MAX + 64];
};

/* ---- topics.c ---- */

void topics_init(struct kafka_source *s);
void topics_fini(struct kafka_source *s);
struct topic *topic_named(const struct kafka_source *s, const char *name);
/* The topic that a pattern wants, made when it is not known; NULL: none wants it. */
struct topic *topic_matched(struct kafka_source *s, const char *name);
struct partition *topic_partition(const struct topic *topic, int64_t id);
/* True: it is new. */
bool topic_add_partition(struct kafka_source *s, struct topic *topic, int32_t id, int64_t now_ms,
    partition_found_f *found, void *ctx);
/* Says what is new. */
void topic_trouble(struct topic *topic, const char *text);

/* ---- assignment.c ---- */

/* Makes librdkafka fetch what is to be fetched, and nothing else. */
void assignment_sync(struct kafka_source *s);
/* It was not fetched rightly: what has come of it is good, and it is begun again at a look, when
 * all of that is taken. */
void partition_rest(struct kafka_source *s, struct partition *p, const char *why);
/* Fetched anew from its last record on, which is compared, at once. */
void partition_begin_anew(struct kafka_source *s, struct partition *p);
/* It stays as it is until somebody decides. */
void partition_halt(struct kafka_source *s, struct partition *p, enum halt why, const char *fmt,
    ...) __attribute__((format(printf, 4, 5)));
bool partition_is_gone(const struct partition *p);
/* What may be done about one that is halted: a constant. */
const char *partition_advice(const struct kafka_source *s, const struct partition *p);
/* Where it was moved to by the broker's or the operator's word; nothing is to be compared. */
void partition_move(struct kafka_source *s, struct partition *p, int64_t next);
/* What has come of it and was not taken goes; when it is read on, it is fetched again. */
void partition_drop(struct kafka_source *s, struct partition *p);

/* ---- discovery.c ---- */

/* The first offset that is there, and the one that comes next. False: not to be had now. */
bool log_range(struct kafka_source *s, const struct partition *p, int wait_ms, int64_t *low,
    int64_t *high, struct err *err);
/* The first offset whose record is not older than the time, or the end. */
bool log_offset_at(struct kafka_source *s, const struct partition *p, int64_t time_ms, int wait_ms,
    int64_t *offset, struct err *err);

/* ---- broker_view.c ---- */

void broker_view_hear(struct kafka_source *s, const char *text, size_t len);
/* A broker has answered. */
void broker_view_answered(struct kafka_source *s);

#endif
