/* SPDX-License-Identifier: MIT */
/* Memory load, and who is told when memory is short. Whoever refuses an allocation tells its subscribers, never
 * under its locks, and tries again if one gave something back; a host that leaves that to others below it, or to
 * none, is not offered those clauses. */
#include "kit.h"

#include <hostmalloc/limit.h>

static void load_in_range(kit *k)
{
    uint32_t percent = 1000;
    size_t available = 0;
    const hm_status status = hm_host_memory_load(k->host, &percent, &available);
    if (status == HM_E_UNSUPPORTED) {
        kit_pass_over(k, "memory_load answers HM_E_UNSUPPORTED");
    }
    KIT_EXPECT(k, status == HM_OK, "HM_OK", "%s", hm_status_name(status));
    KIT_EXPECT(k, percent <= 100, "a share of 0 to 100", "%u", (unsigned)percent);
    KIT_EXPECT(k, available > 0, "some bytes still to be had", "0");
}

static void load_null(kit *k)
{
    uint32_t percent;
    size_t available;
    const hm_status statuses[] = {hm_host_memory_load(k->host, NULL, &available),
                                  hm_host_memory_load(k->host, &percent, NULL)};
    for (size_t i = 0; i < KIT_COUNT(statuses); i++) {
        KIT_EXPECT(k, statuses[i] == HM_E_INVALID, "HM_E_INVALID for NULL", "%s",
                   hm_status_name(statuses[i]));
    }
}

/* A subscriber that hears of low memory while its own thread allocates; what the system says at other times, and on
   other threads, is no business of this. */
typedef struct listener {
    hm_malloc *m;
    void *block; /* freed at the first notice, if there is one */
    size_t bytes;
    uint32_t thread; /* which allocates just now, or 0 */
    unsigned heard;
} listener;

static size_t hear(void *context, hm_pressure pressure)
{
    listener *l = context;
    size_t given = 0;
    if (__atomic_load_n(&l->thread, __ATOMIC_RELAXED) != hm_core_table()->thread_id()) {
        return 0;
    }
    l->heard++;
    if (pressure == HM_PRESSURE_LOW && l->block) {
        given = hm_free(l->m, l->block) == HM_OK ? l->bytes : 0;
        l->block = NULL;
    }
    return given;
}

static void one_per_pair(kit *k)
{
    listener a = {0}, b = {0};
    const hm_status first = hm_host_subscribe(k->host, hear, &a);
    KIT_EXPECT(k, first == HM_OK, "HM_OK from subscribe", "%s", hm_status_name(first));
    const hm_status again = hm_host_subscribe(k->host, hear, &a);
    KIT_EXPECT(k, again == HM_E_EXISTS, "HM_E_EXISTS for the same pair", "%s",
               hm_status_name(again));
    const hm_status other = hm_host_subscribe(k->host, hear, &b);
    KIT_EXPECT(k, other == HM_OK, "HM_OK for another context", "%s",
               hm_status_name(other));
    KIT_EXPECT(k,
               hm_host_unsubscribe(k->host, hear, &a) == HM_OK &&
                   hm_host_unsubscribe(k->host, hear, &b) == HM_OK,
               "HM_OK from unsubscribe", "another status");
    KIT_EXPECT(k, hm_host_subscribe(k->host, hear, &a) == HM_OK, "HM_OK once it is gone",
               "another status");
    hm_host_unsubscribe(k->host, hear, &a);
}

static void unknown_pair(kit *k)
{
    listener a = {0}, b = {0};
    hm_status status = hm_host_unsubscribe(k->host, hear, &a);
    KIT_EXPECT(k, status == HM_E_NOT_FOUND, "HM_E_NOT_FOUND for a pair never subscribed",
               "%s", hm_status_name(status));
    hm_host_subscribe(k->host, hear, &a);
    status = hm_host_unsubscribe(k->host, hear, &b);
    KIT_EXPECT(k, status == HM_E_NOT_FOUND, "HM_E_NOT_FOUND for another context", "%s",
               hm_status_name(status));
    hm_host_unsubscribe(k->host, hear, &a);
    status = hm_host_unsubscribe(k->host, hear, &a);
    KIT_EXPECT(k, status == HM_E_NOT_FOUND, "HM_E_NOT_FOUND the second time", "%s",
               hm_status_name(status));
}

/* Room for two blocks of 400 bytes in the listener's malloc: by its own limit or, where the stack has a limit
   layer, by that. */
static void limit_to_two(kit *k, listener *l)
{
    void *found = NULL;
    const int layered = hm_host_find(k->host, "limit", &found) == HM_OK && found;
    memset(l, 0, sizeof *l);
    if (layered) {
        const hm_status moved = hm_limit_move(k->host, 0, 1000, 0);
        KIT_EXPECT(k, moved == HM_OK, "a limit layer whose lines move", "%s",
                   hm_status_name(moved));
    }
    l->m = kit_malloc_with(k, HM_MALLOC_THREADSAFE, layered ? 0 : 1000);
    l->bytes = 400;
}

static void *alloc_listening(listener *l)
{
    __atomic_store_n(&l->thread, hm_core_table()->thread_id(), __ATOMIC_RELAXED);
    void *block = hm_alloc(l->m, l->bytes);
    __atomic_store_n(&l->thread, 0, __ATOMIC_RELAXED);
    return block;
}

static void lift(kit *k)
{
    void *found = NULL;
    if (hm_host_find(k->host, "limit", &found) == HM_OK) {
        hm_limit_move(k->host, 0, 0, 0);
    }
}

/* A subscriber that frees, which it may, is stuck where it is told under a lock. */
static void not_under_locks(kit *k)
{
    listener l;
    limit_to_two(k, &l);
    l.block = kit_alloc(k, l.m, 400);
    void *kept = kit_alloc(k, l.m, 400);
    hm_host_subscribe(k->host, hear, &l);
    void *third = alloc_listening(&l);
    hm_host_unsubscribe(k->host, hear, &l);
    const unsigned heard = l.heard;
    kit_free(k, l.m, third);
    kit_free(k, l.m, kept);
    kit_free(k, l.m, l.block);
    hm_malloc_release(l.m);
    lift(k);
    if (!heard) {
        kit_pass_over(k, "tells nobody when its limit is met");
    }
}

static void tries_again(kit *k)
{
    listener l;
    limit_to_two(k, &l);
    l.block = kit_alloc(k, l.m, 400);
    void *kept = kit_alloc(k, l.m, 400);
    hm_host_subscribe(k->host, hear, &l);
    void *third = alloc_listening(&l);
    hm_host_unsubscribe(k->host, hear, &l);
    const unsigned heard = l.heard;
    KIT_EXPECT(k, third || !heard, "another try after a subscriber gave 400 bytes back",
               "NULL");
    kit_free(k, l.m, third);
    kit_free(k, l.m, kept);
    kit_free(k, l.m, l.block);
    hm_malloc_release(l.m);
    lift(k);
    if (!heard) {
        kit_pass_over(k, "tells nobody when its limit is met");
    }
}

static void silent_after_unsubscribe(kit *k)
{
    listener l;
    limit_to_two(k, &l);
    void *a = kit_alloc(k, l.m, 400);
    void *b = kit_alloc(k, l.m, 400);
    hm_host_subscribe(k->host, hear, &l);
    alloc_listening(&l);
    hm_host_unsubscribe(k->host, hear, &l);
    const unsigned heard = l.heard;
    for (int i = 0; i < 5; i++) {
        kit_free(k, l.m, a);
        a = kit_alloc(k, l.m, 400);
        alloc_listening(&l);
    }
    KIT_EXPECT(k, l.heard == heard, "no call after unsubscribe", "%u", l.heard - heard);
    kit_free(k, l.m, a);
    kit_free(k, l.m, b);
    hm_malloc_release(l.m);
    lift(k);
    if (!heard) {
        kit_pass_over(k, "tells nobody when its limit is met");
    }
}

static const kit_clause clauses[] = {
    {"host.load.in-range", "memory_load answers 0 to 100, and bytes to be had", KIT_MUST,
     KIT_HOST, load_in_range},
    {"host.load.null-invalid", "memory_load with NULL is HM_E_INVALID", KIT_MUST,
     KIT_HOST, load_null},
    {"host.subscribe.once", "one entry per pair, then HM_E_EXISTS", KIT_MUST, KIT_HOST,
     one_per_pair},
    {"host.unsubscribe.unknown", "HM_E_NOT_FOUND for a pair that is not there", KIT_MUST,
     KIT_HOST, unknown_pair},
    {"host.notify.no-locks", "subscribers are never told under a lock", KIT_MUST,
     KIT_HOST, not_under_locks},
    {"host.notify.tries-again",
     "a refused allocation is tried again when bytes came back", KIT_SHOULD, KIT_HOST,
     tries_again},
    {"host.unsubscribe.ends", "no call after unsubscribe returns", KIT_MUST, KIT_HOST,
     silent_after_unsubscribe},
};
const kit_group kit_notices = KIT_GROUP(clauses);
