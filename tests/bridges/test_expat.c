/* SPDX-License-Identifier: MIT */
/* The bridge under a real expat, on every host: documents, with each allocation failing once, and more mallocs than the
 * bridge has functions for. */
#include <hostmalloc/bridges/expat.h>

#include "over_hosts.h"

static void on_start(void *context, const XML_Char *name, const XML_Char **attributes)
{
    uint64_t *const digest = context;
    *digest = work_digest(*digest, name, strlen(name));
    for (; *attributes; attributes++) {
        *digest = work_digest(*digest, *attributes, strlen(*attributes));
    }
}

static void on_text(void *context, const XML_Char *text, int size)
{
    *(uint64_t *)context = work_digest(*(uint64_t *)context, text, (size_t)size);
}

static int parse(XML_Parser parser, uint64_t *digest)
{
    static const char head[] =
        "<?xml version='1.0'?><!DOCTYPE all [<!ENTITY e 'an entity'>"
        "<!ATTLIST item kind CDATA 'usual'>]><all>";
    int done;
    XML_SetUserData(parser, digest);
    XML_SetElementHandler(parser, on_start, NULL);
    XML_SetCharacterDataHandler(parser, on_text);
    done = XML_Parse(parser, head, sizeof(head) - 1, 0) == XML_STATUS_OK;
    for (int i = 0; done && i < 40; i++) {
        char item[128];
        const int size = snprintf(item, sizeof(item),
                                  "<item%d id='%d' name='n%d'>text &e; %d</item%d>", i,
                                  i * 7, i, i, i);
        done = XML_Parse(parser, item, size, 0) == XML_STATUS_OK;
    }
    return done && XML_Parse(parser, "</all>", 6, 1) == XML_STATUS_OK;
}

static uint64_t work(hm_malloc *m)
{
    hm_expat_parser made = {NULL, NULL};
    uint64_t digest = WORK_DIGEST;
    if (m) {
        if (hm_expat_create(m, NULL, NULL, &made, NULL) != HM_OK) {
            return 0;
        }
    } else {
        made.parser = XML_ParserCreate(NULL);
    }
    XML_SetHashSalt(made.parser, 42);
    const int done = parse(made.parser, &digest);
    if (!done) {
        assert_int_equal(XML_GetErrorCode(made.parser), XML_ERROR_NO_MEMORY);
    }
    if (m) {
        hm_expat_free(&made);
    } else {
        XML_ParserFree(made.parser);
    }
    return done ? digest : 0;
}

static void expat__parses_as_ever(void **state)
{
    (void)state;
    work_everywhere("expat", work, 0);
}

/* Each parser is over its own malloc, one beyond the last is refused, and a place that is free serves again. */
static void expat__many_parsers(void **state)
{
    hm_expat_parser made[HM_EXPAT_PARSERS], shared;
    hm_malloc *mallocs[HM_EXPAT_PARSERS + 1];
    hm_host *host;
    hm_stats stats;
    hm_error err;
    (void)state;
    assert_int_equal(hm_host_open("debug", &host, NULL), HM_OK);
    for (unsigned i = 0; i <= HM_EXPAT_PARSERS; i++) {
        assert_int_equal(hm_host_create_malloc(host, "own", 0, &mallocs[i], NULL), HM_OK);
    }
    for (unsigned i = 0; i < HM_EXPAT_PARSERS; i++) {
        assert_int_equal(hm_expat_create(mallocs[i], NULL, "|", &made[i], &err), HM_OK);
    }
    for (unsigned i = 0; i < HM_EXPAT_PARSERS; i++) {
        uint64_t digest = WORK_DIGEST;
        assert_true(parse(made[i].parser, &digest));
        assert_int_equal(hm_malloc_stats(mallocs[i], &stats), HM_OK);
        assert_true(stats.live_blocks > 0);
    }
    assert_int_equal(
        hm_expat_create(mallocs[HM_EXPAT_PARSERS], NULL, NULL, &shared, &err),
        HM_E_NOMEM);
    assert_null(shared.parser);
    assert_int_equal(hm_expat_create(mallocs[0], NULL, NULL, &shared, &err), HM_OK);
    hm_expat_free(&made[0]);
    assert_int_equal(
        hm_expat_create(mallocs[HM_EXPAT_PARSERS], NULL, NULL, &made[0], &err),
        HM_E_NOMEM);
    hm_expat_free(&shared);
    assert_int_equal(
        hm_expat_create(mallocs[HM_EXPAT_PARSERS], NULL, NULL, &made[0], &err), HM_OK);
    for (unsigned i = 0; i < HM_EXPAT_PARSERS; i++) {
        hm_expat_free(&made[i]);
    }
    hm_expat_free(&made[0]);
    hm_expat_give_back(NULL);
    assert_int_equal(hm_expat_create(NULL, NULL, NULL, &shared, &err), HM_E_INVALID);
    for (unsigned i = 0; i <= HM_EXPAT_PARSERS; i++) {
        assert_int_equal(hm_malloc_stats(mallocs[i], &stats), HM_OK);
        assert_int_equal(stats.live_blocks, 0);
        hm_malloc_release(mallocs[i]);
    }
    hm_host_release(host);
}

/* What was given back already, or is not ours, changes nothing for others. */
static void expat__wrong_suites(void **state)
{
    static const hm_expat_suite theirs = {malloc, realloc, free};
    const hm_expat_suite *suite, *again;
    hm_malloc no_table = {.flags = 0};
    hm_host *host;
    hm_malloc *m;
    (void)state;
    assert_int_equal(hm_host_open("debug", &host, NULL), HM_OK);
    assert_int_equal(hm_host_create_malloc(host, "own", 0, &m, NULL), HM_OK);
    assert_int_equal(hm_expat_take(&no_table, &suite, NULL), HM_E_INVALID);
    assert_null(suite);
    hm_expat_give_back(&theirs);
    assert_int_equal(hm_expat_take(m, &suite, NULL), HM_OK);
    hm_expat_give_back(suite);
    hm_expat_give_back(suite);
    assert_int_equal(hm_expat_take(m, &again, NULL), HM_OK);
    assert_ptr_equal(again, suite); /* the place is as free as before */
    void *const block = again->alloc(10);
    assert_int_not_equal(hm_owns(m, block), 0);
    again->free(block);
    hm_expat_give_back(again);
    hm_malloc_release(m);
    hm_host_release(host);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(expat__parses_as_ever),
                                              cmocka_unit_test(expat__many_parsers),
                                              cmocka_unit_test(expat__wrong_suites)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
