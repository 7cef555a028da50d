/* SPDX-License-Identifier: MIT */
/* What a host answers for itself: pages, memory load, subscribers, references. */
#include "conformance.h"

#include "memory_internal.h"

static void host__has_a_whole_table(subject *s)
{
    hm_error err = {0};
    assert_int_equal(hm_host_validate(s->host, &err), HM_OK);
}

static void host__opens_twice(subject *s)
{
    hm_host *other = NULL;
    assert_int_equal(hm_host_open(s->spec, &other, NULL), HM_OK);
    assert_non_null(other);
    hm_host_retain(other);
    hm_host_release(other);
    hm_malloc *m = NULL;
    assert_int_equal(hm_host_create_malloc(other, NULL, 0, &m, NULL), HM_OK);
    void *block = hm_alloc(m, 10);
    assert_non_null(block);
    assert_int_equal(hm_free(m, block), HM_OK);
    hm_malloc_release(m);
    hm_host_release(other);
    hm_host_release(NULL);
}

static void host__leaves_nothing_behind(subject *s)
{
    size_t before = 0;
    for (int round = 0; round < 200; round++) {
        hm_host *host = NULL;
        hm_malloc *m = NULL;
        assert_int_equal(hm_host_open(s->spec, &host, NULL), HM_OK);
        assert_int_equal(hm_host_create_malloc(host, NULL, 0, &m, NULL), HM_OK);
        assert_int_equal(hm_free(m, hm_alloc(m, 100)), HM_OK);
        hm_host_release(host);
        hm_malloc_release(m);
        before = round == 20 ? hm__memory_in_use() : before;
    }
    assert_true(hm__memory_in_use() <= before + 1024);
}

static void host__makes_a_malloc_without_options(subject *s)
{
    hm_malloc *m = NULL;
    assert_int_equal(hm_host_create_malloc_opts(s->host, NULL, &m, NULL), HM_OK);
    assert_int_equal(m->flags & ~(HM_MALLOC_DEBUG | HM_MALLOC_EXACT), 0);
    hm_malloc_release(m);
}

static void host__reserves_commits_protects_and_frees_pages(subject *s)
{
    void *p = NULL;
    uint32_t old = 0;
    hm_region r;
    assert_int_equal(hm_host_virtual_alloc(s->host, NULL, 1 << 18, HM_MEM_RESERVE,
                                           HM_PAGE_NOACCESS, HM_LEVEL_TASK, &p),
                     HM_OK);
    assert_non_null(p);
    void *page = NULL;
    assert_int_equal(hm_host_virtual_alloc(s->host, (char *)p + 4096, 8192, HM_MEM_COMMIT,
                                           HM_PAGE_READWRITE, HM_LEVEL_TASK, &page),
                     HM_OK);
    assert_ptr_equal(page, (char *)p + 4096);
    assert_true(is_zero(page, 8192));
    fill(page, 8192, 1);
    assert_int_equal(hm_host_virtual_query(s->host, page, &r), HM_OK);
    assert_int_equal(r.state, HM_MEM_COMMIT);
    assert_ptr_equal(r.allocation_base, p);
    assert_int_equal(hm_host_virtual_protect(s->host, page, 4096, HM_PAGE_READONLY, &old),
                     HM_OK);
    assert_int_equal(old, HM_PAGE_READWRITE);
    assert_int_equal(
        hm_host_virtual_protect(s->host, page, 4096, HM_PAGE_READWRITE, NULL),
        HM_E_INVALID);
    assert_true(is_filled(page, 8192, 1));
    assert_int_equal(hm_host_virtual_free(s->host, p, 0, HM_MEM_RELEASE), HM_OK);
    int local = 0;
    assert_true(hm_host_virtual_free(s->host, &local, 0, HM_MEM_RELEASE) != HM_OK);
}

static void host__knows_the_memory_load(subject *s)
{
    uint32_t percent = 1000;
    size_t available = 0;
    assert_int_equal(hm_host_memory_load(s->host, &percent, &available), HM_OK);
    assert_true(percent <= 100);
    assert_true(available > 0);
    assert_int_equal(hm_host_memory_load(s->host, NULL, &available), HM_E_INVALID);
    assert_int_equal(hm_host_memory_load(s->host, &percent, NULL), HM_E_INVALID);
}

static size_t hear(void *context, hm_pressure pressure)
{
    (void)context, (void)pressure;
    return 0;
}

static void host__keeps_one_subscription_per_pair(subject *s)
{
    int a = 0, b = 0;
    assert_int_equal(hm_host_unsubscribe(s->host, hear, &a), HM_E_NOT_FOUND);
    assert_int_equal(hm_host_subscribe(s->host, hear, &a), HM_OK);
    assert_int_equal(hm_host_subscribe(s->host, hear, &a), HM_E_EXISTS);
    assert_int_equal(hm_host_subscribe(s->host, hear, &b), HM_OK);
    assert_int_equal(hm_host_unsubscribe(s->host, hear, &a), HM_OK);
    assert_int_equal(hm_host_unsubscribe(s->host, hear, &a), HM_E_NOT_FOUND);
    assert_int_equal(hm_host_unsubscribe(s->host, hear, &b), HM_OK);
}

static void host__is_told_of_address_space(subject *s)
{
    const hm_status status = s->host->vtbl->needs_address_space(s->host, NULL, 1 << 20);
    assert_true(status == HM_OK || status == HM_E_NOMEM);
    s->host->vtbl->acquired_address_space(s->host, s, 4096);
    s->host->vtbl->released_address_space(s->host, s);
}

static void host__finds_no_unknown_interface(subject *s)
{
    void *out = s;
    assert_int_equal(hm_host_find(s->host, "no such interface", &out), HM_E_NOT_FOUND);
    assert_null(out);
}

const test_case host_cases[] = {
    CASE(host__has_a_whole_table),
    CASE(host__opens_twice),
    CASE(host__leaves_nothing_behind),
    CASE(host__makes_a_malloc_without_options),
    CASE(host__reserves_commits_protects_and_frees_pages),
    CASE(host__knows_the_memory_load),
    CASE(host__keeps_one_subscription_per_pair),
    CASE(host__is_told_of_address_space),
    CASE(host__finds_no_unknown_interface),
};
const size_t host_case_count = COUNT(host_cases);
