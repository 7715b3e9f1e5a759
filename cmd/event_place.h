/*
 * Where in an event's JSON the mistake is: for messages only, so the common event pays nothing.
 */
#ifndef CMD_EVENT_PLACE_H
#define CMD_EVENT_PLACE_H

#include <stddef.h>

#include "base/slice.h"

/* The column, from 1, at which the text stops being one JSON object, or gets too many levels; 0: it
 * is one. Of a token that is none the column is its last. */
size_t event_place_malformed(struct slice json);

/* The column of the last member of the object with this name; 0: there is none that is spelled so.
 * Of a text that is no JSON the answer is a column of it all the same, or 0. */
size_t event_place_field(struct slice json, struct slice name);

#endif
