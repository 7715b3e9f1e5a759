/*
 * A gate: any number of readers are inside, or one who changes what is inside. Unlike a
 * readers-writer lock, readers may stay for long, since whoever must not wait tries, and comes back
 * later.
 *
 *     gate_enter / gate_leave     readers
 *     gate_try / gate_open        alone inside, or not at all
 *     gate_close / gate_open      alone inside, once all readers have left; new ones wait
 * meanwhile. Those who wait already go first, so that whoever closes it again and again lets
 * readers in between gate_peek / gate_leave      a reader for a moment, who does not wait for
 * somebody that only waits himself
 *
 * A thread that is inside may peek, and must not enter or close.
 */
#ifndef STORE_GATE_H
#define STORE_GATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned readers, waiting;
    unsigned entering; /* readers before the gate */
    uint64_t entered;  /* that had to wait there, and are in since */
    bool closed;       /* somebody is alone inside */
};

void gate_init(struct gate *gate);
void gate_fini(struct gate *gate);
void gate_enter(struct gate *gate);
void gate_peek(struct gate *gate);
void gate_leave(struct gate *gate);
bool gate_try(struct gate *gate);
void gate_close(struct gate *gate);
void gate_open(struct gate *gate);

#endif
