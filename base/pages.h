/*
 * Memory for large tables that are looked into anywhere: zeros, aligned to large pages and made of
 * them where the system has some, so that fewer looks miss the processor's cache of addresses. The
 * size is a promise: memory is taken as it is touched, so a table that grows may have room for its
 * largest form from the start.
 */
#ifndef BASE_PAGES_H
#define BASE_PAGES_H

#include <stddef.h>

/* Aborts when there is no room. size: not 0. */
void *pages_new(size_t size);
/* size: what pages_new was given. NULL is fine. */
void pages_free(void *pages, size_t size);

#endif
