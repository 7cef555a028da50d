/* SPDX-License-Identifier: MIT */
/* Where an allocation was called from. Frame pointers are a few loads a frame, but who can say that all callers keep them? So a
 * stack is unwound by the system's means when it is new, and where frame pointers said the same then, they are believed when they
 * say it again. */
#include "stacks_internal.h"

#include "ledger_internal.h"
#include "os.h"
#include "os_unwind.h"

#include <string.h>

#define START_MAX \
    2u /* frames of the system's, below main or a thread's function, that keep no frame pointers */

#if defined(__x86_64__) || defined(__aarch64__)
/* A frame is two words here: the caller's frame, and where it goes on. Only words between this frame and the end of the stack
   are read, and only upwards. */
static DEBUG_UNSYNCHRONISED __attribute__((no_sanitize("address"))) void
walk(const debug_thread *me, uint32_t most, debug_frames *out)
{
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    out->count = 0;
    while (out->count < most && !(frame & 7) && frame + 16 <= me->stack_high) {
        const uintptr_t *words = (const uintptr_t *)frame;
        if (words[1] < 4096) {
            return;
        }
        out->at[out->count++] = words[1];
        if (words[0] <= frame) {
            return;
        }
        frame = words[0];
    }
}
#else
static void walk(const debug_thread *me, uint32_t most, debug_frames *out)
{
    (void)me;
    (void)most;
    out->count = 0;
}
#endif

/* What is above the caller is ours. 0: the caller is not there. */
static int trim(debug_frames *f, uintptr_t caller, uint32_t most)
{
    for (uint32_t i = 0; i < f->count && i <= DEBUG_FRAMES_OWN; i++) {
        if (f->at[i] == caller) {
            f->count = f->count - i < most ? f->count - i : most;
            memmove(f->at, f->at + i, f->count * sizeof(f->at[0]));
            return 1;
        }
    }
    return 0;
}

/* Frame pointers say what unwinding says, but for how the program or thread was started. */
static int is_same(const debug_frames *walked, const debug_frames *unwound)
{
    return walked->count <= unwound->count &&
           unwound->count - walked->count <= START_MAX &&
           memcmp(walked->at, unwound->at, walked->count * sizeof(walked->at[0])) == 0;
}

static debug_stack *
capture(debug_thread *me, const debug_host *host, uint32_t site, uintptr_t caller)
{
    debug_frames walked, unwound;
    const uint32_t most = host->frames + DEBUG_FRAMES_OWN;
    walk(me, most, &walked);
    const int walkable = trim(&walked, caller, host->frames);
    if (walkable) {
        debug_stack *known = hm__debug_stack_find(host, site, &walked);
        if (known && __atomic_load_n(&known->walkable, __ATOMIC_ACQUIRE)) {
            debug_stack *full = __atomic_load_n(&known->full, __ATOMIC_ACQUIRE);
            return full ? full : known;
        }
    }
    unwound.count = (uint32_t)hm__os_unwind(unwound.at, most);
    if (!unwound.count && walkable) {
        return hm__debug_stack_intern(host, site, &walked);
    }
    if (!trim(&unwound, caller, host->frames)) {
        unwound.at[0] = caller;
        unwound.count = 1;
    }
    debug_stack *stack = hm__debug_stack_intern(host, site, &unwound);
    if (stack && walkable && is_same(&walked, &unwound)) {
        debug_stack *begun = hm__debug_stack_intern(host, site, &walked);
        if (begun && begun != stack && !DEBUG_GET(begun->weight)) {
            __atomic_store_n(&begun->full, stack, __ATOMIC_RELEASE);
        }
        if (begun) {
            __atomic_store_n(&begun->walkable, 1, __ATOMIC_RELEASE);
        }
    }
    return stack;
}

/* Unwinding and the limits of a stack may allocate, and those may be watched allocations: they go without. */
void hm__debug_stack_take(debug_malloc *m, const void *block, uintptr_t caller)
{
    const debug_host *host = m->host;
    debug_thread *me = hm__debug_attach();
    debug_facts facts;
    if (!me || me->in_stack) {
        return;
    }
    hm__debug_facts_read(block, DEBUG_LIVE, &facts);
    if (!facts.intact || (host->sample_bytes &&
                          !hm__debug_sample_wants(me, host->sample_bytes, facts.bytes))) {
        return;
    }
    me->in_stack = 1;
    uintptr_t low;
    if (!me->stack_high && !hm__os_stack_bounds(&low, &me->stack_high)) {
        me->stack_high = 1; /* not known: frame pointers are not followed */
    }
    debug_stack *stack = capture(me, host, facts.site_id, caller);
    if (stack) {
        const double weight = hm__debug_sample_weight(host->sample_bytes, facts.bytes);
        __atomic_add_fetch(&stack->weight, (uint64_t)(weight * 256), __ATOMIC_RELAXED);
        __atomic_add_fetch(&stack->weight_bytes,
                           (uint64_t)(weight * 256 * (double)facts.bytes),
                           __ATOMIC_RELAXED);
        hm__debug_stack_keep(block, facts.serial, stack);
    } else {
        hm__debug_stack_drop();
    }
    me->in_stack = 0;
}
