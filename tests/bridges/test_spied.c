/* SPDX-License-Identifier: MIT */
/* A spied malloc as an object: what it passes on, who may spy on it, and how a spy leaves. */
#include "check.h"

#include <hostmalloc/bridges/spy.h>
#include <hostmalloc/hostmalloc.h>
#include <string.h>

static hm_host *host;
static hm_malloc *inner;
static hm_malloc *spied;

static int setup(void **state)
{
    (void)state;
    assert_int_equal(hm_host_open("default", &host, NULL), HM_OK);
    assert_int_equal(hm_host_create_malloc(host, "spied",
                                           HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT, &inner,
                                           NULL),
                     HM_OK);
    assert_int_equal(hm_spied_create(inner, NULL, &spied, NULL), HM_OK);
    return 0;
}

static int teardown(void **state)
{
    hm_stats stats;
    (void)state;
    hm_malloc_release(spied);
    assert_int_equal(hm_malloc_stats(inner, &stats), HM_OK);
    assert_int_equal(stats.live_blocks, 0);
    hm_malloc_release(inner);
    hm_host_release(host);
    return 0;
}

/* A spy that counts how it is called, puts a header before blocks, and calls back. */
typedef struct watcher {
    hm_spy base;
    hm_spy_vtbl table;
    int references;
    int allocs, posts, frees, spied_frees, reallocs, sizes, owns, trims;
    size_t header;
    void (*during)(struct watcher *w);
    void *context;
} watcher;

static watcher *of(hm_spy *self)
{
    return (watcher *)self;
}

static void call_back(watcher *w)
{
    if (w->during) {
        w->during(w);
    }
}

static void watch_retain(hm_spy *self)
{
    of(self)->references++;
}

static void watch_release(hm_spy *self)
{
    of(self)->references--;
}

static size_t watch_pre_alloc(hm_spy *self, size_t bytes)
{
    of(self)->allocs++;
    call_back(of(self));
    return bytes + of(self)->header;
}

static void *watch_post_alloc(hm_spy *self, void *actual)
{
    of(self)->posts++;
    call_back(of(self));
    return actual ? (char *)actual + of(self)->header : NULL;
}

static void *watch_pre_free(hm_spy *self, void *block, int is_spied)
{
    of(self)->frees++;
    of(self)->spied_frees += is_spied;
    call_back(of(self));
    return is_spied ? (char *)block - of(self)->header : block;
}

static size_t
watch_pre_realloc(hm_spy *self, void *block, size_t bytes, void **actual, int is_spied)
{
    of(self)->reallocs++;
    *actual = is_spied ? (char *)block - of(self)->header : block;
    return bytes + of(self)->header;
}

static void *watch_post_realloc(hm_spy *self, void *actual, int is_spied)
{
    (void)is_spied;
    return actual ? (char *)actual + of(self)->header : NULL;
}

static const void *watch_question(hm_spy *self, const void *block, int is_spied)
{
    return is_spied ? (const char *)block - of(self)->header : block;
}

static size_t watch_post_size(hm_spy *self, size_t actual, int is_spied)
{
    of(self)->sizes++;
    return is_spied ? actual - of(self)->header : actual;
}

static int watch_post_owns(hm_spy *self, const void *block, int is_spied, int answer)
{
    (void)block;
    (void)is_spied;
    of(self)->owns++;
    return answer;
}

static void watch_trim(hm_spy *self)
{
    of(self)->trims++;
}

static void watch(watcher *w, size_t header)
{
    memset(w, 0, sizeof *w);
    w->table = *hm_spy_forward();
    w->table.retain = watch_retain;
    w->table.release = watch_release;
    w->table.pre_alloc = watch_pre_alloc;
    w->table.post_alloc = watch_post_alloc;
    w->table.pre_free = watch_pre_free;
    w->table.pre_realloc = watch_pre_realloc;
    w->table.post_realloc = watch_post_realloc;
    w->table.pre_size = watch_question;
    w->table.post_size = watch_post_size;
    w->table.pre_owns = watch_question;
    w->table.post_owns = watch_post_owns;
    w->table.pre_trim = watch_trim;
    w->base.vtbl = &w->table;
    w->references = 1;
    w->header = header;
    assert_int_equal(hm_spied_register(spied, &w->base), HM_OK);
    assert_int_equal(w->references, 2);
}

static void unwatch(watcher *w)
{
    w->during = NULL;
    assert_int_equal(hm_spied_revoke(spied), HM_OK);
    assert_int_equal(w->references, 1);
}

static void spied__bad_arguments(void **state)
{
    hm_malloc *out = spied;
    hm_error err;
    (void)state;
    assert_int_equal(hm_spied_create(inner, NULL, NULL, &err), HM_E_INVALID);
    assert_int_equal(hm_spied_create(NULL, NULL, &out, &err), HM_E_INVALID);
    assert_null(out);
    assert_int_equal(hm_spied_find(NULL, &out), HM_E_INVALID);
    assert_int_equal(hm_spied_find(spied, NULL), HM_E_INVALID);
    assert_int_equal(hm_spied_find(inner, &out), HM_E_NOT_FOUND);
    assert_null(out);
    assert_int_equal(hm_spied_find(spied, &out), HM_OK);
    assert_ptr_equal(out, spied);
    assert_int_equal(hm_spied_register(NULL, NULL), HM_E_INVALID);
    assert_int_equal(hm_spied_register(spied, NULL), HM_E_INVALID);
    assert_int_equal(hm_spied_revoke(NULL), HM_E_INVALID);
    assert_int_equal(hm_spied_revoke(inner), HM_E_INVALID);
    assert_int_equal(hm_spied_revoke(spied), HM_E_NOT_FOUND);
    assert_int_equal(hm_spied_now(inner), 0);
    assert_int_equal(hm_spied_now(NULL), 0);
    assert_int_equal(hm_spied_blocks(inner), 0);
    assert_int_equal(hm_malloc_find(spied, "spied", NULL), HM_E_INVALID);
}

static void spied__incomplete_tables(void **state)
{
    watcher w;
    hm_spy_vtbl whole;
    (void)state;
    watch(&w, 0);
    unwatch(&w);
    whole = w.table;
    for (size_t slot = sizeof(size_t); slot < sizeof(hm_spy_vtbl);
         slot += sizeof(void *)) {
        w.table = whole;
        memset((char *)&w.table + slot, 0, sizeof(void *));
        assert_int_equal(hm_spied_register(spied, &w.base), HM_E_INVALID);
    }
    w.table = whole;
    w.table.size = sizeof(hm_spy_vtbl) - 1;
    assert_int_equal(hm_spied_register(spied, &w.base), HM_E_INVALID);
    w.base.vtbl = NULL;
    assert_int_equal(hm_spied_register(spied, &w.base), HM_E_INVALID);
    assert_int_equal(w.references, 1);
    assert_int_equal(hm_spied_now(spied), 0);
}

static void spied__registers_on_its_own_kind(void **state)
{
    watcher w;
    (void)state;
    watch(&w, 0);
    assert_int_equal(hm_spied_register(inner, &w.base), HM_E_INVALID);
    assert_int_equal(hm_spied_register(spied, &w.base), HM_E_EXISTS);
    assert_int_equal(hm_spied_now(spied), 1);
    unwatch(&w);
}

static void spied__exchanges_the_place(void **state)
{
    hm_malloc *place = inner;
    hm_malloc *m;
    watcher w;
    (void)state;
    assert_int_equal(hm_spied_create(inner, &place, &m, NULL), HM_OK);
    assert_ptr_equal(place, inner);
    watch(&w, 0);
    unwatch(&w);
    assert_int_equal(hm_spied_register(m, &w.base), HM_OK);
    assert_ptr_equal(place, m);
    void *p = hm_alloc(place, 8);
    assert_int_equal(w.allocs, 1);
    assert_int_equal(hm_spied_revoke(m), HM_E_STARTED);
    assert_ptr_equal(place, m);
    hm_free(place, p);
    assert_ptr_equal(place, inner);
    assert_int_equal(w.references, 1);
    hm_malloc_release(m);
}

/* Every slot, with a header in front of each block. */
static void use_all(int on_duty, watcher *w)
{
    hm_block seen;
    hm_request request = {
        .size = sizeof(request), .bytes = 24, .flags = HM_REQUEST_ZEROED};
    void *q = NULL;
    char *p = hm_alloc(spied, 10);
    assert_non_null(p);
    assert_int_equal(hm_owns(spied, p), 1);
    assert_true(hm_size_of(spied, p) >= 10);
    assert_int_equal(hm_describe(spied, p, &seen), HM_OK);
    assert_ptr_equal(seen.address, p);
    assert_int_equal(seen.requested, 10);
    assert_int_equal(hm_spied_size(spied, p), 10);
    memset(p, 1, 10);
    p = hm_realloc(spied, p, 100);
    assert_true(p[0] == 1 && p[9] == 1);
    p = hm_realloc(spied, p, 0);
    assert_non_null(p);
    assert_int_equal(hm_free(spied, p), HM_OK);
    p = hm_alloc_zeroed(spied, 3, 5);
    assert_true(p[0] == 0 && p[14] == 0);
    assert_int_equal(hm_free_sized(spied, p, 15), HM_OK);
    assert_null(hm_alloc_zeroed(spied, SIZE_MAX, 2));
    assert_int_equal(hm_malloc_request(spied, &request, &q), HM_OK);
    assert_int_equal(((char *)q)[23], 0);
    (HM_LOAD(spied->vtbl)->free)(spied, q);
    p = hm_alloc_aligned(spied, 8, 8);
    hm_free(spied, p);
    const int before = w->allocs;
    p = hm_alloc_aligned(spied, 8, 4096);
    assert_int_equal((uintptr_t)p % 4096, 0);
    assert_int_equal(w->allocs, before);
    hm_free(spied, p);
    assert_null(hm_alloc_aligned(spied, 8, 24));
    assert_null(hm_alloc_aligned(spied, 8, 0));
    assert_int_equal(hm_malloc_request(spied, NULL, &q), HM_E_INVALID);
    assert_int_equal(hm_free(spied, NULL), HM_OK);
    assert_int_equal(hm_size_of(spied, NULL), 0);
    assert_int_equal(hm_spied_size(spied, NULL), HM_SIZE_UNKNOWN);
    hm_malloc_trim(spied);
    assert_int_equal(w->trims, on_duty);
    assert_int_equal(w->frees, on_duty * 5);
    assert_int_equal(w->spied_frees, on_duty * 4);
}

static void spied__every_slot(void **state)
{
    watcher w;
    (void)state;
    memset(&w, 0, sizeof w);
    use_all(0, &w);
    watch(&w, 16);
    use_all(1, &w);
    assert_int_equal(hm_spied_blocks(spied), 0);
    unwatch(&w);
}

static void spied__strangers(void **state)
{
    watcher w;
    char here[64];
    (void)state;
    watch(&w, 0);
    for (int on_duty = 1; on_duty >= 0; on_duty--) {
        char *p = hm_alloc(spied, 32);
        assert_int_equal(hm_free(spied, here), HM_E_NOT_OWNED);
        assert_int_equal(hm_free(spied, p + 8), HM_E_NOT_OWNED);
        assert_null(hm_realloc(spied, here, 8));
        assert_null(hm_spied_resize(spied, here, 8, NULL));
        assert_null(hm_spied_resize(spied, p + 16, 0, NULL));
        assert_int_equal(hm_spied_size(spied, here), HM_SIZE_UNKNOWN);
        assert_int_equal(hm_owns(spied, here), 0);
        assert_int_equal(hm_free(spied, p), HM_OK);
        assert_int_not_equal(hm_free(spied, p), HM_OK);
        if (on_duty) {
            unwatch(&w);
        }
    }
}

static void revoke_within(watcher *w)
{
    (void)w;
    assert_int_equal(hm_spied_revoke(spied), HM_E_STARTED);
    assert_int_equal(hm_spied_register(spied, &w->base), HM_E_EXISTS);
}

static void spied__revoked_from_within(void **state)
{
    watcher w;
    (void)state;
    watch(&w, 16);
    void *p = hm_alloc(spied, 8);
    w.during = revoke_within;
    hm_free(spied, p); /* the last one, and the pair is still complete */
    assert_int_equal(w.references, 1);
    assert_int_equal(w.frees, 1);
    assert_int_equal(hm_spied_now(spied), 0);
}

static void free_within(watcher *w)
{
    void *other = w->context;
    w->context = NULL;
    w->during = NULL;
    assert_int_equal(hm_free(spied, other), HM_OK);
}

static void spied__a_spied_block_freed_from_within(void **state)
{
    watcher w;
    (void)state;
    watch(&w, 16);
    void *p = hm_alloc(spied, 8);
    w.context = hm_alloc(spied, 8);
    w.during = free_within;
    hm_free(spied, p);
    assert_int_equal(w.spied_frees, 2);
    assert_int_equal(hm_spied_blocks(spied), 0);
    unwatch(&w);
}

static void spied__reset_lets_the_spy_go(void **state)
{
    watcher w;
    (void)state;
    watch(&w, 16);
    assert_non_null(hm_alloc(spied, 8));
    assert_int_equal(hm_spied_revoke(spied), HM_E_STARTED);
    assert_int_equal(hm_malloc_reset(spied), HM_OK);
    assert_int_equal(w.references, 1);
    assert_int_equal(hm_spied_now(spied), 0);
}

static void spied__destroyed_with_its_spy(void **state)
{
    watcher w;
    hm_malloc *m;
    (void)state;
    watch(&w, 0);
    unwatch(&w);
    assert_int_equal(hm_spied_create(inner, NULL, &m, NULL), HM_OK);
    assert_int_equal(hm_spied_register(m, &w.base), HM_OK);
    hm_malloc_retain(m);
    hm_malloc_release(m);
    assert_int_equal(w.references, 2);
    hm_malloc_release(m);
    assert_int_equal(w.references, 1);
}

static void spied__one_over_another(void **state)
{
    watcher below;
    watcher above;
    hm_malloc *m;
    (void)state;
    assert_int_equal(hm_spied_create(spied, NULL, &m, NULL), HM_OK);
    watch(&above, 16);
    unwatch(&above);
    watch(&below, 16);
    assert_int_equal(hm_spied_register(m, &above.base), HM_OK);
    char *p = hm_alloc(m, 8);
    assert_int_equal(above.allocs + below.allocs, 2);
    assert_int_equal(hm_spied_size(m, p), 8);
    hm_free(m, hm_realloc(m, p, 80));
    assert_int_equal(above.spied_frees + below.spied_frees, 2);
    assert_int_equal(hm_spied_revoke(m), HM_OK);
    unwatch(&below);
    hm_malloc_release(m);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(spied__bad_arguments),
        CASE(spied__incomplete_tables),
        CASE(spied__registers_on_its_own_kind),
        CASE(spied__exchanges_the_place),
        CASE(spied__every_slot),
        CASE(spied__strangers),
        CASE(spied__revoked_from_within),
        CASE(spied__a_spied_block_freed_from_within),
        CASE(spied__reset_lets_the_spy_go),
        CASE(spied__destroyed_with_its_spy),
        CASE(spied__one_over_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
