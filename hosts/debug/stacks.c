/* SPDX-License-Identifier: MIT */
/* Where an allocation was called from. Frame pointers are a few loads a frame, but who can say that all callers keep them? So a
 * stack is unwound by the system's means when it is new, and where frame pointers said the same then, they are believed when they
 * say it again. */
#include "stacks_internal.h"

#include "ledger_internal.h"
#include "os.h"
#include "os_unwind.h"

#include <string.h>

#define BUCKETS 16384u
#define START_MAX \
    2u /* frames of the system's, below main or a thread's function, that keep no frame pointers */
#define OWN_MAX 8u /* frames of this library above the caller's */

static debug_stack *buckets[BUCKETS]; /* atomic; changed under intern_lock */
static hm_lock intern_lock;           /* under it nobody is called but for memory */
static uint32_t stack_count;          /* guarded by intern_lock, as the next */
static uint32_t last_number;

typedef struct frames {
    uint32_t count;
    uintptr_t at[DEBUG_FRAMES_MAX + OWN_MAX];
} frames;

#if defined(__x86_64__) || defined(__aarch64__)
/* A frame is two words here: the caller's frame, and where it goes on. Only words between this frame and the end of the stack
   are read, and only upwards. */
static DEBUG_UNSYNCHRONISED __attribute__((no_sanitize("address"))) void
walk(const debug_thread *me, uint32_t most, frames *out)
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
static void walk(const debug_thread *me, uint32_t most, frames *out)
{
    (void)me;
    (void)most;
    out->count = 0;
}
#endif

/* What is above the caller is ours. 0: the caller is not there. */
static int trim(frames *f, uintptr_t caller, uint32_t most)
{
    for (uint32_t i = 0; i < f->count && i <= OWN_MAX; i++) {
        if (f->at[i] == caller) {
            f->count = f->count - i < most ? f->count - i : most;
            memmove(f->at, f->at + i, f->count * sizeof(f->at[0]));
            return 1;
        }
    }
    return 0;
}

static uint64_t hash_of(const debug_host *host, uint32_t site, const frames *f)
{
    uint64_t hash = (uintptr_t)host ^ site;
    for (uint32_t i = 0; i < f->count; i++) {
        hash = (hash ^ f->at[i]) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 29;
    }
    return hash;
}

static debug_stack *
find(const debug_host *host, uint32_t site, uint64_t hash, const frames *f)
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

/* NULL: no memory, or more than are kept. */
static debug_stack *intern(const debug_host *host, uint32_t site, const frames *f)
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

/* Frame pointers say what unwinding says, but for how the program or thread was started. */
static int is_same(const frames *walked, const frames *unwound)
{
    return walked->count <= unwound->count &&
           unwound->count - walked->count <= START_MAX &&
           memcmp(walked->at, unwound->at, walked->count * sizeof(walked->at[0])) == 0;
}

static debug_stack *
capture(debug_thread *me, const debug_host *host, uint32_t site, uintptr_t caller)
{
    frames walked, unwound;
    const uint32_t most = host->frames + OWN_MAX;
    walk(me, most, &walked);
    const int walkable = trim(&walked, caller, host->frames);
    if (walkable) {
        debug_stack *known = find(host, site, hash_of(host, site, &walked), &walked);
        if (known && __atomic_load_n(&known->walkable, __ATOMIC_ACQUIRE)) {
            debug_stack *full = __atomic_load_n(&known->full, __ATOMIC_ACQUIRE);
            return full ? full : known;
        }
    }
    unwound.count = (uint32_t)hm__os_unwind(unwound.at, most);
    if (!unwound.count && walkable) {
        return intern(host, site, &walked);
    }
    if (!trim(&unwound, caller, host->frames)) {
        unwound.at[0] = caller;
        unwound.count = 1;
    }
    debug_stack *stack = intern(host, site, &unwound);
    if (stack && walkable && is_same(&walked, &unwound)) {
        debug_stack *begun = intern(host, site, &walked);
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

static int clear_one(void *context, const debug_stack *stack)
{
    debug_stack *own = (debug_stack *)(uintptr_t)stack;
    (void)context;
    own->live_blocks = 0;
    own->live_bytes = 0;
    return 0;
}

static int count_one(void *context, void *block, unsigned state)
{
    const debug_host *host = context;
    debug_facts facts;
    hm__debug_facts_read(block, state, &facts);
    if (facts.intact && facts.owner && facts.owner->host == host) {
        debug_stack *stack = hm__debug_stack_of(&facts);
        if (stack && stack->host == host) {
            const double weight =
                hm__debug_sample_weight(host->sample_bytes, facts.bytes);
            stack->live_blocks += (uint64_t)(weight * 256);
            stack->live_bytes += (uint64_t)(weight * 256 * (double)facts.bytes);
        }
    }
    return 0;
}

static int scale_one(void *context, const debug_stack *stack)
{
    debug_stack *own = (debug_stack *)(uintptr_t)stack;
    (void)context;
    own->live_blocks = (own->live_blocks + 128) / 256;
    own->live_bytes = (own->live_bytes + 128) / 256;
    return 0;
}

void hm__debug_stacks_live(const debug_host *host)
{
    hm__debug_stacks_visit(host, clear_one, NULL);
    hm__debug_walk_begin();
    hm__block_map_walk(&hm__debug.map, DEBUG_LIVE_STATES, count_one,
                       (void *)(uintptr_t)host);
    hm__debug_walk_end();
    hm__debug_stacks_visit(host, scale_one, NULL);
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

const char *hm__debug_frame_text(uintptr_t frame, char *text, size_t size)
{
    char path[900];
    uint64_t offset = frame;
    debug_text t;
    hm__debug_text_start(&t);
    /* The call lies before the address it returns to, which may be another function's. */
    if (hm__os_code_place(frame - 1, path, sizeof(path), &offset)) {
        hm__debug_put(&t, path);
        hm__debug_put(&t, "+");
        offset++;
    }
    hm__debug_put_hex(&t, offset);
    const size_t length = t.length < size ? t.length : size - 1;
    memcpy(text, t.text, length);
    text[length] = '\0';
    return text;
}

void hm__debug_put_frames(debug_text *t, int fd, const debug_stack *stack, uint32_t most)
{
    char text[1000];
    for (uint32_t i = 0; i < stack->count && i < most; i++) {
        if (fd >= 0 && t->length > sizeof(t->text) - sizeof(text) - 32) {
            hm__debug_text_send(t, fd);
        }
        hm__debug_put(t, "      #");
        hm__debug_put_number(t, i);
        hm__debug_put(t, " ");
        hm__debug_put(t, hm__debug_frame_text(stack->frames[i], text, sizeof(text)));
        hm__debug_put(t, "\n");
    }
}
