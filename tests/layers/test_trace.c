/* SPDX-License-Identifier: MIT */
/* The trace layer: what it records, and what it leaves alone. */
#include "trace_check.h"

#include "memory_internal.h"

static const hm_trace_record *records_of(const hm_trace_header *header)
{
    return (const hm_trace_record *)((const char *)header + header->records_at);
}

static const hm_trace_site *sites_of(const hm_trace_header *header)
{
    return (const hm_trace_site *)((const char *)header + header->header_bytes);
}

static void trace__without_options_does_no_harm(void **state)
{
    (void)state;
    hm_host *host = open_host("trace+default");
    hm_malloc *m = create(host, 0);
    void *block = hm_alloc(m, 100);
    assert_non_null(block);
    assert_int_equal(hm_free(m, block), HM_OK);
    assert_int_equal(hm_free(m, NULL), HM_OK);
    const hm_trace_header *header = hm_trace_header_of(host);
    assert_non_null(header);
    assert_int_equal(header->next, 3); /* made, allocated, freed */
    assert_int_equal(header->dropped, 0);
    hm_malloc_release(m);
    hm_host_release(host);
    host = open_host("default");
    assert_null(hm_trace_header_of(host));
    hm_host_release(host);
}

static void make_calls(hm_malloc *m, void **blocks)
{
    blocks[0] = hm_alloc_at(m, 10, HM_LEVEL_DOMAIN, NULL);
    blocks[1] = hm_alloc_zeroed(m, 3, 5);
    blocks[2] = hm_alloc_aligned(m, 20, 256);
    blocks[3] = hm_realloc(m, blocks[0], 5000);
    assert_null(hm_alloc_aligned(m, 20, 24));
    assert_null(hm_alloc_zeroed(m, SIZE_MAX, 2));
    hm_free_sized(m, blocks[1], 15);
    hm_free(m, blocks[2]);
    hm_free(m, blocks[3]);
}

static void trace__records_every_kind(void **state)
{
    static const struct {
        uint8_t kind;
        uint64_t bytes;
        int in, out; /* which block, -1 none */
        uint8_t alignment_log2;
    } rows[] = {
        {HM_TRACE_CREATE_MALLOC, HM_MALLOC_THREADSAFE, -1, -1, 0},
        {HM_TRACE_ALLOC, 10, -1, 0, 0},
        {HM_TRACE_ZEROED, 15, -1, 1, 0},
        {HM_TRACE_ALIGNED, 20, -1, 2, 8},
        {HM_TRACE_REALLOC, 5000, 0, 3, 0},
        {HM_TRACE_ALIGNED, 20, -1, -1, HM_TRACE_NOT_ALIGNED},
        {HM_TRACE_ZEROED, UINT64_MAX, -1, -1, 0},
        {HM_TRACE_FREE_SIZED, 15, 1, -1, 0},
        {HM_TRACE_FREE, UINT64_MAX, 2, -1, 0},
        {HM_TRACE_FREE, UINT64_MAX, 3, -1, 0},
        {HM_TRACE_CLOSE, 0, -1, -1, 0},
        {HM_TRACE_RELEASE, 0, -1, -1, 0},
    };
    void *blocks[4];
    (void)state;
    hm_host *host = open_host("trace:times=yes+debug+default");
    hm_malloc *m = create(host, HM_MALLOC_THREADSAFE);
    make_calls(m, blocks);
    hm_malloc_close(m);
    hm_malloc_release(m);
    const hm_trace_header *header = hm_trace_header_of(host);
    const hm_trace_record *records = records_of(header);
    assert_int_equal(header->next, COUNT(rows));
    for (size_t i = 0; i < COUNT(rows); i++) {
        char label[16];
        const hm_trace_record *r = &records[i];
        snprintf(label, sizeof label, "record %zu", i);
        CHECK_ROW(label, r->state == HM_TRACE_STATE(i, HM_TRACE_STATE_FINISHED));
        CHECK_ROW(label, r->kind == rows[i].kind && r->bytes == rows[i].bytes);
        CHECK_ROW(label, r->malloc_number == 1 && r->thread == records[0].thread);
        CHECK_ROW(label, r->alignment_log2 == rows[i].alignment_log2);
        CHECK_ROW(label, r->finished == i + 1 && r->time >= header->started_ns);
        CHECK_ROW(label,
                  r->block == (uintptr_t)(rows[i].in < 0 ? NULL : blocks[rows[i].in]));
        CHECK_ROW(label,
                  r->result == (uintptr_t)(rows[i].out < 0 ? NULL : blocks[rows[i].out]));
    }
    assert_int_equal(records[1].level, HM_LEVEL_DOMAIN);
    assert_int_equal(records[2].level, HM_LEVEL_CURRENT);
    const hm_trace_site *site = &sites_of(header)[records[2].site - 1];
    assert_int_equal(site->state, HM_TRACE_SITE_WHOLE);
    assert_string_equal(site->function, "make_calls");
    assert_non_null(strstr(site->file, "test_trace.c"));
    hm_host_release(host);
}

static void trace__records_verdicts(void **state)
{
    (void)state;
    hm_host *host = open_host("trace+debug:report=/dev/null+default");
    hm_malloc *m = create(host, 0);
    void *block = hm_alloc(m, 10);
    assert_int_equal(hm_free(m, (char *)block + 16), HM_E_NOT_OWNED);
    assert_int_equal(hm_free(m, block), HM_OK);
    const hm_trace_record *records = records_of(hm_trace_header_of(host));
    assert_true((int64_t)records[2].result == HM_E_NOT_OWNED);
    assert_true((int64_t)records[3].result == HM_OK);
    hm_malloc_release(m);
    hm_host_release(host);
}

typedef struct giver {
    hm_malloc *m;
    void *block;
} giver;

/* Called inside an allocation. */
static size_t give_back(void *context, hm_pressure pressure)
{
    giver *g = context;
    if (pressure == HM_PRESSURE_LOW && g->block) {
        hm_free(g->m, g->block);
        g->block = NULL;
    }
    return 0;
}

static void trace__says_when_a_call_came_back(void **state)
{
    (void)state;
    hm_host *host = open_host("trace+limit:soft=100,hard=1000+default");
    giver g = {create(host, 0), NULL};
    g.block = hm_alloc(g.m, 50);
    assert_int_equal(hm_host_subscribe(host, give_back, &g), HM_OK);
    void *block = hm_alloc_at(g.m, 90, HM_LEVEL_DOMAIN, NULL);
    const hm_trace_record *records = records_of(hm_trace_header_of(host));
    assert_int_equal(records[2].kind, HM_TRACE_ALLOC);
    assert_int_equal(records[3].kind,
                     HM_TRACE_FREE); /* began while the other was under way */
    assert_int_equal(records[3].finished, 4);
    assert_int_equal(records[2].finished, 4);
    assert_int_equal(hm_host_unsubscribe(host, give_back, &g), HM_OK);
    hm_free(g.m, block);
    hm_malloc_release(g.m);
    hm_host_release(host);
}

static void trace__asks_for_sites_when_told_to(void **state)
{
    static const struct {
        const char *spec;
        int wants;
    } rows[] = {{"trace+default", 0}, {"trace:sites=yes+default", 1}};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        hm_host *host = open_host(rows[i].spec);
        hm_malloc *m = create(host, 0);
        hm_free(m, hm_alloc(m, 1));
        const hm_trace_record *records = records_of(hm_trace_header_of(host));
        CHECK_ROW(rows[i].spec, (records[1].site != 0) == rows[i].wants);
        CHECK_ROW(rows[i].spec, !!(m->flags & HM_MALLOC_DEBUG) == rows[i].wants);
        hm_malloc_release(m);
        hm_host_release(host);
    }
}

static void trace__wraps_and_keeps_the_end(void **state)
{
    (void)state;
    hm_host *host = open_host("trace:size=4096+default");
    hm_malloc *m = create(host, 0);
    const hm_trace_header *header = hm_trace_header_of(host);
    assert_int_equal(header->record_count, 64);
    for (int i = 0; i < 1000; i++) {
        hm_free(m, hm_alloc(m, (size_t)i));
    }
    assert_int_equal(header->next, 2001);
    assert_int_equal(header->dropped, 0);
    for (uint64_t i = header->next - 64; i < header->next; i++) {
        const hm_trace_record *r = &records_of(header)[i % 64];
        assert_true(r->state == HM_TRACE_STATE(i, HM_TRACE_STATE_FINISHED));
        assert_int_equal(r->time, 0);
        if (r->kind == HM_TRACE_ALLOC) {
            assert_int_equal(r->bytes, (i - 1) / 2);
        }
    }
    hm_malloc_release(m);
    hm_host_release(host);
}

static void open__refuses(void **state)
{
    static const struct {
        const char *spec;
        hm_status status;
    } rows[] = {
        {"trace:file=/nonexistent/folder/x+default", HM_E_OS},
        {"trace:size=1000000G+default", HM_E_INVALID},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        hm_host *host = NULL;
        hm_error err;
        CHECK_ROW(rows[i].spec,
                  hm_host_open(rows[i].spec, &host, &err) == rows[i].status);
        CHECK_ROW(rows[i].spec, !host && strstr(err.where, "trace"));
    }
}

/* Every private allocation of opening, making and using fails once. */
static void memory__short_at_each_allocation(void **state)
{
    (void)state;
    hm_host *kept = open_host("trace+default"); /* modules are in */
    for (uint64_t nth = 1;; nth++) {
        hm_host *host = NULL;
        hm_malloc *m = NULL;
        hm_error err;
        hm__memory_fail_from(nth);
        hm_status status = hm_host_open("trace+default", &host, &err);
        if (status == HM_OK) {
            status = hm_host_create_malloc(host, NULL, 0, &m, &err);
        }
        if (status == HM_OK) {
            hm_free(m, hm_alloc(m, 10));
        }
        hm__memory_fail_from(0);
        assert_true(status == HM_OK || status == HM_E_NOMEM);
        hm_malloc_release(m);
        hm_host_release(host);
        if (status == HM_OK) {
            assert_true(nth > 2);
            break;
        }
    }
    hm_host_release(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trace__without_options_does_no_harm),
        cmocka_unit_test(trace__records_every_kind),
        cmocka_unit_test(trace__records_verdicts),
        cmocka_unit_test(trace__says_when_a_call_came_back),
        cmocka_unit_test(trace__asks_for_sites_when_told_to),
        cmocka_unit_test(trace__wraps_and_keeps_the_end),
        cmocka_unit_test(open__refuses),
        cmocka_unit_test(memory__short_at_each_allocation),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
