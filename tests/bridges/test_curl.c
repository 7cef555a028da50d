/* SPDX-License-Identifier: MIT */
/* The bridge under a real libcurl: the hook is live, all of it comes back, every allocation may fail, and results are the
 * same. Transfers come from a server of the test's own on the loopback interface. */
#include "hooked.h"

#include <pthread.h>
#include <semaphore.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <curl/curl.h>

#include <hostmalloc/bridges/curl.h>

#define BODY 20000

/* The bridge has these types without their header. */
static CURLcode (*const init_functions)(long,
                                        void *(*)(size_t),
                                        void (*)(void *),
                                        void *(*)(void *, size_t),
                                        char *(*)(const char *),
                                        void *(*)(size_t, size_t)) = curl_global_init_mem;

static hm_malloc *memory;
static char address[64]; /* of the server */
static pid_t server;
static uint64_t stock; /* the workload's digest without the bridge */
static uint64_t late;  /* what installing late answered */
static uint64_t
    failed_first; /* what a second install answered after a first that failed */
static uint64_t asked_twice; /* what verify answered while another thread asked */

/* Answers every request alike, until it is killed. */
static void serve(int listener)
{
    static char answer[BODY + 256];
    const int head = snprintf(answer, sizeof(answer),
                              "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nServer: test\r\n"
                              "Set-Cookie: a=b\r\nConnection: close\r\n\r\n",
                              BODY);
    for (int i = 0; i < BODY; i++) {
        answer[head + i] = (char)('a' + i % 26);
    }
    for (;;) {
        char asked[4096];
        const int caller = accept(listener, NULL, NULL);
        size_t got = 0;
        while (got < sizeof(asked) - 1) {
            const ssize_t more = read(caller, asked + got, sizeof(asked) - 1 - got);
            if (more <= 0) {
                break;
            }
            got += (size_t)more;
            asked[got] = 0;
            if (strstr(asked, "\r\n\r\n")) {
                break;
            }
        }
        for (size_t sent = 0; sent < (size_t)head + BODY;) {
            const ssize_t more =
                send(caller, answer + sent, (size_t)head + BODY - sent, MSG_NOSIGNAL);
            if (more <= 0) {
                break;
            }
            sent += (size_t)more;
        }
        close(caller);
    }
}

static void start_server(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    hooked_must(listener >= 0 && bind(listener, (struct sockaddr *)&at, size) == 0 &&
                    listen(listener, 16) == 0 &&
                    getsockname(listener, (struct sockaddr *)&at, &size) == 0,
                "no server", NULL);
    snprintf(address, sizeof(address), "http://127.0.0.1:%d/file", ntohs(at.sin_port));
    const pid_t test = getpid();
    server = fork();
    if (server == 0) {
        /* It ends with the test, however that ends, and keeps no pipe open that somebody reads to its end. */
        const int nothing = open("/dev/null", O_RDWR);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == test && nothing >= 0) {
            dup2(nothing, 0);
            dup2(nothing, 1);
            dup2(nothing, 2);
            serve(listener);
        }
        _exit(1);
    }
    close(listener);
}

static size_t take_bytes(char *bytes, size_t size, size_t count, void *context)
{
    uint64_t *const digest = context;
    *digest = hooked_digest(*digest, bytes, size * count);
    return size * count;
}

/* A transfer with headers of its own. @return CURLE_OK, or CURLE_OUT_OF_MEMORY and the like */
static CURLcode transfer(const char *from, uint64_t *digest)
{
    CURL *const easy = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "X-Test: yes");
    CURLcode status = CURLE_OUT_OF_MEMORY;
    if (easy && headers) {
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy, CURLOPT_COOKIEFILE, "");
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_bytes);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, digest);
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
        status = curl_easy_setopt(easy, CURLOPT_URL, from);
        if (status == CURLE_OK) {
            status = curl_easy_perform(easy);
        }
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(easy);
    return status;
}

static uint64_t take_apart(uint64_t digest)
{
    static const CURLUPart parts[] = {CURLUPART_HOST, CURLUPART_PATH, CURLUPART_QUERY};
    CURLU *const url = curl_url();
    char *text;
    hooked_must(url && curl_url_set(url, CURLUPART_URL,
                                    "https://user@example.org:99/a/../b?c=d#e", 0) == 0,
                "url", NULL);
    for (size_t i = 0; i < COUNT(parts); i++) {
        hooked_must(curl_url_get(url, parts[i], &text, 0) == CURLUE_OK, "part", NULL);
        digest = hooked_digest(digest, text, strlen(text));
        curl_free(text);
    }
    curl_url_cleanup(url);
    text = curl_easy_escape(NULL, "a word & more", 0);
    digest = hooked_digest(digest, text, strlen(text));
    curl_free(text);
    return digest;
}

static uint64_t transfers(void)
{
    uint64_t digest = HOOKED_DIGEST;
    for (int i = 0; i < 20; i++) {
        hooked_must(transfer(address, &digest) == CURLE_OK, "transfer", NULL);
        hooked_must(transfer("file://" SOURCE, &digest) == CURLE_OK, "file", NULL);
    }
    return take_apart(digest);
}

static uint64_t work(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    const uint64_t digest = transfers();
    curl_global_cleanup();
    return digest;
}

static uint64_t install_late(void)
{
    hm_error err;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    const hm_status status = hm_curl_install(memory, CURL_GLOBAL_DEFAULT, &err);
    hooked_must(hm_curl_verify(NULL, NULL) == status, "verify says otherwise", NULL);
    hooked_must(transfers() == stock, "libcurl goes on without us", NULL);
    curl_global_cleanup(); /* as often as it was initialised: now it can be */
    hooked_must(hm_curl_install(memory, CURL_GLOBAL_DEFAULT, &err) == HM_OK, "after",
                &err);
    return (uint64_t)-status;
}

/* A libcurl in which one thread asks between the question of another and its answer. */
static struct {
    void *(*take)(size_t);
    void (*give_back)(void *);
    int fails;
    sem_t asked, answered;
    pthread_t second;
} between;
static _Thread_local int is_second;

static int between_init(long flags,
                        void *(*m)(size_t),
                        void (*f)(void *),
                        void *(*r)(void *, size_t),
                        char *(*s)(const char *),
                        void *(*c)(size_t, size_t))
{
    (void)flags;
    (void)r;
    (void)s;
    (void)c;
    between.take = m;
    between.give_back = f;
    return between.fails;
}

static char *between_print(const char *format, ...)
{
    (void)format;
    return between.take(8);
}

static void *ask_second(void *status)
{
    is_second = 1;
    *(hm_status *)status = hm_curl_verify(NULL, NULL);
    return NULL;
}

static void between_free(void *block)
{
    static hm_status second;
    if (is_second) {
        sem_post(&between.asked);
        sem_wait(&between.answered);
    } else {
        pthread_create(&between.second, NULL, ask_second, &second);
        sem_wait(&between.asked);
    }
    between.give_back(block);
}

static uint64_t ask_between(void)
{
    hm_bridge_symbol symbols[] = {
        {"curl_global_init_mem", (uintptr_t)&between_init},
        {"curl_global_cleanup", (uintptr_t)&curl_global_cleanup},
        {"curl_maprintf", (uintptr_t)&between_print},
        {"curl_free", (uintptr_t)&between_free},
        {NULL, 0}};
    const hm_bridge_opts opts = {.size = sizeof(opts),
                                 .m = memory,
                                 .lookup = hm_bridge_linked,
                                 .lookup_context = symbols,
                                 .flags = HM_BRIDGE_NO_PROBE};
    hm_error err;
    sem_init(&between.asked, 0, 0);
    sem_init(&between.answered, 0, 0);
    hooked_must(hm_curl_bridge.install(&opts, &err) == HM_OK, "stand-in", &err);
    const hm_status status = hm_curl_verify(NULL, NULL);
    sem_post(&between.answered);
    pthread_join(between.second, NULL);
    return (uint64_t)-status;
}

/* libcurl keeps the functions of an initialisation that failed, and may call them. */
static uint64_t fail_to_initialise(void)
{
    hm_bridge_symbol symbols[] = {
        {"curl_global_init_mem", (uintptr_t)&between_init},
        {"curl_global_cleanup", (uintptr_t)&curl_global_cleanup},
        {"curl_maprintf", (uintptr_t)&between_print},
        {"curl_free", (uintptr_t)&curl_free},
        {NULL, 0}};
    hm_bridge_opts opts = {.size = sizeof(opts),
                           .host = process.host,
                           .lookup = hm_bridge_linked,
                           .lookup_context = symbols,
                           .flags = HM_BRIDGE_NO_PROBE};
    between.fails = 2;
    for (int i = 0; i < 6; i++) {
        opts.flags = i == 3 ? 0x80 : HM_BRIDGE_NO_PROBE; /* refused before it is tried */
        hm_error err;
        const hm_status want = i == 3 ? HM_E_INVALID : HM_E_NOMEM;
        hooked_must(hm_curl_bridge.install(&opts, NULL) == want, "fails", NULL);
        hooked_must(hm_curl_verify(NULL, &err) == want && err.status == want, "verify",
                    NULL);
        void *const block = between.take(10);
        hooked_must(block != NULL, "functions without a malloc", NULL);
        between.give_back(block);
    }
    between.fails = 0;
    opts.flags = HM_BRIDGE_NO_PROBE;
    hooked_must(hm_curl_bridge.install(&opts, NULL) == HM_OK, "at last", NULL);
    between.give_back(between.take(10));
    return (uint64_t)-hm_curl_bridge.install(&opts, NULL);
}

static void curl__any_thread_asks(void **state)
{
    (void)state;
    assert_int_equal(asked_twice, 0);
}

static void curl__failed_initialisation(void **state)
{
    (void)state;
    assert_int_equal(failed_first, (uint64_t)-HM_E_EXISTS);
}

static void curl__hook_is_live(void **state)
{
    const hm_site *first = NULL;
    (void)state;
    char *const text = curl_easy_escape(NULL, "a b", 0);
    assert_string_equal(text, "a%20b");
    assert_int_not_equal(hm_owns(memory, text), 0);
    curl_free(text);
    assert_int_equal(hm_curl_verify(&first, NULL), HM_OK);
    assert_int_equal(strncmp(first->file, "curl:", 5), 0);
    hooked_check_twice(&hm_curl_bridge, hooked_finds_nothing);
}

static void curl__late_is_told(void **state)
{
    (void)state;
    assert_int_equal(late, (uint64_t)-HM_E_STARTED);
}

static void curl__works_as_stock(void **state)
{
    (void)state;
    assert_int_equal(transfers(), stock);
    hooked_check_used(memory, 500);
    hooked_check_findings(memory);
}

static int survive(void *context)
{
    uint64_t digest = HOOKED_DIGEST;
    const CURLcode status = transfer("file://" SOURCE, &digest);
    (void)context;
    return status != CURLE_OK && status != CURLE_OUT_OF_MEMORY &&
           status != CURLE_FAILED_INIT && status != CURLE_URL_MALFORMAT &&
           status != CURLE_READ_ERROR;
}

static void curl__every_allocation_fails(void **state)
{
    const uint64_t before = hooked_live(memory);
    (void)state;
    hooked_sweep(survive, NULL, 15);
    assert_int_equal(transfers(), stock);
    assert_int_equal(hooked_live(memory), before);
    hooked_check_findings(memory);
}

/* The functions last as long as libcurl is initialised. */
static void curl__cleanup_leaves_nothing(void **state)
{
    hm_error err;
    (void)state;
    curl_global_cleanup();
    assert_int_equal(hooked_live(memory), 0);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    assert_int_equal(hm_curl_verify(NULL, &err), HM_E_NOT_OWNED);
    curl_global_cleanup();
}

static void *find_symbol(void *context, const char *name)
{
    (void)context;
    return strcmp(name, "curl_global_init_mem") == 0 ? (void *)(uintptr_t)init_functions
                                                     : NULL;
}

static void curl__before_install(void **state)
{
    (void)state;
    hooked_check_before(&hm_curl_bridge, find_symbol);
}

static int install(void **state)
{
    hm_error err;
    (void)state;
    return hm_curl_install(memory, CURL_GLOBAL_DEFAULT, &err) == HM_OK ? 0 : -1;
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest before[] = {cmocka_unit_test(curl__before_install)};
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(curl__hook_is_live),
        cmocka_unit_test(curl__late_is_told),
        cmocka_unit_test(curl__any_thread_asks),
        cmocka_unit_test(curl__failed_initialisation),
        cmocka_unit_test(curl__works_as_stock),
        cmocka_unit_test(curl__every_allocation_fails),
        cmocka_unit_test(curl__cleanup_leaves_nothing),
    };
    hooked_open(argc, argv);
    memory = hooked_malloc("curl");
    start_server();
    stock = hooked_in_copy(work);
    late = hooked_in_copy(install_late);
    failed_first = hooked_in_copy(fail_to_initialise);
    asked_twice = hooked_in_copy(ask_between);
    const int failed = cmocka_run_group_tests(before, NULL, NULL) +
                       cmocka_run_group_tests(tests, install, NULL);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    hm_malloc_release(memory);
    hm_host_release(process.host);
    return failed;
}
