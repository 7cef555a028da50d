/* SPDX-License-Identifier: MIT */
/* A cap on the memory of a database, and a program that survives it. */
#include <stdio.h>

#include <hostmalloc/bridges/sqlite.h>
#include <hostmalloc/hostmalloc.h>
#include <hostmalloc/limit.h>

static int print_row(void *context, int columns, char **values, char **names)
{
    (void)columns;
    (void)names;
    printf("%s: %s\n", (const char *)context, values[0]);
    return 0;
}

static void run(sqlite3 *db, const char *sql, const char *what)
{
    char *problem = NULL;
    if (sqlite3_exec(db, sql, print_row, (void *)(uintptr_t)what, &problem) !=
        SQLITE_OK) {
        printf("%s: %s\n", what, problem ? problem : "out of memory");
    }
    sqlite3_free(problem);
}

int main(void)
{
    hm_host *host;
    hm_malloc *m;
    hm_limit_use use;
    hm_error err;
    sqlite3 *db;
    if (hm_host_open("limit:hard=4M", &host, &err) != HM_OK ||
        hm_host_create_malloc(host, "sqlite", HM_MALLOC_THREADSAFE, &m, &err) != HM_OK ||
        hm_sqlite_install(m, &err) != HM_OK) {
        hm_error_print(&err);
        return 1;
    }
    if (sqlite3_open(":memory:", &db) != SQLITE_OK) {
        return 1;
    }
    run(db, "CREATE TABLE log(text)", "create");
    run(db, "INSERT INTO log VALUES('the first')", "one row");
    /* 16 MiB into 4: the statement fails, what was there before stays. */
    run(db,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 16384)"
        "INSERT INTO log SELECT zeroblob(1024) FROM n",
        "16 MiB");
    run(db, "SELECT count(*) FROM log", "rows");
    run(db, "INSERT INTO log VALUES('and on')", "another row");
    run(db, "SELECT count(*) FROM log", "rows");
    run(db, "PRAGMA integrity_check", "integrity");
    sqlite3_close(db);
    sqlite3_shutdown();
    if (hm_limit_read(host, NULL, &use) == HM_OK) {
        printf("never more than 4 MiB: %s, denied: %s, left: %d\n",
               use.peak <= 4 << 20 ? "yes" : "no", use.denied ? "yes" : "no",
               (int)use.live);
    }
    hm_malloc_release(m);
    hm_host_release(host);
    return 0;
}

/* $ sqlite_cap
 * 16 MiB: out of memory
 * rows: 1
 * rows: 2
 * integrity: ok
 * never more than 4 MiB: yes, denied: yes, left: 0
 */
