/* SPDX-License-Identifier: MIT */
/* The stacks that allocations came by, each kept once by site and content. Readers take no lock, and nothing leaves the chains. */
#include "stacks_internal.h"

#include <string.h>

#define BUCKETS 16384u

static debug_stack *buckets[BUCKETS]; /* atomic; changed under intern_lock */
static hm_lock intern_lock;           /* under it nobody is called but for memory */
static uint32_t stack_count;          /* guarded by intern_lock, as the next */
static uint32_t last_number;

static uint64_t hash_of(const debug_host *host, uint32_t site, const debug_frames *f)
{
    uint64_t hash = (uintptr_t)host ^ site;
    for (uint32_t i = 0; i < f->count; i++) {
        hash = (hash ^ f->at[i]) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 29;
    }
    return hash;
}

static debug_stack *
find(const debug_host *host, uint32_t site, uint64_t hash, const debug_frames *f)
{
    debug_stack *stack = __atomic_load_n(&buckets[hash % BUCKETS], __ATOMIC_ACQUIRE);
    while (stack &&
           (__atomic_load_n(&stack->host, __ATOMIC_ACQUIRE) != host ||
            stack->hash != hash || stack->site != site || stack->count != f->count ||
            memcmp(stack->frames, f->at, f->count * sizeof(f->at[0])) != 0)) {
        stack = __atomic_load_n(&stack->next, __ATOMIC_ACQUIRE);
    }
    return stack;
}

static size_t stack_bytes(uint32_t count)
{
    return sizeof(debug_stack) + count * sizeof(uintptr_t);
}

/* One that nobody has, in the chain of the hash: a gone host's, or a fresh one. Lock held. */
static debug_stack *make(uint64_t hash, uint32_t count)
{
    debug_stack *stack = buckets[hash % BUCKETS];
    while (stack && (stack->host || stack->count != count)) {
        stack = stack->next;
    }
    if (!stack && stack_count < DEBUG_STACKS_MAX &&
        (stack = hm__debug.core->memory_alloc(stack_bytes(count))) != NULL) {
        stack_count++;
        stack->count = count;
        stack->next = buckets[hash % BUCKETS];
        __atomic_store_n(&buckets[hash % BUCKETS], stack, __ATOMIC_RELEASE);
    }
    return stack;
}

debug_stack *
hm__debug_stack_find(const debug_host *host, uint32_t site, const debug_frames *f)
{
    return find(host, site, hash_of(host, site, f), f);
}

debug_stack *
hm__debug_stack_intern(const debug_host *host, uint32_t site, const debug_frames *f)
{
    const hm_core *core = hm__debug.core;
    const uint64_t hash = hash_of(host, site, f);
    debug_stack *stack = find(host, site, hash, f);
    if (stack) {
        return stack;
    }
    core->lock(&intern_lock);
    stack = find(host, site, hash, f);
    if (!stack) {
        stack = make(hash, f->count);
    }
    if (stack && !stack->host) {
        stack->hash = hash;
        stack->site = site;
        stack->number = ++last_number;
        stack->walkable = 0;
        stack->full = NULL;
        stack->weight = stack->weight_bytes = 0;
        memcpy(stack->frames, f->at, f->count * sizeof(f->at[0]));
        __atomic_store_n(&stack->host, host, __ATOMIC_RELEASE);
    }
    core->unlock(&intern_lock);
    return stack;
}

int hm__debug_stacks_visit(const debug_host *host,
                           int (*visit)(void *context, const debug_stack *stack),
                           void *context)
{
    int stop = 0;
    for (uint32_t i = 0; i < BUCKETS; i++) {
        const debug_stack *stack = __atomic_load_n(&buckets[i], __ATOMIC_ACQUIRE);
        for (; stack && !stop; stack = __atomic_load_n(&stack->next, __ATOMIC_ACQUIRE)) {
            const int own = __atomic_load_n(&stack->host, __ATOMIC_ACQUIRE) == host &&
                            !__atomic_load_n(&stack->full, __ATOMIC_ACQUIRE);
            stop = own ? visit(context, stack) : 0;
        }
    }
    return stop;
}

/* The host is going: none of its blocks is being made. Others may be on their way through the chains, so nothing leaves them. */
void hm__debug_stacks_forget(const debug_host *host)
{
    const hm_core *core = hm__debug.core;
    if (!host->frames) {
        return;
    }
    hm__debug_stack_blocks_forget(host);
    core->lock(&intern_lock);
    for (uint32_t i = 0; i < BUCKETS; i++) {
        for (debug_stack *stack = buckets[i]; stack; stack = stack->next) {
            if (stack->host == host) {
                __atomic_store_n(&stack->host, NULL, __ATOMIC_RELEASE);
            }
        }
    }
    core->unlock(&intern_lock);
}

/* A table that another thread is rebuilding would stay as it is at that moment, for ever. */
void hm__debug_stacks_hold(void)
{
    hm__debug.core->lock(&intern_lock);
    hm__debug_stack_blocks_hold();
}

void hm__debug_stacks_let_go(void)
{
    hm__debug_stack_blocks_let_go();
    hm__debug.core->unlock(&intern_lock);
}

void hm__debug_stacks_child(void)
{
    intern_lock.word = 0;
    hm__debug_stack_blocks_child();
}
