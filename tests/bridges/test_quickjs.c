/* SPDX-License-Identifier: MIT */
/* The bridge under stand-ins of QuickJS and quickjs-ng, built once with the header of each: who keeps the books, what they
 * say, and a runtime that is freed through a copy of its own state. */
#include <hostmalloc/bridges/quickjs.h>

#include "over_hosts.h"

#ifdef QUICKJS_NG
typedef struct JSMallocState {
    size_t malloc_count;
    size_t malloc_size;
    size_t malloc_limit;
    void *opaque;
} JSMallocState;
#define STATE(s)  ((s)->opaque)
#define BOOKED(n) (n) /* what the library itself counts for a block of n */
#else
#define STATE(s)  (s)
#define BOOKED(n) ((n) + HM_QUICKJS_OVERHEAD)
#endif

struct JSRuntime {
    JSMallocFunctions mf;
    JSMallocState state;
};

static void *js_malloc(JSRuntime *rt, size_t size)
{
#ifdef QUICKJS_NG
    if (size > rt->state.malloc_limit - rt->state.malloc_size) {
        return NULL;
    }
#endif
    void *const made = rt->mf.js_malloc(STATE(&rt->state), size);
#ifdef QUICKJS_NG
    if (made) {
        rt->state.malloc_count++;
        rt->state.malloc_size += rt->mf.js_malloc_usable_size(made);
    }
#endif
    return made;
}

static void js_free(JSRuntime *rt, void *block)
{
#ifdef QUICKJS_NG
    if (!block) {
        return;
    }
    rt->state.malloc_count--;
    rt->state.malloc_size -= rt->mf.js_malloc_usable_size(block);
#endif
    rt->mf.js_free(STATE(&rt->state), block);
}

static void *js_realloc(JSRuntime *rt, void *block, size_t size)
{
#ifdef QUICKJS_NG
    const size_t old_size = rt->mf.js_malloc_usable_size(block);
    if (size > old_size &&
        size - old_size > rt->state.malloc_limit - rt->state.malloc_size) {
        return NULL;
    }
    void *const moved = rt->mf.js_realloc(STATE(&rt->state), block, size);
    if (moved || !size) {
        rt->state.malloc_count += (size_t)(!block && moved);
        rt->state.malloc_count -= (size_t)(block && !size);
        rt->state.malloc_size += (moved ? rt->mf.js_malloc_usable_size(moved) : 0);
        rt->state.malloc_size -= old_size;
    }
    return moved;
#else
    return rt->mf.js_realloc(STATE(&rt->state), block, size);
#endif
}

JSRuntime *JS_NewRuntime2(const JSMallocFunctions *mf, void *opaque)
{
    JSMallocState state = {0, 0, SIZE_MAX, opaque};
    JSRuntime *const rt = mf->js_malloc(STATE(&state), sizeof(*rt));
    if (rt) {
#ifdef QUICKJS_NG
        state.malloc_count = 1;
        state.malloc_size = mf->js_malloc_usable_size(rt);
#endif
        rt->mf = *mf;
        rt->state = state;
    }
    return rt;
}

void JS_FreeRuntime(JSRuntime *rt)
{
    const JSMallocFunctions mf = rt->mf;
    JSMallocState state = rt->state;
    mf.js_free(STATE(&state), rt);
}

void JS_SetMemoryLimit(JSRuntime *rt, size_t limit)
{
    rt->state.malloc_limit = limit;
}

/* Texts that grow, as a script makes them, and what was counted for them on the way. */
static uint64_t work(hm_malloc *m)
{
    enum { TEXTS = 50 };
    unsigned char *texts[TEXTS] = {NULL};
    uint64_t digest = WORK_DIGEST;
    if (!m) {
        hm_host *host;
        assert_int_equal(hm_host_open("default", &host, NULL), HM_OK);
        assert_int_equal(hm_host_create_malloc(host, "stock", 0, &m, NULL), HM_OK);
        digest = work(m);
        hm_malloc_release(m);
        hm_host_release(host);
        return digest;
    }
    JSRuntime *const rt = hm_quickjs_new_runtime(m);
    if (!rt) {
        return 0;
    }
    for (size_t round = 1; digest && round < 8; round++) {
        for (size_t i = 0; digest && i < TEXTS; i++) {
            const size_t size = round * round * (i + 3);
            unsigned char *const grown = js_realloc(rt, texts[i], size);
            digest = grown ? digest : 0;
            if (grown) {
                texts[i] = grown;
                work_fill(grown, size);
                digest = work_digest(digest, grown, size) + rt->state.malloc_size +
                         rt->state.malloc_count + rt->mf.js_malloc_usable_size(grown);
            }
        }
    }
    for (size_t i = 0; i < TEXTS; i++) {
        js_free(rt, texts[i]);
    }
    assert_int_equal(rt->state.malloc_count, 1);
    assert_int_equal(rt->state.malloc_size, BOOKED(sizeof(*rt)));
    JS_FreeRuntime(rt);
    return digest;
}

static void quickjs__works_the_same_everywhere(void **state)
{
    (void)state;
    work_everywhere("quickjs", work, 0);
}

/* The table at its edges; @p m NULL: there is nothing to compare with. */
static uint64_t edges(hm_malloc *m)
{
    if (!m) {
        return 1;
    }
    JSRuntime *const rt = hm_quickjs_new_runtime(m);
    if (!rt) {
        return 1;
    }
    const size_t before = rt->state.malloc_size;
    assert_int_equal(rt->mf.js_malloc_usable_size(NULL), 0);
    assert_null(js_malloc(rt, 0));
    assert_null(js_malloc(rt, SIZE_MAX - before));
    assert_null(js_realloc(rt, NULL, SIZE_MAX - before - HM_QUICKJS_OVERHEAD));
    assert_null(js_realloc(rt, NULL, 0));
    js_free(rt, NULL);
    assert_int_equal(rt->state.malloc_size, before);
    assert_int_equal(rt->state.malloc_count, 1);
    unsigned char *const block = js_malloc(rt, 100);
    assert_non_null(block);
    assert_int_equal((uintptr_t)block % 16, 0);
    memset(block, 5, 100);
    assert_int_equal(rt->mf.js_malloc_usable_size(block), 100);
    assert_null(js_realloc(rt, block, SIZE_MAX - 2 * HM_QUICKJS_OVERHEAD - before - 200));
    assert_int_equal(rt->mf.js_malloc_usable_size(block), 100); /* kept, and as counted */
    assert_int_equal(rt->state.malloc_size, before + BOOKED(100));
    assert_true(block[0] == 5 && block[99] == 5);
    assert_null(js_realloc(rt, block, 0));
    assert_int_equal(rt->state.malloc_size, before);
#ifdef QUICKJS_NG
    assert_null(rt->mf.js_calloc(m, SIZE_MAX / 2, 3));
    assert_null(rt->mf.js_calloc(m, 1, SIZE_MAX));
    assert_null(rt->mf.js_calloc(m, 0, 3));
    assert_null(rt->mf.js_calloc(m, 3, 0));
    int *const numbers = rt->mf.js_calloc(m, 5, sizeof(int));
    assert_non_null(numbers);
    assert_true(numbers[0] == 0 && numbers[4] == 0);
    assert_int_equal(rt->mf.js_malloc_usable_size(numbers), 5 * sizeof(int));
    rt->mf.js_free(m, numbers);
#endif
    JS_FreeRuntime(rt);
    return 1;
}

static void quickjs__edges(void **state)
{
    (void)state;
    work_everywhere("edges", edges, WORK_NOT_FAILED);
}

/* The limit holds to the byte, over growing too, and does not keep what it refused. */
static void quickjs__limit(void **state)
{
    hm_host *host;
    hm_malloc *m;
    (void)state;
    assert_int_equal(hm_host_open("debug", &host, NULL), HM_OK);
    assert_int_equal(hm_host_create_malloc(host, "limited", 0, &m, NULL), HM_OK);
    JSRuntime *const rt = hm_quickjs_new_runtime(m);
    assert_non_null(rt);
    const size_t before = rt->state.malloc_size;
    JS_SetMemoryLimit(rt, before + BOOKED(1000));
    assert_null(js_malloc(rt, 1001));
    void *block = js_malloc(rt, 600);
    assert_non_null(block);
    assert_null(js_malloc(rt, 600));
    assert_null(js_realloc(rt, block, 1001));
    block = js_realloc(rt, block, 1000);
    assert_non_null(block);
    assert_int_equal(rt->state.malloc_size, rt->state.malloc_limit);
    assert_null(js_malloc(rt, 1));
    JS_SetMemoryLimit(rt, before); /* less than there is: shrinking goes on */
    block = js_realloc(rt, block, 10);
    assert_non_null(block);
    js_free(rt, block);
#ifndef QUICKJS_NG
    JS_SetMemoryLimit(rt, 0); /* is none */
    js_free(rt, js_malloc(rt, 100000));
    assert_int_equal(rt->state.malloc_size, before);
#endif
    JS_FreeRuntime(rt);
    hm_malloc_release(m);
    hm_host_release(host);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(quickjs__works_the_same_everywhere),
        cmocka_unit_test(quickjs__edges), cmocka_unit_test(quickjs__limit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
