/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hostmalloc/host.h>

#include "check.h"
#include "lock_internal.h"
#include "os.h"

static void os__info(void **state)
{
    (void)state;
    const hm__os_info *info = hm__os();
    assert_int_equal(info->page_size, sysconf(_SC_PAGESIZE));
    assert_true(info->address_limit > (uintptr_t)&info);
}

static void os__pages(void **state)
{
    (void)state;
    const size_t page = hm__os()->page_size;
    char *pages = hm__os_pages_reserve(NULL, 4 * page);
    assert_non_null(pages);
    assert_int_equal(hm__os_pages_commit(pages + page, page, HM_PAGE_READWRITE), 1);
    pages[page] = 'x';
    assert_int_equal(hm__os_pages_protect(pages + page, page, HM_PAGE_READONLY), 1);
    assert_int_equal(pages[page], 'x');
    assert_int_equal(hm__os_pages_decommit(pages + page, page), 1);
    assert_int_equal(hm__os_pages_commit(pages + page, page, HM_PAGE_READWRITE), 1);
    assert_int_equal(pages[page], 0);
    pages[page] = 'y';
    assert_int_equal(hm__os_pages_reset(pages + page, page), 1);
    assert_null(hm__os_pages_reserve(pages, page)); /* taken */
    hm__os_pages_unmap(pages, 4 * page);
    assert_null(hm__os_pages_map((size_t)1 << 62));
}

static void os__mapped_addresses_are_told_from_others(void **state)
{
    (void)state;
    const size_t page = hm__os()->page_size;
    char *pages = hm__os_pages_map(page);
    assert_non_null(pages);
    assert_int_equal(hm__os_is_mapped(pages + 7), 1);
    assert_int_equal(hm__os_is_mapped(&pages), 1);
    hm__os_pages_unmap(pages, page);
    errno = 77;
    assert_int_equal(hm__os_is_mapped(pages + 7), 0);
    assert_int_equal(errno, 77);
}

/* What it does cannot be seen from here; that it says the same each time and leaves errno alone can. */
static void os__barrier_on_others(void **state)
{
    (void)state;
    errno = 77;
    const int done = hm__os_barrier_others();
    assert_int_equal(hm__os_barrier_others(), done);
    assert_int_equal(errno, 77);
}

static void os__write_says_what_kept_it(void **state)
{
    (void)state;
    errno = 77;
    assert_int_equal(hm__os_write(-1, "x", 1), EBADF);
    assert_int_equal(hm__os_write(-1, "", 0), 0);
    assert_int_equal(errno, 77);
    const int full = open("/dev/full", O_WRONLY);
    assert_int_equal(hm__os_write(full, "x", 1), ENOSPC);
    close(full);
    const int null = open("/dev/null", O_WRONLY);
    errno = 77;
    assert_int_equal(hm__os_write(null, "x", 1), 0);
    assert_int_equal(errno, 77);
    close(null);
}

/* What ends as a process of its own would, but for the write: 0 when the write answered as it should and left nothing behind. */
static int refused_write(int number, int is_blocked)
{
    char path[] = "/tmp/hm-test-os-XXXXXX";
    int ends[2], fd;
    sigset_t set, now;
    sigemptyset(&set);
    sigaddset(&set, number);
    sigprocmask(is_blocked ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
    if (number == SIGPIPE) {
        if (pipe(ends) != 0) {
            return 1;
        }
        close(ends[0]);
        fd = ends[1];
    } else {
        const struct rlimit small = {6, 6};
        fd = mkstemp(path);
        unlink(path);
        if (setrlimit(RLIMIT_FSIZE, &small) != 0) {
            return 2;
        }
    }
    errno = 77;
    if (hm__os_write(fd, "0123456789", 10) != (number == SIGPIPE ? EPIPE : EFBIG) ||
        errno != 77) {
        return 3;
    }
    sigpending(&now);
    if (sigismember(&now, number) || lseek(fd, 0, SEEK_END) > 6) {
        return 4;
    }
    sigprocmask(SIG_SETMASK, NULL, &now);
    if (sigismember(&now, number) != is_blocked) {
        return 5;
    }
    /* One that waits is the program's. */
    if (is_blocked) {
        raise(number);
        hm__os_write(fd, "x", 1);
        sigpending(&now);
        return sigismember(&now, number) ? 0 : 6;
    }
    /* And one that comes later finds the program as it was. */
    raise(number);
    return 7;
}

static void os__writes_do_not_end_the_process(void **state)
{
    static const int numbers[] = {SIGPIPE, SIGXFSZ};
    (void)state;
    for (int i = 0; i < 4; i++) {
        const int number = numbers[i / 2], is_blocked = i & 1;
        int status = 0;
        const pid_t child = fork();
        if (child == 0) {
            signal(number, SIG_DFL);
            const struct rlimit none = {0, 0};
            setrlimit(RLIMIT_CORE, &none);
            _exit(refused_write(number, is_blocked));
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (is_blocked) {
            assert_int_equal(status, 0);
        } else {
            assert_true(WIFSIGNALED(status));
            assert_int_equal(WTERMSIG(status), number);
        }
    }
}

static void os__files(void **state)
{
    char text[32];
    (void)state;
    assert_int_equal(hm__os_read_file("/no/such/file", text, sizeof text), -1);
    assert_int_equal(hm__os_read_file("/proc", text, sizeof text), -1);
    assert_true(hm__os_read_file("/proc/self/cmdline", text, sizeof text) > 0);
    assert_true(strlen(text) < sizeof text);
    assert_int_equal(hm__os_file_exists("/proc/self/exe"), 1);
    assert_int_equal(hm__os_file_exists("/proc"), 0);
    assert_int_equal(hm__os_file_exists("/no/such/file"), 0);
}

static void os__files_are_written_and_mapped(void **state)
{
    char path[] = "/tmp/hm-test-os-XXXXXX";
    char text[8192];
    (void)state;
    close(mkstemp(path));
    int fd = hm__os_file_create(path, 0);
    hm__os_write(fd, "one", 3);
    hm__os_file_close(fd);
    fd = hm__os_file_create(path, 1);
    hm__os_write(fd, "two", 3);
    hm__os_file_close(fd);
    assert_int_equal(hm__os_read_file(path, text, sizeof text), 6);
    assert_string_equal(text, "onetwo");
    char *pages = hm__os_file_map(path, 4096);
    assert_non_null(pages);
    assert_int_equal(pages[0], 0);
    pages[0] = 'x';
    assert_int_equal(hm__os_read_file(path, text, sizeof text), 4096);
    assert_int_equal(text[0], 'x');
    hm__os_pages_unmap(pages, 4096);
    unlink(path);
    assert_int_equal(hm__os_file_create("/no/such/folder/file", 0), -1);
    assert_null(hm__os_file_map("/no/such/folder/file", 4096));
    assert_null(hm__os_file_map("/dev/full", 4096));
    assert_int_equal(hm__os_process_id(), getpid());
    assert_string_equal(hm__os_program(), "test_os");
}

/* As when a second process is told the same name. */
static void os__files_mapped_twice_are_two(void **state)
{
    char path[] = "/tmp/hm-test-os-XXXXXX", link[64], text[8192];
    (void)state;
    close(mkstemp(path));
    char *first = hm__os_file_map(path, 4096);
    assert_non_null(first);
    first[0] = 'a';
    char *second = hm__os_file_map(path, 4096);
    assert_non_null(second);
    assert_int_equal(second[0], 0);
    second[0] = 'b';
    assert_int_equal(first[0], 'a'); /* and is no fault */
    first[4095] = 'z';
    assert_int_equal(hm__os_read_file(path, text, sizeof text), 4096);
    assert_int_equal(text[0], 'b');
    assert_int_equal(text[4095], 0);
    hm__os_pages_unmap(first, 4096);
    hm__os_pages_unmap(second, 4096);
    /* What a link names is written, and the link stays. */
    snprintf(link, sizeof link, "%s-link", path);
    assert_int_equal(symlink(path, link), 0);
    first = hm__os_file_map(link, 4096);
    assert_non_null(first);
    first[0] = 'c';
    assert_int_equal(hm__os_read_file(path, text, sizeof text), 4096);
    assert_int_equal(text[0], 'c');
    hm__os_pages_unmap(first, 4096);
    unlink(link);
    unlink(path);
    assert_null(hm__os_file_map("/tmp", 4096));
}

static void os__files_larger_than_the_limit_are_refused(void **state)
{
    char path[] = "/tmp/hm-test-os-XXXXXX";
    struct rlimit kept, small;
    (void)state;
    close(mkstemp(path));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &kept), 0);
    small = kept;
    small.rlim_cur = 4096;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    char *pages = hm__os_file_map(path, 8192); /* and no signal */
    char *fits = hm__os_file_map(path, 4096);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &kept), 0);
    assert_null(pages);
    assert_non_null(fits);
    hm__os_pages_unmap(fits, 4096);
    unlink(path);
}

static int count_names(void *context, const char *name)
{
    (void)name;
    ++*(int *)context;
    return *(int *)context == 3;
}

static void os__folders(void **state)
{
    int count = 0;
    (void)state;
    hm__os_list_folder("/no/such/folder", count_names, &count);
    assert_int_equal(count, 0);
    hm__os_list_folder("/proc", count_names, &count);
    assert_int_equal(count, 3);
}

static void os__object_path(void **state)
{
    char path[4096], small[4];
    (void)state;
    assert_int_equal(
        hm__os_object_path((const void *)(uintptr_t)os__object_path, path, sizeof path),
        1);
    assert_non_null(strstr(path, "test_os"));
    assert_int_equal(path[0], '/');
    assert_int_equal(
        hm__os_object_path((const void *)(uintptr_t)os__object_path, small, sizeof small),
        0);
    assert_int_equal(hm__os_object_path(path, path, sizeof path), 0);
}

static void os__modules(void **state)
{
    char why[64] = "";
    (void)state;
    assert_null(hm__os_module_open("/no/such/module.so", why, sizeof why));
    assert_non_null(strstr(why, "/no/such/module.so"));
    void *libc = hm__os_module_open("libc.so.6", why, sizeof why);
    assert_non_null(libc);
    assert_non_null(hm__os_module_symbol(libc, "write"));
    assert_null(hm__os_module_symbol(libc, "hm_no_such_symbol"));
}

static void os__time_and_entropy(void **state)
{
    uint64_t random[2] = {0, 0};
    (void)state;
    const uint64_t before = hm__os_now_ns();
    hm__os_sleep_ns(2000000);
    assert_true(hm__os_now_ns() - before >= 2000000);
    assert_int_equal(hm__os_random(random, sizeof random), sizeof random);
    assert_true(random[0] != random[1]);
}

static void os__stack_bounds(void **state)
{
    uintptr_t low = 0, high = 0;
    (void)state;
    assert_int_equal(hm__os_stack_bounds(&low, &high), 1);
    assert_true(low < (uintptr_t)&low && (uintptr_t)&low < high);
}

static void mark_signals(void *blocked)
{
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    *(int *)blocked = sigismember(&set, SIGTERM) && sigismember(&set, SIGUSR1);
}

static void os__threads_block_signals(void **state)
{
    int blocked = 0;
    uintptr_t handle;
    (void)state;
    assert_int_equal(hm__os_thread_start(mark_signals, &blocked, &handle), 1);
    hm__os_thread_join(handle);
    assert_int_equal(blocked, 1);
}

static void os__a_copy_runs_while_the_original_waits(void **state)
{
    int outcome = -1;
    (void)state;
    if (hm__os_fork_run(&outcome) == 1) {
        _exit(7);
    }
    assert_int_equal(outcome, 7);
    if (hm__os_fork_run(&outcome) == 1) {
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(outcome, 256 + SIGKILL);
}

static char fork_order[16];

static void note(const char *step)
{
    strcat(fork_order, step);
}

static void prepare(void *context)
{
    note(context);
}

static void parent(void *context)
{
    note(context);
}

static void child(void *context)
{
    note(context);
}

static void fork__hooks_run_by_rank(void **state)
{
    static hm_fork_hooks low = {
        sizeof low, 2100, (void *)(uintptr_t) "L", prepare, parent, child, NULL, 0, 0};
    static hm_fork_hooks high = {
        sizeof high, 2200, (void *)(uintptr_t) "H", prepare, parent, child, NULL, 0, 0};
    static hm_fork_hooks empty = {sizeof empty, 2150, NULL, NULL, NULL, NULL, NULL, 0, 0};
    (void)state;
    hm__at_fork(&high);
    hm__at_fork(&low);
    hm__at_fork(&empty);
    const pid_t forked = fork();
    if (forked == 0) {
        _exit(strcmp(fork_order, "LHHL") == 0 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(forked, &status, 0), forked);
    assert_int_equal(status, 0);
    assert_string_equal(fork_order, "LHHL");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(os__info),
        cmocka_unit_test(os__pages),
        cmocka_unit_test(os__mapped_addresses_are_told_from_others),
        cmocka_unit_test(os__barrier_on_others),
        cmocka_unit_test(os__write_says_what_kept_it),
        cmocka_unit_test(os__writes_do_not_end_the_process),
        cmocka_unit_test(os__files),
        cmocka_unit_test(os__files_are_written_and_mapped),
        cmocka_unit_test(os__files_mapped_twice_are_two),
        cmocka_unit_test(os__files_larger_than_the_limit_are_refused),
        cmocka_unit_test(os__folders),
        cmocka_unit_test(os__object_path),
        cmocka_unit_test(os__modules),
        cmocka_unit_test(os__time_and_entropy),
        cmocka_unit_test(os__stack_bounds),
        cmocka_unit_test(os__threads_block_signals),
        cmocka_unit_test(os__a_copy_runs_while_the_original_waits),
        cmocka_unit_test(fork__hooks_run_by_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
