/* SPDX-License-Identifier: MIT */
/* The bridge under a real CPython, in both of its modes: test_cpython SPEC [arenas]. The hook is live in each domain,
 * allocations may fail, a limit is a MemoryError, and results are the same. */
#include <Python.h>

#include "hooked.h"

#include <hostmalloc/bridges/cpython.h>

/* The bridge fills these structs without their header. */
_Static_assert(sizeof(PyMemAllocatorEx) == 5 * sizeof(void *),
               "a context and four functions");
_Static_assert(offsetof(PyMemAllocatorEx, free) == 4 * sizeof(void *), "free last");
_Static_assert(sizeof(PyObjectArenaAllocator) == 3 * sizeof(void *), "a context and two");
_Static_assert(PYMEM_DOMAIN_RAW == 0 && PYMEM_DOMAIN_OBJ == 2, "as numbered");

static const char *const names[HM_CPYTHON_DOMAINS] = {"python:raw", "python:mem",
                                                      "python:obj"};

static int arenas; /* the mode */
static hm_malloc *mallocs[HM_CPYTHON_DOMAINS];
static uint64_t stock;    /* the workload's digest without the bridge */
static uint64_t late;     /* what installing late answered */
static uint64_t occupied; /* what installing over somebody else's functions answered */

static void start_python(void)
{
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    config.use_hash_seed = 1; /* the same order of sets in each run */
    config.hash_seed = 42;
    const PyStatus status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    hooked_must(!PyStatus_Exception(status), "Python did not start", NULL);
}

/* Runs @p script and answers the digest of its variable `answer`; 0 when it has none. */
static uint64_t run(const char *script)
{
    uint64_t digest = 0;
    PyObject *const globals = PyDict_New();
    PyObject *const done = globals && PyDict_SetItemString(globals, "__builtins__",
                                                           PyEval_GetBuiltins()) == 0
                               ? PyRun_String(script, Py_file_input, globals, globals)
                               : NULL;
    PyObject *const answer = done ? PyDict_GetItemString(globals, "answer") : NULL;
    const char *const text = answer ? PyUnicode_AsUTF8(answer) : NULL;
    if (text) {
        digest = hooked_digest(HOOKED_DIGEST, text, strlen(text));
    }
    Py_XDECREF(done);
    Py_XDECREF(globals);
    return digest;
}

static const char work_script[] =
    "import json, pickle, re, threading, collections\n"
    "class Node:\n"
    "    def __init__(self, depth):\n"
    "        self.left = Node(depth - 1) if depth else None\n"
    "        self.right = Node(depth - 1) if depth else None\n"
    "    def count(self):\n"
    "        return 1 + self.left.count() + self.right.count() if self.left else 1\n"
    "data = {'k%d' % i: [i, i / 7, 'v' * (i % 50), None] for i in range(3000)}\n"
    "same = json.loads(json.dumps(data)) == data == pickle.loads(pickle.dumps(data))\n"
    "words = collections.Counter(re.findall(r'[a-z]+\\d', ' '.join(data)))\n"
    "big = bytearray(3 << 20)\n"
    "big[1000::1000] = bytes(len(big[1000::1000]))\n"
    "sums = []\n"
    "def beside(n):\n"
    "    sums.append(sum(len(str(i) * 3) for i in range(n)))\n"
    "threads = [threading.Thread(target=beside, args=(5000,)) for i in range(4)]\n"
    "[t.start() for t in threads]\n"
    "[t.join() for t in threads]\n"
    "text = ''\n"
    "for i in range(3000):\n"
    "    text += chr(65 + i % 26)\n"
    "answer = repr((same, Node(10).count(), len(words), words.most_common(3), len(big), "
    "sums,\n"
    "               hash(text), sorted({x * 31 % 1009 for x in range(5000)})[:20],\n"
    "               2 ** 3000 % 10 ** 20, [b'', bytes(0), ()] * 2))\n";

static uint64_t work(void)
{
    const uint64_t digest = run(work_script);
    hooked_must(digest != 0 && !PyErr_Occurred(), "the script failed", NULL);
    return digest;
}

static uint64_t work_in_stock(void)
{
    start_python();
    const uint64_t digest = work();
    hooked_must(Py_FinalizeEx() == 0, "finalized", NULL);
    return digest;
}

static hm_status install_now(hm_error *err)
{
    return arenas ? hm_cpython_install_arenas(mallocs[HM_CPYTHON_RAW], err)
                  : hm_cpython_install(mallocs[HM_CPYTHON_RAW], mallocs[HM_CPYTHON_MEM],
                                       mallocs[HM_CPYTHON_OBJ], err);
}

static uint64_t install_late(void)
{
    hm_error err;
    start_python();
    const hm_status status = install_now(&err);
    hooked_must(hm_cpython_verify(NULL, NULL) == status, "verify says otherwise", NULL);
    hooked_must(work() == stock, "Python goes on without us", NULL);
    return (uint64_t)-status;
}

static void *take_theirs(void *context, size_t size)
{
    (void)context;
    return malloc(size ? size : 1);
}

static void *find_by_name(void *context, const char *name)
{
    (void)context;
    return strcmp(name, "PyMem_SetAllocator") == 0
               ? (void *)(uintptr_t)&PyMem_SetAllocator
           : strcmp(name, "PyMem_GetAllocator") == 0
               ? (void *)(uintptr_t)&PyMem_GetAllocator
           : strcmp(name, "PyObject_SetArenaAllocator") == 0
               ? (void *)(uintptr_t)&PyObject_SetArenaAllocator
           : strcmp(name, "PyObject_GetArenaAllocator") == 0
               ? (void *)(uintptr_t)&PyObject_GetArenaAllocator
           : strcmp(name, "Py_IsInitialized") == 0 ? (void *)(uintptr_t)&Py_IsInitialized
                                                   : NULL;
}

static uint64_t install_over(void)
{
    static int theirs;
    PyMemAllocatorEx theirs_all;
    hm_error err;
    PyMem_GetAllocator(PYMEM_DOMAIN_OBJ, &theirs_all);
    theirs_all.ctx = &theirs;
    theirs_all.malloc = take_theirs;
    PyMem_SetAllocator(PYMEM_DOMAIN_OBJ, &theirs_all);
    const hm_status status = install_now(&err);
    const hm_bridge *const bridge =
        arenas ? &hm_cpython_arenas_bridge : &hm_cpython_bridge;
    const hm_bridge_opts opts = {.size = sizeof(opts),
                                 .host = process.host,
                                 .lookup = find_by_name,
                                 .flags = HM_BRIDGE_REPLACE};
    hooked_must(bridge->install(&opts, &err) == HM_OK, "replace", &err);
    hooked_must(bridge->verify(NULL, &err) == HM_OK, "verify", &err);
    PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &theirs_all);
    hooked_must(bridge->verify(NULL, &err) == HM_E_NOT_OWNED, "taken since", &err);
    return (uint64_t)-status;
}

/* An object of before, which Python cannot see and a checking malloc does when it comes back. */
static uint64_t install_over_a_block(void)
{
    void *const made = PyObject_Malloc(2000);
    hm_error err;
    hooked_must(install_now(&err) == HM_OK, "over a block", &err);
    PyObject_Free(made);
    return (uint64_t)-hm_cpython_verify(NULL, NULL);
}

static void cpython__hook_is_live(void **state)
{
    const hm_site *first = NULL;
    hm_block block;
    void *const made[] = {PyMem_RawMalloc(0), PyMem_Malloc(700), PyObject_Malloc(40)};
    (void)state;
    for (unsigned i = 0; i < HM_CPYTHON_DOMAINS; i++) {
        const int ours = !arenas || i == HM_CPYTHON_RAW;
        assert_non_null(made[i]);
        if (ours) {
            assert_int_not_equal(hm_owns(mallocs[i], made[i]), 0);
        }
        if (ours && mallocs[i]->flags & HM_MALLOC_DEBUG) {
            assert_int_equal(hm_describe(mallocs[i], made[i], &block), HM_OK);
            assert_string_equal(block.site->file, names[i]);
        }
    }
    assert_ptr_not_equal(PyMem_RawMalloc(0), made[0]);
    PyMem_RawFree(made[0]);
    PyMem_Free(made[1]);
    PyObject_Free(made[2]);
    assert_int_equal(hm_cpython_verify(&first, NULL), HM_OK);
    assert_string_equal(first->file, "python:raw");
    hooked_check_twice(arenas ? &hm_cpython_arenas_bridge : &hm_cpython_bridge,
                       find_by_name);
}

static void cpython__late_is_told(void **state)
{
    (void)state;
    assert_int_equal(late, (uint64_t)-HM_E_STARTED);
    assert_int_equal(occupied, (uint64_t)-HM_E_NOT_OWNED);
}

static void check_findings(void)
{
    for (unsigned i = 0; i < HM_CPYTHON_DOMAINS; i++) {
        hooked_check_findings(mallocs[i]);
    }
}

static void cpython__works_as_stock(void **state)
{
    (void)state;
    assert_int_equal(work(), stock);
    hooked_check_used(mallocs[HM_CPYTHON_RAW], 50);
    if (!arenas) {
        hooked_check_used(mallocs[HM_CPYTHON_MEM], 1000);
        hooked_check_used(mallocs[HM_CPYTHON_OBJ], 100000);
    }
    check_findings();
}

/* Runs the code object @p context. Compiling is left out: where an allocation of it fails, the compiler of 3.11 lets go
   of a string twice, as the debug host reports. */
static int survive(void *context)
{
    PyObject *const globals = PyDict_New();
    PyObject *const done = globals && PyDict_SetItemString(globals, "__builtins__",
                                                           PyEval_GetBuiltins()) == 0
                               ? PyEval_EvalCode(context, globals, globals)
                               : NULL;
    int orderly = 1;
    if (!done) {
        orderly = PyErr_ExceptionMatches(PyExc_MemoryError);
        PyErr_Clear();
    }
    Py_XDECREF(done);
    Py_XDECREF(globals);
    return !orderly;
}

static void cpython__every_allocation_fails(void **state)
{
    PyObject *const code = Py_CompileString(
        "answer = str([[i, {'a': i}, 'x' * i] for i in range(3)] + [2 ** 200])", "<test>",
        Py_file_input);
    (void)state;
    assert_non_null(code);
    hooked_sweep(survive, code, arenas ? 0 : 30);
    Py_DECREF(code);
    assert_int_equal(work(), stock);
    check_findings();
}

/* More than the host has is a MemoryError, and the program goes on. */
static void cpython__too_much_is_an_exception(void **state)
{
    (void)state;
    assert_int_equal(run("try:\n    bytearray(1 << 62)\n"
                         "except MemoryError:\n    answer = 'none'\n"),
                     hooked_digest(HOOKED_DIGEST, "none", 4));
}

/* Interned strings, static types and the like stay; a second life adds little to the first one's. */
static void cpython__finalize_leaves_its_own(void **state)
{
    uint64_t left[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(Py_FinalizeEx(), 0);
        left[i] = 0;
        for (unsigned d = 0; d < HM_CPYTHON_DOMAINS; d++) {
            left[i] += hooked_live(mallocs[d]);
        }
        start_python();
        assert_int_equal(work(), stock);
    }
    assert_int_equal(Py_FinalizeEx(), 0);
    print_message("%llu blocks live after the first end, %llu after the second\n",
                  (unsigned long long)left[0], (unsigned long long)left[1]);
    assert_in_range(left[0], 0, 20000);
    assert_in_range(left[1], 0, left[0] * 2 + 100);
    assert_int_equal(hm_cpython_verify(NULL, NULL), HM_OK);
    check_findings();
}

static void *find_setter(void *context, const char *name)
{
    (void)context;
    return strcmp(name, "PyMem_SetAllocator") == 0
               ? (void *)(uintptr_t)&PyMem_SetAllocator
               : NULL;
}

static void cpython__before_install(void **state)
{
    hm_malloc *const two[HM_CPYTHON_DOMAINS] = {mallocs[0], mallocs[1], NULL};
    const hm_bridge_opts opts = {.size = sizeof(opts), .lookup = find_by_name};
    hm_error err;
    (void)state;
    hooked_check_before(arenas ? &hm_cpython_arenas_bridge : &hm_cpython_bridge,
                        find_setter);
    assert_int_equal(hm_cpython_install_domains(NULL, two, &err), HM_E_INVALID);
    assert_int_equal(hm_cpython_install_domains(&opts, NULL, &err), HM_E_INVALID);
    assert_int_equal(hm_cpython_install_domains(&opts, two, &err), HM_E_INVALID);
    assert_int_equal(hm_cpython_verify(NULL, NULL), HM_E_INVALID);
}

static int install(void **state)
{
    hm_error err;
    (void)state;
    if (install_now(&err) != HM_OK) {
        return -1;
    }
    start_python();
    return 0;
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest before[] = {cmocka_unit_test(cpython__before_install)};
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpython__hook_is_live),
        cmocka_unit_test(cpython__late_is_told),
        cmocka_unit_test(cpython__works_as_stock),
        cmocka_unit_test(cpython__every_allocation_fails),
        cmocka_unit_test(cpython__too_much_is_an_exception),
        cmocka_unit_test(cpython__finalize_leaves_its_own),
    };
    hooked_open(argc, argv);
    arenas = argc > 2 && strcmp(argv[2], "arenas") == 0;
    for (unsigned i = 0; i < HM_CPYTHON_DOMAINS; i++) {
        mallocs[i] = hooked_malloc(names[i]);
    }
    stock = hooked_in_copy(work_in_stock);
    late = hooked_in_copy(install_late);
    if (mallocs[HM_CPYTHON_OBJ]->flags & HM_MALLOC_DEBUG && !arenas) {
        hooked_must(hooked_in_copy(install_over_a_block) == (uint64_t)-HM_E_STARTED,
                    "a block of before is told", NULL);
    }
    occupied = hooked_in_copy(install_over);
    const int failed = cmocka_run_group_tests(before, NULL, NULL) +
                       cmocka_run_group_tests(tests, install, NULL);
    for (unsigned i = 0; i < HM_CPYTHON_DOMAINS; i++) {
        hm_malloc_release(mallocs[i]);
    }
    hm_host_release(process.host);
    return failed;
}
