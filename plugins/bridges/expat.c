/* SPDX-License-Identifier: MIT */
/* The expat bridge: its functions have no user data, so there is a set of them for each malloc in use. */
#define HM_BRIDGE_PLAIN
#include <hostmalloc/bridges/expat.h>

#include <hostmalloc/module.h>

/* Of the locks that are held while others are called; before the core's. */
#define FORK_RANK 70

typedef struct slot {
    hm_malloc *m;     /* atomic for the functions; guarded by lock */
    uint32_t parsers; /* guarded by lock */
} slot;

static slot slots[HM_EXPAT_PARSERS];
static hm_lock
    lock; /* under it a malloc is retained, so it comes before those of hosts */
static uint32_t fork_safe; /* atomic: hooks are added */
static hm_site block_site = {"expat:block", NULL, 0, 0};

/* A parser lives while its functions are called, so the malloc is there. */
static hm_malloc *malloc_of(unsigned at)
{
    return __atomic_load_n(&slots[at].m, __ATOMIC_ACQUIRE);
}

static void *take(unsigned at, size_t size)
{
    return hm_alloc_at(malloc_of(at), size, HM_LEVEL_CURRENT, &block_site);
}

static void give_back(unsigned at, void *block)
{
    hm_free_at(malloc_of(at), block, HM_SIZE_UNKNOWN, 0, &block_site);
}

static void *resize(unsigned at, void *block, size_t size)
{
    return block ? hm_realloc_at(malloc_of(at), block, HM_SIZE_UNKNOWN, size,
                                 HM_LEVEL_CURRENT, NULL)
                 : take(at, size);
}

#define SUITE(n)                                      \
    static void *take_##n(size_t size)                \
    {                                                 \
        return take(n, size);                         \
    }                                                 \
    static void *resize_##n(void *block, size_t size) \
    {                                                 \
        return resize(n, block, size);                \
    }                                                 \
    static void give_back_##n(void *block)            \
    {                                                 \
        give_back(n, block);                          \
    }

SUITE(0)
SUITE(1)
SUITE(2)
SUITE(3)
SUITE(4)
SUITE(5)
SUITE(6)
SUITE(7)

#define ROW(n)                              \
    {                                       \
        take_##n, resize_##n, give_back_##n \
    }

static const hm_expat_suite suites[HM_EXPAT_PARSERS] = {ROW(0), ROW(1), ROW(2), ROW(3),
                                                        ROW(4), ROW(5), ROW(6), ROW(7)};

static void fork_lock(void *context)
{
    (void)context;
    hm_core_table()->lock(&lock);
}

static void fork_unlock(void *context)
{
    (void)context;
    hm_core_table()->unlock(&lock);
}

static hm_fork_hooks hooks = {.size = sizeof(hm_fork_hooks),
                              .rank = FORK_RANK,
                              .prepare = fork_lock,
                              .parent = fork_unlock,
                              .child = fork_unlock};

static void lock_slots(void)
{
    const hm_core *const core = hm_core_table();
    if (!__atomic_load_n(&fork_safe, __ATOMIC_ACQUIRE)) {
        core->at_fork(&hooks); /* twice is once */
        __atomic_store_n(&fork_safe, 1, __ATOMIC_RELEASE);
    }
    core->lock(&lock);
}

/* With the lock held: the slot of m, else a free one, else NULL. */
static slot *find_slot(const hm_malloc *m)
{
    slot *empty = NULL;
    for (unsigned i = 0; i < HM_EXPAT_PARSERS; i++) {
        if (slots[i].m == m) {
            return &slots[i];
        }
        if (!slots[i].m && !empty) {
            empty = &slots[i];
        }
    }
    return empty;
}

hm_status hm_expat_take(hm_malloc *m, const hm_expat_suite **out, hm_error *err)
{
    *out = NULL;
    const hm_status valid = hm_malloc_validate(m, err);
    if (valid != HM_OK) {
        return valid;
    }
    lock_slots();
    slot *const at = find_slot(m);
    if (at) {
        hm_malloc_retain(m);
        at->parsers++;
        __atomic_store_n(&at->m, m, __ATOMIC_RELEASE);
        *out = &suites[at - slots];
    }
    hm_core_table()->unlock(&lock);
    return at ? HM_OK
              : hm_error_set(err, HM_E_NOMEM, "bridge:expat",
                             "parsers are over %u other mallocs, and there are no more "
                             "functions",
                             HM_EXPAT_PARSERS);
}

/* Which of ours; HM_EXPAT_PARSERS for NULL and somebody else's. */
static unsigned place_of(const hm_expat_suite *suite)
{
    unsigned at = 0;
    while (at < HM_EXPAT_PARSERS && suite != &suites[at]) {
        at++;
    }
    return at;
}

void hm_expat_give_back(const hm_expat_suite *suite)
{
    const unsigned place = place_of(suite);
    hm_malloc *m = NULL;
    if (place == HM_EXPAT_PARSERS) {
        return;
    }
    lock_slots();
    slot *const at = &slots[place];
    if (at->parsers > 0) {
        m = at->m;
        if (--at->parsers == 0) {
            __atomic_store_n(&at->m, NULL, __ATOMIC_RELEASE);
        }
    }
    hm_core_table()->unlock(&lock);
    hm_malloc_release(m);
}
