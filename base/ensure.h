/*
 * Programmers' mistakes. ensure() stays on in release builds: a broken invariant stops the program
 * before it can write something wrong. What comes from outside (files, peers, users) is never an
 * ensure(): it is a struct err, see err.h.
 */
#ifndef BASE_ENSURE_H
#define BASE_ENSURE_H

/* Prints place and text to standard error and aborts. */
_Noreturn void ensure_failed(const char *file, int line, const char *func, const char *what);

#define ensure(cond)     ((cond) ? (void)0 : ensure_failed(__FILE__, __LINE__, __func__, #cond))
#define unreachable(why) ensure_failed(__FILE__, __LINE__, __func__, "unreachable: " why)

#endif
