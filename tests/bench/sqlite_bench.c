/* SPDX-License-Identifier: MIT */
/* SQLite statements with its memory from our hosts, against SQLite on libc: time of the thread, and peak memory of the
 * process, which is a fresh one for each measurement.
 *
 *     sqlite_bench [--quick] [--check] [--rounds N]
 *
 * Rounds are interleaved, ratios are taken within a round; printed are medians and quartiles. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <hostmalloc/bridges/sqlite.h>
#include <hostmalloc/hostmalloc.h>

#include "measure.h"

#define MOST_ROUNDS 31

/* Contender 0 is SQLite as it is. */
static const struct contender {
    const char *name, *spec;
    double cpu, memory; /* bounds; 0: none */
} contenders[] = {
    {"libc", NULL, 0, 0},
    {"mimalloc", "mimalloc", 0, 0},
    {"stats", "debug:mode=stats+mimalloc", 0, 1.35},
    {"checked", "debug:mode=checked+mimalloc", 0, 1.35},
    {"full", "debug:mode=full+mimalloc", 1.25, 1.7},
};

typedef struct sample {
    double cpu, memory;
} sample;

static int rounds = 9;
static int rows = 20000;

__attribute__((noreturn)) static void give_up(const char *what)
{
    fprintf(stderr, "sqlite_bench: %s\n", what);
    _exit(1);
}

static void run(sqlite3 *db, const char *sql)
{
    char *why = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK) {
        give_up(why ? why : sql);
    }
}

/* A statement for each row is compiled anew, as programs without prepared statements do. */
static void statements(void)
{
    sqlite3 *db;
    char sql[256];
    if (sqlite3_open(":memory:", &db) != SQLITE_OK) {
        give_up("no database");
    }
    run(db, "CREATE TABLE rows (id INTEGER PRIMARY KEY, name TEXT, size INTEGER)");
    run(db, "CREATE INDEX by_name ON rows (name)");
    run(db, "BEGIN");
    for (int i = 0; i < rows; i++) {
        snprintf(sql, sizeof sql, "INSERT INTO rows VALUES (%d, 'name %d of %d', %d)", i,
                 i * 7919 % rows, rows, i % 977);
        run(db, sql);
    }
    run(db, "COMMIT");
    for (int i = 0; i < rows / 4; i++) {
        snprintf(sql, sizeof sql,
                 "SELECT name, size FROM rows WHERE name = 'name %d of %d'", i, rows);
        run(db, sql);
    }
    run(db,
        "SELECT size, count(*), group_concat(name) FROM rows GROUP BY size ORDER BY 2");
    run(db, "UPDATE rows SET name = name || ' again' WHERE size % 3 = 0");
    run(db, "DELETE FROM rows WHERE size % 2 = 0");
    sqlite3_close(db);
    sqlite3_shutdown();
}

static void measure_one(void *context, int answer)
{
    const struct contender *c = context;
    hm_error err = {0};
    hm_host *host = NULL;
    hm_malloc *m = NULL;
    struct rusage usage;
    sample s;
    measure_pin();
    if (c->spec &&
        (hm_host_open(c->spec, &host, &err) != HM_OK ||
         hm_host_create_malloc(host, "sqlite", HM_MALLOC_THREADSAFE, &m, &err) != HM_OK ||
         hm_sqlite_install(m, &err) != HM_OK)) {
        hm_error_print(&err);
        _exit(1);
    }
    const double start = measure_cpu();
    statements();
    s.cpu = measure_cpu() - start;
    getrusage(RUSAGE_SELF, &usage);
    s.memory = (double)usage.ru_maxrss;
    measure_answer(answer, &s, sizeof s);
}

static sample samples[COUNT(contenders)][MOST_ROUNDS];

static spread ratios(size_t contender, int memory)
{
    double values[MOST_ROUNDS];
    for (int i = 0; i < rounds; i++) {
        const sample *above = &samples[contender][i], *below = &samples[0][i];
        values[i] = memory ? above->memory / below->memory : above->cpu / below->cpu;
    }
    return measure_spread(values, (size_t)rounds);
}

static void print(void)
{
    for (size_t i = 1; i < COUNT(contenders); i++) {
        const spread cpu = ratios(i, 0), memory = ratios(i, 1);
        printf("  %-10s time   %5.2f  [%.2f %.2f]", contenders[i].name, cpu.median,
               cpu.q1, cpu.q3);
        measure_record("sqlite", contenders[i].name, "libc", 0, cpu, contenders[i].cpu);
        measure_row(cpu.median, contenders[i].cpu);
        printf("  %-10s memory %5.2f  [%.2f %.2f]", "", memory.median, memory.q1,
               memory.q3);
        measure_record("sqlite peak", contenders[i].name, "libc", 0, memory,
                       contenders[i].memory);
        measure_row(memory.median, contenders[i].memory);
    }
}

int main(int argc, char **argv)
{
    int check = 0;
    char text[96];
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            rounds = 1;
            rows = 500;
        } else if (strcmp(argv[i], "--check") == 0) {
            check = 1;
        } else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
            rounds = atoi(argv[++i]);
        } else {
            rounds = 0;
        }
    }
    if (rounds < 1 || rounds > MOST_ROUNDS) {
        fputs("usage: sqlite_bench [--quick] [--check] [--rounds 1 to 31]\n", stderr);
        return 2;
    }
    snprintf(text, sizeof text, "%d rounds, %d rows, against SQLite %s on libc", rounds,
             rows, sqlite3_libversion());
    measure_head("sqlite_bench", text);
    for (int round = 0; round < rounds; round++) {
        for (size_t i = 0; i < COUNT(contenders); i++) {
            const size_t c = round % 2 ? COUNT(contenders) - 1 - i : i;
            if (!measure_apart(measure_one, (void *)&contenders[c], &samples[c][round],
                               sizeof(sample))) {
                fputs("sqlite_bench: a process failed\n", stderr);
                return 2;
            }
        }
    }
    print();
    return measure_end() && check ? 1 : 0;
}
