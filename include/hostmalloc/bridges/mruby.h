/* SPDX-License-Identifier: MIT */
/**
 * @file mruby.h
 * @brief The bridge to mruby 1 to 3: an interpreter that takes all of its memory from a malloc.
 *
 *     mrb_state *mrb = hm_mruby_open(m);
 *     ... mrb_load_string(mrb, script) as ever, mrb_close(mrb) ...
 *
 * Scope of the hook: one interpreter; any number of them, each with its own malloc.
 * Window: creation. mruby 4 has no such hook any more.
 * What mruby does not tell: sizes at the free, and what a block is for: objects lie in pages of about 16 KB.
 *
 * The malloc stays the caller's and must outlive the interpreter. A refused allocation makes mruby collect
 * everything and ask once more; only then does the script see NoMemoryError.
 * Stable since 1.0.
 */
#ifndef HM_BRIDGES_MRUBY_H
#define HM_BRIDGES_MRUBY_H

#include <hostmalloc/malloc.h>

HM_BEGIN_DECLS

/** The hook without mruby's types: 0 bytes free, NULL allocates. @threads as the malloc's */
void *hm_mruby_realloc(hm_malloc *m, void *block, size_t size);

HM_END_DECLS

#ifndef HM_BRIDGE_PLAIN

#include <mruby.h>

static inline void *
hm__mruby_allocf(struct mrb_state *mrb, void *block, size_t size, void *m)
{
    (void)mrb; /* NULL for the first block, which is the state */
    return hm_mruby_realloc((hm_malloc *)m, block, size);
}

/** mrb_open_allocf() over @p m; NULL when there is no memory for it. @threads distinct */
static inline mrb_state *hm_mruby_open(hm_malloc *m)
{
    return mrb_open_allocf(hm__mruby_allocf, m);
}

#endif

#endif
