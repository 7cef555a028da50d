/* SPDX-License-Identifier: MIT */
/* The bridge under a real GMP: the hook is live, sizes are exact, all of it comes back, running out of memory is not passed
 * over, and results are the same. */
#include "hooked.h"

#include <signal.h>

#include <gmp.h>

#include <hostmalloc/bridges/gmp.h>

/* The bridge has these types without their header. */
static void (*const set_functions)(void *(*)(size_t),
                                   void *(*)(void *, size_t, size_t),
                                   void (*)(void *, size_t)) = mp_set_memory_functions;

static hm_malloc *memory;
static uint64_t stock;    /* the workload's digest without the bridge */
static uint64_t occupied; /* what installing over somebody else's functions answered */

/* A factorial, a root, a greatest common divisor and a fraction, in digits. */
static uint64_t work(void)
{
    mpz_t a, b;
    mpq_t q;
    void (*free_text)(void *, size_t);
    uint64_t digest = HOOKED_DIGEST;
    mpz_init(a);
    mpz_init(b);
    mpq_init(q);
    mpz_fac_ui(a, 5000);
    mpz_ui_pow_ui(b, 3, 20000);
    mpz_add(a, a, b);
    mpz_sqrt(b, a);
    mpz_gcd(b, a, b);
    mpz_fdiv_q_ui(a, a, 12345);
    char *const text = mpz_get_str(NULL, 10, a);
    const size_t size = strlen(text);
    digest = hooked_digest(digest, text, size);
    mp_get_memory_functions(NULL, NULL, &free_text);
    free_text(text, size + 1);
    for (unsigned long i = 1; i < 200; i++) {
        mpq_t part;
        mpq_init(part);
        mpq_set_ui(part, 1, i);
        mpq_add(q, q, part);
        mpq_clear(part);
    }
    mpz_set(b, mpq_numref(q));
    digest += (uint64_t)mpz_fdiv_ui(b, 1000003);
    mpq_clear(q);
    mpz_clear(a);
    mpz_clear(b);
    return digest;
}

static void *take_theirs(size_t size)
{
    return malloc(size);
}

static void *resize_theirs(void *block, size_t old_size, size_t size)
{
    (void)old_size;
    return realloc(block, size);
}

static void free_theirs(void *block, size_t size)
{
    (void)size;
    free(block);
}

static void *own_allocate(size_t size)
{
    return malloc(size);
}

static void *find_symbol(void *context, const char *name)
{
    return strcmp(name, "__gmp_set_memory_functions") == 0
               ? (void *)(uintptr_t)set_functions
           : strcmp(name, "__gmp_get_memory_functions") == 0
               ? (void *)(uintptr_t)&mp_get_memory_functions
           : context && strcmp(name, "__gmp_default_allocate") == 0
               ? (void *)(uintptr_t)&own_allocate
               : NULL;
}

static uint64_t install_over(void)
{
    static int knows_default;
    hm_bridge_opts opts = {.size = sizeof(opts),
                           .m = memory,
                           .lookup = find_symbol,
                           .lookup_context = &knows_default};
    hm_error err;
    mpz_t before;
    set_functions(take_theirs, resize_theirs, free_theirs);
    mpz_init_set_ui(before, 7);
    const hm_status status = hm_gmp_bridge.install(&opts, &err);
    hooked_must(hm_gmp_verify(NULL, NULL) == status, "verify says otherwise", NULL);
    opts.flags = HM_BRIDGE_REPLACE;
    hooked_must(hm_gmp_bridge.install(&opts, &err) == HM_OK, "replace", &err);
    hooked_must(hm_gmp_verify(NULL, &err) == HM_OK, "verify", &err);
    if (memory->flags & HM_MALLOC_DEBUG) {
        mpz_clear(before); /* not the bridge's, which a malloc that checks sees */
        hooked_must(hm_gmp_verify(NULL, &err) == HM_E_STARTED, "foreign number", &err);
    }
    set_functions(take_theirs, resize_theirs, free_theirs);
    hooked_must(hm_gmp_verify(NULL, &err) != HM_OK, "taken since", &err);
    return (uint64_t)-status;
}

static void gmp__hook_is_live(void **state)
{
    const hm_site *first = NULL;
    mpz_t number;
    (void)state;
    mpz_init2(number, 10000);
    assert_int_equal(hm_gmp_verify(&first, NULL), HM_OK);
    assert_string_equal(first->file, "gmp:block");
    mpz_clear(number);
    assert_int_equal(occupied, (uint64_t)-HM_E_NOT_OWNED);
    hooked_check_twice(&hm_gmp_bridge, hooked_finds_nothing);
}

static void gmp__works_as_stock(void **state)
{
    (void)state;
    assert_int_equal(work(), stock);
    hooked_check_used(memory, 100);
    hooked_check_findings(memory); /* a wrong size would be one */
    assert_int_equal(hooked_live(memory), 0);
}

static jmp_buf out;
static volatile int called;

static void leave(void *context, size_t bytes)
{
    (void)context;
    called = bytes > 0;
    longjmp(out, 1);
}

static void go_on(void *context, size_t bytes)
{
    hm_fault_rule none = {.size = sizeof(none), .any_level = 1};
    (void)context;
    (void)bytes;
    called++;
    hm_fault_set(process.host, &none); /* room was made */
}

static void fail_next(void)
{
    const hm_fault_rule rule = {
        .size = sizeof(rule), .any_level = 1, .at = "1", .persistent = 1};
    assert_int_equal(hm_fault_set(process.host, &rule), HM_OK);
    called = 0;
}

static void gmp__exhausted(void **state)
{
    mpz_t number;
    (void)state;
    hm_gmp_on_exhausted(leave, NULL);
    fail_next();
    if (setjmp(out) == 0) {
        mpz_init2(number, 100000);
        fail_msg("GMP went on without memory");
    }
    assert_int_equal(called, 1);

    hm_gmp_on_exhausted(go_on, NULL);
    fail_next();
    mpz_init2(number, 100000);
    assert_int_equal(called, 1);
    fail_next();
    mpz_realloc2(number, 10000000);
    assert_int_equal(called, 1);
    mpz_clear(number);
    hm_gmp_on_exhausted(NULL, NULL);
    assert_int_equal(hooked_live(memory), 0);
}

/* With nobody to make room the process ends, and says why. */
static void gmp__aborts(void **state)
{
    int ends[2], status;
    char said[256] = "";
    (void)state;
    assert_int_equal(pipe(ends), 0);
    const pid_t copy = fork();
    if (copy == 0) {
        mpz_t number;
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], 2);
        fail_next();
        mpz_init2(number, 100000);
        _exit(0);
    }
    close(ends[1]);
    assert_int_equal(waitpid(copy, &status, 0), copy);
    assert_true(read(ends[0], said, sizeof(said) - 1) > 0);
    close(ends[0]);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(said, "bridge:gmp: no "));
}

static void *find_setter(void *context, const char *name)
{
    (void)context;
    return strcmp(name, "__gmp_set_memory_functions") == 0
               ? (void *)(uintptr_t)set_functions
               : NULL;
}

static void gmp__before_install(void **state)
{
    (void)state;
    hooked_check_before(&hm_gmp_bridge, find_setter);
}

static int install(void **state)
{
    hm_error err;
    (void)state;
    return hm_gmp_install(memory, &err) == HM_OK ? 0 : -1;
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest before[] = {cmocka_unit_test(gmp__before_install)};
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(gmp__hook_is_live),
        cmocka_unit_test(gmp__works_as_stock),
        cmocka_unit_test(gmp__exhausted),
        cmocka_unit_test(gmp__aborts),
    };
    hooked_open(argc, argv);
    memory = hooked_malloc("gmp");
    stock = hooked_in_copy(work);
    occupied = hooked_in_copy(install_over);
    const int failed = cmocka_run_group_tests(before, NULL, NULL) +
                       cmocka_run_group_tests(tests, install, NULL);
    hm_malloc_release(memory);
    hm_host_release(process.host);
    return failed;
}
