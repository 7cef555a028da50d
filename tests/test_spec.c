/* SPDX-License-Identifier: MIT */
/* The grammar of specs: what is read, where each piece stands, and the column of every mistake. */
#include "spec_internal.h"

#include <stdio.h>
#include <string.h>

#include "check.h"

/* "limit@1{hard@7=64M@12}": names, keys and values with their columns. */
static hm_status show(const char *spec, char *text, size_t size, hm_error *err)
{
    static hm__spec_element element;
    const char *cursor = spec;
    size_t used = 0;
    text[0] = '\0';
    while (cursor) {
        const hm_status status = hm__spec_next(spec, &cursor, &element, err);
        if (status != HM_OK) {
            return status;
        }
        used +=
            (size_t)snprintf(text + used, size - used, "%s%.*s@%u", used ? " " : "",
                             (int)element.name.length, element.name.at, element.column);
        for (uint32_t i = 0; i < element.option_count; i++) {
            const hm__spec_option *o = &element.options[i];
            used += (size_t)snprintf(text + used, size - used, "{%.*s@%u",
                                     (int)o->key.length, o->key.at, o->key_column);
            if (o->value.at) {
                used +=
                    (size_t)snprintf(text + used, size - used, "=%.*s@%u",
                                     (int)o->value.length, o->value.at, o->value_column);
            }
            used += (size_t)snprintf(text + used, size - used, "}");
        }
        assert_true(used < size);
    }
    return HM_OK;
}

static void spec__reads(void **state)
{
    static const struct {
        const char *spec;
        const char *want;
    } cases[] = {
        {"default", "default@1"},
        {"debug+mimalloc", "debug@1 mimalloc@7"},
        {"limit:hard=64M+debug+mimalloc", "limit@1{hard@7=64M@12} debug@16 mimalloc@22"},
        {"a:b,c=1,d+e", "a@1{b@3}{c@5=1@7}{d@9} e@11"},
        {"fault:site=db.cpp:42,nth=3", "fault@1{site@7=db.cpp:42@12}{nth@22=3@26}"},
        {"swap:to=(debug+mimalloc)+x", "swap@1{to@6=debug+mimalloc@10} x@26"},
        {"swap:to=(limit:hard=1,soft=2+x),a",
         "swap@1{to@6=limit:hard=1,soft=2+x@10}{a@33}"},
        {"swap:to=(swap:to=(a+b)+c)+d", "swap@1{to@6=swap:to=(a+b)+c@10} d@27"},
        {"a:k=((x))", "a@1{k@3=(x)@6}"},
        {"a:k=()", "a@1{k@3=@6}"},
        {"a:k=f(int,int)+b", "a@1{k@3=f(int,int)@5} b@16"},
        {"a:k=b=c", "a@1{k@3=b=c@5}"},
        {"a:k= spaced \xc3\xa9 ", "a@1{k@3= spaced \xc3\xa9 @5}"},
        {"./my module.so:k=v+b", "./my module.so@1{k@16=v@18} b@20"},
        {"/x/hm_host_y.so", "/x/hm_host_y.so@1"},
        {"Debug-3.x", "Debug-3.x@1"}, /* no such name, but worth a "did you mean" */
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[512];
        hm_error err = {HM_OK, 0, "", ""};
        const hm_status status = show(cases[i].spec, text, sizeof text, &err);
        if (status != HM_OK || strcmp(text, cases[i].want) != 0) {
            fail_msg("%s: %s, %s", cases[i].spec, text, err.what);
        }
    }
}

static void spec__names_the_column(void **state)
{
    static const struct {
        const char *spec;
        const char *where;
        const char *what; /* a part of it */
    } cases[] = {
        {"", "spec:1", "empty spec"},
        {"+", "spec:1", "nothing before '+'"},
        {"+debug", "spec:1", "nothing before '+'"},
        {"debug+", "spec:7", "nothing after '+'"},
        {"debug++mimalloc", "spec:7", "nothing before '+'"},
        {":hard=1", "spec:1", "nothing before ':'"},
        {"a+:k=1", "spec:3", "nothing before ':'"},
        {"a:", "spec:3", "expected an option"},
        {"a:+b", "spec:3", "expected an option"},
        {"a:k,", "spec:5", "expected an option"},
        {"a:,k", "spec:3", "expected an option"},
        {"a:=1", "spec:3", "expected an option"},
        {"a:k=", "spec:5", "no value after \"k=\""},
        {"a:k=,b", "spec:5", "no value after \"k=\""},
        {"a:k=+b", "spec:5", "no value after \"k=\""},
        {"a:k=1,b=2,k=3", "spec:11", "option \"k\" is given twice, first at column 3"},
        {"a:k,k", "spec:5", "given twice"},
        {"a:k=(b+c", "spec:5", "'(' is not closed"},
        {"a:k=(b+(c)", "spec:5", "'(' is not closed"},
        {"a:k=x(y)(", "spec:9", "'(' is not closed"},
        {"a:k=b)", "spec:6", "')' closes nothing"},
        {"a:k=)", "spec:5", "')' closes nothing"},
        {"a:k=(b))", "spec:8", "')' in the value after its ')'"},
        {"a:k=(b)c", "spec:8", "'c' in the value after its ')'"},
        {"a:k=(b)(c)", "spec:8", "'(' in the value after its ')'"},
        {"debug mimalloc", "spec:6", "' ' in a name"},
        {" debug", "spec:1", "' ' in a name"},
        {"debug,frames=3", "spec:6", "',' in a name"},
        {"debug=3", "spec:6", "'=' in a name"},
        {"(debug)", "spec:1", "'(' in a name"},
        {"debug,file=/tmp/x", "spec:6", "',' in a name"},
        {"d\xc3\xa9"
         "bug",
         "spec:2", "character 0xc3 in a name"},
        {"a:k!=1", "spec:4", "'!' in an option's name"},
        {"a:\xff=1", "spec:3", "character 0xff in an option's name"},
        {"a:k:b", "spec:4", "':' in an option's name"},
        {"debug\n", "spec:6", "control character 0x0a"},
        {"a:k=\x1b[2J", "spec:5", "control character 0x1b"},
        {"a:k=(\x7f)", "spec:6", "control character 0x7f"},
        {"a+b+c+\t", "spec:7", "control character 0x09"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[512];
        hm_error err = {HM_OK, 0, "", ""};
        const hm_status status = show(cases[i].spec, text, sizeof text, &err);
        if (status != HM_E_INVALID || err.status != status ||
            strcmp(err.where, cases[i].where) != 0 || !strstr(err.what, cases[i].what)) {
            fail_msg("\"%s\": %d %s: %s", cases[i].spec, (int)status, err.where,
                     err.what);
        }
        assert_int_equal(HM_E_INVALID, show(cases[i].spec, text, sizeof text, NULL));
    }
}

static void spec__has_limits(void **state)
{
    static char spec[HM__SPEC_MAX + 2];
    static char text[4 * HM__SPEC_MAX];
    hm_error err;
    (void)state;
    memset(spec, 'a', HM__SPEC_MAX);
    assert_int_equal(HM_OK, show(spec, text, sizeof text, NULL));
    spec[HM__SPEC_MAX] = 'a';
    assert_int_equal(HM_E_INVALID, show(spec, text, sizeof text, &err));
    assert_string_equal("spec:4097", err.where);
    assert_string_equal("spec is longer than 4096 characters", err.what);

    size_t used = (size_t)snprintf(spec, sizeof spec, "a:");
    for (int i = 0; i < HM__SPEC_OPTIONS; i++) {
        used +=
            (size_t)snprintf(spec + used, sizeof spec - used, "%sk%d=v", i ? "," : "", i);
    }
    assert_int_equal(HM_OK, show(spec, text, sizeof text, NULL));
    snprintf(spec + used, sizeof spec - used, ",one_more");
    assert_int_equal(HM_E_INVALID, show(spec, text, sizeof text, &err));
    assert_string_equal("more than 64 options of one element", err.what);
}

/* The longest things that can be said still end in a terminated text. */
static void spec__cuts_what_it_quotes(void **state)
{
    static char spec[HM__SPEC_MAX + 1];
    char text[64];
    hm_error err;
    (void)state;
    memset(spec, 'k', HM__SPEC_MAX);
    memcpy(spec, "a:", 2);
    spec[HM__SPEC_MAX - 1] = '=';
    assert_int_equal(HM_E_INVALID, show(spec, text, sizeof text, &err));
    assert_string_equal("spec:4097", err.where);
    assert_true(strlen(err.what) < sizeof err.what - 1);
}

static void spec__checks_names(void **state)
{
    static const struct {
        const char *name;
        int valid;
    } cases[] = {{"a", 1},   {"mimalloc_3", 1}, {"9", 1},        {"_", 1},
                 {"", 0},    {"A", 0},          {"a-b", 0},      {"a.b", 0},
                 {"a/b", 0}, {"a ", 0},         {"\xc3\xa9", 0}, {"..", 0}};
    char name[HM__NAME_MAX + 2];
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        CHECK_ROW(cases[i].name,
                  hm__name_is_valid(hm__text_of(cases[i].name)) == cases[i].valid);
    }
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_false(hm__name_is_valid(hm__text_of(name)));
    name[sizeof name - 2] = '\0';
    assert_true(hm__name_is_valid(hm__text_of(name)));
}

static void nearest__finds_slips(void **state)
{
    static const char *const names[] = {"default", "mimalloc", "jemalloc",
                                        "debug",   "limit",    "x"};
    static const struct {
        const char *written;
        const char *want; /* "" for none */
    } cases[] = {
        {"mimaloc", "mimalloc"},
        {"mimallocc", "mimalloc"},
        {"mmialloc", "mimalloc"},
        {"Debug", "debug"},
        {"DEBUG", "debug"},
        {"dbug", "debug"},
        {"debgu", "debug"},
        {"defualt", "default"},
        {"limits", "limit"},
        {"lim", "limit"},
        {"de", "default"},
        {"jmalloc", "jemalloc"},
        {"tcmalloc", "mimalloc"},
        {"arena", ""},
        {"hoard", ""},
        {"", ""},
        {"q", ""},
        {"X", "x"},
        {"debugdebugdebug", ""},
    };
    char longest[200];
    hm__nearest search;
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm__nearest_begin(&search, hm__text_of(cases[i].written));
        for (size_t j = 0; j < COUNT(names); j++) {
            hm__nearest_offer(&search, hm__text_of(names[j]));
        }
        if (strcmp(search.name, cases[i].want) != 0) {
            fail_msg("%s: \"%s\", not \"%s\"", cases[i].written, search.name,
                     cases[i].want);
        }
    }
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    hm__nearest_begin(&search, hm__text_of(longest));
    hm__nearest_offer(&search, hm__text_of(longest));
    hm__nearest_offer(&search, hm__text_of("a"));
    assert_string_equal("", search.name);
    hm__nearest_begin(&search, hm__text_of("debug"));
    hm__nearest_offer(&search, hm__text_of(longest));
    hm__nearest_offer(&search, hm__text_of(""));
    assert_string_equal("", search.name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spec__reads),        cmocka_unit_test(spec__names_the_column),
        cmocka_unit_test(spec__has_limits),   cmocka_unit_test(spec__cuts_what_it_quotes),
        cmocka_unit_test(spec__checks_names), cmocka_unit_test(nearest__finds_slips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
