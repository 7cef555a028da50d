/* SPDX-License-Identifier: MIT */
/* The bridge under a real SQLite: the hook is live, all of it comes back, every allocation may fail, and results are the
 * same. */
#include "hooked.h"

#include <sqlite3.h>

#include <hostmalloc/bridges/sqlite.h>

#define ROWS "50000"

/* The bridge fills this struct without its header. */
_Static_assert(sizeof(sqlite3_mem_methods) == 8 * sizeof(void *), "seven functions");
_Static_assert(offsetof(sqlite3_mem_methods, pAppData) == 7 * sizeof(void *),
               "data last");
_Static_assert(SQLITE_CONFIG_MALLOC == 4 && SQLITE_CONFIG_GETMALLOC == 5, "as numbered");
static int (*const config)(int, ...) = sqlite3_config;

static hm_malloc *memory;
static uint64_t stock;    /* the workload's digest without the bridge */
static uint64_t late;     /* what installing late answered */
static uint64_t occupied; /* what installing over somebody else's methods answered */

static int take_row(void *context, int columns, char **values, char **names)
{
    uint64_t *const digest = context;
    (void)names;
    for (int i = 0; i < columns; i++) {
        const char *const text = values[i] ? values[i] : "NULL";
        *digest = hooked_digest(*digest, text, strlen(text) + 1);
    }
    return 0;
}

/* What a program does to a database, at a size that takes a moment. */
static const char script[] =
    "PRAGMA page_size = 1024;"
    "CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, weight REAL, body BLOB);"
    "BEGIN;"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " ROWS ")"
    "INSERT INTO item SELECT i, printf('item %08d', (i * 7919) % " ROWS "), i / 7.0,"
    "    zeroblob(i % 61) FROM n;"
    "COMMIT;"
    "CREATE INDEX by_name ON item(name);"
    "CREATE INDEX by_weight ON item(weight, name);"
    "SELECT count(*), sum(length(body)), min(name), max(name) FROM item;"
    "SELECT id, name FROM item WHERE name BETWEEN 'item 00000100' AND 'item 00000200'"
    "    ORDER BY name;"
    "UPDATE item SET name = name || '*' WHERE id % 5 = 0;"
    "DELETE FROM item WHERE id % 5 = 1;"
    "VACUUM;"
    "SELECT group_concat(name)"
    "    FROM (SELECT name FROM item ORDER BY weight DESC LIMIT 50);"
    "SELECT a.id, b.id FROM item a JOIN item b ON b.id = a.id + 3 WHERE a.id < 300;"
    "PRAGMA integrity_check;";

static uint64_t work(void)
{
    uint64_t digest = HOOKED_DIGEST;
    sqlite3 *db;
    char *problem = NULL;
    hooked_must(sqlite3_open(":memory:", &db) == SQLITE_OK, "no database", NULL);
    const int status = sqlite3_exec(db, script, take_row, &digest, &problem);
    hooked_must(status == SQLITE_OK, problem ? problem : "the script", NULL);
    sqlite3_close(db);
    return digest;
}

static uint64_t install_late(void)
{
    sqlite3 *db;
    hm_error err;
    sqlite3_open(":memory:", &db);
    const hm_status status = hm_sqlite_install(memory, &err);
    hooked_must(hm_sqlite_verify(NULL, NULL) == status, "verify says otherwise", NULL);
    sqlite3_close(db);
    sqlite3_shutdown(); /* and from here on it is not too late */
    hooked_must(hm_sqlite_install(memory, &err) == HM_OK, "after shutdown", &err);
    return (uint64_t)-status;
}

/* Somebody's methods, which are in the way before and after. */
static uint64_t install_over(void)
{
    static sqlite3_mem_methods own, theirs;
    const hm_site *first;
    hm_error err;
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &own);
    theirs = own;
    theirs.xMalloc = (void *(*)(int))sqlite3_malloc;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &theirs);
    const hm_status status = hm_sqlite_install(memory, &err);
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &own);
    hooked_must(own.xMalloc == theirs.xMalloc, "it was changed", NULL);

    hm_bridge_symbol symbols[] = {{"sqlite3_config", (uintptr_t)&sqlite3_config},
                                  {NULL, 0}};
    const hm_bridge_opts opts = {.size = sizeof(opts),
                                 .host = process.host,
                                 .lookup = hm_bridge_linked,
                                 .lookup_context = symbols,
                                 .flags = HM_BRIDGE_REPLACE};
    hooked_must(hm_sqlite_bridge.install(&opts, &err) == HM_OK, "replace", &err);
    hooked_must(hm_sqlite_verify(&first, &err) == HM_OK && !first, "verify", &err);
    sqlite3_config(SQLITE_CONFIG_MALLOC, &theirs);
    hooked_must(hm_sqlite_verify(NULL, &err) == HM_E_NOT_OWNED, "taken since", &err);
    return (uint64_t)-status;
}

static void sqlite__hook_is_live(void **state)
{
    const hm_site *first = NULL;
    hm_error err;
    (void)state;
    void *const block = sqlite3_malloc(100);
    assert_int_equal(hm_sqlite_verify(&first, &err), HM_OK);
    assert_string_equal(first->file, "sqlite:block");
    assert_int_not_equal(hm_owns(memory, block), 0);
    assert_true(sqlite3_msize(block) >= 100);
    memset(block, 1, (size_t)sqlite3_msize(block));
    sqlite3_free(block);
    hooked_check_twice(&hm_sqlite_bridge, hooked_finds_nothing);
}

static void sqlite__late_is_told(void **state)
{
    (void)state;
    assert_int_equal(late, (uint64_t)-HM_E_STARTED);
    assert_int_equal(occupied, (uint64_t)-HM_E_NOT_OWNED);
}

static void sqlite__works_as_stock(void **state)
{
    (void)state;
    assert_int_equal(work(), stock);
    hooked_check_used(memory, 1000);
    hooked_check_findings(memory);
}

static int survive(void *context)
{
    static const char *const steps[] = {
        "CREATE TABLE t(a, b)", "CREATE INDEX i ON t(b)",
        "INSERT INTO t VALUES(1, 'one'), (2, zeroblob(5000)), (3, hex(randomblob(600)))",
        "SELECT * FROM t ORDER BY length(b)", "UPDATE t SET b = a WHERE a > 1"};
    uint64_t digest = HOOKED_DIGEST;
    sqlite3 *db = NULL;
    int status = sqlite3_open(":memory:", &db);
    (void)context;
    for (size_t i = 0; status == SQLITE_OK && i < COUNT(steps); i++) {
        status = sqlite3_exec(db, steps[i], take_row, &digest, NULL);
    }
    if (status == SQLITE_NOMEM) { /* the connection still works */
        status =
            db ? sqlite3_exec(db, "PRAGMA integrity_check", NULL, NULL, NULL) : SQLITE_OK;
    }
    sqlite3_close(db);
    return status != SQLITE_OK;
}

static void sqlite__every_allocation_fails(void **state)
{
    (void)state;
    hooked_sweep(survive, NULL, 100);
    hooked_check_findings(memory);
}

static void sqlite__shutdown_leaves_nothing(void **state)
{
    (void)state;
    assert_int_equal(sqlite3_initialize(), SQLITE_OK);
    assert_int_equal(sqlite3_shutdown(), SQLITE_OK);
    assert_int_equal(hooked_live(memory), 0);
    assert_int_equal(sqlite3_memory_used(), 0);
    assert_int_equal(hm_sqlite_verify(NULL, NULL), HM_OK);
    assert_int_equal(work(), stock); /* and serves again */
    assert_int_equal(sqlite3_shutdown(), SQLITE_OK);
    assert_int_equal(hooked_live(memory), 0);
}

static void *find_config(void *context, const char *name)
{
    (void)context;
    return strcmp(name, "sqlite3_config") == 0 ? (void *)(uintptr_t)config : NULL;
}

static void sqlite__before_install(void **state)
{
    (void)state;
    hooked_check_before(&hm_sqlite_bridge, find_config);
}

static int install(void **state)
{
    hm_error err;
    (void)state;
    return hm_sqlite_install(memory, &err) == HM_OK ? 0 : -1;
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest before[] = {cmocka_unit_test(sqlite__before_install)};
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(sqlite__hook_is_live),
        cmocka_unit_test(sqlite__late_is_told),
        cmocka_unit_test(sqlite__works_as_stock),
        cmocka_unit_test(sqlite__every_allocation_fails),
        cmocka_unit_test(sqlite__shutdown_leaves_nothing),
    };
    hooked_open(argc, argv);
    memory = hooked_malloc("sqlite");
    stock = hooked_in_copy(work);
    late = hooked_in_copy(install_late);
    occupied = hooked_in_copy(install_over);
    const int failed = cmocka_run_group_tests(before, NULL, NULL) +
                       cmocka_run_group_tests(tests, install, NULL);
    hm_malloc_release(memory);
    hm_host_release(process.host);
    return failed;
}
