/* SPDX-License-Identifier: MIT */
/* The bridge under a real libuv: the hook is live, all of it comes back, every allocation may fail, and results are the
 * same. */
#include "hooked.h"

#include <uv.h>

#include <hostmalloc/bridges/libuv.h>

#define TIMERS 1000
#define ROUNDS 50

/* The bridge has these types without their header. */
static int (*const replace)(void *(*)(size_t),
                            void *(*)(void *, size_t),
                            void *(*)(size_t, size_t),
                            void (*)(void *)) = uv_replace_allocator;

static hm_malloc *memory;
static uint64_t stock; /* the workload's digest without the bridge */
static uint64_t late;  /* what installing late answered */

/* What the callbacks of one loop share. */
typedef struct scene {
    uv_loop_t loop;
    uv_tcp_t listener, served, client;
    uv_connect_t connecting;
    uv_write_t writing, answering;
    uv_timer_t timers[TIMERS];
    uv_work_t works[8];
    uint64_t works_sum;
    uint64_t timers_sum;
    char heard[256];
    size_t heard_bytes;
    int rounds;
} scene;

static const char word[] = "a word that goes back and forth";

static void on_timer(uv_timer_t *timer)
{
    scene *const all = timer->data;
    all->timers_sum += (uint64_t)(timer - all->timers);
    uv_close((uv_handle_t *)timer, NULL);
}

static void do_work(uv_work_t *item)
{
    uv_fs_t request;
    uv_fs_stat(NULL, &request, "/", NULL);
    uv_fs_req_cleanup(&request);
    (void)item;
}

static void after_work(uv_work_t *item, int status)
{
    scene *const all = item->data;
    all->works_sum += status == 0 ? (uint64_t)(item - all->works) + 1 : 1000;
}

static void give_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    scene *const all = handle->data;
    (void)suggested;
    *buffer =
        handle == (uv_handle_t *)&all->client
            ? uv_buf_init(all->heard, sizeof(all->heard) / 2)
            : uv_buf_init(all->heard + sizeof(all->heard) / 2, sizeof(all->heard) / 2);
}

static void say(scene *all, uv_tcp_t *to, uv_write_t *request)
{
    /* Enough pieces for the request to want memory of its own. */
    uv_buf_t pieces[8];
    for (size_t i = 0; i < COUNT(pieces); i++) {
        pieces[i] = uv_buf_init((char *)(uintptr_t)word + i * (sizeof(word) / 8),
                                sizeof(word) / 8);
    }
    (void)all;
    uv_write(request, (uv_stream_t *)to, pieces, COUNT(pieces), NULL);
}

static void on_bytes(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    scene *const all = stream->data;
    (void)buffer;
    if (got < 0) {
        if (!uv_is_closing((uv_handle_t *)stream)) {
            uv_close((uv_handle_t *)stream, NULL);
        }
        return;
    }
    if (stream == (uv_stream_t *)&all->served) {
        say(all, &all->served, &all->answering);
        return;
    }
    all->heard_bytes += (size_t)got;
    if (all->heard_bytes < (size_t)(all->rounds + 1) * (sizeof(word) / 8 * 8)) {
        return;
    }
    if (++all->rounds < ROUNDS) {
        say(all, &all->client, &all->writing);
    } else {
        uv_close((uv_handle_t *)&all->client, NULL);
        uv_close((uv_handle_t *)&all->listener, NULL);
    }
}

static void on_connected(uv_connect_t *request, int status)
{
    scene *const all = request->data;
    hooked_must(status == 0, "connected", NULL);
    uv_read_start((uv_stream_t *)&all->client, give_buffer, on_bytes);
    say(all, &all->client, &all->writing);
}

static void on_caller(uv_stream_t *listener, int status)
{
    scene *const all = listener->data;
    hooked_must(status == 0 && uv_tcp_init(&all->loop, &all->served) == 0 &&
                    uv_accept(listener, (uv_stream_t *)&all->served) == 0,
                "accepted", NULL);
    all->served.data = all;
    uv_read_start((uv_stream_t *)&all->served, give_buffer, on_bytes);
}

static void talk(scene *all)
{
    struct sockaddr_in address;
    int size = sizeof(address);
    uv_ip4_addr("127.0.0.1", 0, &address);
    uv_tcp_init(&all->loop, &all->listener);
    uv_tcp_init(&all->loop, &all->client);
    all->listener.data = all->client.data = all->connecting.data = all;
    hooked_must(
        uv_tcp_bind(&all->listener, (struct sockaddr *)&address, 0) == 0 &&
            uv_listen((uv_stream_t *)&all->listener, 4, on_caller) == 0 &&
            uv_tcp_getsockname(&all->listener, (struct sockaddr *)&address, &size) == 0 &&
            uv_tcp_connect(&all->connecting, &all->client, (struct sockaddr *)&address,
                           on_connected) == 0,
        "talk", NULL);
}

/* Names in a folder whose content is the same on both runs. */
static uint64_t list_folder(uv_loop_t *loop, uint64_t digest)
{
    uv_fs_t request;
    uv_dirent_t entry;
    if (uv_fs_scandir(loop, &request, "/", 0, NULL) >= 0) {
        while (uv_fs_scandir_next(&request, &entry) == 0) {
            digest = hooked_digest(digest, entry.name, strlen(entry.name));
        }
    }
    uv_fs_req_cleanup(&request);
    return digest;
}

static uint64_t work(void)
{
    static scene all;
    memset(&all, 0, sizeof(all));
    hooked_must(uv_loop_init(&all.loop) == 0, "loop", NULL);
    for (size_t i = 0; i < TIMERS; i++) {
        uv_timer_init(&all.loop, &all.timers[i]);
        all.timers[i].data = &all;
        uv_timer_start(&all.timers[i], on_timer, i % 7, 0);
    }
    for (size_t i = 0; i < COUNT(all.works); i++) {
        all.works[i].data = &all;
        uv_queue_work(&all.loop, &all.works[i], do_work, after_work);
    }
    talk(&all);
    uv_run(&all.loop, UV_RUN_DEFAULT);
    uint64_t digest = list_folder(&all.loop, HOOKED_DIGEST);
    hooked_must(uv_loop_close(&all.loop) == 0, "closed", NULL);
    digest = hooked_digest(digest, all.heard, sizeof(word) / 8);
    return digest + all.timers_sum + all.works_sum + (uint64_t)all.rounds;
}

static uint64_t install_late(void)
{
    hm_error err;
    uv_loop_t *const loop = uv_default_loop();
    const hm_status status = hm_libuv_install(memory, &err);
    hooked_must(hm_libuv_verify(NULL, NULL) == status, "verify says otherwise", NULL);
    hooked_must(list_folder(loop, 0) != 1 && uv_loop_close(loop) == 0,
                "libuv goes on without us", NULL);
    hooked_must(hm_libuv_install(memory, &err) == HM_OK, "with no loop", &err);
    return (uint64_t)-status;
}

static void libuv__hook_is_live(void **state)
{
    const hm_site *first = NULL;
    uv_env_item_t *items;
    int count;
    (void)state;
    assert_int_equal(hm_libuv_verify(&first, NULL), HM_OK);
    assert_null(first);
    assert_int_equal(uv_os_environ(&items, &count), 0);
    assert_int_equal(hm_libuv_verify(&first, NULL), HM_OK);
    assert_string_equal(first->file, "libuv:block");
    assert_int_not_equal(hm_owns(memory, items), 0);
    uv_os_free_environ(items, count);
    hooked_check_twice(&hm_libuv_bridge, hooked_finds_nothing);
}

/* libuv has its answer from libc, and frees it through the hook. */
static void libuv__frees_what_libc_made(void **state)
{
    uv_fs_t request;
    (void)state;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(uv_fs_realpath(NULL, &request, "/proc/self/..", NULL), 0);
        assert_string_equal(request.ptr, "/proc");
        uv_fs_req_cleanup(&request);
    }
    hooked_check_findings(memory);
    assert_int_equal(hm_libuv_verify(NULL, NULL), HM_OK);
}

static void libuv__late_is_told(void **state)
{
    (void)state;
    assert_int_equal(late, (uint64_t)-HM_E_STARTED);
}

static void libuv__works_as_stock(void **state)
{
    (void)state;
    assert_int_equal(work(), stock);
    hooked_check_used(memory, 10);
    hooked_check_findings(memory);
}

/* After the count of what is left, because uv_os_environ() loses a name where an allocation fails. Without a loop, for
   whose tables libuv aborts, and without lists of interfaces, where it reads through a refused copy of a name. */
static int survive(void *context)
{
    uv_env_item_t *items;
    uv_fs_t request;
    int count;
    (void)context;
    if (uv_os_environ(&items, &count) == 0) {
        uv_os_free_environ(items, count);
    }
    uv_fs_readlink(NULL, &request, "/proc/self", NULL);
    uv_fs_req_cleanup(&request);
    uv_fs_realpath(NULL, &request, "/proc/self/..", NULL);
    uv_fs_req_cleanup(&request);
    return 0;
}

static void libuv__every_allocation_fails(void **state)
{
    (void)state;
    clearenv(); /* few enough to fail one by one */
    setenv("ONE", "1", 1);
    setenv("TWO", "2", 1);
    hooked_sweep(survive, NULL, 4);
    hooked_check_findings(memory);
}

static void libuv__shutdown_leaves_nothing(void **state)
{
    (void)state;
    uv_library_shutdown();
    assert_int_equal(hooked_live(memory), 0);
}

static void *find_symbol(void *context, const char *name)
{
    (void)context;
    return strcmp(name, "uv_replace_allocator") == 0 ? (void *)(uintptr_t)replace : NULL;
}

static void libuv__before_install(void **state)
{
    (void)state;
    hooked_check_before(&hm_libuv_bridge, find_symbol);
}

static int install(void **state)
{
    hm_error err;
    (void)state;
    return hm_libuv_install(memory, &err) == HM_OK ? 0 : -1;
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest before[] = {cmocka_unit_test(libuv__before_install)};
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(libuv__hook_is_live),
        cmocka_unit_test(libuv__frees_what_libc_made),
        cmocka_unit_test(libuv__late_is_told),
        cmocka_unit_test(libuv__works_as_stock),
        cmocka_unit_test(libuv__shutdown_leaves_nothing),
        cmocka_unit_test(libuv__every_allocation_fails),
    };
    hooked_open(argc, argv);
    memory = hooked_malloc("libuv");
    setenv("UV_THREADPOOL_SIZE", "16", 1); /* more than it keeps room for by itself */
    stock = hooked_in_copy(work);
    late = hooked_in_copy(install_late);
    const int failed = cmocka_run_group_tests(before, NULL, NULL) +
                       cmocka_run_group_tests(tests, install, NULL);
    hm_malloc_release(memory);
    hm_host_release(process.host);
    return failed;
}
