/* SPDX-License-Identifier: MIT */
/* A layer that changes nothing, over objects that write down how they were called. */
#include <hostmalloc/hostmalloc.h>
#include <pthread.h>
#include <string.h>

#include "memory_internal.h"
#include "noting.h"
#include "slots_internal.h"

static hm_host *make_host(void)
{
    hm_layer_host *layer = hm__memory_alloc(sizeof(*layer));
    assert_non_null(layer);
    hm_layer_host_init(layer, &hm__host_forward, &inner_host, sizeof(*layer));
    return &layer->base;
}

/* With room of the layer's own behind the public fields, as real ones have. */
static hm_malloc *make_malloc(hm_host *host)
{
    const uint32_t bytes = sizeof(hm_layer_malloc) + 1000;
    hm_layer_malloc *layer = hm__memory_alloc(bytes);
    assert_non_null(layer);
    hm_malloc_retain(&inner_malloc);
    hm_layer_malloc_init(layer, &hm__malloc_forward, &inner_malloc, host, bytes);
    return &layer->base;
}

static void check_call(const char *want)
{
    assert_string_equal(last_call, want);
    last_call[0] = 0;
}

#define CHECK_CALL(...)                              \
    do {                                             \
        char want_[256];                             \
        snprintf(want_, sizeof(want_), __VA_ARGS__); \
        check_call(want_);                           \
    } while (0)

static void layer__every_malloc_slot_goes_to_the_inner_one(void **state)
{
    (void)state;
    hm_host *host = make_host();
    hm_malloc *m = make_malloc(host);
    const hm_malloc_vtbl *t = m->vtbl;
    hm_site *site = HM_SITE;
    void *out = NULL;
    assert_int_equal(hm_malloc_validate(m, NULL), HM_OK);
    assert_int_equal(m->flags, HM_MALLOC_DEBUG | HM_MALLOC_EXACT);

    assert_ptr_equal((t->alloc)(m, 11, 2), SOMEWHERE);
    CHECK_CALL("alloc 11 2");
    (t->free)(m, BLOCK);
    CHECK_CALL("free %p", BLOCK);
    t->free_sized(m, BLOCK, 12);
    CHECK_CALL("free_sized %p 12", BLOCK);
    assert_ptr_equal(t->debug_alloc(m, 13, 1, site), SOMEWHERE);
    CHECK_CALL("debug_alloc 13 1 %p", (void *)site);
    assert_int_equal(t->debug_free(m, BLOCK, 14, 8, site), HM_E_CORRUPT);
    CHECK_CALL("debug_free %p 14 8 %p", BLOCK, (void *)site);
    assert_ptr_equal((t->realloc)(m, BLOCK, 15, 16, -1, site), SOMEWHERE);
    CHECK_CALL("realloc %p 15 16 -1 %p", BLOCK, (void *)site);
    assert_ptr_equal(t->alloc_zeroed(m, 17, 18, 0, site), SOMEWHERE);
    CHECK_CALL("alloc_zeroed 17 18 0 %p", (void *)site);
    assert_ptr_equal(t->alloc_aligned(m, 19, 64, 2, site), SOMEWHERE);
    CHECK_CALL("alloc_aligned 19 64 2 %p", (void *)site);
    const hm_request request = {.size = sizeof(request)};
    assert_int_equal(t->request(m, &request, &out), HM_E_TIMEOUT);
    CHECK_CALL("request %p %p", (const void *)&request, (void *)&out);
    assert_int_equal(t->size_of(m, BLOCK), 71);
    CHECK_CALL("size_of %p", BLOCK);
    assert_int_equal(t->good_size(m, 20), 72);
    CHECK_CALL("good_size 20");
    assert_int_equal(t->owns(m, BLOCK), 73);
    CHECK_CALL("owns %p", BLOCK);
    hm_block block = {.size = 24}; /* an older caller's: the size it wrote arrives */
    assert_int_equal(t->describe(m, BLOCK, &block), HM_E_FREED);
    CHECK_CALL("describe %p %p 24", BLOCK, (void *)&block);
    assert_int_equal(t->walk(m, NULL, &block), HM_E_TIMEOUT);
    CHECK_CALL("walk 1 %p", (void *)&block);
    hm_stats stats = {.size = 32};
    assert_int_equal(t->stats(m, &stats), HM_E_TIMEOUT);
    CHECK_CALL("stats %p 32", (void *)&stats);
    t->trim(m);
    CHECK_CALL("trim");
    assert_int_equal(t->reset(m), HM_E_TIMEOUT);
    CHECK_CALL("reset");
    (t->close)(m);
    CHECK_CALL("close");
    assert_int_equal(t->find(m, "limit", &out), HM_E_TIMEOUT);
    CHECK_CALL("find limit %p", (void *)&out);

    hm_malloc_release(m);
    hm_host_release(host);
}

static void layer__every_host_slot_goes_to_the_inner_one(void **state)
{
    (void)state;
    hm_host *host = make_host();
    const hm_host_vtbl *t = host->vtbl;
    hm_malloc *made;
    hm_error err;
    void *out;
    uint32_t word;
    size_t bytes;
    assert_int_equal(hm_host_validate(host, NULL), HM_OK);

    const hm_malloc_opts opts = {.size = sizeof(opts)};
    assert_int_equal(t->create_malloc(host, &opts, &made, &err), HM_E_TIMEOUT);
    CHECK_CALL("create_malloc %p %p %p", (const void *)&opts, (void *)&made,
               (void *)&err);
    assert_int_equal(t->virtual_alloc(host, BLOCK, 1, 2, 3, 1, &out), HM_E_TIMEOUT);
    CHECK_CALL("virtual_alloc %p 1 2 3 1 %p", BLOCK, (void *)&out);
    assert_int_equal(t->virtual_free(host, BLOCK, 4, 5), HM_E_TIMEOUT);
    CHECK_CALL("virtual_free %p 4 5", BLOCK);
    hm_region region = {.size = 40};
    assert_int_equal(t->virtual_query(host, BLOCK, &region), HM_E_TIMEOUT);
    CHECK_CALL("virtual_query %p %p 40", BLOCK, (void *)&region);
    assert_int_equal(t->virtual_protect(host, BLOCK, 6, 7, &word), HM_E_TIMEOUT);
    CHECK_CALL("virtual_protect %p 6 7 %p", BLOCK, (void *)&word);
    assert_int_equal(t->memory_load(host, &word, &bytes), HM_E_TIMEOUT);
    CHECK_CALL("memory_load %p %p", (void *)&word, (void *)&bytes);
    assert_int_equal(t->subscribe(host, NULL, BLOCK), HM_E_TIMEOUT);
    CHECK_CALL("subscribe 1 %p", BLOCK);
    assert_int_equal(t->unsubscribe(host, NULL, BLOCK), HM_E_TIMEOUT);
    CHECK_CALL("unsubscribe 1 %p", BLOCK);
    assert_int_equal(t->needs_address_space(host, BLOCK, 8), HM_E_TIMEOUT);
    CHECK_CALL("needs %p 8", BLOCK);
    t->acquired_address_space(host, BLOCK, 9);
    CHECK_CALL("acquired %p 9", BLOCK);
    t->released_address_space(host, BLOCK);
    CHECK_CALL("released %p", BLOCK);
    assert_int_equal(t->find(host, "debug", &out), HM_E_TIMEOUT);
    CHECK_CALL("find debug %p", (void *)&out);
    hm_host_release(host);
}

static void layer__the_last_release_gives_everything_back(void **state)
{
    (void)state;
    const size_t before = hm__memory_in_use();
    hm_host *host = make_host();
    assert_int_equal(inner_host_references, 1);
    hm_malloc *m = make_malloc(host);
    assert_int_equal(inner_references, 1);
    hm_malloc_retain(m);
    hm_host_retain(host);
    hm_host_release(host);
    hm_host_release(host); /* the malloc keeps its host */
    assert_int_equal(inner_host_references, 1);
    hm_malloc_release(m);
    assert_int_equal(inner_references, 1);
    hm_malloc_release(m);
    assert_int_equal(inner_references, 0);
    assert_int_equal(inner_host_references, 0);
    assert_int_equal(hm__memory_in_use(), before);
}

static void *retain_and_release(void *context)
{
    for (int i = 0; i < 10000; i++) {
        hm_malloc_retain(context);
        hm_host_retain(((hm_layer_malloc *)context)->host);
        hm_host_release(((hm_layer_malloc *)context)->host);
        hm_malloc_release(context);
    }
    hm_malloc_release(context);
    return NULL;
}

static void layer__references_are_counted_across_threads(void **state)
{
    (void)state;
    const size_t before = hm__memory_in_use();
    hm_host *host = make_host();
    hm_malloc *m = make_malloc(host);
    hm_host_release(host);
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT(threads); i++) {
        hm_malloc_retain(m);
        assert_int_equal(pthread_create(&threads[i], NULL, retain_and_release, m), 0);
    }
    hm_malloc_release(m);
    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(inner_references, 0);
    assert_int_equal(inner_host_references, 0);
    assert_int_equal(hm__memory_in_use(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layer__every_malloc_slot_goes_to_the_inner_one),
        cmocka_unit_test(layer__every_host_slot_goes_to_the_inner_one),
        cmocka_unit_test(layer__the_last_release_gives_everything_back),
        cmocka_unit_test(layer__references_are_counted_across_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
