/* SPDX-License-Identifier: MIT */
/* core/os_windows*.c: what os.h promises, where the tests of the other systems cannot be used. */
#include "check.h"

#include <errno.h>
#include <hostmalloc/bridges/ole.h>
#include <hostmalloc/hostmalloc.h>
#include <stdio.h>
#include <string.h>
#include <windows.h>

#include "os.h"

static void windows__knows_itself(void **state)
{
    const hm__os_info *info = hm__os();
    hm__os_memory memory;
    uintptr_t low, high;
    char here[MAX_PATH];
    char small[8];
    (void)state;
    assert_int_equal(info->page_size, 4096);
    assert_int_equal(info->granularity, 65536);
    assert_true(info->address_limit > (uintptr_t)&info);
    assert_int_equal(hm__os_memory_status(&memory), 1);
    assert_true(memory.limit >= memory.available && memory.available > 0);
    assert_int_equal(hm__os_stack_bounds(&low, &high), 1);
    assert_true(low < (uintptr_t)&low && (uintptr_t)&low < high);
    assert_int_equal(hm__os_process_id(), GetCurrentProcessId());
    assert_string_equal(hm__os_program(), "test_windows.exe");
    assert_int_equal(hm__os_object_path(hm__os(), here, sizeof here), 1);
    assert_string_equal(strrchr(here, '/'), "/test_windows.exe");
    assert_int_equal(hm__os_object_path(hm__os(), small, sizeof small), 0);
    assert_int_equal(hm__os_object_path(here, here, sizeof here), 0);
}

static void windows__pages(void **state)
{
    const size_t page = hm__os()->page_size;
    (void)state;
    char *pages = hm__os_pages_reserve(NULL, 4 * page);
    assert_non_null(pages);
    assert_int_equal(hm__os_is_mapped(pages), 1);
    assert_null(hm__os_pages_reserve(pages, page)); /* taken */
    assert_int_equal(hm__os_error(), ERROR_INVALID_ADDRESS);
    assert_int_equal(hm__os_pages_commit(pages + page, page, HM_PAGE_READWRITE), 1);
    pages[page] = 1;
    assert_int_equal(hm__os_pages_protect(pages + page, page, HM_PAGE_READONLY), 1);
    assert_int_equal(hm__os_pages_protect(pages, page, HM_PAGE_READONLY), 0);
    assert_int_equal(hm__os_pages_decommit(pages + page, page), 1);
    assert_int_equal(hm__os_pages_commit(pages + page, page, HM_PAGE_READWRITE), 1);
    assert_int_equal(pages[page], 0);
    assert_int_equal(hm__os_pages_reset(pages + page, page), 1);
    hm__os_pages_unmap(pages, 4 * page);
    assert_int_equal(hm__os_is_mapped(pages), 0);
    assert_int_equal(hm__os_pages_commit(pages, page, HM_PAGE_READWRITE), 0);
    /* Between granules nothing can begin: refused, not rounded. */
    assert_null(hm__os_pages_reserve(pages + page, page));
    assert_null(hm__os_pages_map((size_t)1 << 62));
}

static void windows__executable_blocks_run(void **state)
{
    hm_host *host;
    hm_malloc *m;
    MEMORY_BASIC_INFORMATION found;
    void (*returns)(void);
    (void)state;
    assert_int_equal(hm_host_open("default", &host, NULL), HM_OK);
    assert_int_equal(hm_host_create_malloc(host, "code", HM_MALLOC_EXECUTABLE, &m, NULL),
                     HM_OK);
    unsigned char *block = hm_alloc(m, 16);
    assert_non_null(block);
    assert_int_equal(VirtualQuery(block, &found, sizeof found), sizeof found);
    assert_int_equal(found.Protect, PAGE_EXECUTE_READWRITE);
    block[0] = 0xc3;
    memcpy(&returns, &block, sizeof returns);
    returns();
    assert_int_equal(hm_free(m, block), HM_OK);
    hm_malloc_release(m);
    hm_host_release(host);
}

static void windows__files(void **state)
{
    static const char path[] = "test_windows.tmp";
    char text[16];
    (void)state;
    int fd = hm__os_file_create(path, 0);
    assert_true(fd >= 0);
    hm__os_write(fd, "one\n", 4);
    hm__os_file_close(fd);
    fd = hm__os_file_create(path, 1);
    hm__os_write(fd, "two\n", 4);
    hm__os_file_close(fd);
    assert_int_equal(hm__os_read_file(path, text, sizeof text), 8);
    assert_string_equal(text, "one\ntwo\n"); /* as they are, no returns added */
    assert_int_equal(hm__os_read_file(path, text, 4), 3);
    assert_int_equal(hm__os_file_exists(path), 1);
    assert_int_equal(hm__os_file_exists("."), 0);

    char *view = hm__os_file_map(path, 4096);
    assert_non_null(view);
    assert_int_equal(view[0], 0);
    memcpy(view, "kept", 4);
    hm__os_pages_unmap(view, 4096);
    assert_int_equal(hm__os_is_mapped(view), 0);
    assert_int_equal(hm__os_read_file(path, text, 5), 4);
    assert_string_equal(text, "kept");
    assert_int_equal(remove(path), 0);

    assert_int_equal(hm__os_read_file("no/such/file", text, sizeof text), -1);
    assert_int_equal(hm__os_file_create("no/such/file", 0), -1);
    assert_null(hm__os_file_map("no/such/file", 4096));
    assert_int_equal(hm__os_write(-1, "x", 1), EBADF); /* and nothing happens */
}

typedef struct listing {
    int found;
    int stop_at;
    int calls;
} listing;

static int see(void *context, const char *name)
{
    listing *l = context;
    l->calls++;
    l->found |= strcmp(name, "test_windows.exe") == 0;
    return l->calls == l->stop_at;
}

static void windows__folders(void **state)
{
    listing all = {0, 0, 0};
    listing one = {0, 1, 0};
    listing none = {0, 0, 0};
    (void)state;
    hm__os_list_folder(".", see, &all);
    assert_int_equal(all.found, 1);
    hm__os_list_folder(".", see, &one);
    assert_int_equal(one.calls, 1);
    hm__os_list_folder("no such folder", see, &none);
    assert_int_equal(none.calls, 0);
}

static void windows__modules(void **state)
{
    char why[160] = "";
    (void)state;
    void *library = hm__os_module_open("./hm_layer_fault.dll", why, sizeof why);
    if (!library) {
        fail_msg("%s", why);
    }
    assert_non_null(hm__os_module_symbol(library, "hm_module_describe"));
    assert_null(hm__os_module_symbol(library, "hm_module_forget"));
    assert_null(hm__os_module_open("./no_such_module.dll", why, sizeof why));
    assert_true(strlen(why) > 0);
    char small[4] = "?";
    assert_null(hm__os_module_open("./no_such_module.dll", small, sizeof small));
}

static uint32_t key, other_key;
static int destroyed; /* atomic */

static void destroy(void *value)
{
    __atomic_fetch_add(&destroyed, 1, __ATOMIC_RELAXED);
    /* As with POSIX: the value is gone, others can be asked for, and a new one is destroyed as well. */
    assert_null(hm__os_key_get(key));
    if (value == &key) {
        assert_int_equal(hm__os_key_set(key, &other_key), 1);
    }
}

static void set_both(void *context)
{
    (void)context;
    assert_null(hm__os_key_get(key));
    assert_int_equal(hm__os_key_set(key, &key), 1);
    assert_int_equal(hm__os_key_set(other_key, &destroyed), 1);
    assert_true(hm__os_key_get(key) == &key);
}

static void windows__keys_end_with_their_thread(void **state)
{
    uintptr_t thread;
    (void)state;
    assert_int_equal(hm__os_key_create(&key, destroy), 1);
    assert_int_equal(hm__os_key_create(&other_key, NULL), 1);
    assert_int_equal(hm__os_thread_start(set_both, NULL, &thread), 1);
    hm__os_thread_join(thread);
    assert_int_equal(destroyed, 2);
    assert_null(hm__os_key_get(key));
}

static void set_one(void *context)
{
    hm__os_key_set(other_key, context);
}

/* The system may hold a lock while values are destroyed, and takes it when threads begin as well. */
static void windows__threads_end_while_others_begin(void **state)
{
    uintptr_t threads[8];
    (void)state;
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < COUNT(threads); i++) {
            assert_int_equal(hm__os_thread_start(set_one, threads, &threads[i]), 1);
        }
        for (size_t i = 0; i < COUNT(threads); i++) {
            hm__os_thread_join(threads[i]);
        }
    }
}

static uint32_t word; /* atomic */

static void open_word(void *context)
{
    (void)context;
    hm__os_sleep_ns(1000000);
    __atomic_store_n(&word, 1, __ATOMIC_RELEASE);
    hm__os_wake(&word);
}

static void windows__waits(void **state)
{
    uintptr_t thread;
    (void)state;
    SetLastError(77);
    hm__os_wait(&word, 1); /* it is not 1 */
    hm__os_wait_for(&word, 0, 1000000);
    assert_int_equal(hm__os_error(), 77);
    assert_int_equal(hm__os_thread_start(open_word, NULL, &thread), 1);
    while (!__atomic_load_n(&word, __ATOMIC_ACQUIRE)) {
        hm__os_wait(&word, 0);
    }
    hm__os_thread_join(thread);
    const uint64_t before = hm__os_now_ns();
    hm__os_sleep_ns(2000000);
    assert_true(hm__os_now_ns() > before);
}

static void windows__chance(void **state)
{
    unsigned char one[32] = {0};
    unsigned char other[32] = {0};
    (void)state;
    assert_int_equal(hm__os_random(one, sizeof one), sizeof one);
    assert_int_equal(hm__os_random(other, sizeof other), sizeof other);
    assert_true(memcmp(one, other, sizeof one) != 0);
}

static void windows__says_what_is_not_there(void **state)
{
    int outcome;
    uint32_t counter;
    (void)state;
    assert_int_equal(hm__os_fork_run(&outcome), -1);
    assert_int_equal(hm__os_signal_count("USR2", &counter), 0);
    assert_null(hm__os_block_aligned(64, 64));
    assert_int_equal(hm__os_block_size(NULL), 0);
    assert_null(hm__os_getenv("HOSTMALLOC_NO_SUCH_VARIABLE"));
}

static void windows__names_of_ole_are_the_platforms(void **state)
{
    const hm_site *first;
    (void)state;
    assert_int_equal(hm_ole_verify(&first, NULL), HM_E_NOT_OWNED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows__knows_itself),
        cmocka_unit_test(windows__pages),
        cmocka_unit_test(windows__executable_blocks_run),
        cmocka_unit_test(windows__files),
        cmocka_unit_test(windows__folders),
        cmocka_unit_test(windows__modules),
        cmocka_unit_test(windows__keys_end_with_their_thread),
        cmocka_unit_test(windows__threads_end_while_others_begin),
        cmocka_unit_test(windows__waits),
        cmocka_unit_test(windows__chance),
        cmocka_unit_test(windows__says_what_is_not_there),
        cmocka_unit_test(windows__names_of_ole_are_the_platforms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
