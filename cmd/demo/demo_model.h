/*
 * The demo's business as a stream of events: deterministic, time is simulated. The same options
 * give the same events, in the same order of arrival.
 *
 * What customers do (orders, payments, reviews, sales) follows the markets' rhythm and makes about
 * a fifteenth of the live rate, before live_ms and after it alike, so that no metric of the
 * business has a step there. Sensors (couriers' positions, temperatures, levels) make up the rest
 * of the rate, which is a tenth before live_ms: that history has been thinned.
 *
 * One thread uses a model.
 */
#ifndef CMD_DEMO_MODEL_H
#define CMD_DEMO_MODEL_H

#include <stdint.h>

#include "cmd/demo/demo_event.h"

#define DEMO_RATE_MIN 10
#define DEMO_RATE_MAX 100000

struct demo_model;

struct demo_model_options {
    uint64_t seed;
    double rate;      /* events per second from live_ms on; a tenth of it before. MIN..MAX */
    int64_t start_ms; /* the first event arrives then */
    int64_t live_ms;
};

struct demo_model *demo_model_new(const struct demo_model_options *options);
void demo_model_free(struct demo_model **model);

/* The next event, by arrival. There is always one. */
void demo_model_next(struct demo_model *model, struct demo_event *out);
/* The arrival of the event that demo_model_next gives next. */
int64_t demo_model_peek_ms(struct demo_model *model);
/* All sound events with an event time up to this one have been given out. Walks over what is under
 * way: some thousand events at the usual rate. */
int64_t demo_model_complete_ms(const struct demo_model *model);

/* Names of the model's things, as the events carry them. size at least 32. */
void demo_store_name(const struct demo_event *event, char *out, int size);
void demo_fridge_name(int market, int fridge, char *out, int size);
void demo_courier_name(const struct demo_event *event, char *out, int size);

#endif
