/*
 * Small allocations abort when memory is out: their size does not come from input. Sizes that do
 * come from input are checked against a bound first, or taken from an arena with a limit.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *ptr, size_t size);
/* n elements of size bytes; aborts when the product overflows. */
void *xreallocarray(void *ptr, size_t n, size_t size);
char *xstrdup(const char *text);
/* A NUL-terminated copy of len bytes. */
char *xstrndup(const char *ptr, size_t len);

/* Grows the heap array *ptr of *cap elements so that at least need fit; capacity doubles. */
void grow_array(void *ptr_to_array, size_t *cap, size_t need, size_t elem_size);
/* GROW(array, cap, need): array is a pointer variable, cap a size_t variable. */
#define GROW(array, cap, need) grow_array(&(array), &(cap), (need), sizeof *(array))

#endif
