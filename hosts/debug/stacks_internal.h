/* SPDX-License-Identifier: MIT */
/* Stacks of allocations. A stack is kept once, by site and content; which block came from which is in a table apart from the
 * blocks, where an entry counts only while the block it names is still that one. So frees have nothing to do. */
#ifndef HM_DEBUG_STACKS_INTERNAL_H
#define HM_DEBUG_STACKS_INTERNAL_H

#include "finding_internal.h"
#include "leaks_internal.h"

#define DEBUG_FRAMES_MAX    64u
#define DEBUG_FRAMES_SAMPLE 16u /* where only sample= was given */
#define DEBUG_STACKS_MAX    65536u

typedef struct debug_stack {
    struct debug_stack *next; /* in its bucket; atomic */
    /* atomic: what this is the beginning of, as far as frame pointers go; NULL: itself */
    struct debug_stack *full;
    const debug_host *host; /* atomic; NULL: of a host that is gone, to be used again */
    uint64_t hash;
    uint64_t weight;       /* atomic: blocks, in 1/256 */
    uint64_t weight_bytes; /* atomic: likewise */
    uint64_t live_blocks;  /* of the last hm__debug_stacks_live, as the next */
    uint64_t live_bytes;
    uint32_t site;
    uint32_t number;
    uint32_t walkable; /* atomic: frame pointers say the same */
    uint32_t count;
    uintptr_t frames[]; /* innermost first */
} debug_stack;

/* As captured: there is room for what is above the caller, which is ours. */
#define DEBUG_FRAMES_OWN 8u
typedef struct debug_frames {
    uint32_t count;
    uintptr_t at[DEBUG_FRAMES_MAX + DEBUG_FRAMES_OWN];
} debug_frames;

/* stacks_capture.c: a fresh block, by the thread that made it; caller is the return address of the call. */
void hm__debug_stack_take(debug_malloc *m, const void *block, uintptr_t caller);

/* stacks.c: the one with these frames, NULL: there is none. */
debug_stack *
hm__debug_stack_find(const debug_host *host, uint32_t site, const debug_frames *f);
/* The same, made if need be; NULL: no memory, or more than are kept. */
debug_stack *
hm__debug_stack_intern(const debug_host *host, uint32_t site, const debug_frames *f);
/* Each stack of a host; a value other than 0 ends it. */
int hm__debug_stacks_visit(const debug_host *host,
                           int (*visit)(void *context, const debug_stack *stack),
                           void *context);
void hm__debug_stacks_forget(const debug_host *host);
/* Around fork. */
void hm__debug_stacks_hold(void);
void hm__debug_stacks_let_go(void);
void hm__debug_stacks_child(void);

/* stacks_report.c: what blocks of the host are live, by stack; under the host's report lock, until the next such call. */
void hm__debug_stacks_live(const debug_host *host);
/* "/lib/libx.so+0x1234", or the address alone. */
const char *hm__debug_frame_text(uintptr_t frame, char *text, size_t size);
/* Where most of what is live at the first sites of a sorted list came from. */
void hm__debug_put_stacks(debug_text *t,
                          int fd,
                          const debug_host *host,
                          const debug_list *list);
/* Sent to fd as room runs out; -1: cut. */
void hm__debug_put_frames(debug_text *t, int fd, const debug_stack *stack, uint32_t most);

/* stacks_blocks.c */
void hm__debug_stack_keep(const void *block, uint32_t serial, debug_stack *stack);
/* Of the block with those facts; NULL: not known. */
debug_stack *hm__debug_stack_of(const debug_facts *facts);
void hm__debug_stack_blocks_forget(const debug_host *host);
void hm__debug_stack_blocks_hold(void);
void hm__debug_stack_blocks_let_go(void);
void hm__debug_stack_blocks_child(void);
void hm__debug_stack_drop(void); /* one more that is not kept */
uint64_t hm__debug_stacks_dropped(void);

/* stacks_sample.c: Poisson sampling by bytes */
int hm__debug_sample_wants(debug_thread *me, uint64_t every, size_t bytes);
double
hm__debug_sample_weight(uint64_t every,
                        size_t bytes); /* blocks that one in the sample stands for */

#endif
