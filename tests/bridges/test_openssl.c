/* SPDX-License-Identifier: MIT */
/* The bridge under a real libcrypto and libssl: every block has OpenSSL's own line, all of it comes back, every allocation
 * may fail, and results are the same. */
#include "hooked.h"

#include <pthread.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <hostmalloc/bridges/openssl.h>

/* The bridge has these types without their header. */
static int (*const set_functions)(void *(*)(size_t, const char *, int),
                                  void *(*)(void *, size_t, const char *, int),
                                  void (*)(void *,
                                           const char *,
                                           int)) = CRYPTO_set_mem_functions;
_Static_assert(_Generic(&OpenSSL_version_num, unsigned long (*)(void) : 1), "a number");

static hm_malloc *memory;
static uint64_t stock;    /* the workload's digest without the bridge */
static uint64_t late;     /* what installing late answered */
static uint64_t occupied; /* what installing over somebody else's functions answered */

/* Anybody's, valid until 2126. */
static const char certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBoDCCAUagAwIBAgIBTTAKBggqhkjOPQQDAjAuMRswGQYDVQQDDBJob3N0bWFs\n"
    "bG9jLmV4YW1wbGUxDzANBgNVBAoMBk5vYm9keTAgFw0yNjExMjEwOTM0MDVaGA8y\n"
    "MTI2MTAyODA5MzQwNVowLjEbMBkGA1UEAwwSaG9zdG1hbGxvYy5leGFtcGxlMQ8w\n"
    "DQYDVQQKDAZOb2JvZHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQEpSmkEa3i\n"
    "1/Fw95lDmYFlodIcrUtpGnclCDu3v45vOp3rbL0O0UxaHg9l1tXRLjpLvnLGjLoE\n"
    "/KsbpfgJ42NUo1MwUTAdBgNVHQ4EFgQUc2wZqOv7cE7k+9bhY3KGQCksFQ8wHwYD\n"
    "VR0jBBgwFoAUc2wZqOv7cE7k+9bhY3KGQCksFQ8wDwYDVR0TAQH/BAUwAwEB/zAK\n"
    "BggqhkjOPQQDAgNIADBFAiEAjK1cRu3iCQt823NPJ/1SXAhaT9KvCEEGzFu7P5Ei\n"
    "hLQCIHONDcNgSEWdabP6s34G6LbiArNdWUbeFQb7YhjcVLKt\n"
    "-----END CERTIFICATE-----\n";

/* Text of the certificate; 0 when there was no memory for it. */
static uint64_t read_certificate(void)
{
    uint64_t digest = 0;
    char *text = NULL;
    BIO *const in = BIO_new_mem_buf(certificate, -1);
    BIO *const out = BIO_new(BIO_s_mem());
    X509 *const read = in && out ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    if (read && X509_print_ex(out, read, XN_FLAG_ONELINE, 0) == 1) {
        const long size = BIO_get_mem_data(out, &text);
        digest = hooked_digest(HOOKED_DIGEST, text, (size_t)size);
    }
    X509_free(read);
    BIO_free(in);
    BIO_free(out);
    ERR_clear_error();
    return digest;
}

static uint64_t encrypt(void)
{
    static const unsigned char key[32] = "a key that everybody knows, too";
    static const unsigned char iv[12] = "and an iv";
    static unsigned char plain[65536], secret[65536], sum[EVP_MAX_MD_SIZE];
    unsigned sum_size = 0;
    int size = 0;
    EVP_CIPHER_CTX *const cipher = EVP_CIPHER_CTX_new();
    for (size_t i = 0; i < sizeof(plain); i++) {
        plain[i] = (unsigned char)(i * 31 + i / 256);
    }
    hooked_must(
        cipher && EVP_EncryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, key, iv) == 1 &&
            EVP_EncryptUpdate(cipher, secret, &size, plain, sizeof(plain)) == 1 &&
            EVP_Digest(secret, (size_t)size, sum, &sum_size, EVP_sha256(), NULL) == 1,
        "encrypt", NULL);
    EVP_CIPHER_CTX_free(cipher);
    return hooked_digest(HOOKED_DIGEST, sum, sum_size);
}

/* A certificate of the moment for @p context. */
static int certify(SSL_CTX *context)
{
    EVP_PKEY *const key = EVP_EC_gen("P-256");
    X509 *const own = X509_new();
    const int done =
        key && own && ASN1_INTEGER_set(X509_get_serialNumber(own), 1) == 1 &&
        X509_gmtime_adj(X509_getm_notBefore(own), 0) &&
        X509_gmtime_adj(X509_getm_notAfter(own), 3600) &&
        X509_set_pubkey(own, key) == 1 &&
        X509_NAME_add_entry_by_txt(X509_get_subject_name(own), "CN", MBSTRING_ASC,
                                   (const unsigned char *)"here", -1, -1, 0) == 1 &&
        X509_set_issuer_name(own, X509_get_subject_name(own)) == 1 &&
        X509_sign(own, key, EVP_sha256()) > 0 &&
        SSL_CTX_use_certificate(context, own) == 1 &&
        SSL_CTX_use_PrivateKey(context, key) == 1;
    X509_free(own);
    EVP_PKEY_free(key);
    return done;
}

/* A connection from here to here, and a few words over it. */
static uint64_t shake_hands(void)
{
    static const char words[] = "the words that are exchanged";
    char heard[sizeof(words)] = "";
    BIO *here = NULL, *there = NULL;
    uint64_t digest = HOOKED_DIGEST;
    SSL_CTX *const server_context = SSL_CTX_new(TLS_server_method());
    SSL_CTX *const client_context = SSL_CTX_new(TLS_client_method());
    hooked_must(server_context && client_context && certify(server_context) &&
                    BIO_new_bio_pair(&here, 0, &there, 0) == 1,
                "contexts", NULL);
    SSL *const server = SSL_new(server_context);
    SSL *const client = SSL_new(client_context);
    hooked_must(server && client, "connections", NULL);
    SSL_set_bio(server, here, here);
    SSL_set_bio(client, there, there);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    for (int i = 0;
         i < 10 && (!SSL_is_init_finished(server) || !SSL_is_init_finished(client));
         i++) {
        SSL_do_handshake(client);
        SSL_do_handshake(server);
    }
    hooked_must(SSL_write(client, words, sizeof(words)) == sizeof(words) &&
                    SSL_read(server, heard, sizeof(heard)) == sizeof(heard),
                "words", NULL);
    digest = hooked_digest(digest, heard, sizeof(heard));
    digest =
        hooked_digest(digest, SSL_get_version(client), strlen(SSL_get_version(client)));
    digest =
        hooked_digest(digest, SSL_get_cipher(server), strlen(SSL_get_cipher(server)));
    SSL_free(server);
    SSL_free(client);
    SSL_CTX_free(server_context);
    SSL_CTX_free(client_context);
    ERR_clear_error();
    return digest;
}

static uint64_t work(void)
{
    uint64_t digest = read_certificate() ^ encrypt();
    for (int i = 0; i < 3; i++) {
        digest = digest * 31 + shake_hands();
    }
    return digest;
}

static uint64_t install_late(void)
{
    hm_error err;
    OPENSSL_free(OPENSSL_malloc(1));
    const hm_status status = hm_openssl_install(memory, &err);
    hooked_must(hm_openssl_verify(NULL, NULL) == status, "verify says otherwise", NULL);
    return (uint64_t)-status;
}

static void *take_theirs(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return malloc(size);
}

static void *resize_theirs(void *block, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return realloc(block, size);
}

static void free_theirs(void *block, const char *file, int line)
{
    (void)file;
    (void)line;
    free(block);
}

static uint64_t install_over(void)
{
    const hm_site *first;
    hm_error err;
    hooked_must(set_functions(take_theirs, resize_theirs, free_theirs) == 1, "set", NULL);
    const hm_status status = hm_openssl_install(memory, &err);
    hm_bridge_symbol symbols[] = {
        {"CRYPTO_set_mem_functions", (uintptr_t)&CRYPTO_set_mem_functions},
        {"CRYPTO_get_mem_functions", (uintptr_t)&CRYPTO_get_mem_functions},
        {"CRYPTO_malloc", (uintptr_t)&CRYPTO_malloc},
        {"OpenSSL_version_num", (uintptr_t)&OpenSSL_version_num},
        {NULL, 0}};
    const hm_bridge_opts opts = {.size = sizeof(opts),
                                 .host = process.host,
                                 .lookup = hm_bridge_linked,
                                 .lookup_context = symbols,
                                 .flags = HM_BRIDGE_REPLACE};
    hooked_must(hm_openssl_bridge.install(&opts, &err) == HM_OK, "replace", &err);
    hooked_must(hm_openssl_verify(&first, &err) == HM_OK && !first, "verify", &err);
    set_functions(take_theirs, resize_theirs, free_theirs);
    hooked_must(hm_openssl_verify(NULL, &err) == HM_E_NOT_OWNED, "taken since", &err);
    return (uint64_t)-status;
}

static unsigned long libressl(void)
{
    return 0x20000000ul;
}

static void openssl__libressl_is_refused(void **state)
{
    hm_bridge_symbol symbols[] = {
        {"CRYPTO_set_mem_functions", (uintptr_t)&CRYPTO_set_mem_functions},
        {"CRYPTO_get_mem_functions", (uintptr_t)&CRYPTO_get_mem_functions},
        {"CRYPTO_malloc", (uintptr_t)&CRYPTO_malloc},
        {"OpenSSL_version_num", (uintptr_t)&libressl},
        {NULL, 0}};
    const hm_bridge_opts opts = {.size = sizeof(opts),
                                 .host = process.host,
                                 .lookup = hm_bridge_linked,
                                 .lookup_context = symbols};
    hm_error err;
    (void)state;
    assert_int_equal(hm_openssl_bridge.install(&opts, &err), HM_E_UNSUPPORTED);
    assert_int_equal(hm_openssl_verify(NULL, NULL), HM_E_UNSUPPORTED);
}

static void openssl__hook_is_live(void **state)
{
    const hm_site *first = NULL;
    (void)state;
    void *const block = OPENSSL_malloc(100);
    assert_int_equal(hm_openssl_verify(&first, NULL), HM_OK);
    assert_non_null(first);
    assert_true(first->line > 0);
    assert_int_not_equal(hm_owns(memory, block), 0);
    OPENSSL_free(block);
    hooked_check_twice(&hm_openssl_bridge, hooked_finds_nothing);
}

static void openssl__edges(void **state)
{
    (void)state;
    assert_null(OPENSSL_malloc(0));
    char *block = OPENSSL_realloc(NULL, 10);
    assert_non_null(block);
    memcpy(block, "nine byte", 10);
    block = OPENSSL_realloc(block, 10000);
    assert_string_equal(block, "nine byte");
    assert_null(OPENSSL_realloc(block, 0));
    assert_null(OPENSSL_malloc(SIZE_MAX));
    OPENSSL_free(NULL);
    ERR_clear_error();
    hooked_check_findings(memory);
}

static void openssl__late_is_told(void **state)
{
    (void)state;
    assert_int_equal(late, (uint64_t)-HM_E_STARTED);
    assert_int_equal(occupied, (uint64_t)-HM_E_NOT_OWNED);
}

static void openssl__works_as_stock(void **state)
{
    (void)state;
    assert_int_equal(work(), stock);
    hooked_check_used(memory, 5000);
    hooked_check_findings(memory);
}

typedef struct lines {
    unsigned sites;
    unsigned without_line;
} lines;

static int count_line(void *context, const hm_debug_site *seen)
{
    lines *const count = context;
    count->sites++;
    count->without_line += !seen->site || seen->site->line == 0;
    return 0;
}

/* A block that was resized belongs to the line that did it. */
static void openssl__lines_are_sites(void **state)
{
    hm_debug *const debug = hm_debug_of_malloc(memory);
    lines seen = {0, 0};
    hm_block block;
    (void)state;
    if (!debug) {
        assert_false(memory->flags & HM_MALLOC_DEBUG);
        return;
    }
    assert_int_equal(hm_debug_sites(debug, count_line, &seen), HM_OK);
    assert_in_range(seen.sites, 200, 10000);
    assert_int_equal(seen.without_line, 0);
    void *const made = CRYPTO_malloc(10, "one.c", 1);
    void *const moved = CRYPTO_realloc(made, 5000, "two.c", 2);
    assert_int_equal(hm_describe(memory, moved, &block), HM_OK);
    assert_string_equal(block.site->file, "two.c");
    assert_int_equal(block.site->line, 2);
    assert_int_equal(block.requested, 5000);
    OPENSSL_free(moved);
}

static int survive(void *context)
{
    BIO *const in = BIO_new_mem_buf(certificate, -1);
    X509 *const read = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    (void)context;
    X509_free(read);
    BIO_free(in);
    ERR_clear_error();
    return 0;
}

static void openssl__every_allocation_fails(void **state)
{
    (void)state;
    hooked_sweep(survive, NULL, 50);
    assert_int_equal(work(), stock);
    hooked_check_findings(memory);
}

static void *work_beside(void *answer)
{
    *(uint64_t *)answer = shake_hands();
    return NULL;
}

static void openssl__threads(void **state)
{
    pthread_t threads[3];
    uint64_t answers[COUNT(threads)];
    const uint64_t want = shake_hands();
    (void)state;
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work_beside, &answers[i]), 0);
    }
    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(answers[i], want);
    }
    hooked_check_findings(memory);
}

/* The last of all: libcrypto cannot be used again. */
static void openssl__cleanup_leaves_nothing(void **state)
{
    (void)state;
    OPENSSL_cleanup();
    assert_int_equal(hooked_live(memory), 0);
    assert_int_equal(hm_openssl_verify(NULL, NULL), HM_OK);
}

static void *find_symbol(void *context, const char *name)
{
    (void)context;
    return strcmp(name, "OpenSSL_version_num") == 0
               ? (void *)(uintptr_t)&OpenSSL_version_num
               : NULL;
}

static void openssl__before_install(void **state)
{
    (void)state;
    hooked_check_before(&hm_openssl_bridge, find_symbol);
}

static int install(void **state)
{
    hm_error err;
    (void)state;
    return hm_openssl_install(memory, &err) == HM_OK ? 0 : -1;
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest before[] = {
        cmocka_unit_test(openssl__before_install),
        cmocka_unit_test(openssl__libressl_is_refused),
    };
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(openssl__hook_is_live),
        cmocka_unit_test(openssl__edges),
        cmocka_unit_test(openssl__late_is_told),
        cmocka_unit_test(openssl__works_as_stock),
        cmocka_unit_test(openssl__lines_are_sites),
        cmocka_unit_test(openssl__every_allocation_fails),
        cmocka_unit_test(openssl__threads),
        cmocka_unit_test(openssl__cleanup_leaves_nothing),
    };
    hooked_open(argc, argv);
    memory = hooked_malloc("openssl");
    stock = hooked_in_copy(work);
    late = hooked_in_copy(install_late);
    occupied = hooked_in_copy(install_over);
    const int failed = cmocka_run_group_tests(before, NULL, NULL) +
                       cmocka_run_group_tests(tests, install, NULL);
    hm_malloc_release(memory);
    hm_host_release(process.host);
    return failed;
}
