/* SPDX-License-Identifier: MIT */
/* The modes of the debug host: what each finds, what it says a block takes, and what it drops. */
#include "debug_fixture.h"
#include "sanitizer.h"

#include <pthread.h>

#define STATS   1u
#define CHECKED 2u
#define FULL    4u
#define ALL     (STATS | CHECKED | FULL)
#define STRAYS \
    8u /* writes to what is the inner malloc's, where nothing is behind a block or held back: a sanitizer stops that itself */

static const struct {
    const char *spec;
    unsigned mode;
    size_t bytes; /* added to each block */
} modes[] = {{",mode=stats", STATS, 16},
             {",mode=checked", CHECKED, 24},
             {"", CHECKED, 24},
             {",mode=full", FULL, 24}};

static void modes__options(void **state)
{
    static const struct {
        const char *spec;
        hm_status want;
        const char *what; /* in the error */
    } cases[] = {{"debug:mode=stats", HM_OK, NULL},
                 {"debug:mode=checked", HM_OK, NULL},
                 {"debug:mode=full", HM_OK, NULL},
                 {"debug:mode=stats,edges=yes", HM_OK, NULL},
                 {"debug:mode=stats,quarantine=8,fill=all", HM_OK, NULL},
                 {"debug:edges=no", HM_OK, NULL},
                 {"debug:mode=full,quarantine_bytes=1M,fill=none", HM_OK, NULL},
                 {"debug:mode=full,quarantine_bytes=0", HM_OK, NULL},
                 {"debug:quarantine=32768", HM_OK, NULL},
                 {"debug:mode=fast", HM_E_INVALID, "stats|checked|full"},
                 {"debug:mode", HM_E_INVALID, NULL},
                 {"debug:edges=8", HM_E_INVALID, NULL},
                 {"debug:fill=most", HM_E_INVALID, NULL},
                 {"debug:quarantine=32769", HM_E_INVALID, "at most 32768"},
                 {"debug:quarantine_bytes=1000000G", HM_E_INVALID, "expected at most"},
                 {"debug:quarantine_bytes=-1", HM_E_INVALID, NULL}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm_host *host = NULL;
        hm_error err = {0};
        const hm_status status = hm_host_open(cases[i].spec, &host, &err);
        if (status != cases[i].want || (host != NULL) != (status == HM_OK)) {
            fail_msg("%s: %s %s", cases[i].spec, hm_status_name(status), err.what);
        }
        if (cases[i].what && !strstr(err.what, cases[i].what)) {
            fail_msg("%s: %s", cases[i].spec, err.what);
        }
        hm_host_release(host);
    }
}

static void modes__bytes_of_a_block(void **state)
{
    static const struct {
        const char *spec;
        size_t bytes;
    } mixed[] = {
        {",edges=no", 16}, {",mode=stats,edges=yes", 24}, {",mode=full,edges=no", 16}};
    (void)state;
    for (size_t i = 0; i < COUNT(modes) + COUNT(mixed); i++) {
        const char *spec =
            i < COUNT(modes) ? modes[i].spec : mixed[i - COUNT(modes)].spec;
        const size_t bytes =
            i < COUNT(modes) ? modes[i].bytes : mixed[i - COUNT(modes)].bytes;
        debug_fixture f;
        void *blocks[100];
        fixture_open(&f, spec, i & 1 ? HM_MALLOC_THREADSAFE : 0);
        for (size_t k = 0; k < COUNT(blocks); k++) {
            blocks[k] = hm_alloc(f.m, k);
            assert_non_null(blocks[k]);
        }
        assert_int_equal(fixture_stats(f.m).overhead_bytes, bytes * COUNT(blocks));
        for (size_t k = 0; k < COUNT(blocks); k++) {
            assert_int_equal(hm_free(f.m, blocks[k]), HM_OK);
        }
        fixture_close(&f);
        assert_string_equal(f.text, "");
    }
}

/* Each does one thing wrong, or nothing. */
static void nothing(debug_fixture *f)
{
    char *block = hm_alloc(f->m, 41);
    memset(block, 0, 41);
    assert_int_equal(hm_free(f->m, block), HM_OK);
}

static void freed_twice(debug_fixture *f)
{
    char *block = hm_alloc(f->m, 41);
    hm_free(f->m, block);
    assert_int_not_equal(hm_free(f->m, block), HM_OK);
}

static void freed_twice_late(debug_fixture *f)
{
    char *block = hm_alloc(f->m, 16);
    char *others[1500];
    for (size_t i = 0; i < COUNT(others); i++) {
        others[i] = hm_alloc(f->m, 16);
    }
    hm_free(f->m, block);
    for (size_t i = 0; i < COUNT(others); i++) {
        hm_free(f->m, others[i]);
    }
    assert_int_not_equal(hm_free(f->m, block), HM_OK);
}

static void written_past_the_end(debug_fixture *f)
{
    char *block = hm_alloc(f->m, 5);
    block[5] = 0;
    hm_free(f->m, block);
}

static void written_past_nothing(debug_fixture *f)
{
    char *block = hm_alloc(f->m, 0);
    block[0] = 0;
    hm_free(f->m, block);
}

static void written_before_the_start(debug_fixture *f)
{
    char *block = hm_alloc(f->m, 41);
    block[-1] = 0;
    hm_free(f->m, block);
}

static void written_after_the_free(debug_fixture *f)
{
    char *block = hm_alloc(f->m, 41);
    hm_free(f->m, block);
    block[20] = 1;
}

static void written_in_the_middle_after_the_free(debug_fixture *f)
{
    char *block = hm_alloc(f->m, 400);
    hm_free(f->m, block);
    block[200] = 1;
}

static void freed_with_another_size(debug_fixture *f)
{
    char *block = hm_alloc(f->m, 41);
    assert_int_not_equal(hm_free_at(f->m, block, 42, 0, NULL), HM_OK);
    hm_free(f->m, block);
}

static void freed_inside(debug_fixture *f)
{
    char *block = hm_alloc(f->m, 410);
    assert_int_not_equal(hm_free(f->m, block + 32), HM_OK);
    hm_free(f->m, block);
}

static void freed_elsewhere(debug_fixture *f)
{
    hm_malloc *other;
    assert_int_equal(hm_host_create_malloc(f->host, "other", 0, &other, NULL), HM_OK);
    char *block = hm_alloc(f->m, 41);
    assert_int_not_equal(hm_free(other, block), HM_OK);
    hm_free(f->m, block);
    hm_malloc_release(other);
}

static void freed_a_local(debug_fixture *f)
{
    long local[8];
    assert_int_not_equal(hm_free(f->m, local), HM_OK);
}

static void left(debug_fixture *f)
{
    static void *reachable[2 * COUNT(modes)];
    static size_t count;
    reachable[count] = hm_alloc(f->m, 41);
    assert_non_null(reachable[count++]);
}

static const struct {
    const char *label;
    void (*act)(debug_fixture *f);
    unsigned found; /* by these modes */
    const char *words;
} acts[] = {
    {"nothing", nothing, 0, NULL},
    {"freed twice", freed_twice, ALL, "double free"},
    {"freed twice late", freed_twice_late, ALL, NULL},
    {"freed twice late, with the sites", freed_twice_late, FULL, "  allocated "},
    {"past the end", written_past_the_end, CHECKED | FULL | STRAYS,
     "write past the end of a block"},
    {"past nothing", written_past_nothing, CHECKED | FULL | STRAYS,
     "write past the end of a block"},
    {"before the start", written_before_the_start, ALL, NULL},
    {"after the free", written_after_the_free, CHECKED | FULL | STRAYS,
     "write after free"},
    {"after the free, middle", written_in_the_middle_after_the_free, FULL | STRAYS,
     "write after free"},
    {"another size", freed_with_another_size, ALL, NULL},
    {"inside", freed_inside, ALL, NULL},
    {"elsewhere", freed_elsewhere, ALL, NULL},
    {"a local", freed_a_local, ALL, NULL},
    {"left", left, ALL, "LEAK"},
};

static void detect(size_t act, size_t mode, uint32_t flags)
{
    debug_fixture f;
    if ((acts[act].found & STRAYS) && modes[mode].mode == STATS && UNDER_SANITIZER) {
        return;
    }
    fixture_open(&f, modes[mode].spec, flags);
    acts[act].act(&f);
    fixture_close(&f);
    const int wanted = (acts[act].found & modes[mode].mode) != 0;
    const int found =
        acts[act].words ? strstr(f.text, acts[act].words) != NULL : f.text[0] != '\0';
    if (wanted != found) {
        fail_msg("%s with \"%s\": %s", acts[act].label, modes[mode].spec, f.text);
    }
}

static void modes__find_what_they_say(void **state)
{
    (void)state;
    for (size_t act = 0; act < COUNT(acts); act++) {
        for (size_t mode = 0; mode < COUNT(modes); mode++) {
            detect(act, mode, 0);
            detect(act, mode, HM_MALLOC_THREADSAFE);
        }
    }
}

/* Everything a malloc can do, in every mixture: nothing wrong is found, and nothing is left. */
static void work(hm_malloc *m, unsigned seed)
{
    void *blocks[64] = {NULL};
    size_t sizes[COUNT(blocks)] = {0};
    for (unsigned i = 0; i < 3000; i++) {
        seed = seed * 1664525 + 1013904223;
        const size_t k = seed >> 26;
        const size_t size =
            (seed >> 8 & 15) == 0 ? seed >> 12 & 0x1FFFF : seed >> 12 & 255;
        if (!blocks[k]) {
            blocks[k] = seed & 64 ? hm_alloc_aligned(m, size, 64) : hm_alloc(m, size);
        } else if (seed & 128) {
            void *moved = hm_realloc(m, blocks[k], size);
            assert_non_null(moved);
            blocks[k] = moved;
        } else {
            assert_int_equal(
                ((unsigned char *)blocks[k])[sizes[k] ? sizes[k] - 1 : 0] & 0, 0);
            assert_int_equal(hm_free(m, blocks[k]), HM_OK);
            blocks[k] = NULL;
            continue;
        }
        assert_non_null(blocks[k]);
        sizes[k] = size;
        memset(blocks[k], (int)i, size);
    }
    for (size_t k = 0; k < COUNT(blocks); k++) {
        assert_int_equal(hm_free(m, blocks[k]), HM_OK);
    }
}

static const char *const mixtures[] = {",mode=stats",
                                       ",mode=checked",
                                       ",mode=full",
                                       ",mode=stats,quarantine=8",
                                       ",mode=stats,fill=all",
                                       ",edges=no",
                                       ",mode=full,edges=no",
                                       ",mode=full,quarantine=0",
                                       ",mode=full,quarantine_bytes=0",
                                       ",edges=no,fill=none,quarantine=0",
                                       ",quarantine_bytes=1K"};

static void modes__say_nothing_about_clean_programs(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(mixtures); i++) {
        for (uint32_t flags = 0; flags < 2; flags++) {
            debug_fixture f;
            fixture_open(&f, mixtures[i], flags ? HM_MALLOC_THREADSAFE : 0);
            work(f.m, 7);
            void *left_block = hm_alloc(f.m, 100);
            assert_int_equal(hm_debug_check(hm_debug_of_host(f.host), NULL), HM_OK);
            assert_int_equal(fixture_stats(f.m).live_blocks, 1);
            assert_int_equal(fixture_stats(f.m).live_bytes, 100);
            assert_int_equal(hm_size_of(f.m, left_block), 100);
            hm_free(f.m, left_block);
            assert_int_equal(fixture_findings(&f), 0);
            fixture_close(&f);
            if (f.text[0]) {
                fail_msg("\"%s\": %s", mixtures[i], f.text);
            }
        }
    }
}

typedef struct passing {
    hm_malloc *m;
    void *slots[32];
    unsigned seed;
} passing;

static void *pass_on(void *context)
{
    passing *p = context;
    unsigned seed = __atomic_fetch_add(&p->seed, 77, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 4000; i++) {
        seed = seed * 1664525 + 1013904223;
        void *block = hm_alloc(p->m, seed >> 20 & 255);
        void *old = __atomic_exchange_n(&p->slots[seed >> 27], block, __ATOMIC_ACQ_REL);
        if (hm_free(p->m, old) != HM_OK) {
            return p;
        }
    }
    return NULL;
}

static void modes__pass_blocks_between_threads(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(mixtures); i++) {
        debug_fixture f;
        pthread_t threads[2];
        void *failed[2];
        fixture_open(&f, mixtures[i], HM_MALLOC_THREADSAFE);
        passing p = {.m = f.m, .seed = 1};
        for (size_t t = 0; t < 2; t++) {
            assert_int_equal(pthread_create(&threads[t], NULL, pass_on, &p), 0);
        }
        for (size_t t = 0; t < 2; t++) {
            pthread_join(threads[t], &failed[t]);
            assert_null(failed[t]);
        }
        for (size_t k = 0; k < COUNT(p.slots); k++) {
            assert_int_equal(hm_free(f.m, p.slots[k]), HM_OK);
        }
        assert_int_equal(fixture_stats(f.m).live_blocks, 0);
        fixture_close(&f);
        assert_string_equal(f.text, "");
    }
}

/* What is held back counts as overhead, and is what the bound says at most. */
static void modes__hold_back_within_bounds(void **state)
{
    static const struct {
        const char *spec;
        size_t live, least, most;
    } cases[] = {{",mode=stats,quarantine=100,quarantine_bytes=4K", 0, 2048, 4096 + 64},
                 {",quarantine=1000,quarantine_bytes=10K", 0, 5120, 10240 + 64},
                 {",mode=full", 0, 32768, 65536 + 64},
                 {",mode=full", 1 << 20, 1 << 17, (1 << 18) + 64},
                 {",mode=full,quarantine=10", 1 << 20, 5 * 64, 10 * 64}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        debug_fixture f;
        fixture_open(&f, cases[i].spec, 0);
        void *live = cases[i].live ? hm_alloc(f.m, cases[i].live) : NULL;
        for (int k = 0; k < 20000; k++) {
            assert_int_equal(hm_free(f.m, hm_alloc(f.m, 64)), HM_OK);
        }
        const uint64_t held = fixture_stats(f.m).overhead_bytes - (live ? 24 : 0);
        if (held < cases[i].least || held > cases[i].most) {
            fail_msg("\"%s\" holds %llu bytes", cases[i].spec, (unsigned long long)held);
        }
        hm_free(f.m, live);
        fixture_close(&f);
        assert_string_equal(f.text, "");
    }
}

static void modes__count_what_they_drop(void **state)
{
    debug_fixture f;
    (void)state;
    fixture_open(&f, "", 0);
    hm_free(f.m, hm_alloc(f.m, 65536));
    hm_free(f.m, hm_alloc(f.m, 65537));
    hm_free(f.m, hm_alloc(f.m, 100000));
    void *block = hm_alloc(f.m, 1);
    const int fd = fileno(tmpfile());
    char text[4096] = {0};
    assert_int_equal(hm_debug_report(hm_debug_of_host(f.host), fd), HM_OK);
    assert_int_equal(hm_debug_snapshot(hm_debug_of_host(f.host), fd), HM_OK);
    assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
    assert_non_null(
        strstr(text, "dropped: 2 (freed blocks too large to be held back)\n"));
    assert_non_null(strstr(text,
                           "{\"type\":\"dropped\",\"what\":\"freed blocks too large "
                           "to be held back\",\"count\":2}"));
    hm_free(f.m, block);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modes__options),
        cmocka_unit_test(modes__bytes_of_a_block),
        cmocka_unit_test(modes__find_what_they_say),
        cmocka_unit_test(modes__say_nothing_about_clean_programs),
        cmocka_unit_test(modes__pass_blocks_between_threads),
        cmocka_unit_test(modes__hold_back_within_bounds),
        cmocka_unit_test(modes__count_what_they_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
