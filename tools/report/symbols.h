/* SPDX-License-Identifier: MIT */
/* Functions and lines for places that are only known as "/usr/lib/libfoo.so.1+0x1234". */
#ifndef HM_TOOLS_SYMBOLS_H
#define HM_TOOLS_SYMBOLS_H

#include "snapshot.h"

/* Says in each such site what the file it names tells today: file and line where it has debug information, or somebody
   installed that beside it; else libfoo.so.1+0x1234 with the function. Sites that come to say the same become one. */
void snapshot_symbolize(snapshot *s);

/* symbols_dw.c, or symbols_none.c where there is no libdw. */
typedef struct symbol {
    char *file;     /* NULL: no line known; this and function are the caller's to free */
    char *function; /* NULL: not known */
    uint64_t line;
} symbol;
void symbol_find(const char *module, uint64_t offset, symbol *out);
void symbol_done(void);

#endif
