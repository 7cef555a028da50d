/* SPDX-License-Identifier: MIT */
/* Figures in a mapped file: read while the program runs, after it was killed, and apart from a child's. */
#include "debug_fixture.h"

#include <hostmalloc/live.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "fork_amid.h"

typedef struct live_file {
    const hm_live_header *header;
    const hm_live_malloc *mallocs;
    const hm_live_site *sites;
    const hm_live_group *groups;
    size_t bytes;
} live_file;

static char live_path[64];

static void path_make(void)
{
    snprintf(live_path, sizeof(live_path), "/tmp/hm-live-%ld", (long)getpid());
    unlink(live_path);
}

static live_file live_map(const char *path)
{
    live_file f = {0};
    struct stat status;
    const int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    f.bytes = (size_t)status.st_size;
    const char *at = mmap(NULL, f.bytes, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(at != MAP_FAILED);
    close(fd);
    f.header = (const hm_live_header *)(const void *)at;
    assert_memory_equal(f.header->magic, HM_LIVE_MAGIC, sizeof(HM_LIVE_MAGIC));
    at += f.header->header_bytes + f.header->finding_room * sizeof(hm_live_finding);
    f.mallocs = (const hm_live_malloc *)(const void *)at;
    at += f.header->malloc_room * sizeof(hm_live_malloc);
    f.sites = (const hm_live_site *)(const void *)at;
    at += f.header->site_room * sizeof(hm_live_site);
    f.groups = (const hm_live_group *)(const void *)at;
    return f;
}

static void live_unmap(live_file *f)
{
    munmap((void *)(uintptr_t)f->header, f->bytes);
}

/* Figures of file:line over all groups. */
static hm_live_tally live_sum(const live_file *f, const char *file, uint32_t line)
{
    hm_live_tally sum = {0};
    for (uint32_t k = 0; k < f->header->group_count; k++) {
        const hm_live_group *g = &f->groups[k];
        for (uint32_t i = 0; g->malloc_number && i < HM_LIVE_GROUP_SITES; i++) {
            const uint32_t id = g->group * HM_LIVE_GROUP_SITES + i;
            if (id && id <= f->header->site_count && f->sites[id - 1].line == line &&
                strcmp(f->sites[id - 1].file, file) == 0) {
                sum.blocks += g->tallies[i].blocks;
                sum.bytes += g->tallies[i].bytes;
                sum.freed_blocks += g->tallies[i].freed_blocks;
                sum.freed_bytes += g->tallies[i].freed_bytes;
            }
        }
    }
    return sum;
}

static void open_live(debug_fixture *f, uint32_t flags, const char *path)
{
    char spec[128];
    snprintf(spec, sizeof(spec), ",leaks=no,live=%s", path);
    fixture_open(f, spec, flags);
}

static void live__shows_figures_while_it_runs(void **state)
{
    static const uint32_t flags[] = {0, HM_MALLOC_THREADSAFE};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        debug_fixture f;
        path_make();
        open_live(&f, flags[i], live_path);
        live_file seen = live_map(live_path);
        void *first = hm_debug_alloc(f.m, 100, 0, "live.c", 10);
        hm_debug_alloc(f.m, 50, 0, "live.c", 10);
        assert_int_equal(live_sum(&seen, "live.c", 10).blocks, 2);
        assert_int_equal(live_sum(&seen, "live.c", 10).bytes, 150);
        hm_free(f.m, first);
        assert_int_equal(live_sum(&seen, "live.c", 10).freed_bytes, 100);
        assert_int_equal(seen.header->process, (uint32_t)getpid());
        assert_int_equal(seen.header->state, HM_LIVE_RUNNING);
        assert_string_equal(seen.mallocs[0].name, "rows");
        fixture_close(&f);
        assert_int_equal(seen.header->state, HM_LIVE_ENDED);
        assert_int_equal(live_sum(&seen, "live.c", 10).bytes, 150);
        live_unmap(&seen);
    }
    unlink(live_path);
}

/* Run-time pairs are numbered before a host sees them. */
static void live__names_sites_that_were_numbered_before(void **state)
{
    debug_fixture f;
    (void)state;
    hm_site *sites[40];
    path_make();
    open_live(&f, 0, live_path);
    live_file seen = live_map(live_path);
    for (uint32_t i = 0; i < 40; i++) {
        sites[i] = hm_site_intern("interned.c", NULL, 1 + i);
        HM_LOAD(f.m->vtbl)->debug_alloc(f.m, 8, 0, sites[i]);
        assert_int_equal(live_sum(&seen, "interned.c", 1 + i).blocks, 1);
    }
    live_unmap(&seen);
    fixture_close(&f);
    unlink(live_path);
}

static void *thread_run(void *argument)
{
    hm_malloc *m = argument;
    for (int i = 0; i < 1000; i++) {
        void *block = hm_debug_alloc(m, 10, 0, "thread.c", 1);
        if (i % 10) {
            hm_free(m, block);
        }
    }
    return NULL;
}

static void live__keeps_what_exited_threads_counted(void **state)
{
    debug_fixture f;
    (void)state;
    path_make();
    open_live(&f, HM_MALLOC_THREADSAFE, live_path);
    live_file seen = live_map(live_path);
    for (int round = 0; round < 3; round++) {
        pthread_t threads[4];
        for (int i = 0; i < 4; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, thread_run, f.m), 0);
        }
        for (int i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
        }
    }
    const hm_live_tally sum = live_sum(&seen, "thread.c", 1);
    assert_int_equal(sum.blocks, 12000);
    assert_int_equal(sum.blocks - sum.freed_blocks, 1200);
    assert_int_equal(seen.header->shape & 1, 0);
    assert_true(seen.header->group_count < 40); /* places are used again */
    live_unmap(&seen);
    fixture_close(&f);
    unlink(live_path);
}

static void live__keeps_mistakes(void **state)
{
    debug_fixture f;
    (void)state;
    path_make();
    open_live(&f, 0, live_path);
    live_file seen = live_map(live_path);
    void *block = hm_debug_alloc(f.m, 41, 0, "live.c", 20);
    assert_int_equal(hm_debug_free(f.m, block, "live.c", 21), HM_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(hm_debug_free(f.m, block, "live.c", 22), HM_E_FREED);
    }
    assert_int_equal(seen.header->errors, 1);
    assert_int_equal(seen.header->repeats, 2);
    assert_non_null(strstr(seen.header->error, "ERROR #1 double free"));
    assert_non_null(strstr(seen.header->error, "live.c:22"));
    const hm_live_finding *finding =
        (const hm_live_finding *)(const void *)((const char *)seen.header +
                                                seen.header->header_bytes);
    assert_int_equal(finding->times, 3);
    assert_int_equal(finding->status, HM_E_FREED);
    assert_string_equal(finding->kind, "double free");
    live_unmap(&seen);
    fixture_close(&f);
    unlink(live_path);
}

static void live__survives_a_kill(void **state)
{
    int status = 0;
    (void)state;
    path_make();
    const pid_t child = fork();
    if (child == 0) {
        debug_fixture f;
        open_live(&f, 0, live_path);
        for (int i = 0; i < 1000; i++) {
            hm_debug_alloc(f.m, 16, 0, "killed.c", 5);
        }
        unlink(f.path);
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    live_file seen = live_map(live_path);
    assert_int_equal(live_sum(&seen, "killed.c", 5).blocks, 1000);
    assert_int_equal(seen.header->state, HM_LIVE_RUNNING);
    assert_int_equal(seen.header->process, (uint32_t)child);
    live_unmap(&seen);
    unlink(live_path);
}

/* The child counts on where it was, in its own file or in memory; the parent's stays the parent's. */
static void live__leaves_the_parents_file_in_a_child(void **state)
{
    static const struct {
        const char *form;
        int own;
    } cases[] = {{"/tmp/hm-live-%ld", 0}, {"/tmp/hm-live-%ld-%%p", 1}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        debug_fixture f;
        char path[64], parents[80], childs[80];
        int status = 0;
        snprintf(path, sizeof(path), cases[i].form, (long)getpid());
        memcpy(parents, path, sizeof(path));
        if (cases[i].own) {
            snprintf(parents, sizeof(parents), "/tmp/hm-live-%ld-%ld", (long)getpid(),
                     (long)getpid());
        }
        open_live(&f, HM_MALLOC_THREADSAFE, path);
        void *before = hm_debug_alloc(f.m, 100, 0, "fork.c", 1);
        const pid_t child = fork();
        if (child == 0) {
            hm_free(f.m, before);
            hm_debug_alloc(f.m, 7, 0, "fork.c", 2);
            const hm_stats stats = fixture_stats(f.m);
            _exit(stats.live_blocks == 1 && stats.live_bytes == 7 ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        live_file seen = live_map(parents);
        assert_int_equal(live_sum(&seen, "fork.c", 1).freed_blocks, 0);
        assert_int_equal(live_sum(&seen, "fork.c", 2).blocks, 0);
        live_unmap(&seen);
        if (cases[i].own) {
            snprintf(childs, sizeof(childs), "/tmp/hm-live-%ld-%ld", (long)getpid(),
                     (long)child);
            seen = live_map(childs);
            assert_int_equal(live_sum(&seen, "fork.c", 1).freed_blocks, 1);
            assert_int_equal(live_sum(&seen, "fork.c", 2).blocks, 1);
            assert_int_equal(seen.header->process, (uint32_t)child);
            live_unmap(&seen);
            unlink(childs);
        }
        fixture_close(&f);
        unlink(parents);
    }
}

static uint32_t churn_over; /* atomic */
static uint32_t churn_warm; /* atomic: threads that have counted at every site */

/* From many sites, so that a copy takes its time, and mostly freed by the other thread. */
static void *churn_live(void *context)
{
    static void *slots[16]; /* atomic */
    for (int i = 0; !__atomic_load_n(&churn_over, __ATOMIC_ACQUIRE); i++) {
        void *block = hm_debug_alloc(context, 1000, 0, "churn.c", i % 1000 + 1);
        block = __atomic_exchange_n(&slots[i % 16], block, __ATOMIC_ACQ_REL);
        hm_debug_free(context, block, "churn.c", 1);
        if (i == 5000) {
            __atomic_fetch_add(&churn_warm, 1, __ATOMIC_ACQ_REL);
        }
        fork_may_come();
    }
    for (size_t i = 0; i < COUNT(slots); i++) {
        hm_free(context, __atomic_exchange_n(&slots[i], NULL, __ATOMIC_ACQ_REL));
    }
    return NULL;
}

/* The parent's threads go on counting while the child takes its copy: never more frees than allocations. */
static void live__a_child_beside_threads(void **state)
{
    debug_fixture f;
    pthread_t threads[2];
    (void)state;
    path_make();
    open_live(&f, HM_MALLOC_THREADSAFE, live_path);
    churn_over = 0;
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, churn_live, f.m), 0);
    }
    while (__atomic_load_n(&churn_warm, __ATOMIC_ACQUIRE) < COUNT(threads)) {
        sched_yield();
    }
    for (int round = 0; round < 200; round++) {
        int status = 0;
        const pid_t child = fork_amid(COUNT(threads));
        if (child == 0) {
            const hm_stats stats = fixture_stats(f.m);
            _exit(stats.live_blocks < 1u << 30 && stats.live_bytes < 1ull << 40 ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    __atomic_store_n(&churn_over, 1, __ATOMIC_RELEASE);
    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    fixture_close(&f);
    unlink(live_path);
}

/* More groups than the file has places for are counted in memory, and their number is told. */
static void live__counts_what_does_not_fit(void **state)
{
    debug_fixture f;
    (void)state;
    path_make();
    open_live(&f, 0, live_path);
    live_file seen = live_map(live_path);
    const uint32_t many = (seen.header->group_room + 5) * HM_LIVE_GROUP_SITES;
    for (uint32_t line = 1; line <= many; line += HM_LIVE_GROUP_SITES / 2) {
        hm_free(f.m, hm_debug_alloc(f.m, 1, 0, "many.c", line));
        for (uint32_t skip = 1; skip < HM_LIVE_GROUP_SITES / 2; skip++) {
            hm_site_intern("many.c", NULL, line + skip);
        }
    }
    assert_true(seen.header->groups_dropped > 0);
    assert_int_equal(seen.header->group_count, seen.header->group_room);
    const hm_stats stats = fixture_stats(f.m);
    assert_int_equal(stats.live_blocks, 0);
    assert_int_equal(stats.total_blocks, many / (HM_LIVE_GROUP_SITES / 2));
    live_unmap(&seen);
    fixture_close(&f);
    unlink(live_path);
}

static void live__refuses_a_path_it_cannot_write(void **state)
{
    hm_host *host = NULL;
    hm_error err;
    char spec[1200] = "debug:live=";
    (void)state;
    assert_int_equal(hm_host_open("debug:live=/no/such/folder/x", &host, &err), HM_E_OS);
    assert_null(host);
    assert_non_null(strstr(err.what, "live: cannot map /no/such/folder/x"));
    memset(spec + 11, 'x', 1100);
    spec[1111] = '\0';
    assert_int_not_equal(hm_host_open(spec, &host, &err), HM_OK);
    assert_null(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live__shows_figures_while_it_runs),
        cmocka_unit_test(live__names_sites_that_were_numbered_before),
        cmocka_unit_test(live__keeps_what_exited_threads_counted),
        cmocka_unit_test(live__keeps_mistakes),
        cmocka_unit_test(live__survives_a_kill),
        cmocka_unit_test(live__leaves_the_parents_file_in_a_child),
        cmocka_unit_test(live__a_child_beside_threads),
        cmocka_unit_test(live__counts_what_does_not_fit),
        cmocka_unit_test(live__refuses_a_path_it_cannot_write)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
