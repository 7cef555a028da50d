/* SPDX-License-Identifier: MIT */
/* A mistake the host saw: what is known of the block, where it happened, and one report of it. */
#ifndef HM_DEBUG_FINDING_INTERNAL_H
#define HM_DEBUG_FINDING_INTERNAL_H

#include "debug_internal.h"
#include "text_internal.h"

/* What header and epitaph of a block say. Figures are 0 where the header was overwritten (intact 0). */
typedef struct debug_facts {
    const void *block; /* NULL: nothing is known */
    unsigned state;    /* DEBUG_* */
    int intact;
    size_t bytes;
    const hm_site *site;
    uint32_t site_id;
    uint32_t thread;
    uint32_t serial;
    uint32_t mark;             /* the last checkpoint before it was made */
    uint32_t number;           /* of the owner */
    const debug_malloc *owner; /* NULL when it is no more */
    int freed_known;
    const hm_site *freed_site;
    uint32_t freed_thread;
} debug_facts;

typedef struct debug_place {
    const char *label; /* "freed again"; NULL: no such place */
    const hm_site *site;
    uint32_t thread;
} debug_place;

typedef struct debug_finding {
    hm_status status;
    const char *
        what; /* "double free"; a literal: findings of one kind are told by its address */
    const char *hint; /* NULL: none */
    debug_malloc *m;
    const void *pointer; /* as given; printed when it is not facts.block */
    debug_facts facts;
    void (*detail)(debug_text *t, const struct debug_finding *f); /* NULL: none */
    size_t figures[2];                                            /* what detail needs */
    const char *text;
    debug_place before; /* of another thread, for overlaps */
    debug_place here;
    debug_facts culprit; /* the block before, for overwritten headers */
    uint64_t
        times; /* of its kind at these places; 0: not known. Set by hm__debug_found */
} debug_finding;

/* Who acts, for words. */
#define DEBUG_ACT_FREE    0u
#define DEBUG_ACT_REALLOC 1u

/* finding.c: print it, or count it when its like was printed before. */
void hm__debug_found(debug_finding *f);
void hm__debug_put_label(debug_text *t, const char *label);
void hm__debug_put_block(debug_text *t, const char *label, const debug_facts *facts);
debug_place hm__debug_place_here(const char *label, hm_site *site);

/* verdict.c. Around facts the block must not go away: hm__debug_walk_begin. */
void hm__debug_facts_read(const void *block, unsigned state, debug_facts *facts);
/* Of the block that an address lies in, its guard included; 0: in none. */
int hm__debug_facts_around(const void *address, debug_facts *facts);
void hm__debug_facts_fields(const void *block, debug_facts *facts); /* seal or no seal */
/* What is wrong with a pointer that is no live block of any malloc; reported. Never HM_OK. */
hm_status hm__debug_judge_pointer(debug_malloc *m,
                                  const void *pointer,
                                  unsigned act,
                                  hm_site *site);
/* A live block of another malloc. */
hm_status
hm__debug_judge_owner(debug_malloc *m, const void *block, unsigned act, hm_site *site);
/* A size or alignment that is not the block's. */
hm_status hm__debug_judge_size(debug_malloc *m,
                               const void *block,
                               size_t size,
                               size_t alignment,
                               unsigned act,
                               hm_site *site);
/* No page of any system is larger: who asks for more says something else than he means. */
#define DEBUG_ALIGNMENT_MAX ((size_t)1 << 30)
static inline int hm__debug_is_alignment(size_t alignment)
{
    return alignment && !(alignment & (alignment - 1)) &&
           alignment <= DEBUG_ALIGNMENT_MAX;
}
void hm__debug_found_alignment(debug_malloc *m, size_t alignment, hm_site *site);
void hm__debug_found_overlap(debug_malloc *m,
                             uint32_t other_thread,
                             const hm_site *other_site,
                             hm_site *site);
void hm__debug_found_released(debug_malloc *m, const char *what, hm_site *site);

/* damage.c */
#define DEBUG_ACT_CHECK 2u
int hm__debug_is_damaged(
    const void *block); /* 1: header or rear guard is not as it was */
/* As much as can be known; intact: size, site and thread are. */
void hm__debug_damage_facts(debug_malloc *m, const void *block, debug_facts *facts);
void hm__debug_judge_damage(debug_malloc *m,
                            const void *block,
                            unsigned act,
                            hm_site *site);
/* Of the nearest block that starts at or below an address, when its end is no further than 1 MiB; else block is NULL. As with
   hm__debug_facts_read. */
void hm__debug_facts_before(const void *address, debug_facts *facts);
/* What is said of a guard that was expected and the word found in its place. */
void hm__debug_overrun(debug_finding *f, uint64_t expected, uint64_t found);
void hm__debug_found_stale_write(debug_malloc *m, const void *block);

/* leaks.c */
/* 0, or the error that kept some of it from being written. */
int hm__debug_report_live(debug_host *host, int fd, const debug_malloc *only);
void hm__debug_report_closing(debug_host *host);
void hm__debug_report_unreleased(debug_malloc *m, uint64_t blocks, uint64_t bytes);

#endif
