/* SPDX-License-Identifier: MIT */
/* The bridge under a real libgit2: the hook is live with libgit2's own lines, all of it comes back, every allocation may
 * fail, and results are the same. Releases that are not at hand are stood in for by their setter. */
#include "hooked.h"

#include <ftw.h>

#include <git2.h>

#include <hostmalloc/bridges/libgit2.h>

#define FILES 300

/* The bridge has these without their header. */
_Static_assert(GIT_OPT_SET_ALLOCATOR == 23, "as numbered");
_Static_assert(sizeof(git_allocator) == 9 * sizeof(void *) ||
                   sizeof(git_allocator) == 3 * sizeof(void *),
               "as known");

static hm_malloc *memory;
static uint64_t stock; /* the workload's digest without the bridge */
static uint64_t late;  /* what installing late answered */
static uint64_t three; /* what a release with three functions answered */

static void ok(int status, const char *what)
{
    const git_error *const problem = status < 0 ? git_error_last() : NULL;
    hooked_must(status >= 0, problem ? problem->message : what, NULL);
}

static char folder[] = "libgit2_XXXXXX"; /* where the test runs */

static int
remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

static void remove_folder(void)
{
    hooked_must(nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0,
                "removed", NULL);
}

static int take_line(const git_diff_delta *delta,
                     const git_diff_hunk *hunk,
                     const git_diff_line *line,
                     void *digest)
{
    (void)delta;
    (void)hunk;
    *(uint64_t *)digest =
        hooked_digest(*(uint64_t *)digest, line->content, line->content_len);
    return 0;
}

/* A commit of many files, of which those divisible by @p step are other ones. */
static git_oid commit(git_repository *repository, git_index *index, int step)
{
    char name[64], text[256];
    git_signature *who;
    git_tree *tree;
    git_commit *parent = NULL;
    git_oid made;
    for (int i = 0; i < FILES; i++) {
        const int size = snprintf(text, sizeof(text), "one\nfile %d\nof %d\n%s", i, FILES,
                                  i % step == 0 ? "and another line\n" : "");
        git_index_entry entry = {.mode = GIT_FILEMODE_BLOB, .path = name};
        snprintf(name, sizeof(name), "folder%d/file%d", i % 10, i);
        ok(git_index_add_from_buffer(index, &entry, text, (size_t)size), "added");
    }
    ok(git_index_write_tree(&made, index), "tree written");
    ok(git_tree_lookup(&tree, repository, &made), "tree");
    ok(git_signature_new(&who, "Somebody", "somebody@example.org", 1000000 + step, 60),
       "signature");
    if (git_reference_name_to_id(&made, repository, "HEAD") == 0) {
        ok(git_commit_lookup(&parent, repository, &made), "parent");
    }
    const git_commit *parents[1] = {parent};
    ok(git_commit_create(&made, repository, "HEAD", who, who, NULL, "a commit", tree,
                         parent != NULL, parents),
       "commit");
    git_commit_free(parent);
    git_signature_free(who);
    git_tree_free(tree);
    return made;
}

static uint64_t compare(git_repository *repository, const git_oid *a, const git_oid *b)
{
    uint64_t digest = HOOKED_DIGEST;
    git_commit *commits[2];
    git_tree *trees[2];
    git_diff *diff;
    ok(git_commit_lookup(&commits[0], repository, a), "first");
    ok(git_commit_lookup(&commits[1], repository, b), "second");
    ok(git_commit_tree(&trees[0], commits[0]), "first tree");
    ok(git_commit_tree(&trees[1], commits[1]), "second tree");
    ok(git_diff_tree_to_tree(&diff, repository, trees[0], trees[1], NULL), "diff");
    ok(git_diff_print(diff, GIT_DIFF_FORMAT_PATCH, take_line, &digest), "printed");
    git_diff_free(diff);
    for (int i = 0; i < 2; i++) {
        git_tree_free(trees[i]);
        git_commit_free(commits[i]);
    }
    return digest;
}

static uint64_t walk(git_repository *repository, uint64_t digest)
{
    git_revwalk *walker;
    git_blame *blame;
    git_oid at;
    ok(git_revwalk_new(&walker, repository), "walk");
    ok(git_revwalk_push_head(walker), "from the head");
    while (git_revwalk_next(&at, walker) == 0) {
        digest = hooked_digest(digest, &at, sizeof(at));
    }
    git_revwalk_free(walker);
    ok(git_blame_file(&blame, repository, "folder0/file0", NULL), "blame");
    const uint32_t hunks = git_blame_get_hunk_count(blame);
    git_blame_free(blame);
    return hooked_digest(digest, &hunks, sizeof(hunks));
}

static uint64_t work(void)
{
    git_repository *repository;
    git_index *index;
    git_libgit2_init();
    ok(git_repository_init(&repository, folder, 0), "repository");
    ok(git_repository_index(&index, repository), "index");
    const git_oid first = commit(repository, index, 3);
    const git_oid second = commit(repository, index, 7);
    const uint64_t digest = walk(repository, compare(repository, &first, &second));
    git_index_free(index);
    git_repository_free(repository);
    git_libgit2_shutdown();
    remove_folder();
    return digest;
}

static uint64_t install_late(void)
{
    git_signature *who;
    hm_error err;
    git_libgit2_init();
    ok(git_signature_now(&who, "a", "b"), "signature");
    const hm_status status = hm_libgit2_install(memory, &err);
    hooked_must(hm_libgit2_verify(NULL, NULL) == status, "verify says otherwise", NULL);
    git_signature_free(who);
    hooked_must(git_libgit2_shutdown() == 0, "the count is as before", NULL);
    hooked_must(hooked_live(memory) == 0, "nothing of ours", NULL);
    hooked_must(hm_libgit2_install(memory, &err) == HM_OK, "after shutdown", &err);
    return (uint64_t)-status;
}

static void libgit2__hook_is_live(void **state)
{
    const hm_site *first = NULL;
    hm_error err;
    (void)state;
    assert_int_equal(hm_libgit2_verify(&first, &err), HM_OK);
    assert_null(first);
    assert_int_equal(git_libgit2_init(), 1);
    assert_int_equal(hm_libgit2_verify(&first, &err), HM_OK);
    assert_non_null(first);
    assert_non_null(strstr(first->file, ".c"));
    assert_true(first->line > 0);
    assert_int_equal(git_libgit2_shutdown(), 0);
    hooked_check_twice(&hm_libgit2_bridge, hooked_finds_nothing);
}

static void libgit2__late_is_told(void **state)
{
    (void)state;
    assert_int_equal(late, (uint64_t)-HM_E_STARTED);
}

static void libgit2__works_as_stock(void **state)
{
    (void)state;
    assert_int_equal(work(), stock);
    hooked_check_used(memory, 1000);
    hooked_check_findings(memory);
    assert_int_equal(hooked_live(memory), 0);
}

/* Without git_index_add(), which frees an entry twice where a later allocation fails (found by the debug host), and without
   git_signature_new(), which then loses the name. */
static int survive(void *context)
{
    char *words[] = {(char *)(uintptr_t) "one*", (char *)(uintptr_t) "two/"};
    const git_strarray names = {words, COUNT(words)};
    git_strarray copied;
    git_pathspec *paths;
    git_config *config;
    git_oid_shorten *shorten;
    (void)context;
    if (git_strarray_copy(&copied, &names) == 0) {
        git_strarray_dispose(&copied);
    }
    if (git_pathspec_new(&paths, &names) == 0) {
        git_pathspec_matches_path(paths, 0, "one/two");
        git_pathspec_free(paths);
    }
    if (git_config_new(&config) == 0) {
        git_config_free(config);
    }
    if ((shorten = git_oid_shorten_new(10))) {
        git_oid_shorten_add(shorten, "0123456789abcdef0123456789abcdef01234567");
        git_oid_shorten_free(shorten);
    }
    return 0;
}

static void libgit2__every_allocation_fails(void **state)
{
    (void)state;
    git_libgit2_init();
    git_error_clear(); /* this thread's state is there: libgit2 does not do without */
    survive(NULL);
    const uint64_t before = hooked_live(memory);
    hooked_sweep(survive, NULL, 12);
    hooked_check_findings(memory);
    assert_true(hooked_live(memory) <= before + 1); /* the buffer of its last message */
    git_libgit2_shutdown();
    assert_int_equal(hooked_live(memory), 0);
}

static void libgit2__shutdown_leaves_nothing(void **state)
{
    (void)state;
    assert_int_equal(hooked_live(memory), 0);
    assert_int_equal(hm_libgit2_verify(NULL, NULL), HM_OK);
}

/* A libgit2 of another release, as far as the bridge sees one. */
static struct stand_in {
    int major, minor;
    int refuses;
    int initialised;
    const void *table;
} stand_in;

static int stand_in_opts(int option, ...)
{
    va_list rest;
    va_start(rest, option);
    stand_in.table = va_arg(rest, const void *);
    va_end(rest);
    return option != 23 || stand_in.refuses ? -1 : 0;
}

static int stand_in_version(int *major, int *minor, int *revision)
{
    *major = stand_in.major;
    *minor = stand_in.minor;
    *revision = 0;
    return 0;
}

static int stand_in_init(void)
{
    return ++stand_in.initialised;
}

static int stand_in_shutdown(void)
{
    return --stand_in.initialised;
}

static hm_bridge_symbol stand_in_symbols[] = {
    {"git_libgit2_opts", (uintptr_t)&stand_in_opts},
    {"git_libgit2_version", (uintptr_t)&stand_in_version},
    {"git_libgit2_init", (uintptr_t)&stand_in_init},
    {"git_libgit2_shutdown", (uintptr_t)&stand_in_shutdown},
    {NULL, 0}};

static hm_bridge_opts stand_in_install(void)
{
    return (hm_bridge_opts){.size = sizeof(hm_bridge_opts),
                            .m = memory,
                            .lookup = hm_bridge_linked,
                            .lookup_context = stand_in_symbols};
}

/* The three functions of newer releases, called as those call them. */
static uint64_t install_three(void)
{
    typedef struct table {
        void *(*take)(size_t, const char *, int);
        void *(*resize)(void *, size_t, const char *, int);
        void (*give_back)(void *);
    } table;
    const hm_bridge_opts opts = stand_in_install();
    const hm_site *first;
    hm_error err;
    stand_in.major = 1;
    stand_in.minor = 9;
    hooked_must(hm_libgit2_bridge.install(&opts, &err) == HM_OK, "1.9", &err);
    const table *const now = stand_in.table;
    char *block = now->take(10, "src/util/x.c", 12);
    hooked_must(hm_libgit2_verify(&first, &err) == HM_OK && first->line == 12, "first",
                &err);
    memset(block, 7, 10);
    block = now->resize(block, 4000, "src/util/x.c", 13);
    hooked_must(block && block[0] == 7 && block[9] == 7, "grown", NULL);
    hooked_must(!now->resize(block, SIZE_MAX, NULL, 0) && block[9] == 7, "kept", NULL);
    void *const fresh = now->resize(NULL, 0, NULL, -1);
    hooked_must(fresh != NULL, "no bytes", NULL);
    now->give_back(fresh);
    now->give_back(block);
    now->give_back(NULL);
    return hooked_live(memory);
}

/* The table of older ones, at its edges. */
static uint64_t install_nine(void)
{
    typedef struct table {
        void *(*take)(size_t, const char *, int);
        void *(*take_zeroed)(size_t, size_t, const char *, int);
        char *(*copy_text)(const char *, const char *, int);
        char *(*copy_start)(const char *, size_t, const char *, int);
        char *(*copy)(const char *, size_t, const char *, int);
        void *(*resize)(void *, size_t, const char *, int);
        void *(*resize_array)(void *, size_t, size_t, const char *, int);
        void *(*take_array)(size_t, size_t, const char *, int);
        void (*give_back)(void *);
    } table;
    const hm_bridge_opts opts = stand_in_install();
    hm_error err;
    char *made[4];
    stand_in.major = 0;
    stand_in.minor = 28;
    hooked_must(hm_libgit2_bridge.install(&opts, &err) == HM_OK, "0.28", &err);
    const table *const now = stand_in.table;
    made[0] = now->copy_text("text", "a.c", 1);
    made[1] = now->copy_start("text", 2, "a.c", 2);
    made[2] = now->copy_start("text", SIZE_MAX, "a.c", 3);
    made[3] = now->copy("te\0xt", 5, "a.c", 4);
    hooked_must(strcmp(made[0], "text") == 0 && strcmp(made[1], "te") == 0 &&
                    strcmp(made[2], "text") == 0 && memcmp(made[3], "te\0xt", 6) == 0,
                "copies", NULL);
    for (size_t i = 0; i < COUNT(made); i++) {
        now->give_back(made[i]);
    }
    hooked_must(!now->copy_text(NULL, "a.c", 1) && !now->copy_start(NULL, 3, "a.c", 1) &&
                    !now->copy("", SIZE_MAX, "a.c", 1) &&
                    !now->take_array(SIZE_MAX / 2, 4, "a.c", 1) &&
                    !now->take_zeroed(SIZE_MAX / 2, 4, "a.c", 1),
                "refused", NULL);
    int *const numbers = now->take_zeroed(5, sizeof(int), "a.c", 5);
    hooked_must(numbers && numbers[4] == 0, "zeroed", NULL);
    hooked_must(!now->resize_array(numbers, SIZE_MAX / 2, 4, "a.c", 6) && !numbers[4],
                "kept", NULL);
    now->give_back(now->resize_array(numbers, 500, sizeof(int), "a.c", 7));
    now->give_back(now->take_array(0, 0, "a.c", 8));
    return hooked_live(memory);
}

static void libgit2__releases(void **state)
{
    static const struct {
        const char *label;
        int major, minor, refuses, initialised;
        int header_minor; /* of release 1, with three functions; -1: no header */
        hm_status want;
    } rows[] = {
        {"1.6 without a header", 1, 6, 0, 0, -1, HM_E_UNSUPPORTED},
        {"1.7 without a header", 1, 7, 0, 0, -1, HM_E_UNSUPPORTED},
        {"2.0 without a header", 2, 0, 0, 0, -1, HM_E_UNSUPPORTED},
        {"the header of 1.6 over 1.7", 1, 7, 0, 0, 6, HM_E_UNSUPPORTED},
        {"the header of 1.7 over 2.7", 2, 7, 0, 0, 7, HM_E_UNSUPPORTED},
        {"refused by libgit2", 1, 7, 1, 0, 7, HM_E_UNSUPPORTED},
        {"in use with its header", 1, 7, 0, 3, 7, HM_E_STARTED},
        {"in use", 1, 5, 0, 1, -1, HM_E_STARTED},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const hm_bridge_opts opts = stand_in_install();
        stand_in = (struct stand_in){rows[i].major, rows[i].minor, rows[i].refuses,
                                     rows[i].initialised, &stand_in};
        const hm_status status =
            rows[i].header_minor < 0
                ? hm_libgit2_bridge.install(&opts, NULL)
                : hm_libgit2_install_as(&opts, 1, rows[i].header_minor, 3, NULL);
        CHECK_ROW(rows[i].label, status == rows[i].want);
        CHECK_ROW(rows[i].label, stand_in.initialised == rows[i].initialised);
        if (status == HM_E_STARTED) {
            CHECK_ROW(rows[i].label, stand_in.table == NULL); /* its own again */
        }
    }
    assert_int_equal(three, 0);
}

static void *find_symbol(void *context, const char *name)
{
    (void)context;
    return hm_bridge_linked(stand_in_symbols, name);
}

static void libgit2__before_install(void **state)
{
    (void)state;
    hooked_check_before(&hm_libgit2_bridge, find_symbol);
}

static int install(void **state)
{
    hm_error err;
    (void)state;
    return hm_libgit2_install(memory, &err) == HM_OK ? 0 : -1;
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest before[] = {cmocka_unit_test(libgit2__before_install),
                                               cmocka_unit_test(libgit2__releases)};
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(libgit2__hook_is_live),
        cmocka_unit_test(libgit2__late_is_told),
        cmocka_unit_test(libgit2__works_as_stock),
        cmocka_unit_test(libgit2__every_allocation_fails),
        cmocka_unit_test(libgit2__shutdown_leaves_nothing),
    };
    hooked_open(argc, argv);
    memory = hooked_malloc("libgit2");
    hooked_must(mkdtemp(folder) != NULL, "no folder", NULL);
    setenv("HOME", "/nonexistent", 1); /* and nobody's settings */
    stock = hooked_in_copy(work);
    late = hooked_in_copy(install_late);
    three = hooked_in_copy(install_three) + hooked_in_copy(install_nine);
    const int failed = cmocka_run_group_tests(before, NULL, NULL) +
                       cmocka_run_group_tests(tests, install, NULL);
    hm_malloc_release(memory);
    hm_host_release(process.host);
    return failed;
}
