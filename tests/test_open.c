/* SPDX-License-Identifier: MIT */
/* From a spec to a stack of hosts: opened whole, from the innermost out, or not at all. */
#include "registry_internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "memory_internal.h"
#include "toy_host.h"

/* What was opened, in order: "stone;" for the host, "paper(64M);" for a layer with its option. */
static char opened[400];
static int refuse_opens; /* scissors refuses */

static void note(const char *what, const char *option)
{
    const size_t used = strlen(opened);
    snprintf(opened + used, sizeof opened - used, option ? "%s(%s);" : "%s;", what,
             option);
}

static hm_status
open_stone(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    assert_null(inner);
    note("stone", NULL);
    return toy_open(values, inner, out, err);
}

static hm_status
open_paper(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    assert_non_null(inner);
    note("paper", hm__option_text(values, "text"));
    return toy_open_layer(values, inner, out, err);
}

/* Opens the stack its option names as well, as a host that swaps does. */
static hm_status open_scissors(const hm_option_values *values,
                               hm_host *inner,
                               hm_host **out,
                               hm_error *err)
{
    const char *const to = hm__option_text(values, "to");
    hm_host *other = NULL;
    note("scissors", to);
    if (refuse_opens) {
        return hm_error_set(err, HM_E_TIMEOUT, "layer:scissors", "blunt");
    }
    const hm_status status = to ? hm_host_open(to, &other, err) : HM_OK;
    hm_host_release(other);
    return status == HM_OK ? toy_open_layer(values, inner, out, err) : status;
}

static const hm_option text_option = {sizeof(hm_option), "text", HM_OPTION_TEXT, 0, NULL,
                                      "a text",          NULL};
static const hm_option size_option = {sizeof(hm_option), "size", HM_OPTION_BYTES, 0, "1M",
                                      "a size",          NULL};
static const hm_option to_option = {sizeof(hm_option), "to", HM_OPTION_SPEC, 0, NULL,
                                    "another stack",   NULL};
static const hm_option *const options[] = {&text_option, &size_option, &to_option};

#define INFO(VARIABLE, KIND, NAME, OPEN)                                  \
    static const hm_host_info VARIABLE = {.size = sizeof(hm_host_info),   \
                                          .abi = HM_ABI,                  \
                                          .kind = KIND,                   \
                                          .name = NAME,                   \
                                          .summary = "for tests",         \
                                          .version = "1",                 \
                                          .options = options,             \
                                          .option_count = COUNT(options), \
                                          .open = OPEN}
INFO(stone, HM_KIND_HOST, "stone", open_stone);
INFO(paper, HM_KIND_LAYER, "paper", open_paper);
INFO(scissors, HM_KIND_LAYER, "scissors", open_scissors);

static void open__stacks_from_the_inside_out(void **state)
{
    static const struct {
        const char *spec;
        const char *opened;
    } cases[] = {
        {"stone", "stone;"},
        {"paper+stone", "stone;paper;"},
        {"paper:text=a+paper:text=b+stone", "stone;paper(b);paper(a);"},
        {"scissors:to=(paper:text=in+stone)+stone",
         "stone;scissors(paper:text=in+stone);stone;paper(in);"},
        {"paper:text=out", "paper(out);"}, /* over default */
    };
    (void)state;
    const uint32_t alive = toy_live;
    const size_t base = hm__memory_in_use();
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm_host *host;
        hm_error err;
        opened[0] = '\0';
        if (hm_host_open(cases[i].spec, &host, &err) != HM_OK) {
            fail_msg("%s: %s: %s", cases[i].spec, err.where, err.what);
        }
        CHECK_ROW(cases[i].spec, strcmp(opened, cases[i].opened) == 0);
        hm_host_release(host);
        CHECK_ROW(cases[i].spec, toy_live == alive);
        CHECK_ROW(cases[i].spec, hm__memory_in_use() == base);
    }
}

static void open__refuses_before_anything_is_opened(void **state)
{
    static const struct {
        const char *spec;
        hm_status status;
        const char *where;
        const char *what;
    } cases[] = {
        {"stone+stone", HM_E_INVALID, "spec:1", "\"stone\" is a host and must be last"},
        {"paper+stone+paper", HM_E_INVALID, "spec:7",
         "\"stone\" is a host and must be last"},
        {"stone+", HM_E_INVALID, "spec:1", "\"stone\" is a host and must be last"},
        {"paper+", HM_E_INVALID, "spec:7", "nothing after '+'"},
        {"paper+stome", HM_E_NOT_FOUND, "spec:7",
         "no host or layer \"stome\"; did you mean \"stone\"?"},
        {"papre:text=x+stone", HM_E_NOT_FOUND, "spec:1", "did you mean \"paper\"?"},
        {"paper:size=64Q+stone", HM_E_INVALID, "spec:12",
         "layer paper: size \"64Q\" not understood, expected a number then K, M or G"},
        {"paper+stone:txet=1", HM_E_INVALID, "spec:13",
         "host stone has no option \"txet\""},
        {"", HM_E_INVALID, "spec:1", "empty spec"},
    };
    static char spec[400];
    hm_host *host;
    hm_error err;
    (void)state;
    const size_t base = hm__memory_in_use();
    opened[0] = '\0';
    for (size_t i = 0; i < COUNT(cases); i++) {
        host = (hm_host *)spec;
        memset(&err, 0, sizeof err);
        const hm_status status = hm_host_open(cases[i].spec, &host, &err);
        if (status != cases[i].status || err.status != status || host ||
            strcmp(err.where, cases[i].where) != 0 || !strstr(err.what, cases[i].what)) {
            fail_msg("%s: %d %s: %s", cases[i].spec, (int)status, err.where, err.what);
        }
        assert_int_equal(status, hm_host_open(cases[i].spec, &host, NULL));
    }
    for (int i = 0; i < HM__SPEC_ELEMENTS; i++) {
        strcat(spec, "paper+");
    }
    strcat(spec, "stone");
    assert_int_equal(HM_E_INVALID, hm_host_open(spec, &host, &err));
    assert_string_equal("spec:193", err.where);
    assert_string_equal("more than 32 elements", err.what);
    assert_string_equal("", opened);
    assert_int_equal(base, hm__memory_in_use());
    assert_int_equal(HM_OK, hm_host_open(spec + strlen("paper+"), &host,
                                         &err)); /* 32 are not too many */
    hm_host_release(host);
    assert_int_equal(HM_E_INVALID, hm_host_open("stone", NULL, &err));
    assert_string_equal("nowhere to put the host: out is NULL", err.what);
}

static void open__gives_back_what_it_opened(void **state)
{
    hm_host *host;
    hm_error err;
    (void)state;
    const uint32_t alive = toy_live;
    const size_t base = hm__memory_in_use();
    refuse_opens = 1;
    opened[0] = '\0';
    assert_int_equal(HM_E_TIMEOUT,
                     hm_host_open("paper+scissors+paper+stone", &host, &err));
    refuse_opens = 0;
    assert_string_equal("stone;paper;scissors;", opened);
    assert_string_equal("layer:scissors", err.where);
    assert_string_equal("blunt", err.what);
    assert_null(host);
    /* An error in an inner spec keeps its own column. */
    assert_int_equal(HM_E_NOT_FOUND,
                     hm_host_open("scissors:to=(paper+stome)+stone", &host, &err));
    assert_string_equal("spec:7", err.where);
    assert_int_equal(alive, toy_live);
    assert_int_equal(base, hm__memory_in_use());
}

static void open__survives_a_shortage_anywhere(void **state)
{
    static const char spec[] = "paper:text=a+scissors:to=(paper+stone)+paper+stone";
    (void)state;
    const uint32_t alive = toy_live;
    const size_t base = hm__memory_in_use();
    setenv("HOSTMALLOC", spec, 1);
    for (uint64_t nth = 1;; nth++) {
        hm_host *host = (hm_host *)&nth;
        hm_error err = {HM_OK, 0, "", ""};
        assert_true(nth < 100);
        hm__memory_fail_from(nth);
        const hm_status status = hm_host_open(NULL, &host, &err);
        hm__memory_fail_from(0);
        if (status == HM_OK) {
            assert_true(nth > 10);
            hm_host_release(host);
            break;
        }
        assert_int_equal(HM_E_NOMEM, status);
        assert_int_equal(HM_E_NOMEM, err.status);
        assert_true(err.what[0] && err.where[0]);
        assert_null(host);
        assert_int_equal(alive, toy_live);
        assert_int_equal(base, hm__memory_in_use());
    }
    unsetenv("HOSTMALLOC");
    assert_int_equal(alive, toy_live);
    assert_int_equal(base, hm__memory_in_use());
}

static void open__reads_the_environment(void **state)
{
    static const struct {
        const char *spec; /* NULL: not set */
        hm_status status;
        const char *opened;
        const char *what;
    } cases[] = {
        {"paper:text=env+stone", HM_OK, "stone;paper(env);", NULL},
        {"", HM_E_INVALID, "", "$HOSTMALLOC is set but empty"},
        {"ston", HM_E_NOT_FOUND, "", "did you mean \"stone\"?"},
        {" stone", HM_E_INVALID, "", "' ' in a name"},
        {NULL, HM_OK, "", NULL}, /* default */
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *const label = cases[i].spec ? cases[i].spec : "not set";
        hm_host *host;
        hm_error err;
        opened[0] = '\0';
        if (cases[i].spec) {
            setenv("HOSTMALLOC", cases[i].spec, 1);
        } else {
            unsetenv("HOSTMALLOC");
        }
        const hm_status status = hm_host_open(NULL, &host, &err);
        CHECK_ROW(label, status == cases[i].status);
        CHECK_ROW(label, strcmp(opened, cases[i].opened) == 0);
        CHECK_ROW(label, status == HM_OK || (!host && strstr(err.what, cases[i].what)));
        hm_host_release(host);
        /* A spec that is given is not the environment's business. */
        setenv("HOSTMALLOC", "", 1);
        CHECK_ROW(label, hm_host_open("stone", &host, &err) == HM_OK);
        hm_host_release(host);
    }
    unsetenv("HOSTMALLOC");
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Changes one spec a few times: bytes replaced, removed, doubled, pieces of others put in. */
static void mutate(char *spec, size_t room, uint64_t *seed)
{
    static const char *const pieces[] = {"+",
                                         ":",
                                         "=",
                                         ",",
                                         "(",
                                         ")",
                                         "((",
                                         "))",
                                         "paper",
                                         "stone",
                                         "scissors:to=(",
                                         "text=",
                                         "size=",
                                         "64Q",
                                         "99999999999999999999G",
                                         "\xff",
                                         "\n",
                                         "/",
                                         "./x.so",
                                         "%s%n",
                                         "default",
                                         ":text=a,text=b",
                                         "1/4096",
                                         " "};
    for (uint64_t edits = 1 + next_random(seed) % 4; edits > 0; edits--) {
        const size_t length = strlen(spec);
        const size_t at = length ? next_random(seed) % (length + 1) : 0;
        const char *const piece = pieces[next_random(seed) % COUNT(pieces)];
        switch (next_random(seed) % 4) {
        case 0:
            if (at < length) {
                spec[at] = (char)(1 + next_random(seed) % 255);
            }
            break;
        case 1:
            if (at < length) {
                memmove(spec + at, spec + at + 1, length - at);
            }
            break;
        case 2:
            if (2 * length < room) {
                memmove(spec + length, spec + at, length - at);
                spec[2 * length - at] = '\0';
            }
            break;
        default:
            if (length + strlen(piece) < room) {
                memmove(spec + at + strlen(piece), spec + at, length - at + 1);
                memcpy(spec + at, piece, strlen(piece));
            }
            break;
        }
    }
}

/* Whatever is written: no crash, nothing left behind, and a refusal always says why. */
static void open__survives_hostile_specs(void **state)
{
    static const char *const seeds[] = {
        "paper:text=a,size=64M+scissors:to=(paper+stone)+stone",
        "scissors:to=(scissors:to=(scissors:to=(stone)+stone)+stone)+stone",
        "paper+paper+paper+paper+paper+stone",
        "paper:text=(((((((((())))))))))+stone",
        "stone:size=18446744073709551615",
        "",
    };
    enum { ROUNDS = 12000 };
    uint64_t seed = 88172645463325252u;
    size_t accepted = 0;
    (void)state;
    const uint32_t alive = toy_live;
    const size_t base = hm__memory_in_use();
    for (int i = 0; i < ROUNDS; i++) {
        char spec[600];
        hm_host *host = (hm_host *)spec;
        hm_error err = {HM_OK, 0, "", ""};
        snprintf(spec, sizeof spec, "%s", seeds[next_random(&seed) % COUNT(seeds)]);
        mutate(spec, sizeof spec - 20, &seed);
        opened[0] = '\0';
        const hm_status status = hm_host_open(spec, &host, &err);
        if (status == HM_OK) {
            accepted++;
            CHECK_ROW(spec, host != NULL);
            hm_host_release(host);
        } else {
            CHECK_ROW(spec, host == NULL && err.status == status && err.where[0] &&
                                err.what[0]);
            CHECK_ROW(spec, strlen(err.where) < sizeof err.where &&
                                strlen(err.what) < sizeof err.what);
        }
        CHECK_ROW(spec, toy_live == alive);
        CHECK_ROW(spec, hm__memory_in_use() == base);
    }
    assert_in_range(accepted, ROUNDS / 50,
                    ROUNDS); /* else the mutations test nothing but the first error */
}

/* As deep as a spec can nest, on a thread with little stack. */
static void *open_nested(void *context)
{
    hm_host *host;
    hm_error err;
    const hm_status status = hm_host_open(context, &host, &err);
    hm_host_release(host);
    return status == HM_OK ? context : NULL;
}

static void open__nests_on_a_small_stack(void **state)
{
    enum { DEPTH = 150 };
    static char spec[HM__SPEC_MAX];
    pthread_attr_t attributes;
    pthread_t thread;
    void *result;
    (void)state;
    for (int i = 0; i < DEPTH; i++) {
        strcat(spec, "scissors:to=(");
    }
    strcat(spec, "stone");
    for (int i = 0; i < DEPTH; i++) {
        strcat(spec, ")+stone");
    }
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, (size_t)512 << 10);
    assert_int_equal(0, pthread_create(&thread, &attributes, open_nested, spec));
    pthread_join(thread, &result);
    pthread_attr_destroy(&attributes);
    assert_ptr_equal(spec, result);
}

static int setup(void **state)
{
    (void)state;
    toy_begin(&hm__core);
    setenv("HOSTMALLOC_PLUGIN_PATH", "", 1);
    assert_int_equal(HM_OK, hm_registry_add(&stone, NULL));
    assert_int_equal(HM_OK, hm_registry_add(&paper, NULL));
    assert_int_equal(HM_OK, hm_registry_add(&scissors, NULL));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open__stacks_from_the_inside_out),
        cmocka_unit_test(open__refuses_before_anything_is_opened),
        cmocka_unit_test(open__gives_back_what_it_opened),
        cmocka_unit_test(open__survives_a_shortage_anywhere),
        cmocka_unit_test(open__reads_the_environment),
        cmocka_unit_test(open__survives_hostile_specs),
        cmocka_unit_test(open__nests_on_a_small_stack),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
